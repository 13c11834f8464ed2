"""Accounts for tests, and a verifier that is quick and counts how often it was asked."""

from __future__ import annotations

import threading
from datetime import datetime

from watchkeeper.access import users
from watchkeeper.access.models import Role
from watchkeeper.access.passwords import NOBODY
from watchkeeper.store import journal
from watchkeeper.store.database import Store

GOOD = "correct horse battery staple"
HASH = NOBODY  # has today's parameters; Counting says that GOOD belongs to it


class Counting:
    """Says that GOOD is right for HASH, and counts; ``most`` is how many ran at once."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, hash: str | None, text: str) -> bool:  # noqa: A002
        with self._lock:
            self.asked.append(hash)
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return hash == HASH and text == GOOD
        finally:
            with self._lock:
                self._running -= 1


def add(
    store: Store, now: datetime, username: str, role: Role = Role.VIEWER, password_hash: str | None = HASH
) -> int:
    """An account with the password GOOD; its id."""
    with store.write() as conn:
        return users.create(
            conn,
            now,
            username=username,
            name=username.title(),
            role=role,
            password_hash=password_hash,
            by="person:test",
        )


def kinds(store: Store, prefix: str = "access.") -> list[str]:
    """The kinds of the journal's entries, oldest first."""
    with store.read() as conn:
        return [entry.kind for entry in journal.entries(conn, journal.Filter(kind=f"{prefix}*"), 100_000)]
