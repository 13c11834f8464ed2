"""What changed: deploys, configuration, launches, drills and maintenance, told by whoever makes them.

Always true: whoever tells of a change twice under one key is recorded once, by however many processes; a
change and its journal entry are one transaction; a secret in the details is masked before it is kept
(tests/launches/test_changes.py). Changes of the runbook and maintenance windows are read from the journal,
which has them already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, insert, select

from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Link, Notification
from watchkeeper.store import journal
from watchkeeper.store.canonical import canonical_json, plain, rfc3339
from watchkeeper.store.models import changes
from watchkeeper.store.redaction import masked

ChangeKind = Literal["deploy", "configuration", "launch", "drill", "maintenance"]
KINDS: tuple[str, ...] = get_args(ChangeKind)
ACTOR = "component:launches"
MAX_KEY, MAX_TITLE, MAX_NAME, MAX_URL, MAX_DETAILS_BYTES = 200, 300, 200, 2000, 16 << 10
MAX_DEPTH = 20
_NEEDED = (("key", MAX_KEY), ("title", MAX_TITLE), ("by", MAX_NAME))
AHEAD = timedelta(hours=1)
"""A change is told when it is made; clocks differ by less than this."""
LIMIT = 200


class ChangeError(ValueError):
    """A change that cannot be recorded; the message says what would do."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``key`` is the teller's own name for it: the same for every time that it is told.

    ``by`` is who or what made it; ``service``, ``env`` and ``region`` say where, None everywhere.
    """

    key: str
    kind: ChangeKind
    title: str
    at: datetime
    by: str
    service: str | None = None
    env: str | None = None
    region: str | None = None
    version: str | None = None
    url: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change as the store has it. ``fresh``: it was not known before."""

    id: int
    change: Change
    recorded_at: datetime
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Recent:
    """A change for who asks what changed. ``source`` is ``reported`` or ``journal``."""

    at: datetime
    kind: str
    title: str
    by: str
    source: Literal["reported", "journal"]
    service: str | None = None
    env: str | None = None
    region: str | None = None
    version: str | None = None
    url: str | None = None
    id: int | None = None
    seq: int | None = None


def check(change: Change, now: datetime) -> Change:
    """``change`` as it is kept. Raises :class:`ChangeError` for one that cannot be. Pure."""
    key, title, by = (_needed(change, name, longest) for name, longest in _NEEDED)
    service, env, region, version = (
        _optional(change, name) for name in ("service", "env", "region", "version")
    )
    if change.kind not in KINDS:
        raise ChangeError(f"{change.kind!r} is no kind of change; use {', '.join(KINDS)}")
    if change.at.tzinfo is None:
        raise ChangeError("the time of a change needs its offset, such as 2026-01-05T03:00:00Z")
    if change.at > now + AHEAD:
        raise ChangeError(
            f"{rfc3339(change.at)} is in the future; tell of a change when it is made, and check the clocks"
        )
    if change.url is not None and not _is_link(change.url):
        raise ChangeError(f"url is an http or https address of at most {MAX_URL} characters")
    if _deeper(change.details, MAX_DEPTH):
        raise ChangeError(f"details are nested more than {MAX_DEPTH} deep; link to the rest")
    try:
        details = masked(plain(change.details))
    except TypeError as error:
        raise ChangeError(f"details cannot be recorded: {error}") from None
    if len(canonical_json(details).encode()) > MAX_DETAILS_BYTES:
        raise ChangeError(f"details are larger than {MAX_DETAILS_BYTES >> 10} KiB; link to the rest")
    url = None if change.url is None else str(masked(change.url))
    return Change(key, change.kind, title, change.at, by, service, env, region, version, url, details)


def record(
    conn: Connection, now: datetime, change: Change, *, actor: str = ACTOR, tell: Sequence[str] = ()
) -> Recorded:
    """Record ``change``, as part of the caller's transaction; what was recorded under its key before stays.

    ``tell``: ids of PagerDuty receivers that get it as a change event, if it is new. Raises
    :class:`ChangeError`.
    """
    kept = check(change, now)
    values = {name: getattr(kept, name) for name in Change.__dataclass_fields__}
    same = select(changes).where(changes.c.key == kept.key)
    if (known := conn.execute(same).first()) is not None:  # one writer at a time
        return _recorded(known)
    conn.execute(insert(changes).values(**values, recorded_at=now))
    row = conn.execute(same).one()
    facts = {
        **{name: value for name, value in values.items() if value is not None},
        "summary": in_words(kept),
    }
    journal.append(conn, now, "change.recorded", actor, f"change:{row.id}", facts)
    if tell:
        enqueue_notification(conn, now, tell, notification(row.id, kept))
    return Recorded(row.id, kept, now, True)


def in_words(change: Change) -> str:
    """``deploy: backend 2.4.1 (prod, eu-1): Faster uploads``."""
    what = " ".join(part for part in (change.service, change.version) if part)
    where = ", ".join(part for part in (change.env, change.region) if part)
    place = f"{what} ({where})" if what and where else what or where
    return f"{change.kind}: {place}: {change.title}" if place else f"{change.kind}: {change.title}"


