"""The append-only log of everything that happened, each entry chained to the one before by SHA-256.

Always true here: entries are numbered 1, 2, 3, ... without gaps, in the order in which they were committed,
by however many processes; an entry's hash covers all of it, the clauses it cites and the hash before it, so
that a change to any of it is found and named by :func:`verify` (tests/store/test_journal.py). What the chain
alone cannot show is that its newest entries were cut off: compare with a head noted earlier (``anchor``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    func,
    insert,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from watchkeeper.store.canonical import canonical_json, plain, storable
from watchkeeper.store.clock import to_us
from watchkeeper.store.errors import JournalError
from watchkeeper.store.models import journal, journal_clauses
from watchkeeper.store.redaction import masked

Verdict = Literal["met", "missed", "waived", "unknown"]
VERDICTS: tuple[str, ...] = get_args(Verdict)
GENESIS = "0" * 64
"""What the first entry is chained to."""

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as recorded. ``evidence`` are the clauses it cites, each with its verdict."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subject: str
    facts: dict[str, Any]
    hash: str
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is to be recorded; see :func:`append`."""

    kind: str
    actor: str
    subject: str
    facts: Mapping[str, Any]
    evidence: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What :func:`verify` found. ``broken`` is the first entry that is not as it was written, if any."""

    entries: int
    head: str
    broken: int | None = None
    problem: str | None = None

    @property
    def intact(self) -> bool:
        """Whether every entry is as it was written."""
        return self.broken is None


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that somebody noted earlier: entry ``seq`` had this ``hash``."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries: what is given must hold. ``after`` and ``before`` are seqs; ``kind`` may end in ``*``.

    ``actor_kind`` is ``person``, ``component`` or ``token``. Each of ``words`` must stand in the subject, the
    actor, the kind or the summary; case is ignored for the letters a to z. Nothing indexes words: whoever
    asks for them bounds how much is read (see :mod:`watchkeeper.store.journal_search`).
    """

    subject: str | None = None
    clause: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int | None = None
    before: int | None = None
    actor_kind: str | None = None
    words: tuple[str, ...] = ()


def append(
    conn: Connection,
    now: datetime,
    kind: str,
    actor: str,
    subject: str,
    facts: Mapping[str, Any],
    evidence: Sequence[tuple[str, str]] = (),
) -> int:
    """Record that something happened; the entry's seq. Part of the caller's transaction.

    ``evidence`` are pairs of clause and verdict. Secrets in ``facts`` are masked by name (see
    :mod:`watchkeeper.store.redaction`). Raises :class:`JournalError` for an entry without kind, actor or
    subject, an unknown verdict, or a clause cited twice.
    """
    return append_all(conn, now, [Draft(kind, actor, subject, facts, evidence)])


def append_all(conn: Connection, now: datetime, drafts: Sequence[Draft]) -> int:
    """Record ``drafts``, in their order, as :func:`append` does one; the seq of the last entry there is.

    Thousands take a fraction of the time that as many calls of :func:`append` would.
    """
    cited = [_checked(draft) for draft in drafts]
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE journal IN EXCLUSIVE MODE"))
    last = conn.execute(select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq, last.hash) if last else (0, GENESIS)
    rows: list[dict[str, Any]] = []
    for draft, clauses in zip(drafts, cited, strict=True):
        seq += 1
        values = {
            "seq": seq,
            "at": now,
            "kind": storable(draft.kind),
            "actor": storable(draft.actor),
            "subject": storable(draft.subject),
            "facts": masked(plain(draft.facts)),
        }
        previous = entry_hash(previous, {**values, "at": to_us(now)}, clauses)
        rows.append({**values, "hash": previous})
        if clauses:  # the database takes them only right after their entry
            conn.execute(insert(journal), rows)
            rows.clear()
            citations = [{"seq": seq, "clause": clause, "verdict": verdict} for clause, verdict in clauses]
            conn.execute(insert(journal_clauses), citations)
    if rows:
        conn.execute(insert(journal), rows)
    return int(seq)


