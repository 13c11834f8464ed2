"""When rules are evaluated: aligned, one after the other, and what wall clocks do to that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.rules import AlertSeries, Schedule, Slot, aligned, run, series_of
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

T0 = datetime(2026, 1, 5, 12, 0, 7, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)


def evaluations(clock: ManualClock, count: int, during: Callable[[int], None] = lambda n: None) -> list[Slot]:
    """The first ``count`` evaluations; ``during`` is what happens while each is held."""
    slots: list[Slot] = []

    async def work() -> None:
        stopping = asyncio.Event()

        async def evaluate(slot: Slot) -> None:
            slots.append(slot)
            during(len(slots))
            if len(slots) == count:
                stopping.set()

        await asyncio.wait_for(run(clock, lambda: INTERVAL, evaluate, stopping), 30)

    asyncio.run(work())
    return slots


def seconds(slots: list[Slot]) -> list[float]:
    start = T0.replace(second=0)
    return [(slot.at - start).total_seconds() for slot in slots]


def test_evaluations_stand_on_multiples_of_the_interval() -> None:
    slots = evaluations(ManualClock(T0), 5)
    assert seconds(slots) == [0, 15, 30, 45, 60]
    assert {slot.missed for slot in slots} == {0}


def test_an_evaluation_that_takes_too_long_makes_the_next_ones_missed_and_not_late() -> None:
    clock = ManualClock(T0)
    slots = evaluations(clock, 4, lambda n: clock.advance(40) if n == 2 else None)
    assert seconds(slots) == [0, 15, 45, 60]
    assert [slot.missed for slot in slots] == [0, 0, 2, 0]


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_costs_no_evaluation_and_counts_none_as_missed(jump: int) -> None:
    clock = ManualClock(T0)
    slots = evaluations(clock, 5, lambda n: clock.jump(jump) if n == 2 else None)
    assert [slot.missed for slot in slots] == [0, 0, 0, 0, 0]
    assert seconds(slots)[2] in (jump + 15, jump + 30)
    assert seconds(slots)[3:] == [seconds(slots)[2] + 15, seconds(slots)[2] + 30]


def test_evaluations_never_overlap() -> None:
    clock = ManualClock(T0)
    held: list[str] = []

    async def work() -> None:
        stopping = asyncio.Event()

        async def evaluate(slot: Slot) -> None:
            held.append("begin")
            await asyncio.sleep(0)
            clock.advance(20)
            await asyncio.sleep(0)
            held.append("end")
            if len(held) == 8:
                stopping.set()

        await asyncio.wait_for(run(clock, lambda: INTERVAL, evaluate, stopping), 30)

    asyncio.run(work())
    assert held == ["begin", "end"] * 4


def test_a_new_interval_is_used_from_the_next_evaluation_on() -> None:
    clock = ManualClock(T0)
    interval = [INTERVAL]
    slots: list[Slot] = []

    async def work() -> None:
        stopping = asyncio.Event()

        async def evaluate(slot: Slot) -> None:
            slots.append(slot)
            if len(slots) == 2:
                interval[0] = timedelta(seconds=60)
            if len(slots) == 5:
                stopping.set()

        await asyncio.wait_for(run(clock, lambda: interval[0], evaluate, stopping), 30)

    asyncio.run(work())
    assert seconds(slots) == [0, 15, 60, 120, 180]


def test_stopping_ends_a_wait_at_once() -> None:
    class Sleepy(ManualClock):
        async def wait(self, seconds: float) -> None:
            await asyncio.sleep(60)

    async def work() -> None:
        stopping = asyncio.Event()

        async def evaluate(slot: Slot) -> None:
            asyncio.get_running_loop().call_later(0.05, stopping.set)

        await asyncio.wait_for(run(Sleepy(T0), lambda: INTERVAL, evaluate, stopping), 5)

    asyncio.run(work())


def test_an_error_in_an_evaluation_is_not_swallowed() -> None:
    async def work() -> None:
        async def evaluate(slot: Slot) -> Awaitable[None]:
            raise RuntimeError("a defect")

        await run(ManualClock(T0), lambda: INTERVAL, evaluate, asyncio.Event())

    with pytest.raises(RuntimeError, match="a defect"):
        asyncio.run(work())


@given(
    st.lists(st.tuples(st.floats(0, 100), st.sampled_from([0, 0, 0, 0, 3600, -3600, 20, -20])), max_size=30)
)
def test_no_moment_is_evaluated_twice_while_the_clock_only_runs(script: list[tuple[float, int]]) -> None:
    clock = ManualClock(T0)
    schedule = Schedule(clock, INTERVAL)
    last: datetime | None = None
    jumped = False
    for passed, jump in script:
        clock.advance(passed)
        clock.jump(jump)
        jumped = jumped or jump != 0
        if schedule.wait_seconds() > 0:
            continue
        slot = schedule.take()
        assert slot.at == aligned(clock.now(), INTERVAL)
        assert last is None or jumped or slot.at > last
        last, jumped = slot.at, False


@given(st.floats(0, 1e6), st.sampled_from([1, 15, 60, 3600]))
def test_aligned_is_the_last_multiple_not_after(offset: float, step: int) -> None:
    moment, interval = T0 + timedelta(seconds=offset), timedelta(seconds=step)
    found = aligned(moment, interval)
    assert found <= moment < found + interval
    assert to_ms(found) % (step * 1000) == 0


# -- series -------------------------------------------------------------------------------------


def alert(name: str, state: AlertState) -> Alert:
    return Alert((("alertname", name), ("service", "a")), name, state, 1.0, T0, name)


def test_pending_and_firing_alerts_are_series_and_resolved_ones_are_not() -> None:
    found = dict(series_of([alert("P", AlertState.PENDING), alert("R", AlertState.RESOLVED)]))
    assert {dict(labels)["__name__"] for labels in found} == {"ALERTS", "ALERTS_FOR_STATE"}
    assert {dict(labels)["alertname"] for labels in found} == {"P"}
    assert sorted(found.values()) == [1.0, T0.timestamp()]


def test_series_end_when_their_alert_does_also_across_a_restart(tmp_path: Path) -> None:
    clock = ManualClock(T0)

    def states(samples: SampleStore) -> list[str]:
        found = Engine(samples).instant("ALERTS", to_ms(clock.now())).series
        return [dict(one.labels)["alertstate"] for one in found]

    for alerts, wanted in (
        ([alert("X", AlertState.PENDING)], ["pending"]),
        ([alert("X", AlertState.FIRING)], ["firing"]),
        ([], []),
        ([], []),
        ([alert("X", AlertState.PENDING)], ["pending"]),
    ):
        samples = SampleStore.open(tmp_path, clock=clock, threads=False)
        clock.advance(15)
        AlertSeries(samples.group("rules")).write(clock.now(), alerts)
        assert states(samples) == wanted
        samples.close()


def test_a_store_that_renumbers_its_columns_is_followed(tmp_path: Path) -> None:
    clock = ManualClock(T0)
    samples = SampleStore.open(tmp_path, clock=clock, window_ms=60_000, threads=False)
    series = AlertSeries(samples.group("rules"))
    for n in range(200):
        clock.advance(15)
        series.write(clock.now(), [alert("X", AlertState.FIRING), alert(f"Y{n}", AlertState.FIRING)])
        samples.tick()
        found = Engine(samples).instant("ALERTS", to_ms(clock.now())).series
        assert [dict(one.labels)["alertname"] for one in found] == sorted(["X", f"Y{n}"])
    samples.close()
