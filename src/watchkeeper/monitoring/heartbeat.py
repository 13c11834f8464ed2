"""The dead man's switch: a request sent outwards as long as everything runs, so that silence is an alarm.

Always true: a beat is sent only after an evaluation that was held and recorded; when evaluations stop, when
the store cannot be written, or when this process hangs, beats stop too. A beat that could not be sent is
never sent later: it would lie about the time between (tests/monitoring/test_heartbeat.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from watchkeeper.monitoring.clauses import Standing
from watchkeeper.monitoring.fetch import Fetcher, FetchError, Request, fetch_within
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.runbook.models.metrics import HttpClient
from watchkeeper.runbook.models.monitoring import Heartbeat as HeartbeatPolicy
from watchkeeper.runbook.models.secrets import SecretMissingError
from watchkeeper.store import outbox
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.models import receiver_state

log = logging.getLogger(__name__)

CLAUSE = "monitoring.heartbeat"
TIMEOUT_SECONDS = 5.0
_EARLY_SECONDS = 0.5  # evaluations are not a whole number of monotonic seconds apart
BODY_LIMIT = 64 << 10
OVERDUE_BEATS = 3
"""So many intervals without a beat that arrived, and the clause is missed."""


class Heartbeat:
    """Sends the beats of one policy. ``environ`` is where ``{env: NAME}`` is read.

    ``store`` has the outbox for a policy that names a receiver; such a beat waits there for at most one
    interval, and the next one takes its place.
    """

    def __init__(
        self,
        policy: HeartbeatPolicy | None,
        fetcher: Fetcher,
        environ: Mapping[str, str],
        clock: Clock,
        store: Store,
    ) -> None:
        self._policy = policy
        self._fetcher = fetcher
        self._environ = environ
        self._clock = clock
        self._store = store
        self._tried: float | None = None
        self._arrived: float | None = None
        self._began: float | None = None
        self.last_error = ""

    def use(self, policy: HeartbeatPolicy | None) -> None:
        """The policy of a runbook that was loaded anew."""
        self._policy = policy

    async def evaluated(self) -> None:
        """An evaluation was held and recorded just now: send a beat if one is due. Never raises."""
        monotonic = self._clock.monotonic()
        if self._began is None:
            self._began = monotonic
        if self._policy is None or not self._due(self._policy, monotonic):
            return
        self._tried = monotonic
        try:
            arrived = await self._beat(self._policy)
        except (FetchError, SecretMissingError, StoreError) as error:
            if str(error) != self.last_error:
                log.error("the heartbeat could not be sent: %s", error)
            self.last_error = str(error)
        else:
            if arrived:
                self._arrived, self.last_error = monotonic, ""

    def _due(self, policy: HeartbeatPolicy, monotonic: float) -> bool:
        return self._tried is None or monotonic - self._tried >= policy.every.total_seconds() - _EARLY_SECONDS

    async def _beat(self, policy: HeartbeatPolicy) -> bool:
        """Whether a beat is known to have arrived."""
        if policy.url is None:
            return self._through_receiver(policy)
        url = policy.url.read(self._environ)
        if not url.startswith(("http://", "https://")):
            raise FetchError(f"the heartbeat's address in {policy.url.place} is no http or https URL")
        request = Request(url, TIMEOUT_SECONDS, BODY_LIMIT, HttpClient(), accept="*/*")
        await fetch_within(self._fetcher, request)
        return True

    def _through_receiver(self, policy: HeartbeatPolicy) -> bool:
        assert policy.receiver is not None
        now = self._clock.now()
        with self._store.write() as conn:
            outbox.enqueue(
                conn,
                now,
                policy.receiver,
                order_key=CLAUSE,
                dedup_key=CLAUSE,
                payload=_notification(now).to_json(),
                give_up_at=now + policy.every,
                coalesce_key="beat",
            )
            found = conn.execute(
                select(receiver_state.c.last_success_at).where(receiver_state.c.receiver == policy.receiver)
            ).scalar()
        arrived = found is not None and now - found <= OVERDUE_BEATS * policy.every
        if not arrived:
            self.last_error = f"the receiver {policy.receiver} has taken nothing for some time"
        return arrived

    def __call__(self, now: datetime) -> Mapping[str, Standing]:
        """How the clause stands."""
        if self._policy is None:
            return {}
        return {CLAUSE: self._standing(self._policy.every.total_seconds() * OVERDUE_BEATS)}

    def _standing(self, patience_seconds: float) -> Standing:
        monotonic = self._clock.monotonic()
        if self._arrived is not None and monotonic - self._arrived <= patience_seconds:
            return Standing("met", f"a heartbeat arrived within the last {patience_seconds:.0f} s")
        if self._began is None or self._tried is None:
            return Standing("unknown", "no heartbeat was sent yet")
        if self._arrived is None and monotonic - self._began <= patience_seconds:
            return Standing("unknown", f"no heartbeat has arrived yet: {self.last_error}")
        return Standing("missed", f"no heartbeat arrives: {self.last_error}")


def _notification(now: datetime) -> Notification:
    return Notification(
        kind=Kind.TRIGGER,
        dedup_key=CLAUSE,
        order_key=CLAUSE,
        subject="heartbeat",
        alertname="WatchkeeperHeartbeat",
        severity="none",
        summary="Watchkeeper watches; when this stops, it does not",
        starts_at=now,
        clause=CLAUSE,
    )