def _checked(draft: Draft) -> list[tuple[str, str]]:
    """What the draft cites, in order; raises :class:`JournalError` where it cannot be an entry."""
    for name in ("kind", "actor", "subject"):
        if not getattr(draft, name):
            raise JournalError(f"a journal entry needs its {name}; nothing was recorded")
    cited = sorted((storable(clause), verdict) for clause, verdict in draft.evidence)
    if len({clause for clause, _ in cited}) != len(cited):
        raise JournalError(f"{draft.kind} cites a clause twice; an entry gives one verdict per clause")
    for clause, verdict in cited:
        if verdict not in VERDICTS:
            raise JournalError(
                f"{draft.kind} gives {clause} the verdict {verdict!r}; use {', '.join(VERDICTS)}"
            )
    return cited


def entry_hash(previous: str, values: Mapping[str, Any], cited: Sequence[tuple[str, str]]) -> str:
    """SHA-256 (hex) over the canonical JSON of an entry (``at`` in microseconds) and the hash before it."""
    document = {**values, "previous": previous, "evidence": [list(pair) for pair in cited]}
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def verify(conn: Connection, anchor: Anchor | None = None) -> ChainReport:
    """Read the whole journal and recompute every hash; stops at the first entry that does not fit.

    With ``anchor`` also: that the entry noted there still exists and is the same.
    """
    previous, expected = GENESIS, 1
    for raw, cited in _raw_entries(conn):
        problem = _check(raw, cited, expected, previous)
        if problem is None and anchor is not None and anchor.seq == expected and anchor.hash != raw["hash"]:
            problem = "it is not the entry that was noted; the journal was rewritten up to here"
        if problem is not None:
            return ChainReport(expected - 1, previous, expected, problem)
        previous, expected = raw["hash"], expected + 1
    stray = conn.execute(
        select(func.min(journal_clauses.c.seq)).where(journal_clauses.c.seq >= expected)
    ).scalar()
    if stray is not None:
        return ChainReport(
            expected - 1, previous, expected, "it is gone, but clauses that it cited are there"
        )
    if anchor is not None and anchor.seq >= expected:
        return ChainReport(
            expected - 1, previous, expected, f"it is gone; the journal once went on to entry {anchor.seq}"
        )
    return ChainReport(expected - 1, previous)


def _check(raw: Mapping[str, Any], cited: list[tuple[str, str]], expected: int, previous: str) -> str | None:
    """What is wrong with one stored entry, or ``None``."""
    if raw["seq"] != expected:
        return f"it is missing; the next one there is is {raw['seq']}"
    try:
        facts = json.loads(raw["facts"])
        if canonical_json(facts) != raw["facts"]:
            return "its facts are not as they were written"
        values = {**{key: raw[key] for key in raw if key != "hash"}, "facts": facts}
        digest = entry_hash(previous, values, sorted(cited))
    except (TypeError, ValueError):
        return "it holds what no entry can hold"
    return None if digest == raw["hash"] else "its content and its hash do not fit together"


def _raw_entries(conn: Connection) -> Iterator[tuple[dict[str, Any], list[tuple[str, str]]]]:
    """Every entry as it is stored, in order, with what it cites; in batches, so that any size fits."""
    columns = [
        journal.c.seq,
        type_coerce(journal.c.at, BigInteger).label("at"),
        journal.c.kind,
        journal.c.actor,
        journal.c.subject,
        type_coerce(journal.c.facts, Text).label("facts"),
        journal.c.hash,
    ]
    after: int | None = None
    while True:
        query = select(*columns).order_by(journal.c.seq).limit(_BATCH)
        rows = conn.execute(query if after is None else query.where(journal.c.seq > after)).mappings().all()
        if not rows:
            return
        cited = _cited(conn, journal_clauses.c.seq.between(rows[0]["seq"], rows[-1]["seq"]))
        for row in rows:
            yield dict(row), cited.get(row["seq"], [])
        after = rows[-1]["seq"]


def _cited(conn: Connection, which: ColumnElement[bool]) -> dict[int, list[tuple[str, str]]]:
    found: dict[int, list[tuple[str, str]]] = {}
    for row in conn.execute(select(journal_clauses).where(which)):
        found.setdefault(row.seq, []).append((row.clause, row.verdict))
    return found


def entries(conn: Connection, wanted: Filter | None = None, limit: int = 100) -> list[Entry]:
    """The newest ``limit`` entries that match, oldest first."""
    query = _matching(wanted or Filter()).order_by(journal.c.seq.desc()).limit(limit)
    return _load(conn, query)[::-1]


