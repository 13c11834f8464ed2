"""Runs what computes passwords, apart from the threads that every page needs.

Always true: however many sign in at once, no more threads than Argon2 has turns are busy with them, so pages
of those who are signed in are made all the same; beyond a bounded row of waiting ones the next is told to
come again, without any work (tests/console/test_password_threads.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from watchkeeper.access.models import ThrottledError
from watchkeeper.access.passwords import AT_ONCE, PATIENCE

MOST_WAITING = 40
"""About as many as are through within :data:`PATIENCE`, where each takes a quarter of a second."""

P = ParamSpec("P")
T = TypeVar("T")


class PasswordThreads:
    """A row of its own, one for the process."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(AT_ONCE)
        self._inside = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``work`` returns or raises. Raises :class:`ThrottledError` where the row is full."""
        if self._inside >= AT_ONCE + MOST_WAITING:
            raise ThrottledError(
                "too many people are signing in at this moment; nothing was decided, try again", PATIENCE
            )
        self._inside += 1
        try:
            return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._limiter)
        finally:
            self._inside -= 1
