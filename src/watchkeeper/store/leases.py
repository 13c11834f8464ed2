"""Work that one process at a time does, of however many share the store: who does it, and when another may.

Always true here: whether a lease is held is read and renewed in the transaction that relies on it, so nothing
is written by a process that lost it; no clocks of different machines are compared: whoever waits takes over
when the lease stood unchanged for its whole length by its own monotonic clock, or at once when the holder is
known to have ended (tests/store/test_leases.py).
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, insert, select, update

from watchkeeper.store.clock import Clock
from watchkeeper.store.models import leases
from watchkeeper.store.owners import is_gone


class Lease:
    """One process's view of the lease ``name``. ``owner`` is a name of :mod:`watchkeeper.store.owners`."""

    def __init__(self, name: str, owner: str, clock: Clock) -> None:
        self.name = name
        self.owner = owner
        self.holder: str | None = None
        """Who held it when it was last looked at."""
        self._clock = clock
        self._seen: tuple[str, int, object] | None = None
        self._since = 0.0

    @property
    def held(self) -> bool:
        """Whether it was ours when it was last looked at."""
        return self.holder == self.owner

    def take(self, conn: Connection, lasts: timedelta) -> bool:
        """Renew it, or take it where it is free, for ``lasts``; whether it is ours in this transaction."""
        now = self._clock.now()
        row = conn.execute(select(leases).where(leases.c.name == self.name)).first()
        values = {"owner": self.owner, "expires_at": now + lasts}
        if row is None:
            conn.execute(insert(leases).values(name=self.name, epoch=1, acquired_at=now, **values))
        elif row.owner == self.owner:
            conn.execute(update(leases).where(leases.c.name == self.name).values(**values))
        elif self._is_free((row.owner, row.epoch, row.expires_at), lasts):
            taken = {**values, "epoch": row.epoch + 1, "acquired_at": now}
            conn.execute(update(leases).where(leases.c.name == self.name).values(**taken))
        else:
            self.holder = row.owner
            return False
        self.holder = self.owner
        return True

    def _is_free(self, seen: tuple[str, int, object], lasts: timedelta) -> bool:
        now = self._clock.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return is_gone(seen[0]) or now - self._since >= lasts.total_seconds()


def described(owner: str) -> str:
    """A holder in words for people: its machine, and its process there."""
    parts = owner.split("/")
    return f"process {parts[-2]} on {parts[0]}" if len(parts) == 5 else owner
