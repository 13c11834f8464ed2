"""When rules are evaluated, how each of them does, and the series that say which alerts there are.

Always true: evaluations stand on whole multiples of the interval, one after the other and never two at once;
one that could not be held in time is left out and counted, not made up for; ``ALERTS`` and
``ALERTS_FOR_STATE`` in the sample store are what the evaluation at that time decided, and end when the
alert does (tests/monitoring/test_rules.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.labels import METRIC_NAME, Ints, Labels, label_set
from watchkeeper.store.clock import Clock, from_us, to_ms, to_us

SERIES_GROUP = "watchkeeper/rules"
"""The name of the rules' own series in the sample store."""


@dataclass(frozen=True, slots=True)
class RuleHealth:
    """How one rule does, in the words of Prometheus' ``/api/v1/rules``."""

    health: Literal["ok", "err", "unknown"] = "unknown"
    last_error: str = ""
    last_evaluation: datetime | None = None
    seconds: float = 0.0


class SeriesGroup(Protocol):
    """Series that are appended together; those that are left out of an append end there."""

    @property
    def generation(self) -> int: ...

    def column(self, labels: Labels) -> int: ...

    def append(self, ts_ms: int, cols: Ints | None, values: npt.NDArray[np.float64]) -> object: ...


class AlertSeries:
    """Writes ``ALERTS`` and ``ALERTS_FOR_STATE``, as Prometheus does, into one group of the sample store."""

    def __init__(self, group: SeriesGroup) -> None:
        self._group = group
        self._columns: dict[Labels, int] = {}
        self._generation = group.generation
        self._any = True  # after a start there may be series of before to be ended

    def write(self, at: datetime, alerts: Iterable[Alert]) -> None:
        """The alerts that are pending or firing at ``at``; all others end."""
        samples = dict(series_of(alerts))
        if not samples and not self._any:
            return
        if self._group.generation != self._generation:
            self._columns.clear()
            self._generation = self._group.generation
        self._columns = {
            labels: self._columns[labels] if labels in self._columns else self._group.column(labels)
            for labels in samples
        }
        columns = np.array(list(self._columns.values()), np.int64)
        self._group.append(to_ms(at), columns, np.array(list(samples.values()), np.float64))
        self._any = bool(samples)


def series_of(alerts: Iterable[Alert]) -> Iterable[tuple[Labels, float]]:
    """The samples that say that ``alerts`` are pending or firing."""
    for alert in alerts:
        if alert.state is AlertState.RESOLVED:
            continue
        state = ("alertstate", alert.state.value)
        yield label_set([*alert.labels, (METRIC_NAME, "ALERTS"), state]), 1.0
        since = float(to_us(alert.active_at) // 1_000_000)
        yield label_set([*alert.labels, (METRIC_NAME, "ALERTS_FOR_STATE")]), since


def aligned(moment: datetime, interval: timedelta) -> datetime:
    """The last whole multiple of ``interval`` (since the Unix epoch) that is not after ``moment``."""
    step = interval // timedelta(microseconds=1)
    return from_us(to_us(moment) // step * step)


@dataclass(frozen=True, slots=True)
class Slot:
    """An evaluation that is to be held: the time it is for, and how many before it were left out."""

    at: datetime
    missed: int = 0


class Schedule:
    """Which evaluation is next. Knows that wall clocks jump: what it counts, it counts by monotonic time."""

    def __init__(self, clock: Clock, interval: timedelta) -> None:
        self._clock = clock
        self._interval = interval
        self._last: datetime | None = None
        self._last_monotonic = 0.0

    def use(self, interval: timedelta) -> None:
        """Another interval from now on; no moment before the last evaluation is evaluated because of it."""
        self._interval = interval

    def wait_seconds(self) -> float:
        """How long until an evaluation is due; zero when one is."""
        now = self._clock.now()
        slot = aligned(now, self._interval)
        if slot != self._last and (self._last is None or slot > self._last or self._jumped_back(now)):
            return 0.0
        return max(0.001, (slot + self._interval - now).total_seconds())

    def _jumped_back(self, now: datetime) -> bool:
        assert self._last is not None
        return self._last - now >= self._interval

    def take(self) -> Slot:
        """The evaluation that is due now."""
        slot = aligned(self._clock.now(), self._interval)
        monotonic = self._clock.monotonic()
        missed = 0
        if self._last is not None:
            passed = monotonic - self._last_monotonic
            missed = max(0, round(passed / self._interval.total_seconds()) - 1)
        self._last, self._last_monotonic = slot, monotonic
        return Slot(slot, missed)


async def run(
    clock: Clock,
    interval: Callable[[], timedelta],
    evaluate: Callable[[Slot], Awaitable[object]],
    stopping: asyncio.Event,
) -> None:
    """Evaluate at every multiple of ``interval()`` until ``stopping`` is set.

    The interval is asked for before every evaluation, so that a reload can change it.
    """
    schedule = Schedule(clock, interval())
    while not stopping.is_set():
        schedule.use(interval())
        seconds = schedule.wait_seconds()
        if seconds > 0:
            await _wait(clock, min(seconds, 1.0), stopping)  # short naps: the wall clock may be set meanwhile
            continue
        await evaluate(schedule.take())


async def _wait(clock: Clock, seconds: float, stopping: asyncio.Event) -> None:
    nap = asyncio.ensure_future(clock.wait(seconds))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((nap, stop), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (nap, stop):
            task.cancel()
