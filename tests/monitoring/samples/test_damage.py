"""Bytes on the disk go bad: everything else is kept, and it is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.monitoring.samples.plain import Plain, everything, named, opened, run_upkeep, scrape
from watchkeeper.monitoring.samples.segment import HEADER_SIZE
from watchkeeper.store.clock import ManualClock, to_ms

SERIES = {key: [named("a_total", of=key, i=str(i)) for i in range(20)] for key in ("one", "two")}
WINDOW_MS = 1_200_000


def filled(directory: Path, clock: ManualClock, rows: int) -> Plain:
    """A closed store with ``rows`` rows in two groups, and what is in it."""
    store = opened(directory, clock, window_ms=WINDOW_MS)
    for row in range(rows):
        for key, series in SERIES.items():
            clock.advance(5)
            values = {labels: float((row * 7919 + i) % 101) / 3 for i, labels in enumerate(series)}
            scrape(store, key, to_ms(clock.now()), values)
        store.tick()
    found = everything(store)
    store.close()
    return found


def segments(directory: Path) -> list[Path]:
    return sorted((directory / "log").glob("*.log"))


def reopened(directory: Path, clock: ManualClock) -> tuple[Plain, list[str]]:
    """What a store in ``directory`` has, and the problems it reports."""
    store = opened(directory, clock, window_ms=WINDOW_MS)
    try:
        return everything(store), [problem.text for problem in store.health().problems]
    finally:
        store.close()


def subset(part: Plain, whole: Plain) -> bool:
    return all(samples.items() <= whole[labels].items() for labels, samples in part.items())


@pytest.mark.parametrize("cut", [1, 4, 9, 50, 1000])
def test_a_torn_tail_is_cut_and_nothing_before_it_is_lost(
    tmp_path: Path, clock: ManualClock, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = filled(tmp_path, clock, rows=8)
    path = segments(tmp_path)[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with caplog.at_level(logging.WARNING):
        found, problems = reopened(tmp_path, clock)
    assert "were torn by a crash and are cut off" in caplog.text
    assert problems == []
    assert subset(found, before)
    newest = max(ts for samples in found.values() for ts in samples)
    kept = {
        labels: {ts: value for ts, value in samples.items() if ts <= newest}
        for labels, samples in before.items()
    }
    assert found == {labels: samples for labels, samples in kept.items() if samples}
    assert reopened(tmp_path, clock)[0] == found, "the cut file is read without complaint"


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 100, b"\x05\0\0\0"])
def test_rubbish_after_the_last_record_is_cut(tmp_path: Path, clock: ManualClock, tail: bytes) -> None:
    before = filled(tmp_path, clock, rows=8)
    path = segments(tmp_path)[-1]
    path.write_bytes(path.read_bytes() + tail)
    assert reopened(tmp_path, clock) == (before, [])


def test_a_corrupt_record_costs_its_group_some_rows_and_no_other_group_anything(
    tmp_path: Path, clock: ManualClock
) -> None:
    before = filled(tmp_path, clock, rows=50)
    path = segments(tmp_path)[-1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)

    found, problems = reopened(tmp_path, clock)
    assert subset(found, before)
    whole = [key for key, series in SERIES.items() if all(found[one] == before[one] for one in series)]
    assert len(whole) == 1, "one group is whole"
    (hurt,) = set(SERIES) - set(whole)
    lost = [len(before[one]) - len(found[one]) for one in SERIES[hurt]]
    assert 0 < max(lost) <= 20, "rows that build on a lost one end with the next full one"
    assert Path(f"{path}.corrupt").exists(), "never deleted"
    (problem,) = problems
    assert f"{path.name}.corrupt" in problem
    assert reopened(tmp_path, clock)[0] == found, "what was saved is in a good file now"

    Path(f"{path}.corrupt").unlink()
    assert reopened(tmp_path, clock) == (found, [])


@pytest.mark.parametrize("at", [0, 5, 20, HEADER_SIZE - 1])
def test_a_file_with_a_damaged_header_is_set_aside_and_the_others_are_read(
    tmp_path: Path, clock: ManualClock, at: int
) -> None:
    before = filled(tmp_path, clock, rows=100)
    damaged, *others = segments(tmp_path)
    assert others
    data = bytearray(damaged.read_bytes())
    data[at] ^= 0xFF
    damaged.write_bytes(data)
    found, problems = reopened(tmp_path, clock)
    assert subset(found, before)
    newest = max(before[SERIES["one"][0]])
    assert newest in found[SERIES["one"][0]]
    assert f"{damaged.name}.corrupt" in problems[0]


def test_any_flipped_byte_of_the_log_loses_little_and_invents_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    before = filled(tmp_path, clock, rows=12)
    path = segments(tmp_path)[-1]
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[at] ^= 0x11
        path.write_bytes(data)
        found, _ = reopened(tmp_path, clock)
        assert subset(found, before), f"byte {at}"
        for leftover in (*segments(tmp_path), *(tmp_path / "log").glob("*.corrupt*")):
            leftover.unlink()


def aged(directory: Path, clock: ManualClock) -> Plain:
    """A closed store whose samples are mostly in parts, and what is in it."""
    found = filled(directory, clock, rows=300)
    assert len(list((directory / "parts").glob("*.part"))) >= 3
    return found


def test_a_part_that_cannot_be_opened_is_set_aside_and_the_rest_is_served(
    tmp_path: Path, clock: ManualClock
) -> None:
    before = aged(tmp_path, clock)
    damaged = sorted((tmp_path / "parts").glob("*.part"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-5])
    found, problems = reopened(tmp_path, clock)
    assert subset(found, before)
    assert max(before[SERIES["one"][0]]) in found[SERIES["one"][0]]
    assert 0 < len(found[SERIES["one"][0]]) < len(before[SERIES["one"][0]])
    assert Path(f"{damaged}.corrupt").exists()
    assert damaged.name in problems[0]


def test_damage_inside_a_part_is_reported_when_it_is_met_and_hides_only_what_lies_there(
    tmp_path: Path, clock: ManualClock
) -> None:
    before = aged(tmp_path, clock)
    damaged = sorted((tmp_path / "parts").glob("*.part"))[0]
    data = bytearray(damaged.read_bytes())
    data[40] ^= 0xFF  # in the first tile, which is of one group
    damaged.write_bytes(data)
    store = opened(tmp_path, clock, window_ms=WINDOW_MS)
    found = everything(store)
    assert subset(found, before)
    hurt = {key for key, series in SERIES.items() if any(found[one] != before[one] for one in series)}
    assert len(hurt) == 1
    (problem,) = store.health().problems
    assert damaged.name in problem.text

    clock.advance(4 * 3600)
    run_upkeep(store)
    assert len(list((tmp_path / "parts").glob("*.part"))) < 3, "merged in the meantime"
    assert everything(store) == found
    assert Path(f"{damaged}.corrupt").exists(), "the damaged one is not deleted"
    store.close()


def test_foreign_files_and_drafts_in_the_directory_do_no_harm(tmp_path: Path, clock: ManualClock) -> None:
    before = aged(tmp_path, clock)
    (tmp_path / "parts" / "0000000009-0000000009.part.tmp").write_bytes(b"half")
    (tmp_path / "log" / "README").write_text("hello")
    (tmp_path / "metadata.json").write_text("{broken")
    assert reopened(tmp_path, clock)[0] == before
    assert (tmp_path / "metadata.json.corrupt").exists()
