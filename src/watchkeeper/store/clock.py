"""The only place that reads the machine's time or waits for it to pass.

Everything else takes a :class:`Clock`, so the real code can be run through years of operations in
seconds, and a test can assert the second at which something happens.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC. It may jump: never subtract two of these to time something."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never goes back. For time-outs and durations."""

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds``."""

    async def wait(self, seconds: float) -> None:
        """Suspend this task for ``seconds``."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when it is told to; ``sleep`` and ``wait`` move it and return at once.

    ``jump`` moves the wall clock alone, as an administrator or NTP step does.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError(
                "ManualClock needs an aware datetime, for example datetime(2026, 1, 5, tzinfo=UTC)"
            )
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def wait(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use jump() for a wall-clock step")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Step the wall clock by ``seconds`` (may be negative); monotonic time is untouched."""
        self._now += timedelta(seconds=seconds)


def to_ms(moment: datetime) -> int:
    """``moment`` as integer milliseconds since the Unix epoch (the unit of samples)."""
    return to_us(moment) // 1000


def to_us(moment: datetime) -> int:
    """``moment`` as integer microseconds since the Unix epoch (the unit of the database)."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The aware UTC moment of integer microseconds since the Unix epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC moment of integer milliseconds since the Unix epoch."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
