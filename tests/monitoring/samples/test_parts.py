"""Parts: written from segments, merged, read in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.monitoring.samples.plain import Plain, bits, equal, everything, named, opened, plain, scrape
from watchkeeper.monitoring.labels import LabelStore
from watchkeeper.monitoring.samples.compaction import BLOCK_ROWS, merge
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.history import Asked, read
from watchkeeper.monitoring.samples.parts import Part
from watchkeeper.store.clock import ManualClock, to_ms

EVER = Asked((), -(1 << 60), 1 << 60, 1 << 30)


def churned(directory: Path, clock: ManualClock, rows: int, per_row: int = 3) -> Plain:
    """A closed store with ``rows`` rows of series that come and go; what is in it."""
    store = opened(directory, clock)
    for row in range(rows):
        clock.advance(15)
        first = row // 4 * per_row
        samples = {named("n" + str(i % 3), i=f"{i:04}"): float(row * i) for i in range(first, first + 100)}
        scrape(store, "t", to_ms(clock.now()), samples)
        scrape(store, f"other{row // 20}", to_ms(clock.now()), {named("other"): float(row)})
        store.tick()
    found = everything(store)
    store.close()
    return found


def parts_in(directory: Path) -> list[Part]:
    return [Part(path) for path in sorted((directory / "parts").glob("*.part"))]


def content(parts: list[Part]) -> Plain:
    reports: list[object] = []
    found = plain(
        read(EVER, parts, [], [], [], LabelStore(), lambda part, error: reports.append((part, error)))
    )
    assert not reports
    return found


def test_merging_parts_changes_nothing_that_is_read(tmp_path: Path, clock: ManualClock) -> None:
    churned(tmp_path, clock, rows=200)
    parts = parts_in(tmp_path)
    assert len(parts) > 20
    merged = merge(Disk(), parts, tmp_path)
    assert merged.damaged == ()
    assert merged.part is not None
    assert content([merged.part]) == content(parts)
    assert merged.part.size < sum(part.size for part in parts) / 2
    twice = merge(Disk(), [merged.part], tmp_path / "parts")
    assert twice.part is not None
    assert content([twice.part]) == content(parts), "blocks that stand alone are copied"


def test_merged_blocks_stay_small_enough_to_read_in_pieces(tmp_path: Path, clock: ManualClock) -> None:
    churned(tmp_path, clock, rows=1100, per_row=0)
    merged = merge(Disk(), parts_in(tmp_path), tmp_path).part
    assert merged is not None
    blocks = merged.content(merged.groups["t"]).blocks
    assert len(blocks) == 3
    assert max(len(block.times) for block in blocks) <= BLOCK_ROWS
    assert sum(len(block.times) for block in blocks) >= 1050


def test_one_series_is_read_without_its_neighbours(tmp_path: Path, clock: ManualClock) -> None:
    churned(tmp_path, clock, rows=100, per_row=0)
    parts = parts_in(tmp_path)
    asked = Asked((equal("i", "0007"),), -(1 << 60), 1 << 60, 1 << 30)
    read_tiles: list[int] = []

    class Counted(Part):
        def tile(self, block, number):  # type: ignore[no-untyped-def]
            read_tiles.append(number)
            return super().tile(block, number)

    counted = [Counted(part.path) for part in parts]
    found = plain(read(asked, counted, [], [], [], LabelStore(), lambda *_: None))
    assert len(found) == 1
    assert len(read_tiles) == len(parts), "one of the two tiles of each part"


def test_series_that_come_and_go_do_not_pay_for_each_others_time(tmp_path: Path, clock: ManualClock) -> None:
    churned(tmp_path, clock, rows=400, per_row=20)
    parts = parts_in(tmp_path)
    selection = read(EVER, parts, [], [], [], LabelStore(), lambda *_: None)
    cells = sum(frame.values.size for frame in selection.frames)
    samples = sum(len(samples) for samples in plain(selection).values())
    assert cells < 2.5 * samples


def test_old_samples_are_merged_to_two_hours_and_days_as_time_passes(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = opened(tmp_path, clock, window_ms=600_000)
    expected: dict[int, int] = {}
    for row in range(30 * 60):
        clock.advance(60)
        scrape(store, "t", to_ms(clock.now()), {named("a"): float(row % 100)})
        expected[to_ms(clock.now())] = bits(float(row % 100))
        store.tick()
    lengths = sorted((part.max_ms - part.min_ms) / 3_600_000 for part in parts_in(tmp_path))
    assert lengths[-1] > 23
    assert len(lengths) < 1 + 3 + 30
    assert everything(store) == {named("a"): expected}
    store.close()
    assert everything(opened(tmp_path, clock)) == {named("a"): expected}


def test_a_crash_between_a_merge_and_its_clean_up_is_cleaned_up_at_the_next_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    before = churned(tmp_path, clock, rows=60)
    old = parts_in(tmp_path)
    merge(Disk(), old, tmp_path / "parts")
    assert len(parts_in(tmp_path)) == len(old) + 1
    store = opened(tmp_path, clock)
    assert everything(store) == before
    assert len(parts_in(tmp_path)) == 1
    store.close()


@pytest.mark.parametrize("length", [0, 5, 8, 30])
def test_a_file_that_is_too_short_is_no_part(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.part"
    path.write_bytes(b"WKPART\x01\n" + bytes(length))
    with pytest.raises(Exception, match=r"x\.part"):
        Part(path)


def test_the_series_of_a_group_lie_in_the_order_of_their_names(tmp_path: Path, clock: ManualClock) -> None:
    churned(tmp_path, clock, rows=60)
    for part in parts_in(tmp_path):
        for entry in part.groups.values():
            group = part.content(entry)
            labels = group.table.labels(np.arange(group.table.size))
            names = [dict(one)["__name__"] for one in labels]
            assert names == sorted(names)
