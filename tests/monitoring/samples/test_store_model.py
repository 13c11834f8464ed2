"""Random operations on a store and on plain dictionaries: what is read is the same, bit for bit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.monitoring.samples.plain import STALE, START, Plain, abandoned, bits, equal, named, opened, plain
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.samples.group import Group
from watchkeeper.store.clock import ManualClock, to_ms

GROUPS = ("a", "b", "c")
SERIES = [named(name, i=str(i)) for name in ("x_total", "y") for i in range(4)]
SERIES.append((("__name__", "z"),))
ODD_NAN = float(np.array([0x7FF8DEAD00000001], np.uint64).view(np.float64)[0])
VALUES = st.one_of(
    st.integers(0, 5).map(float),
    st.sampled_from([float("inf"), -float("inf"), -0.0, ODD_NAN, 1e-308]),
    st.floats(allow_nan=False),
)


class Model:
    """The law of one group, over dictionaries."""

    def __init__(self) -> None:
        self.samples: dict[Labels, dict[int, int]] = {}
        self.last_ms = 0
        self.forgotten_ms = 0

    def forget(self) -> None:
        """Nothing was sampled for longer than the window: what was known of the series is gone."""
        self.forgotten_ms, self.last_ms = max([self.forgotten_ms, *map(self.newest, self.samples)]), 0

    def newest(self, labels: Labels) -> int:
        return max(self.samples.get(labels, {}), default=0)

    def live(self, labels: Labels) -> bool:
        series = self.samples.get(labels, {})
        return bool(series) and series[max(series)] != STALE and max(series) > self.forgotten_ms

    def append(
        self, ts_ms: int, values: dict[Labels, int], first_ms: int, *, sparse: bool = False
    ) -> list[int]:
        """[appended, out_of_order, duplicates]"""
        counts = [0, 0, 0]
        late = ts_ms <= self.last_ms and not sparse
        for labels, value in values.items():
            newest = self.newest(labels)
            if newest == ts_ms:
                counts[2] += self.samples[labels][ts_ms] != value
            elif newest > ts_ms or (late and ts_ms < first_ms):
                counts[1] += 1
            else:
                self.samples.setdefault(labels, {})[ts_ms] = value
                counts[0] += 1
        if not late and not sparse:
            stale = [labels for labels in self.samples if self.live(labels) and labels not in values]
            for labels in stale:
                self.samples[labels][ts_ms] = STALE
            if values or stale:
                self.last_ms = ts_ms
        return counts


class StoreMachine(RuleBasedStateMachine):
    """Everything that one process can do to a store, with crashes in between."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="samples-model-"))
        self.clock = ManualClock(START)
        self.store = opened(self.directory, self.clock)
        self.models = {key: Model() for key in (*GROUPS, "sparse")}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def group(self, key: str) -> Group:
        group = self.store.group(key)
        if not len(group.head):
            self.models[key].forget()
        return group

    def now_ms(self, key: str) -> int:
        return to_ms(self.clock.now()) // 1000 * 1000 + [*GROUPS, "sparse"].index(key)

    @rule(seconds=st.sampled_from([1, 5, 15, 15, 15, 40, 300, 2700, 9000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(key=st.sampled_from(GROUPS), values=st.dictionaries(st.sampled_from(SERIES), VALUES))
    def scrape(self, key: str, values: dict[Labels, float]) -> None:
        self.clock.advance(15)
        self._append(key, self.now_ms(key), values)

    @rule(
        key=st.sampled_from(GROUPS),
        values=st.dictionaries(st.sampled_from(SERIES), VALUES, min_size=1),
        back=st.integers(0, 30),
    )
    def late_scrape(self, key: str, values: dict[Labels, float], back: int) -> None:
        self._append(key, self.now_ms(key) - 1000 * back, values)

    def _append(self, key: str, ts_ms: int, values: dict[Labels, float]) -> None:
        group, model = self.group(key), self.models[key]
        first_ms = group.head.first_ms if len(group.head) else 0
        columns = group.columns(list(values))
        result = group.append(ts_ms, columns, np.array(list(values.values()), np.float64))
        expected = model.append(ts_ms, {labels: bits(value) for labels, value in values.items()}, first_ms)
        assert list(result[:3]) == expected

    @rule(key=st.sampled_from(GROUPS), again=VALUES)
    def scrape_of_the_same_columns(self, key: str, again: float) -> None:
        self.clock.advance(15)
        group, model = self.group(key), self.models[key]
        columns = np.flatnonzero(group.head.live[: len(group)])
        if not len(columns):
            return
        labels = [group.labels(column) for column in columns.tolist()]
        ts_ms = self.now_ms(key)
        for offset, given in ((0, columns), (1000, None)):
            self.clock.advance(1)
            group.append(ts_ms + offset, given, np.full(len(columns), again))
            model.append(ts_ms + offset, dict.fromkeys(labels, bits(again)), 0)

    @rule(key=st.sampled_from(GROUPS))
    def target_goes(self, key: str) -> None:
        self.clock.advance(1)
        self.group(key).mark_stale(self.now_ms(key))
        self.models[key].append(self.now_ms(key), {}, 0)

    @rule(
        samples=st.lists(
            st.tuples(st.sampled_from(SERIES), st.integers(0, 4), VALUES), min_size=1, max_size=8
        )
    )
    def explicit_timestamps(self, samples: list[tuple[Labels, int, float]]) -> None:
        self.clock.advance(5)
        now_ms = self.now_ms("sparse")
        unique = {(labels, now_ms - 5000 * back): value for labels, back, value in samples}
        self.store.append_samples("sparse", [(labels, ts, value) for (labels, ts), value in unique.items()])
        for (labels, ts_ms), value in sorted(unique.items(), key=lambda item: item[0][1]):
            self.models["sparse"].append(ts_ms, {labels: bits(value)}, 0, sparse=True)

    @rule(times=st.integers(1, 6))
    def tick(self, times: int) -> None:
        for _ in range(times):
            self.clock.advance(1)
            self.store.tick()

    @rule()
    def long_upkeep(self) -> None:
        for _ in range(12):
            self.clock.advance(11)
            self.store.tick()

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        before = {key: self._liveness(key) for key in GROUPS}
        if crash:
            abandoned(self.store)
        else:
            self.store.close()
        self.store = opened(self.directory, self.clock)
        assert {key: self._liveness(key) for key in GROUPS} == before

    def _liveness(self, key: str) -> set[Labels]:
        group = self.store.group(key)
        if group.head.last_ms < to_ms(self.clock.now()) - self.store.window_ms:
            return set()  # it may leave the memory at any time
        return {group.labels(column) for column in np.flatnonzero(group.head.live[: len(group)]).tolist()}

    def expected(self, name: str | None, start_ms: int, end_ms: int) -> Plain:
        out: Plain = {}
        for model in self.models.values():
            for labels, samples in model.samples.items():
                if name is None or dict(labels)["__name__"] == name:
                    inside = {ts: value for ts, value in samples.items() if start_ms <= ts <= end_ms}
                    if inside:
                        out.setdefault(labels, {}).update(inside)
        return out

    @rule(
        name=st.sampled_from(["x_total", "y", "z", "nothing"]),
        back=st.integers(0, 20_000),
        length=st.integers(0, 20_000),
    )
    def ask(self, name: str, back: int, length: int) -> None:
        end_ms = to_ms(self.clock.now()) - 1000 * back
        start_ms = end_ms - 1000 * length
        asked = ([equal("__name__", name)], start_ms, end_ms)
        expected = self.expected(name, start_ms, end_ms)
        assert plain(self.store.select(*asked), start_ms, end_ms) == expected
        assert plain(self.store.select_copies(*asked)) == expected

    @invariant()
    def all_of_it_is_there(self) -> None:
        if not hasattr(self, "store"):
            return
        everything = (-(1 << 60), 1 << 60)
        expected = self.expected(None, *everything)
        assert plain(self.store.select([], *everything)) == expected
        assert set(self.store.series([])) >= set(expected)
        assert self.store.health().ok


def tried(examples: int, steps: int, phases: Collection[Phase] = tuple(Phase)) -> settings:
    """Settings for so much work."""
    return settings(
        phases=phases,
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = tried(40, 40, [Phase.explicit, Phase.reuse, Phase.generate])  # shrinking takes long


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_store_model_at_length() -> None:
    run_state_machine_as_test(StoreMachine, settings=tried(1500, 60))
