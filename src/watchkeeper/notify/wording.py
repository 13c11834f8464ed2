"""A notification in the words that people read: a title, facts, a group's alerts, where to read on. Pure.

Always true here (tests/notify/test_wording.py): every text is bounded and every line is one line, without
control or invisible characters, whatever stands in labels (so no label can add a header, a line or a link);
a group says how many alerts it has and in which states, and lists at most ``MAX_ALERTS`` of them.
Escaping for HTML or for Slack is the business of the receiver that needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from watchkeeper.notify.models import Kind, Link, Member, Notification

MAX_TITLE = 200
MAX_VALUE = 300
MAX_ALERTS = 20
_MAX_LABELS = 30
_MAX_LINKS = 10
_MAX_HREF = 1000
_MAX_STATES = 6
_STATES = {
    Kind.TRIGGER: "FIRING",
    Kind.ACKNOWLEDGE: "ACKNOWLEDGED",
    Kind.RESOLVE: "RESOLVED",
    Kind.CHANGE: "CHANGE",
}


@dataclass(frozen=True, slots=True)
class Words:
    """What a message says. ``facts`` are names and values, in the order in which they are read."""

    state: str
    severity: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    alerts: tuple[str, ...]
    alerts_left_out: int
    links: tuple[Link, ...]

    @property
    def title(self) -> str:
        """State, severity and summary, for a heading: ``[FIRING] PAGE: 7.3 % of requests fail``."""
        return one_line(f"[{self.state}] {self.severity}: {self.headline}", MAX_TITLE)

    def text(self) -> str:
        """Everything but the title, as plain text."""
        parts = ["\n".join(f"{name}: {value}" for name, value in self.facts)]
        if self.alerts:
            parts.append("\n".join(f"- {line}" for line in (*self.alerts, *self.more())))
        if self.links:
            parts.append("\n".join(f"{link.text}: {link.href}" for link in self.links))
        return "\n\n".join(part for part in parts if part)

    def more(self) -> tuple[str, ...]:
        """The line that says how many alerts are not listed; none when all are."""
        return (f"and {self.alerts_left_out} more",) if self.alerts_left_out else ()


def words(notification: Notification) -> Words:
    """What to say about ``notification``."""
    members = notification.members
    shown = members[:MAX_ALERTS]
    return Words(
        state=_state(notification),
        severity=one_line(notification.severity, 40).upper() or "ALERT",
        headline=_headline(notification),
        facts=tuple(_facts(notification)),
        alerts=tuple(_alert(member) for member in shown),
        alerts_left_out=notification.total - len(shown) if members else 0,
        links=tuple(_links(notification.links)),
    )


def _state(notification: Notification) -> str:
    own = one_line(notification.status or "", 40).upper() if notification.kind is Kind.TRIGGER else ""
    return own or _STATES[notification.kind]


def one_line(text: str, limit: int = MAX_VALUE) -> str:
    """``text`` as one line of at most ``limit`` characters: what is not printable becomes a space."""
    cut = text[: 4 * limit]  # before anything is done with it: a label may be a megabyte
    line = " ".join("".join(char if char.isprintable() else " " for char in cut).split())
    if len(line) > limit or (len(cut) < len(text) and line):
        return line[: limit - 1].rstrip() + "…"
    return line


def shortened(text: str, limit: int) -> str:
    """The first lines of ``text`` that fit into ``limit`` characters; "…" says that more were left out."""
    if len(text) <= limit:
        return text
    whole, _, _ = text[: limit - 1].rpartition("\n")
    return f"{whole}\n…" if whole else text[: limit - 1] + "…"


def _headline(notification: Notification) -> str:
    headline = one_line(notification.summary) or one_line(notification.alertname) or "alert"
    counts = [f"{notification.total:{form}} alerts: " for form in ("", ",")]
    if notification.total < 2 or headline.startswith(tuple(counts)):
        return headline
    return one_line(counts[0] + headline)


def _facts(notification: Notification) -> Iterable[tuple[str, str]]:
    named = (
        ("What", _headline(notification)),
        ("Description", one_line(notification.annotations.get("description", ""), 1000)),
        ("Alert", one_line(notification.alertname)),
        ("Alerts", _counts(notification)),
        ("Since", _moment(notification.starts_at)),
        ("Until", _moment(notification.ends_at) if notification.ends_at else ""),
        ("Value", _value(notification.value)),
        ("Labels", _labels(notification.labels.items())),
        ("Clause", one_line(notification.clause or "")),
        ("Playbook", one_line(notification.playbook or "")),
        ("Note", one_line(notification.note, 1000)),
    )
    return ((name, value) for name, value in named if value)


def _counts(notification: Notification) -> str:
    """``37: 30 firing, 7 resolved``; of very many, whose states are not all known here, the number."""
    members = notification.members
    if not members:
        return ""
    if notification.total > len(members):
        return f"{notification.total:,}"
    states = Counter(one_line(member.state, 40) or "unknown" for member in members).most_common()
    counted = [f"{count} {state}" for state, count in states[:_MAX_STATES]]
    rest = sum(count for _, count in states[_MAX_STATES:])
    return f"{len(members)}: " + ", ".join(counted + ([f"{rest} other"] if rest else []))


def _alert(member: Member) -> str:
    what = one_line(member.summary) or _labels(member.labels.items()) or one_line(member.fingerprint)
    value = _value(member.value)
    known = f" (value {value})" if value else ""
    return f"{one_line(member.state, 40)} since {_moment(member.starts_at)}: {what}{known}"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    ordered = sorted(labels)
    shown = [f"{one_line(name, 100)}={one_line(value, 100)}" for name, value in ordered[:_MAX_LABELS]]
    left_out = len(ordered) - len(shown)
    return ", ".join(shown + ([f"and {left_out} more"] if left_out else []))


def _links(links: Iterable[Link]) -> Iterable[Link]:
    """Only web addresses that are whole: a cut or mended address leads elsewhere."""
    good = (
        Link(link.href, one_line(link.text, 100) or "link")
        for link in links
        if link.href.startswith(("https://", "http://"))
        and len(link.href) <= _MAX_HREF
        and link.href.isprintable()
        and not set(link.href) & set(' <>"|')
    )
    return tuple(good)[:_MAX_LINKS]


def _value(value: float | str | None) -> str:
    if value is None:
        return ""
    return one_line(value) if isinstance(value, str) else f"{value:.6g}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
