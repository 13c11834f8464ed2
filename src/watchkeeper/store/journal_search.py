"""Looking for entries in a journal of any length, a bounded piece of it at a time.

Always true here: a question reads a bounded number of entries, and its answer says from where to go on, so
that following it finds every entry that fits, once, newest first (tests/store/test_journal_search.py).

There is no index of words: it would have to be kept with every entry, and what happens is written far more
often than it is searched. Words in 30,000 entries are found in a tenth of a second on one core (SQLite,
entries of 400 bytes); what is older is one click further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from watchkeeper.store import journal
from watchkeeper.store.journal import Entry, Filter
from watchkeeper.store.models import journal as table

WITH_WORDS = 30_000
WITHOUT_WORDS = 500_000
"""So many entries are looked at for one question. Without words only short columns are compared."""
_STEPS = 10
LONGEST_TEXT = 200
MOST_WORDS = 6


@dataclass(frozen=True, slots=True)
class Found:
    """Entries that fit, newest first. ``before``: ask again with it for what is older; None: that was all.

    ``searched_to``: the question ended because it had looked at enough, down to this entry's seq.
    """

    entries: tuple[Entry, ...]
    before: int | None = None
    searched_to: int | None = None
    searched_at: datetime | None = None
    """The moment of that entry."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text that somebody looks for; the first 6 of 200 characters."""
    return tuple(dict.fromkeys(text[:LONGEST_TEXT].split()))[:MOST_WORDS]


def search(conn: Connection, wanted: Filter, limit: int, *, looked_at: int | None = None) -> Found:
    """The newest ``limit`` entries that fit. ``looked_at``: how many are read at most, for tests."""
    low, high = _span(conn, wanted)
    if high < low:
        return Found(())
    indexed = wanted.subject is not None or wanted.clause is not None or _exact(wanted.kind)
    most = looked_at or (WITH_WORDS if wanted.words else WITHOUT_WORDS)
    if indexed and not wanted.words:
        most = high - low + 1
    floor, step = max(low, high - most + 1), max(1, most // _STEPS)
    found: list[Entry] = []
    upper = high
    while upper >= floor and len(found) <= limit:
        lower = max(floor, upper - step + 1)
        window = replace(wanted, after=lower - 1, before=upper + 1)
        found += reversed(journal.entries(conn, window, limit + 1 - len(found)))
        upper = lower - 1
    if len(found) > limit:
        return Found(tuple(found[:limit]), before=found[limit - 1].seq)
    if floor > low:
        at = conn.execute(select(table.c.at).where(table.c.seq == floor)).scalar()
        return Found(tuple(found), before=floor, searched_to=floor, searched_at=at)
    return Found(tuple(found))


def _exact(kind: str | None) -> bool:
    return kind is not None and not kind.endswith("*")


def _span(conn: Connection, wanted: Filter) -> tuple[int, int]:
    """The lowest and the highest seq that can fit."""
    low, high = (wanted.after or 0) + 1, journal.head(conn).seq
    if wanted.before is not None:
        high = min(high, wanted.before - 1)
    if wanted.since is not None or wanted.until is not None:
        within = select(func.min(table.c.seq), func.max(table.c.seq))
        if wanted.since is not None:
            within = within.where(table.c.at >= wanted.since)
        if wanted.until is not None:
            within = within.where(table.c.at < wanted.until)
        first, last = conn.execute(within).one()
        if first is None:
            return 1, 0
        low, high = max(low, first), min(high, last)
    return low, high


def kinds(conn: Connection) -> list[str]:
    """Every kind that an entry has; one index step for each, at any length."""
    walk = select(func.min(table.c.kind).label("kind")).cte("walk", recursive=True)
    following = select(func.min(table.c.kind)).where(table.c.kind > walk.c.kind).scalar_subquery()
    walk = walk.union_all(select(following).where(walk.c.kind.is_not(None)))
    return [row.kind for row in conn.execute(select(walk.c.kind).where(walk.c.kind.is_not(None)))]


def one(conn: Connection, seq: int) -> Entry | None:
    """The entry of that number."""
    found = journal.entries(conn, Filter(after=seq - 1, before=seq + 1), 1)
    return found[0] if found else None
