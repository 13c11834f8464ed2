"""What happens next in a simulated deployment: one queue of events on a clock that only this moves.

Always true: events run in the order of their times, and of two at one time in the order in which they were
asked for; the clock never stands before the event that runs; an event may let time pass (a send that takes
ten seconds), and what is due meanwhile runs inside it, as it would beside it in another thread
(tests/simulation/test_timeline.py). Times are seconds of the monotonic clock, so that a step of the wall
clock moves no event.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Iterator

from watchkeeper.store.clock import ManualClock

Act = Callable[[], object]


class Timeline:
    """The queue. ``observe`` is called after every event."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._queue: list[tuple[float, int, Act]] = []
        self._number = 0
        self.events = 0
        self.ended = False
        """Whether nothing is to happen any more."""
        self.observe: Act = lambda: None

    @property
    def now(self) -> float:
        """Seconds since the simulation began; never goes back."""
        return self._clock.monotonic()

    def after(self, seconds: float, act: Act) -> None:
        """Run ``act`` in ``seconds``."""
        self.at(self.now + max(0.0, seconds), act)

    def at(self, when: float, act: Act) -> None:
        """Run ``act`` at ``when``."""
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, act))

    def run_until(self, end: float) -> None:
        """Let time pass up to ``end``, with everything that is due on the way."""
        while self._queue and self._queue[0][0] <= end and not self.ended:
            when, _, act = heapq.heappop(self._queue)
            self._pass(when)
            self.events += 1
            act()
            self.observe()
        self._pass(end)

    def _pass(self, until: float) -> None:
        if until > self.now:
            self._clock.advance(until - self.now)


class Activity:
    """Something that is done again and again, at the earliest of the times that were asked for."""

    def __init__(self, timeline: Timeline, act: Act) -> None:
        self._timeline = timeline
        self._act = act
        self._next: float | None = None

    def after(self, seconds: float) -> None:
        """Do it in ``seconds``, unless it is done earlier anyway."""
        when = self._timeline.now + max(0.0, seconds)
        if self._next is None or when < self._next:
            self._next = when
            self._timeline.at(when, lambda: self._run(when))

    def _run(self, when: float) -> None:
        if self._next == when:  # else an earlier time was asked for, and this one is over
            self._next = None
            self._act()


class Patience(threading.Event):
    """An event whose waiting takes simulated time."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline

    def wait(self, timeout: float | None = None) -> bool:
        self._timeline.run_until(self._timeline.now + (timeout or 0.0))
        return self.is_set()


def moments(chance: random.Random, per_second: float, until: float) -> Iterator[float]:
    """Times up to ``until`` at which something happens by itself, ``per_second`` on average.

    With a ``chance`` of their own, those of a longer run begin with those of a shorter one.
    """
    when = chance.expovariate(per_second)
    while when < until:
        yield when
        when += chance.expovariate(per_second)
