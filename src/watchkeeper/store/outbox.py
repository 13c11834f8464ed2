"""What must be told to somebody outside, kept until they have it.

Always true here: a row enqueued in a transaction exists exactly if that transaction does; of one receiver and
``order_key`` only the oldest pending row can be claimed, so a later one never overtakes it; a claim that is
not settled (its process died) expires and the row is claimed again, so a row is delivered at least once; a
settlement by a claim that was lost changes nothing (tests/store/test_outbox.py, test_outbox_properties.py).

Wall clocks jump. A row or claim whose schedule was written more than ``CLOCK_STEP`` in what is now the future
shows that the clock was set back; it counts as due, because late is worse than twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, or_, select, update

from watchkeeper.store.models import outbox

CLOCK_STEP = timedelta(minutes=1)
DEFAULT_PRIORITY = 100
_EARLIER = outbox.alias("earlier")
"""Made once: to make it costs as much as all else of a look for what is due, and receivers look often."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process may deliver until ``expires_at``. ``epoch`` fences its settlement."""

    id: int
    receiver: str
    order_key: str
    dedup_key: str
    payload: Any
    enqueued_at: datetime
    attempts: int
    give_up_at: datetime | None
    epoch: int
    expires_at: datetime

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this row, and for no other row of this store."""
        return f"{self.receiver}-{self.id}-{int(self.enqueued_at.timestamp())}"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The receiver may not have it; try again at ``at``. ``error`` is for people and holds no secret."""

    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It will never be delivered. Whoever settles so, journals why."""

    error: str


@dataclass(frozen=True, slots=True)
class Released:
    """It was not attempted; it stays due as it was."""


Settlement = Delivered | Retry | Dead | Released


def enqueue(
    conn: Connection,
    now: datetime,
    receiver: str,
    order_key: str,
    dedup_key: str,
    payload: Any,
    *,
    due_at: datetime | None = None,
    priority: int = DEFAULT_PRIORITY,
    give_up_at: datetime | None = None,
    coalesce_key: str | None = None,
) -> int:
    """Put one delivery in the outbox, as part of the caller's transaction; its id.

    ``due_at`` defaults to now. Lower ``priority`` goes first between different ``order_key``. ``give_up_at``
    None means: never give up. With ``coalesce_key``, this row takes the place of the row that would go out
    just before it (same receiver, order_key, dedup_key and coalesce_key) if nobody is delivering that one;
    without it nothing is ever merged.
    """
    if coalesce_key is not None:
        _supersede(conn, now, receiver, order_key, dedup_key, coalesce_key)
    row = Row(receiver, order_key, dedup_key, payload, due_at, priority, give_up_at, coalesce_key)
    result = conn.execute(insert(outbox).values(**_fresh(row, now)))
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery for :func:`enqueue_all`; the fields are what :func:`enqueue` takes."""

    receiver: str
    order_key: str
    dedup_key: str
    payload: Any
    due_at: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    give_up_at: datetime | None = None
    coalesce_key: str | None = None


def enqueue_all(conn: Connection, now: datetime, rows: Sequence[Row]) -> None:
    """Put many deliveries in the outbox at once, in their order; none takes the place of another."""
    if rows:
        conn.execute(insert(outbox), [_fresh(row, now) for row in rows])


def _fresh(row: Row, now: datetime) -> dict[str, Any]:
    return {
        "receiver": row.receiver,
        "order_key": row.order_key,
        "dedup_key": row.dedup_key,
        "coalesce_key": row.coalesce_key,
        "priority": row.priority,
        "payload": row.payload,
        "state": "pending",
        "enqueued_at": now,
        "due_at": row.due_at or now,
        "scheduled_at": now,
        "give_up_at": row.give_up_at,
        "attempts": 0,
        "claims": 0,
    }


def _supersede(
    conn: Connection, now: datetime, receiver: str, order_key: str, dedup_key: str, coalesce_key: str
) -> None:
    newest = conn.execute(
        select(outbox.c.id, outbox.c.dedup_key, outbox.c.coalesce_key, outbox.c.claimed_by)
        .where(outbox.c.receiver == receiver, outbox.c.order_key == order_key, outbox.c.state == "pending")
        .order_by(outbox.c.id.desc())
        .limit(1)
    ).first()
    if newest is None or newest.claimed_by is not None:
        return
    if (newest.dedup_key, newest.coalesce_key) == (dedup_key, coalesce_key):
        done = {"state": "superseded", "settled_at": now}
        conn.execute(update(outbox).where(outbox.c.id == newest.id).values(**done))


