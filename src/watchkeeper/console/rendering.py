"""Turns what is known into HTML: the templates, the words of time and figures in them, and the page's frame.

Always true: everything that a template shows is escaped, control characters are shown as what they are, and
no page holds a script or a style of its own (tests/console/test_rendering.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from watchkeeper.access.models import Identity, Scope
from watchkeeper.console.clocks import clock_state, clock_words
from watchkeeper.console.picture import Picture
from watchkeeper.monitoring.figures import duration, figure
from watchkeeper.store.clock import from_ms

STATIC = ("console.css", "console.js", "explore.js", "icon.svg")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
THEMES = ("auto", "light", "dark")
FLASH = "watchkeeper-flash"
LONGEST_TEXT = 2000
"""What is longer is cut in pages, and said to be: a label of a megabyte is no reading."""
MARKS = {
    "met": "●", "ok": "●", "shown": "●", "up": "●", "delivered": "●", "active": "●",
    "missed": "▲", "warn": "▲", "pending": "△", "down": "▲", "retrying": "▲", "dead": "▲",
    "unknown": "◌", "planned": "◌",
    "waived": "◇", "silenced": "◇", "inhibited": "◇",
    "page": "■", "firing": "■", "resolved": "●", "over": "·",
    "open": "■", "mitigated": "▲", "closed": "·", "merged": "·", "running": "◌", "void": "·",
}  # fmt: skip
"""Every state has a shape and a word besides its colour."""


def clean(text: object) -> str:
    """``text`` for a page: bounded, and control characters made visible."""
    said = str(text).replace("\r\n", "\n")  # how forms send the ends of lines
    more = f"… ({len(said):,} characters in all)" if len(said) > LONGEST_TEXT else ""
    return "".join(_visible(char) for char in said[:LONGEST_TEXT]) + more


def _visible(char: str) -> str:
    if char in "\n\t" or char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def ago(moment: datetime, now: datetime) -> str:
    """``3 min ago``, ``in 11 h``: one unit below a day's worth of precision, as people say it."""
    seconds = (now - moment).total_seconds()
    words = about(abs(seconds))
    if abs(seconds) < 1:
        return "now"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def about(seconds: float) -> str:
    """A duration by its largest unit: ``4 min``, ``11 h``, ``3 d``."""
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and name != "min"):
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def left(seconds: float) -> str:
    """A countdown: ``3:05 left`` below an hour, ``3 h 07 min left``, ``2 d 4 h left``; ``over by 3 min``."""
    if seconds < 0:
        return f"over by {about(-seconds)}"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} left"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min left"
    return f"{whole // 86400} d {whole % 86400 // 3600} h left"


def time_element(moment: datetime | None, now: datetime, *, style: str = "ago") -> Markup:
    """A moment as people read it, the exact UTC time in its title; the script adds the local one and ticks.

    ``style``: ``ago`` (``3 min ago``, ``in 2 h``), ``for`` (how long since), ``left`` (a countdown),
    ``clock`` (the time of day) or ``exact`` (with its day).
    """
    if moment is None:
        return Markup('<span class="none">never</span>')
    exact = moment.astimezone(UTC)
    if style == "ago":
        words = ago(moment, now)
    elif style == "for":
        words = about(max(0.0, (now - moment).total_seconds()))
    elif style == "left":
        words = left((moment - now).total_seconds())
    else:
        words = f"{exact:%H:%M:%S}" if style == "clock" else f"{exact:%d %b %H:%M:%S}"
    return Markup('<time datetime="{}" title="{}" data-as="{}">{}</time>').format(
        exact.isoformat().replace("+00:00", "Z"), f"{exact:%Y-%m-%d %H:%M:%S} UTC", style, words
    )


def mark(state: str, word: str | None = None) -> Markup:
    """The shape of ``state`` with its word for those who cannot see it."""
    shape = MARKS.get(state, "◌")
    return Markup(
        '<span class="mark is-{}" title="{}"><span aria-hidden="true">{}</span>'
        '<span class="spoken">{}</span></span>'
    ).format(state, word or state, shape, word or state)


STEP_MARKS = {
    "pending": "○", "begun": "▶", "active": "▶", "waiting": "▷", "in doubt": "▲", "done": "●", "failed": "▲",
    "skipped": "◇", "undone": "◇", "aborted": "◇",
}  # fmt: skip
"""The shapes of steps and runs of playbooks."""


def step_mark(one: Any) -> Markup:
    """The shape of a step or a run, with its state as its word."""
    state = str(one.state)
    return Markup(
        '<span class="mark is-{}-step" title="{}"><span aria-hidden="true">{}</span>'
        '<span class="spoken">{}</span></span>'
    ).format(state.replace(" ", "-"), state, STEP_MARKS.get(state, "○"), state)


