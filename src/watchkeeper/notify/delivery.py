"""Delivers what stands in the outbox, for the role ``work``.

Always true here (tests/notify/test_delivery.py, test_delivery_crashes.py):

- a notification leaves the outbox only when its receiver has it, when the receiver said that it never will
  take it, or when its own ``give_up_at`` has passed; the last two are journaled as ``notification.failed``,
  and a page has no ``give_up_at``;
- of one alert and receiver, a later notification is never sent before an earlier one is settled;
- receivers do not wait for each other: each has its own thread, and each request its own end;
- a process that dies between sending and settling sends what was under way once more; ``dedup_key`` and
  ``Idempotency-Key`` make that harmless.

One turn of one receiver: settle what was sent, note the receiver's health, journal it, claim as many rows as
may be under way (``lane.py``) and spend their budget, all in one transaction; then send those, with no
transaction open. So the faster answers come, the more of them a transaction settles. A turn that would have
nothing to do only reads.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from watchkeeper.notify import accounts, health, memory, state
from watchkeeper.notify.answers import Said, rejected, try_again
from watchkeeper.notify.budget import Budget
from watchkeeper.notify.lane import Attempt, Lane
from watchkeeper.notify.models import Kind, Notification, NotifyError
from watchkeeper.notify.receivers import ParallelReceiver, Receiver, RememberingReceiver
from watchkeeper.store import outbox
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.owners import is_gone, this_process

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
TROUBLE_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 60.0
LEASE_MARGIN = timedelta(seconds=20)
KEEP_SETTLED = timedelta(days=7)
MAX_PER_PASS = 1000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass did, in notifications. ``failed``: given up or rejected for good."""

    delivered: int = 0
    retried: int = 0
    failed: int = 0

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            self.delivered + other.delivered, self.retried + other.retried, self.failed + other.failed
        )


Kept = dict[str, Any] | None
"""What a receiver wanted kept of an incident."""


