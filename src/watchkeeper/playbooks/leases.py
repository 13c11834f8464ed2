"""Which runs this process holds, and which leases of others are over.

Always true: a holder stops before a watcher may take over, with ``MARGIN`` between them, whatever any wall
clock does; a lease that is renewed is never taken (tests/playbooks/test_leases.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from watchkeeper.playbooks.rows import LEASE, Candidate
from watchkeeper.store import owners

LEASE_SECONDS = LEASE.total_seconds()
MARGIN_SECONDS = 2.0
SETTLE_SECONDS = 1.0
"""So long after a process was found gone its runs are left alone, so that what it had started is gone too."""


class Held:
    """A run that this process holds. Its thread and the heartbeat's share it."""

    def __init__(self, run_id: str, epoch: int, monotonic: float) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self.aborting = threading.Event()
        self.lost = threading.Event()
        self.released = False
        self._until = monotonic + LEASE_SECONDS - MARGIN_SECONDS

    def renewed(self, monotonic: float) -> None:
        """It was renewed by a transaction that began at ``monotonic``."""
        self._until = max(self._until, monotonic + LEASE_SECONDS - MARGIN_SECONDS)

    def left(self, monotonic: float) -> float:
        """Seconds for which nobody else may take it."""
        return 0.0 if self.lost.is_set() else max(0.0, self._until - monotonic)


class Watched:
    """What this process has seen of the leases of runs that are due."""

    def __init__(self, is_gone: Callable[[str], bool] = owners.is_gone) -> None:
        self._is_gone = is_gone
        self._seen: dict[str, tuple[tuple[str | None, int, datetime | None], float]] = {}
        self._gone: dict[str, float] = {}

    def free(self, candidates: Iterable[Candidate], monotonic: float) -> list[Candidate]:
        """Those that nobody holds any more."""
        listed = list(candidates)
        found = [one for one in listed if one.owner is None or self._over(one, monotonic)]
        there = {one.id for one in listed}
        self._seen = {key: value for key, value in self._seen.items() if key in there}
        holders = {one.owner for one in listed}
        self._gone = {key: value for key, value in self._gone.items() if key in holders}
        return found

    def _over(self, one: Candidate, monotonic: float) -> bool:
        assert one.owner is not None
        lease = (one.owner, one.epoch, one.lease_expires_at)
        known = self._seen.get(one.id)
        if known is None or known[0] != lease:
            known = self._seen[one.id] = (lease, monotonic)
        if self._is_gone(one.owner):
            return monotonic - self._gone.setdefault(one.owner, monotonic) >= SETTLE_SECONDS
        return monotonic - known[1] >= LEASE_SECONDS
