"""Delivers what stands in the outbox, for the role ``work``.

Always true here (tests/notify/test_delivery.py, test_delivery_crashes.py):

- a notification leaves the outbox only when its receiver has it, when the receiver said that it never will
  take it, or when its own ``give_up_at`` has passed; the last two are journaled as ``notification.failed``,
  and a page has no ``give_up_at``;
- of one alert and receiver, a later notification is never sent before an earlier one is settled;
- receivers do not wait for each other: each has its own thread, and each request its own end;
- a process that dies between sending and settling sends once more; ``dedup_key`` and ``Idempotency-Key``
  make that harmless.

One pass of one receiver: look (reading) -> claim one row and spend its budget (one transaction) -> send, with
no transaction open -> settle, note the receiver's health and journal it (one transaction).
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from watchkeeper.notify import accounts, health, memory, state
from watchkeeper.notify.answers import Answer, Said, rejected, try_again
from watchkeeper.notify.budget import Budget
from watchkeeper.notify.models import Kind, Notification, NotifyError
from watchkeeper.notify.receivers import Receiver, RememberingReceiver
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


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One send and what came of it; ``notification`` is None for a row that could not be read."""

    row: outbox.Claimed
    notification: Notification | None
    answer: Answer


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
        self._unsettled: dict[str, _Attempt] = {}
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
        while not stop.is_set():
            receiver = self._receivers.get(name)
            if receiver is None:
                return
            done = self._guarded(partial(self._drain, receiver, 1), f"receiver {name} is not told for now")
            if done is None:
                stop.wait(TROUBLE_SECONDS)
            elif done == Summary():
                stop.wait(POLL_SECONDS)

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

    def _drain(self, receiver: Receiver, limit: int) -> Summary:
        total = Summary()
        for _ in range(limit):
            # What was sent but could not be settled (a full disk) is settled before anything else is sent.
            attempt = self._unsettled.pop(receiver.id, None) or self._attempt_next(receiver)
            if attempt is None:
                break
            try:
                total += self._conclude(receiver, attempt)
            except StoreError:
                self._unsettled[receiver.id] = attempt
                raise
        return total

    def _attempt_next(self, receiver: Receiver) -> _Attempt | None:
        claimed = self._claim(receiver)
        if claimed is None:
            return None
        attempt = self._attempt(receiver, *claimed)
        with self._guard:
            counted = (receiver.id, attempt.answer.said.value)
            self._totals[counted] = self._totals.get(counted, 0) + 1
        return attempt

    def _claim(self, receiver: Receiver) -> tuple[outbox.Claimed, dict[str, Any] | None] | None:
        """The next row for ``receiver``, its send already counted, and what is kept of its incident.

        ``None``: nothing to do now.
        """
        now = self._clock.now()
        with self._store.read() as conn:
            if not _may_send(receiver, *state.load(conn, receiver.id), now):
                return None
            if not outbox.anything_due(conn, now, receiver.id):
                return None
        lease = timedelta(seconds=2 * receiver.timeout_seconds) + LEASE_MARGIN
        with self._store.write() as conn:
            now = self._clock.now()
            budget, known = state.load(conn, receiver.id)
            if not _may_send(receiver, budget, known, now):
                return None
            rows = outbox.claim(conn, now, receiver.id, self._owner, lease, in_turn=known.down)
            if not rows:
                return None
            state.save(conn, receiver.id, budget.spend(now.timestamp()), known)
            return rows[0], memory.load(conn, receiver.id, rows[0].dedup_key)

    def _attempt(self, receiver: Receiver, row: outbox.Claimed, kept: dict[str, Any] | None) -> _Attempt:
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
        return _Attempt(row, notification, answer)

    def _conclude(self, receiver: Receiver, attempt: _Attempt) -> Summary:
        now = self._clock.now()
        with self._store.write() as conn:
            budget, known = state.load(conn, receiver.id)
            changed, change = self._judge_health(known, attempt.answer, now)
            state.save(conn, receiver.id, budget, changed)
            if change:
                accounts.receiver_changed(conn, now, receiver.id, change, known, changed)
            keep, told = attempt.answer.keep, attempt.notification
            if keep is not None and told is not None:
                over = told.kind is Kind.RESOLVE
                memory.save(conn, now, receiver.id, told.dedup_key, keep, over=over)
            if attempt.answer.said is Said.ACCEPTED and known.down:
                outbox.hasten(conn, now, receiver.id)
            return self._settle(conn, now, attempt)

    def _judge_health(
        self, known: health.Health, answer: Answer, now: datetime
    ) -> tuple[health.Health, health.Change | None]:
        if answer.said is Said.ACCEPTED:
            return health.after_success(known, now)
        if answer.said is Said.TRY_AGAIN:
            return health.after_failure(known, answer, now, self._chance.random())
        return known, None  # rejecting one notification says nothing of the receiver

    def _settle(self, conn: Connection, now: datetime, attempt: _Attempt) -> Summary:
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


def _may_send(receiver: Receiver, budget: Budget, known: health.Health, now: datetime) -> bool:
    return not known.blocked(now) and budget.left(now.timestamp(), receiver.rate_per_minute) > 0