def notification(number: int, change: Change) -> Notification:
    """``change`` as it is told to receivers: nobody is woken by it."""
    labels = {name: value for name in ("service", "env", "region") if (value := getattr(change, name))}
    key = f"watchkeeper/change/{number}"
    return Notification(
        kind=Kind.CHANGE,
        dedup_key=key,
        order_key=key,
        subject=f"change:{number}",
        alertname=change.kind,
        severity="info",
        summary=in_words(change),
        starts_at=change.at,
        labels=labels,
        annotations={"by": change.by, **({"version": change.version} if change.version else {})},
        links=(Link(change.url, "The change"),) if change.url else (),
    )


def recent(
    conn: Connection,
    now: datetime,
    hours: float = 24,
    service: str | None = None,
    env: str | None = None,
    limit: int = LIMIT,
) -> list[Recent]:
    """What changed in the last ``hours``, nearest to ``now`` first.

    Of another ``service`` or ``env`` than the ones asked for there is nothing in it; what says none, and what
    touches everything (the runbook, maintenance windows), is.
    """
    since = now - timedelta(hours=hours)
    query = select(changes).where(changes.c.at >= since).order_by(changes.c.at.desc(), changes.c.id.desc())
    for column, wanted in ((changes.c.service, service), (changes.c.env, env)):
        if wanted is not None:
            query = query.where((column == wanted) | column.is_(None))
    found = [_reported(row) for row in conn.execute(query.limit(limit))]
    found += _runbooks(conn, since)
    found += _windows(conn, since)
    found.sort(key=lambda one: (abs(now - one.at), one.source, -(one.id or one.seq or 0)))
    return found[:limit]


def changes_recent(
    conn: Connection,
    now: datetime,
    hours: float = 24,
    service: str | None = None,
    env: str | None = None,
    limit: int = LIMIT,
) -> list[dict[str, Any]]:
    """As :func:`recent`, as plain JSON: what the step verb ``changes.recent`` gives to a playbook."""
    return [document(one, now) for one in recent(conn, now, hours, service, env, limit)]


def document(one: Recent, now: datetime) -> dict[str, Any]:
    """A change as plain JSON."""
    return {
        "at": rfc3339(one.at),
        "minutes_ago": round((now - one.at).total_seconds() / 60),
        "kind": one.kind,
        "title": one.title,
        "by": one.by,
        "service": one.service,
        "env": one.env,
        "region": one.region,
        "version": one.version,
        "url": one.url,
        "source": one.source,
        "id": one.id,
        "seq": one.seq,
    }


def _runbooks(conn: Connection, since: datetime) -> list[Recent]:
    """The runbooks that came into force and were not in force before (a restart is no change)."""
    loaded = journal.entries(conn, journal.Filter(kind="runbook.loaded"), LIMIT)
    found, before = [], None
    for entry in loaded:
        digest = entry.facts.get("digest")
        if entry.at >= since and before is not None and digest != before:
            title = str(entry.facts.get("summary") or "the runbook changed")
            found.append(Recent(entry.at, "configuration", title, entry.actor, "journal", seq=entry.seq))
        before = digest
    return found


def _windows(conn: Connection, since: datetime) -> list[Recent]:
    entries = journal.entries(conn, journal.Filter(kind="maintenance.*", since=since), LIMIT)
    return [
        Recent(
            entry.at,
            "maintenance",
            str(entry.facts.get("summary") or entry.kind),
            entry.actor,
            "journal",
            seq=entry.seq,
        )
        for entry in entries
    ]


def _reported(row: Row[Any]) -> Recent:
    return Recent(
        row.at,
        row.kind,
        row.title,
        row.by,
        "reported",
        row.service,
        row.env,
        row.region,
        row.version,
        row.url,
        id=row.id,
    )


def _recorded(row: Row[Any]) -> Recorded:
    kept = Change(**{name: getattr(row, name) for name in Change.__dataclass_fields__})
    return Recorded(row.id, kept, row.recorded_at)


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _needed(change: Change, name: str, longest: int) -> str:
    text = _one_line(getattr(change, name))
    if not text or len(text) > longest:
        raise ChangeError(f"a change needs its {name}, in at most {longest} characters")
    return text


def _optional(change: Change, name: str) -> str | None:
    given = getattr(change, name)
    if given is None:
        return None
    text = _one_line(given)
    if not text or len(text) > MAX_NAME:
        raise ChangeError(f"{name} is at most {MAX_NAME} characters; leave it out where there is none")
    return text


def _deeper(value: Any, limit: int) -> bool:
    """Whether ``value`` is nested deeper than ``limit``."""
    level = [value]
    for _ in range(limit + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                below.extend(one.values())
            elif isinstance(one, list | tuple):
                below.extend(one)
        if not below:
            return False
        level = below
    return True


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return len(url) <= MAX_URL and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