class Deliverer:
    """Sends what is due. Several of them, in any number of processes, may share one store."""

    def __init__(
        self,
        store: Store,
        receivers: Iterable[Receiver],
        clock: Clock,
        *,
        owner: str | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner or this_process()
        self._chance = chance or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._receivers = {receiver.id: receiver for receiver in receivers}
        self._lanes: dict[str, Lane] = {}
        self._totals: dict[tuple[str, str], int] = {}
        self._guard = threading.Lock()

    @property
    def totals(self) -> dict[tuple[str, str], int]:
        """Attempts since the start, by receiver and ``accepted``, ``try again`` or ``rejected``."""
        with self._guard:
            return dict(self._totals)

    def replace_receivers(self, receivers: Iterable[Receiver]) -> None:
        """Take the receivers of a runbook that was read again; sends under way end as they began."""
        self._receivers = {receiver.id: receiver for receiver in receivers}
        self.wake()

    def wake(self) -> None:
        """Something was put into the outbox: look now rather than in :data:`POLL_SECONDS`. Any thread."""
        with self._guard:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.ring()

    def _lane(self, name: str) -> Lane:
        with self._guard:
            return self._lanes.setdefault(name, Lane())

    def run_once(self, limit: int = MAX_PER_PASS) -> Summary:
        """Send what is due now, to all receivers at the same time, up to ``limit`` per receiver."""
        self.housekeep()
        receivers = list(self._receivers.values())
        if not receivers:
            return Summary()
        with ThreadPoolExecutor(len(receivers), thread_name_prefix="notify") as pool:
            return sum(pool.map(lambda receiver: self._drain(receiver, limit), receivers), Summary())

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; back once every send under way has ended or timed out."""
        threads: dict[str, threading.Thread] = {}
        housekept: float | None = None
        while not stop.is_set():
            for name in self._receivers:
                if name not in threads or not threads[name].is_alive():
                    threads[name] = threading.Thread(
                        target=self._serve, args=(name, stop), name=f"notify-{name}", daemon=True
                    )
                    threads[name].start()
            if housekept is None or self._clock.monotonic() - housekept >= HOUSEKEEPING_SECONDS:
                housekept = self._clock.monotonic()
                self._guarded(self.housekeep, "the outbox cannot be looked after")
            stop.wait(POLL_SECONDS)
        self.wake()
        for name, thread in threads.items():
            receiver = self._receivers.get(name)
            thread.join(2 * receiver.timeout_seconds + 5 if receiver else 5)

    def housekeep(self) -> None:
        """Free what dead processes held, forget what was settled long ago, speak up for the unknown."""
        now = self._clock.now()
        with self._store.read() as conn:
            gone = [owner for owner in outbox.owners(conn) if is_gone(owner)]
            unknown = sorted(set(outbox.backlog(conn)) - set(self._receivers))
            unannounced = [name for name in unknown if not state.load(conn, name)[1].announced]
            old = outbox.settled_before(conn, now - KEEP_SETTLED)
            over = memory.outdated(conn, now)
        if not (gone or unannounced or old or over):
            return
        with self._store.write() as conn:
            if gone:
                log.info(
                    "%d notifications of a process that died are sent again",
                    outbox.release_owners(conn, gone),
                )
            if old:
                outbox.prune(conn, now - KEEP_SETTLED)
            if over:
                memory.prune(conn, over, now)
            for name in unannounced:
                self._announce_unknown(conn, name, now)

    def _announce_unknown(self, conn: Connection, name: str, now: datetime) -> None:
        reason = (
            "the runbook has no receiver of this id that can be sent to; what is for it waits in the outbox"
        )
        log.error("receiver %s: %s", name, reason)
        budget, known = state.load(conn, name)
        changed, change = health.after_failure(known, try_again(reason), now, 0.0)
        state.save(conn, name, budget, changed)
        if change:
            accounts.receiver_changed(conn, now, name, change, known, changed)

    def _serve(self, name: str, stop: threading.Event) -> None:
        """One receiver's thread: until stopped, or until the runbook no longer names the receiver."""
        lane = self._lane(name)
        while not stop.is_set():
            receiver = self._receivers.get(name)
            if receiver is None:
                return
            drain = partial(self._drain, receiver, sys.maxsize, stop)
            done = self._guarded(drain, f"receiver {name} is not told for now")
            if done is None:
                stop.wait(TROUBLE_SECONDS)
            elif done == Summary():
                lane.wait(POLL_SECONDS)

    @staticmethod
    def _guarded(act: Callable[[], T], problem: str) -> T | None:
        """What ``act`` returns, or None after a failure: delivery goes on, and the next pass tries again."""
        try:
            return act()
        except StoreError as error:
            log.error("%s: %s", problem, error)
        except Exception:
            # A defect must not end the thread: nobody would be told anything any more. It is logged whole.
            log.exception("%s, because of a defect of Watchkeeper", problem)
        return None

    def _drain(self, receiver: Receiver, limit: int, stop: threading.Event | None = None) -> Summary:
        """Send what is due, at most ``limit``; back when all that was begun is settled."""
        lane, total, begun = self._lane(receiver.id), Summary(), 0
        most = receiver.in_flight if isinstance(receiver, ParallelReceiver) else 1
        while True:
            over = (stop is not None and stop.is_set()) or self._receivers.get(receiver.id) is not receiver
            room = 0 if over else min(lane.room(most), limit - begun)
            try:
                done, claimed = self._turn(receiver, lane, room)
            except StoreError:
                raise
            except Exception:
                lane.defect()  # one that cannot be settled must not keep the others from it
                raise
            total += done
            begun += len(claimed)
            for row, kept in claimed:
                lane.send(partial(self._attempt, receiver, row, kept), alone=most == 1)
            if not lane.idle:
                lane.wait(POLL_SECONDS)
            elif over or begun >= limit or done == Summary():
                return total

    def _turn(
        self, receiver: Receiver, lane: Lane, room: int
    ) -> tuple[Summary, list[tuple[outbox.Claimed, Kept]]]:
        """Settle what was sent, and claim up to ``room`` rows, their sends already counted."""
        # What was sent but could not be settled (a full disk) is settled before anything else is sent.
        ended = lane.ended()
        if not ended and not (room and self._anything_to_send(receiver)):
            return Summary(), []
        done = Summary()
        with self._store.write() as conn:
            now = self._clock.now()
            budget, known = state.load(conn, receiver.id)
            for attempt in ended:
                known = self._note_health(conn, now, lane, receiver.id, known, attempt)
                done += self._settle(conn, now, attempt)
            rows = self._claim(conn, now, receiver, budget, known, room)
            spent = budget.spend(now.timestamp(), len(rows)) if rows else budget
            state.save(conn, receiver.id, spent, known)
            claimed = [(row, self._kept(conn, receiver, row)) for row in rows]
        lane.settled(ended)
        return done, claimed

    def _anything_to_send(self, receiver: Receiver) -> bool:
        now = self._clock.now()
        with self._store.read() as conn:
            return _may_send(receiver, *state.load(conn, receiver.id), now) > 0 and outbox.anything_due(
                conn, now, receiver.id
            )

    def _claim(
        self,
        conn: Connection,
        now: datetime,
        receiver: Receiver,
        budget: Budget,
        known: health.Health,
        room: int,
    ) -> list[outbox.Claimed]:
        count = min(room, _may_send(receiver, budget, known, now))
        if count <= 0:
            return []
        lease = timedelta(seconds=2 * receiver.timeout_seconds) + LEASE_MARGIN
        return outbox.claim(conn, now, receiver.id, self._owner, lease, count, in_turn=known.down)

    @staticmethod
    def _kept(conn: Connection, receiver: Receiver, row: outbox.Claimed) -> Kept:
        if not isinstance(receiver, RememberingReceiver):
            return None
        return memory.load(conn, receiver.id, row.dedup_key)

    def _attempt(self, receiver: Receiver, row: outbox.Claimed, kept: Kept, number: int) -> Attempt:
        notification = None
        try:
            notification = Notification.from_json(row.payload)
            now = self._clock.now()
            if isinstance(receiver, RememberingReceiver):
                answer = receiver.send_with(notification, row.idempotency_key, now, kept)
            else:
                answer = receiver.send(notification, row.idempotency_key, now)
        except NotifyError as error:
            answer = try_again(str(error))
        except Exception as error:
            # A defect in one notification must not stop the ones behind it; it is logged and kept.
            log.exception("sending row %d to receiver %s failed in our own code", row.id, receiver.id)
            answer = try_again(f"a defect of Watchkeeper ({type(error).__name__}); see its log")
        with self._guard:
            counted = (receiver.id, answer.said.value)
            self._totals[counted] = self._totals.get(counted, 0) + 1
        return Attempt(row, notification, answer, number)

    def _note_health(
        self, conn: Connection, now: datetime, lane: Lane, name: str, known: health.Health, attempt: Attempt
    ) -> health.Health:
        """What one answer says of the receiver, and what the receiver wants kept."""
        answer, told, change = attempt.answer, attempt.notification, None
        changed = known  # rejecting one notification says nothing of the receiver
        if answer.said is Said.ACCEPTED:
            changed, change = health.after_success(known, now)
            if known.down:
                outbox.hasten(conn, now, name)
        elif answer.said is Said.TRY_AGAIN:
            along, draw = attempt.number < lane.warned, self._chance.random()
            changed, change = health.after_failure(known, answer, now, draw, known=along)
            if not along:
                lane.failed()
        if change:
            accounts.receiver_changed(conn, now, name, change, known, changed)
        if answer.keep is not None and told is not None:
            memory.save(conn, now, name, told.dedup_key, answer.keep, over=told.kind is Kind.RESOLVE)
        return changed

    def _settle(self, conn: Connection, now: datetime, attempt: Attempt) -> Summary:
        row, notification, answer = attempt.row, attempt.notification, attempt.answer
        if answer.said is Said.ACCEPTED:
            if outbox.settle(conn, now, row, outbox.Delivered()) and notification:
                accounts.delivered(conn, now, row, notification, answer.reason)
            return Summary(delivered=1)
        if answer.said is Said.TRY_AGAIN and row.give_up_at is not None and now >= row.give_up_at:
            answer = rejected(f"given up after {row.attempts + 1} attempts: {answer.reason}")
        if answer.said is Said.TRY_AGAIN:
            due = health.next_attempt(row.attempts, answer, now, self._chance.random())
            outbox.settle(conn, now, row, outbox.Retry(due, answer.reason))
            return Summary(retried=1)
        if outbox.settle(conn, now, row, outbox.Dead(answer.reason)):
            accounts.failed(conn, now, row, notification, answer.reason)
            log.error("receiver %s never gets row %d: %s", row.receiver, row.id, answer.reason)
        return Summary(failed=1)


def _may_send(receiver: Receiver, budget: Budget, known: health.Health, now: datetime) -> int:
    """How many sends may begin; one that is down is probed by one at a time."""
    if known.blocked(now):
        return 0
    left = budget.left(now.timestamp(), receiver.rate_per_minute)
    return min(left, 1) if known.down else left