def claim(
    conn: Connection,
    now: datetime,
    receiver: str,
    owner: str,
    lease: timedelta,
    limit: int = 1,
    *,
    in_turn: bool = False,
) -> list[Claimed]:
    """Take up to ``limit`` rows of ``receiver`` that are due, most urgent first, each of another order_key.

    They are this ``owner``'s until ``now + lease``. With ``in_turn``, urgency does not count: so the probes
    of a receiver that is down reach every row, and not the same urgent one for ever.
    """
    urgency = [] if in_turn else [outbox.c.priority]
    # Ids alone, in the order of an index: with thousands of rows waiting, none but these is read.
    query = (
        select(outbox.c.id)
        .where(_claimable(receiver, now))
        .order_by(*urgency, outbox.c.due_at, outbox.c.id)
        .limit(limit)
    )
    claimed = []
    for number in conn.execute(query).scalars().all():
        row = conn.execute(select(outbox).where(outbox.c.id == number)).one()
        taken = {
            "claimed_by": owner,
            "claimed_at": now,
            "claim_expires_at": now + lease,
            "claims": row.claims + 1,
        }
        conn.execute(update(outbox).where(outbox.c.id == row.id).values(**taken))
        claimed.append(
            Claimed(
                row.id,
                row.receiver,
                row.order_key,
                row.dedup_key,
                row.payload,
                row.enqueued_at,
                row.attempts,
                row.give_up_at,
                row.claims + 1,
                now + lease,
            )
        )
    return claimed


def anything_due(conn: Connection, now: datetime, receiver: str) -> bool:
    """Whether :func:`claim` would find a row; for readers, so that an idle poll takes no write lock."""
    return conn.execute(select(outbox.c.id).where(_claimable(receiver, now)).limit(1)).first() is not None


def _claimable(receiver: str, now: datetime) -> ColumnElement[bool]:
    row, earlier = outbox.c, _EARLIER.c
    overtaken = exists().where(
        earlier.receiver == row.receiver,
        earlier.state == "pending",
        earlier.order_key == row.order_key,
        earlier.id < row.id,
    )
    return and_(
        row.receiver == receiver,
        row.state == "pending",
        or_(row.due_at <= now, row.scheduled_at > now + CLOCK_STEP),
        or_(row.claimed_by.is_(None), row.claim_expires_at <= now, row.claimed_at > now + CLOCK_STEP),
        ~overtaken,
    )


def settle(conn: Connection, now: datetime, row: Claimed, how: Settlement) -> bool:
    """Record what became of a claimed row. False: the claim was lost meanwhile, and nothing was changed."""
    free = {"claimed_by": None, "claimed_at": None, "claim_expires_at": None}
    attempted = {"attempts": outbox.c.attempts + 1}
    values: dict[str, Any]
    match how:
        case Delivered():
            values = {**free, **attempted, "state": "delivered", "settled_at": now}
        case Retry(at, error):
            values = {**free, **attempted, "due_at": at, "scheduled_at": now, "last_error": error}
        case Dead(error):
            values = {**free, **attempted, "state": "dead", "settled_at": now, "last_error": error}
        case Released():
            values = dict(free)
    mine = and_(outbox.c.id == row.id, outbox.c.claims == row.epoch, outbox.c.state == "pending")
    return conn.execute(update(outbox).where(mine).values(**values)).rowcount == 1


def release_owners(conn: Connection, owners: Sequence[str]) -> int:
    """Free the rows claimed by processes that are known to be gone; how many."""
    values = {"claimed_by": None, "claimed_at": None, "claim_expires_at": None}
    gone = and_(outbox.c.state == "pending", outbox.c.claimed_by.in_(owners))
    return conn.execute(update(outbox).where(gone).values(**values)).rowcount


def owners(conn: Connection) -> list[str]:
    """Who holds claims."""
    query = select(outbox.c.claimed_by).where(outbox.c.state == "pending", outbox.c.claimed_by.is_not(None))
    return list(conn.execute(query.distinct()).scalars())


def hasten(conn: Connection, now: datetime, receiver: str) -> None:
    """Make every row of ``receiver`` that waits for another attempt due now: the receiver answers again."""
    waiting = and_(outbox.c.receiver == receiver, outbox.c.state == "pending", outbox.c.attempts > 0)
    later = and_(waiting, outbox.c.due_at > now)
    conn.execute(update(outbox).where(later).values(due_at=now, scheduled_at=now))


def backlog(conn: Connection) -> dict[str, tuple[int, datetime]]:
    """Per receiver with pending rows: how many, and since when the oldest waits."""
    query = (
        select(outbox.c.receiver, func.count().label("rows"), func.min(outbox.c.enqueued_at).label("oldest"))
        .where(outbox.c.state == "pending")
        .group_by(outbox.c.receiver)
    )
    return {row.receiver: (int(row.rows), row.oldest) for row in conn.execute(query)}


def settled_before(conn: Connection, before: datetime) -> bool:
    """Whether :func:`prune` would find something."""
    return conn.execute(select(outbox.c.id).where(_settled(before)).limit(1)).first() is not None


def prune(conn: Connection, before: datetime, limit: int = 1000) -> int:
    """Forget up to ``limit`` rows that were settled before ``before``; the journal keeps what happened."""
    old = conn.execute(select(outbox.c.id).where(_settled(before)).limit(limit)).scalars().all()
    for start in range(0, len(old), 500):
        conn.execute(delete(outbox).where(outbox.c.id.in_(old[start : start + 500])))
    return len(old)


def _settled(before: datetime) -> ColumnElement[bool]:
    done = outbox.c.state.in_(("delivered", "dead", "superseded"))  # named, so that the index is used
    return and_(done, outbox.c.settled_at < before)