def sparkline(points: Sequence[float | None], width: int = 96, height: int = 20) -> Markup:
    """The last values as a line from their lowest up; a gap where there is none. It is decoration."""
    known = [value for value in points if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return Markup("")
    low, high = min(known), max(known)
    span = max(high - low, 0.2 * max(abs(low), abs(high))) or 1.0
    step = width / max(1, len(points) - 1)
    path, pen = [], "M"
    for index, value in enumerate(points):
        if value is None or not math.isfinite(value):
            pen = "M"
            continue
        y = height - 2 - (value - low) / span * (height - 4)
        path.append(f"{pen}{index * step:.1f} {y:.1f}")
        pen = "L"
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" aria-hidden="true">'
        '<path d="{d}"/></svg>'
    ).format(w=width, h=height, d="".join(path))


class Pages:
    """The templates, and what every page has around it."""

    def __init__(self) -> None:
        folder = resources.files("watchkeeper.console").joinpath("static")
        self.static = {name: folder.joinpath(name).read_bytes() for name in STATIC}
        self._addresses = {
            name: f"/static/{hashlib.sha256(content).hexdigest()[:12]}/{name}"
            for name, content in self.static.items()
        }
        self._templates = Environment(
            loader=PackageLoader("watchkeeper.console", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalize,
        )
        self._templates.globals.update(
            static=self.address,
            mark=mark,
            figure=figure,
            duration=duration,
            about=about,
            sparkline=sparkline,
            step_mark=step_mark,
            timedelta=timedelta,
            in_zone=lambda moment, zone: moment.astimezone(ZoneInfo(zone)),
        )
        self._templates.filters["segment"] = lambda text: quote(str(text), safe="")

    def address(self, name: str) -> str:
        """Where the static file ``name`` is."""
        return self._addresses[name]

    def respond(
        self,
        request: Request,
        identity: Identity | None,
        picture: Picture,
        template: str,
        *,
        status: int = 200,
        **context: Any,
    ) -> Response:
        """A whole page. ``picture`` fills the frame; ``context`` the template."""
        theme = request.cookies.get("theme", "auto")
        flash = request.cookies.get(FLASH)
        path = context.pop("path", request.url.path)
        html = self._templates.get_template(template).render(
            path=path,
            at_incident=lambda fingerprint: _at_incident(picture, path, fingerprint),
            identity=identity,
            may=lambda scope: identity is not None and identity.may(Scope(scope)),
            theme=theme if theme in THEMES else "auto",
            flash=_read_flash(flash),
            **_words(picture),
            **context,
        )
        response = Response(html, status_code=status, media_type="text/html")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        if flash:
            response.delete_cookie(FLASH, path="/")
        return response

    def fragment(self, template: str, picture: Picture, **context: Any) -> Markup:
        """A piece of a page that depends on nobody who looks at it."""
        html = self._templates.get_template(template).render(**_words(picture), **context)
        return Markup(html)  # noqa: S704 - the template escaped what is in it


def _words(picture: Picture) -> dict[str, Any]:
    """What every template can say of a picture and of the time that it was taken at."""
    now = picture.at
    return {
        "picture": picture,
        "now": now,
        "clock_words": clock_words,
        "clock_state": lambda clock: clock_state(clock, now),
        "when": lambda moment, style="ago": time_element(moment, now, style=style),
        "when_ms": lambda at_ms, style="ago": time_element(from_ms(at_ms), now, style=style),
    }


def _at_incident(picture: Picture, path: str, fingerprint: str) -> bool:
    """Whether ``path`` is the page of the incident that a firing alert belongs to: it says all of it."""
    known = picture.incident_of(fingerprint)
    return known is not None and f"{path}/".startswith(f"/incidents/{known.incident.id}/")


def _finalize(value: Any) -> Any:
    """What a template prints: texts bounded and visible, our own markup as it is, None as nothing."""
    if value is None:
        return ""
    return clean(value) if type(value) is str else value


def seen_other(where: str, said: str = "") -> Response:
    """On to the page ``where`` after a change, with a sentence to be shown there."""
    address = quote(where, safe="".join(map(chr, range(0x21, 0x7F))))  # headers are ASCII
    response = Response(status_code=303, headers={"Location": address})
    if said:
        response.set_cookie(
            FLASH, quote(said[:400], safe=""), max_age=60, path="/", httponly=True, samesite="lax"
        )
    return response


def _read_flash(cookie: str | None) -> str:
    return unquote(cookie)[:400] if cookie else ""