def tail(conn: Connection, after: int, limit: int = 1000, kinds: Sequence[str] = ()) -> list[Entry]:
    """The first ``limit`` entries after seq ``after``, oldest first: for readers that follow the journal.

    With ``kinds``, of these alone.
    """
    query = _matching(Filter(after=after))
    if kinds:
        query = query.where(journal.c.kind.in_(kinds))
    return _load(conn, query.order_by(journal.c.seq).limit(limit))


def next_of(conn: Connection, subject: str, seq: int) -> int | None:
    """The seq of the first entry about ``subject`` after ``seq``."""
    later = select(func.min(journal.c.seq)).where(journal.c.subject == subject, journal.c.seq > seq)
    found: int | None = conn.execute(later).scalar()
    return found


def head(conn: Connection) -> Anchor:
    """The newest entry's seq and hash; ``(0, GENESIS)`` while there is none."""
    row = conn.execute(select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)).first()
    return Anchor(row.seq, row.hash) if row else Anchor(0, GENESIS)


def _matching(wanted: Filter) -> Select[Any]:
    """Which entries. Some conditions are written so that the planner, which knows nothing of how often a kind
    or a subject occurs, takes the index that reads the fewest entries (tests/store/test_journal.py)."""
    query = select(journal)
    if wanted.subject is not None:
        query = query.where(journal.c.subject == wanted.subject)
    if wanted.kind is not None:
        prefix = wanted.kind.removesuffix("*")
        kind = journal.c.kind if wanted.subject is None else journal.c.kind.concat("")
        query = query.where(
            kind.startswith(prefix, autoescape=True) if wanted.kind.endswith("*") else kind == prefix
        )
    if wanted.since is not None:
        first = select(func.min(journal.c.seq + 0)).where(journal.c.at >= wanted.since).scalar_subquery()
        query = query.where(journal.c.at >= wanted.since, journal.c.seq >= first)
    if wanted.until is not None:
        query = query.where(journal.c.at < wanted.until)
    if wanted.after is not None:
        query = query.where(journal.c.seq > wanted.after)
    if wanted.before is not None:
        query = query.where(journal.c.seq < wanted.before)
    if wanted.actor_kind is not None:
        query = query.where(journal.c.actor.startswith(f"{wanted.actor_kind}:", autoescape=True))
    for word in wanted.words:
        query = query.where(_holds(word))
    if wanted.clause is not None:
        cites = select(journal_clauses.c.seq).where(journal_clauses.c.clause == wanted.clause)
        query = query.where(journal.c.seq.in_(cites))
    return query


def _holds(word: str) -> ColumnElement[bool]:
    """Whether an entry speaks of ``word``. The facts are looked at as text first: that is a tenth of the work
    of reading them, and most entries hold no such word."""
    written = json.dumps(word, ensure_ascii=False)[1:-1]
    facts = type_coerce(journal.c.facts, Text)
    return or_(
        journal.c.subject.icontains(word, autoescape=True),
        journal.c.actor.icontains(word, autoescape=True),
        journal.c.kind.icontains(word, autoescape=True),
        and_(
            facts.icontains(written, autoescape=True),
            _SummaryIn(facts).icontains(word, autoescape=True),
        ),
    )


class _SummaryIn(FunctionElement[str]):
    """The fact ``summary`` of an entry's facts, in the words of each database."""

    type = Text()
    inherit_cache = True


@compiles(_SummaryIn)
def _summary_in_sqlite(element: _SummaryIn, compiler: Any, **kwargs: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **kwargs)}, '$.summary')"


@compiles(_SummaryIn, "postgresql")
def _summary_in_postgresql(element: _SummaryIn, compiler: Any, **kwargs: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **kwargs)} AS json) ->> 'summary')"


def _load(conn: Connection, query: Select[Any]) -> list[Entry]:
    rows = conn.execute(query).all()
    if not rows:
        return []
    cited: dict[int, list[tuple[str, str]]] = {}
    for start in range(0, len(rows), _BATCH):
        cited |= _cited(conn, journal_clauses.c.seq.in_([row.seq for row in rows[start : start + _BATCH]]))
    return [
        Entry(
            row.seq,
            row.at,
            row.kind,
            row.actor,
            row.subject,
            row.facts,
            row.hash,
            tuple(sorted(cited.get(row.seq, ()), key=str)),
        )
        for row in rows
    ]
