"""What a scraper, the rules and the API see of the store."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.monitoring.samples.plain import (
    STALE,
    bits,
    equal,
    everything,
    matching,
    named,
    of,
    opened,
    plain,
    run_upkeep,
    scrape,
)
from watchkeeper.monitoring.samples.errors import QueryTooLargeError, SampleStoreError
from watchkeeper.monitoring.samples.frame import STALE as STALE_VALUE
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

A, B, C = named("a_total", job="x"), named("b_total", job="x"), named("c", job="y")


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> SampleStore:
    return opened(tmp_path / "samples", clock)


class TestAppending:
    def test_a_series_that_is_missing_gets_one_staleness_marker(self, store: SampleStore) -> None:
        assert scrape(store, "t", 1000, {A: 1.0, B: 2.0}) == (2, 0, 0, 0)
        assert scrape(store, "t", 2000, {A: 1.0}) == (1, 0, 0, 1)
        assert scrape(store, "t", 3000, {A: 1.0}) == (1, 0, 0, 0)
        assert everything(store) == {
            A: of([(1000, 1.0), (2000, 1.0), (3000, 1.0)]),
            B: {1000: bits(2.0), 2000: STALE},
        }

    def test_a_series_that_comes_back_goes_on(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0, B: 2.0})
        scrape(store, "t", 2000, {A: 1.0})
        scrape(store, "t", 3000, {A: 1.0, B: 3.0})
        assert everything(store)[B] == {1000: bits(2.0), 2000: STALE, 3000: bits(3.0)}

    def test_when_a_target_goes_every_live_series_ends_once(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0, B: 2.0})
        assert store.group("t").mark_stale(2000).stale == 2
        assert store.group("t").mark_stale(3000).stale == 0
        assert everything(store) == {A: {1000: bits(1.0), 2000: STALE}, B: {1000: bits(2.0), 2000: STALE}}

    def test_no_columns_given_means_those_of_the_last_append(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0, B: 2.0})
        assert store.group("t").append(2000, None, np.array([3.0, 4.0])).appended == 2
        assert everything(store)[B] == of([(1000, 2.0), (2000, 4.0)])

    def test_an_older_scrape_is_refused_and_counted(self, store: SampleStore) -> None:
        scrape(store, "t", 2000, {A: 1.0})
        assert scrape(store, "t", 1000, {A: 5.0}) == (0, 1, 0, 0)
        assert everything(store) == {A: of([(2000, 1.0)])}
        assert store.stats().out_of_order == 1

    def test_the_same_sample_again_is_nothing_and_another_value_a_duplicate(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: float("nan"), B: 2.0})
        assert scrape(store, "t", 1000, {A: float("nan"), B: 2.0}) == (0, 0, 0, 0)
        assert scrape(store, "t", 1000, {A: float("nan"), B: 3.0}) == (0, 0, 1, 0)
        assert everything(store)[B] == of([(1000, 2.0)])
        assert store.stats().duplicates == 1

    def test_a_series_that_is_new_at_an_older_time_is_stored(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0})
        scrape(store, "t", 3000, {A: 2.0})
        assert scrape(store, "t", 2000, {A: 9.0, B: 5.0}) == (1, 1, 0, 0)
        assert scrape(store, "t", 3000, {C: 6.0}) == (1, 0, 0, 0)
        assert everything(store) == {
            A: of([(1000, 1.0), (3000, 2.0)]),
            B: of([(2000, 5.0)]),
            C: of([(3000, 6.0)]),
        }

    def test_a_series_given_twice_in_a_scrape_keeps_its_first_value(self, store: SampleStore) -> None:
        group = store.group("t")
        columns = group.columns([B, A, B])
        assert columns[0] == columns[2]
        for ts_ms in (1000, 2000):
            assert group.append(ts_ms, columns, np.array([1.0, 2.0, 3.0])) == (2, 0, 1, 0)
        assert everything(store) == {A: of([(1000, 2.0), (2000, 2.0)]), B: of([(1000, 1.0), (2000, 1.0)])}

    def test_a_marker_that_the_caller_sends_ends_the_series(self, store: SampleStore) -> None:
        group = store.group("t")
        columns = group.columns([A])
        group.append(1000, columns, np.array([1.0]))
        group.append(2000, columns, STALE_VALUE)
        assert group.mark_stale(3000).stale == 0
        assert everything(store)[A] == {1000: bits(1.0), 2000: STALE}

    def test_columns_that_the_group_does_not_have_are_an_error(self, store: SampleStore) -> None:
        group = store.group("t")
        group.column(A)
        for columns in ([1], [-1]):
            with pytest.raises(ValueError, match="numbered from 0"):
                group.append(1000, np.array(columns), np.array([1.0]))
        with pytest.raises(ValueError, match="2 values for 1 columns"):
            group.append(1000, np.array([0]), np.array([1.0, 2.0]))
        assert everything(store) == {}

    def test_every_float_comes_back_bit_for_bit(
        self, store: SampleStore, tmp_path: Path, clock: ManualClock
    ) -> None:
        odd = [0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")]
        for at, value in enumerate(odd):
            scrape(store, "t", 1000 + at, {A: value})
        store.close()
        again = opened(tmp_path / "samples", clock)
        assert everything(again) == {A: of((1000 + at, value) for at, value in enumerate(odd))}


class TestExplicitTimestamps:
    def test_series_with_their_own_times_are_stored_in_order_and_get_no_markers(
        self, store: SampleStore, clock: ManualClock
    ) -> None:
        now = to_ms(clock.now())
        assert (
            store.append_samples("t", [(A, now, 2.0), (B, now - 500, 1.0), (A, now - 100, 1.0)]).appended == 3
        )
        assert store.append_samples("t", [(A, now + 1000, 3.0)]).appended == 1
        assert everything(store) == {
            A: of([(now - 100, 1.0), (now, 2.0), (now + 1000, 3.0)]),
            B: of([(now - 500, 1.0)]),
        }

    def test_order_is_kept_per_series(self, store: SampleStore, clock: ManualClock) -> None:
        now = to_ms(clock.now())
        store.append_samples("t", [(A, now, 1.0), (B, now, 1.0)])
        result = store.append_samples("t", [(A, now - 1, 5.0), (B, now, 2.0), (C, now - 5, 1.0)])
        assert result[:3] == (1, 1, 1)
        assert everything(store) == {A: of([(now, 1.0)]), B: of([(now, 1.0)]), C: of([(now - 5, 1.0)])}

    def test_a_time_far_in_the_future_is_refused(self, store: SampleStore, clock: ManualClock) -> None:
        now = to_ms(clock.now())
        assert store.append_samples("t", [(A, now + 601_000, 1.0), (B, now + 599_000, 1.0)])[:2] == (1, 1)

    def test_series_with_the_same_times_share_a_group_and_part_when_their_times_do(
        self, store: SampleStore, clock: ManualClock
    ) -> None:
        many = [named("m", i=str(i)) for i in range(30)]
        now = to_ms(clock.now())
        store.append_samples("t", [(labels, now, 1.0) for labels in many])
        assert store.stats().groups == 1
        store.append_samples("t", [(labels, now + 10 + (i < 10), 2.0) for i, labels in enumerate(many)])
        assert store.stats().groups == 2
        found = everything(store)
        assert [set(found[labels]) for labels in many] == [
            {now, now + 10 + (i < 10)} for i in range(len(many))
        ]
        assert store.append_samples("t", [(many[0], now, 7.0)]) == (0, 1, 0, 0), "moved, but not forgotten"

    def test_after_a_restart_order_is_still_kept(self, tmp_path: Path, clock: ManualClock) -> None:
        now = to_ms(clock.now())
        first = opened(tmp_path / "s", clock)
        first.append_samples("t", [(A, now, 1.0)])
        first.close()
        again = opened(tmp_path / "s", clock)
        assert again.append_samples("t", [(A, now - 1, 1.0), (B, now, 1.0)]) == (1, 1, 0, 0)


class TestSelecting:
    def test_matchers_choose_series(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0, B: 2.0, C: 3.0})

        def chosen(*matchers: object) -> set[object]:
            return set(everything(store, *matchers))  # type: ignore[arg-type]

        assert chosen(equal("__name__", "a_total")) == {A}
        assert chosen(equal("job", "x")) == {A, B}
        assert chosen(matching("__name__", "(a|c).*")) == {A, C}
        assert chosen(equal("nothing", "")) == {A, B, C}
        assert chosen(equal("__name__", "absent")) == set()

    def test_a_cached_selector_sees_series_that_come_later(self, store: SampleStore) -> None:
        matchers = [matching("i", "[1-3]")]
        for at in range(1, 6):
            scrape(store, "t", 1000 * at, {named("m", i=str(i)): 1.0 for i in range(at)})
            found = plain(store.select(matchers, 0, 10_000))
            assert set(found) == {named("m", i=str(i)) for i in range(1, min(at, 4))}

    def test_a_series_of_two_targets_is_one_series(self, store: SampleStore) -> None:
        for at in range(3):
            scrape(store, "one", 1000 * at, {A: 1.0, B: 1.0})
            scrape(store, "two", 1000 * at + 500, {A: 2.0, C: 2.0})
        scrape(store, "two", 5000, {C: 1.0})
        found = everything(store)
        assert found[A] == of((500 * i, 1.0 + i % 2) for i in range(6)) | {5000: STALE}
        assert set(found) == {A, B, C}
        assert store.owners.shared(store.select([], 0, 9).frames[0].refs) is None
        assert found[B] == of((1000 * i, 1.0) for i in range(3))

    def test_a_series_of_two_targets_outlives_one_of_them(
        self, store: SampleStore, clock: ManualClock
    ) -> None:
        now = to_ms(clock.now())
        scrape(store, "one", now, {A: 1.0})
        for _ in range(30):
            clock.advance(15)
            scrape(store, "two", to_ms(clock.now()), {A: 2.0})
            store.tick()
        assert store.stats().groups == 1
        assert len(everything(store)[A]) == 31
        assert store.owners.shared(np.array([store.labels.find(A)])) is None

    def test_what_left_memory_is_read_from_disk(self, store: SampleStore, clock: ManualClock) -> None:
        expected = {}
        for row in range(400):
            clock.advance(15)
            expected[to_ms(clock.now())] = bits(float(row))
            scrape(store, "t", to_ms(clock.now()), {A: float(row), named("churn", i=str(row // 10)): 1.0})
            store.tick()
        assert len(store.group("t").head) < 20
        assert everything(store, equal("__name__", "a_total")) == {A: expected}
        begin = to_ms(clock.now()) - 3_000_000
        some = plain(store.select([equal("__name__", "a_total")], begin, begin + 600_000))
        assert some == {A: {ts: v for ts, v in expected.items() if begin <= ts <= begin + 600_000}}

    def test_a_query_that_is_too_large_says_what_to_do(self, tmp_path: Path, clock: ManualClock) -> None:
        store = opened(tmp_path / "small", clock, limit_cells=1000)
        for _ in range(60):
            clock.advance(15)
            scrape(store, "t", to_ms(clock.now()), {named("m", i=str(i)): 1.0 for i in range(30)})
            store.tick()
        now = to_ms(clock.now())
        with pytest.raises(QueryTooLargeError, match="ask for fewer series"):
            store.select([], now - 900_000, now)
        assert len(plain(store.select([equal("i", "3")], now - 900_000, now))) == 1

    def test_what_a_reader_holds_is_not_changed_by_writing(
        self, store: SampleStore, clock: ManualClock
    ) -> None:
        scrape(store, "t", to_ms(clock.now()), {A: 1.0, B: 2.0})
        held = store.select_copies([], 0, 1 << 60)
        before = plain(held)
        for at in range(60):
            clock.advance(15)
            scrape(store, "t", to_ms(clock.now()), {named("m", i=str(at)): 1.0})
            store.tick()
        assert plain(held) == before

    def test_readers_in_other_threads_see_whole_rows(self, tmp_path: Path, clock: ManualClock) -> None:
        store = opened(tmp_path / "s", clock, threads=True)
        many = {named("m", i=str(i)): 0.0 for i in range(200)}
        stop = threading.Event()
        failures: list[object] = []

        def ask() -> None:
            while not stop.is_set():
                selection = store.select_copies([], 0, 1 << 60)
                for frame in selection.frames:
                    cells = frame.values[:, frame.columns]
                    if len(frame.times) and not (cells == cells[:, :1]).all():
                        failures.append(cells)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for row in range(300):
                clock.advance(15)
                scrape(store, "t", to_ms(clock.now()), dict.fromkeys(many, float(row)))
                store.tick()
        finally:
            stop.set()
            thread.join(timeout=20)
        store.close()
        assert not failures


class TestListing:
    def test_series_names_and_values(self, store: SampleStore) -> None:
        scrape(store, "t", 1000, {A: 1.0, B: 2.0})
        scrape(store, "t", 2000, {A: 1.0, C: 2.0})
        assert store.series([]) == sorted([A, B, C])
        assert store.series([equal("job", "x")], 3000, 4000) == []
        assert store.series([], 1500, 2500) == sorted([A, B, C]), "a marker is something to see"
        assert store.series([equal("__name__", "c")], 0, 1500) == []
        assert store.label_names() == ["__name__", "job"]
        assert store.label_values("job") == ["x", "y"]
        assert store.label_values("__name__", [equal("job", "x")]) == ["a_total", "b_total"]
        assert store.label_values("nothing") == []

    def test_what_is_on_disk_only_is_listed_too(self, store: SampleStore, clock: ManualClock) -> None:
        scrape(store, "t", to_ms(clock.now()), {A: 1.0})
        first = to_ms(clock.now())
        for _ in range(100):
            clock.advance(15)
            scrape(store, "t", to_ms(clock.now()), {C: 1.0})
            store.tick()
        now = to_ms(clock.now())
        assert store.series([]) == sorted([A, C])
        assert store.series([], now - 60_000, now) == [C]
        assert A in store.series([], first, first)
        assert store.label_values("job") == ["x", "y"]
        assert store.label_values("job", [], now - 60_000, now) == ["y"]

    def test_metadata_survives_a_restart(self, tmp_path: Path, clock: ManualClock) -> None:
        store = opened(tmp_path / "s", clock)
        store.set_metadata("a", "counter", "What a is: “ä”.", "bytes")
        store.set_metadata("a", "gauge", "What a is: “ä”.", "bytes")
        store.close()
        again = opened(tmp_path / "s", clock)
        about = again.metadata()["a"]
        assert (about.type, about.help, about.unit) == ("gauge", "What a is: “ä”.", "bytes")


class TestBounds:
    def test_churn_for_ever_does_not_grow_memory(self, tmp_path: Path, clock: ManualClock) -> None:
        store = opened(tmp_path / "s", clock, window_ms=300_000)
        sizes = []
        stays = [named("stays", i=str(i)) for i in range(100)]
        for row in range(600):
            clock.advance(15)
            comes = [named("comes", i=str(row * 5 + i)) for i in range(5)]
            scrape(store, "t", to_ms(clock.now()), dict.fromkeys([*stays, *comes], 1.0))
            store.select([matching("i", ".*5")], to_ms(clock.now()) - 60_000, to_ms(clock.now()))
            store.tick()
            sizes.append((store.stats().memory_bytes, len(store.labels), store.labels.capacity))
        for later, early in zip(sizes[-1], np.max(sizes[60:200], axis=0).tolist(), strict=True):
            assert later <= early
        assert len(store.labels) < 400
        assert len(everything(store, matching("i", "29.."))) == 100

    def test_a_scraper_can_follow_its_columns_when_they_are_renumbered(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        store = opened(tmp_path / "s", clock, window_ms=60_000)
        group = store.group("t")
        stays = [named("stays", i=str(i)) for i in range(20)]
        columns, generation = group.columns(stays), group.generation
        seen = {generation}
        for row in range(200):
            clock.advance(15)
            if group.generation != generation:
                moved = group.renumbered(columns, generation)
                assert moved is not None
                columns, generation = moved, group.generation
                seen.add(generation)
            assert [group.labels(column) for column in columns.tolist()] == stays
            comes = group.columns([named("comes", i=f"{row}-{i}") for i in range(10)])
            values = np.arange(float(len(columns) + len(comes)))
            group.append(to_ms(clock.now()), np.concatenate([columns, comes]), values)
            store.tick()
        assert len(seen) > 5
        assert group.renumbered(columns, 0) is None

    def test_a_target_that_is_gone_leaves_memory_and_stays_on_disk(
        self, store: SampleStore, clock: ManualClock
    ) -> None:
        group = store.group("t")
        scrape(store, "t", to_ms(clock.now()), {A: 1.0})
        for _ in range(60):
            clock.advance(15)
            store.tick()
        assert store.stats().groups == 0
        assert len(store.labels) == 0
        assert set(everything(store)) == {A}
        assert group.append(to_ms(clock.now()), group.columns([B]), np.array([2.0])).appended == 1
        assert set(everything(store)) == {A, B}

    def test_a_mistake_in_upkeep_is_told_and_stops_nothing(
        self, store: SampleStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def mistaken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("watchkeeper.monitoring.samples.upkeep.transpose", mistaken)
        for _ in range(20):
            clock.advance(15)
            scrape(store, "t", to_ms(clock.now()), {A: 1.0})
            store.tick()
        (problem,) = store.health().problems
        assert "ZeroDivisionError" in problem.text
        monkeypatch.undo()
        clock.advance(10)
        run_upkeep(store)
        assert store.health().ok
        assert len(everything(store)[A]) == 20

    def test_retention_by_time_and_by_size(self, tmp_path: Path, clock: ManualClock) -> None:
        store = opened(tmp_path / "s", clock, retention_ms=3_600_000)
        for row in range(800):
            clock.advance(15)
            scrape(store, "t", to_ms(clock.now()), {A: float(row)})
            store.tick()
        now = to_ms(clock.now())
        kept = sorted(everything(store)[A])
        assert now - 3_900_000 < kept[0] < now - 3_500_000
        store.close()
        store = opened(tmp_path / "s", clock, retention_bytes=3000)
        run_upkeep(store, 40)
        assert store.stats().disk_bytes < 3000 + 1000
        assert sorted(everything(store)[A])[-1] == now
        store.close()

    def test_an_unusable_directory_is_said(self, tmp_path: Path, clock: ManualClock) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SampleStoreError, match=r"cannot use .*file.*another one"):
            opened(tmp_path / "file" / "below", clock)
