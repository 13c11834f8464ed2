"""Which parts go, and which are put together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.samples.retention import HOUR_MS, Held, expired, to_merge

DAY_MS = 24 * HOUR_MS


def part(seq: int, from_hour: float, hours: float, *, size: int = 10, epoch: int = 0, seqs: int = 1) -> Held:
    begin = int(from_hour * HOUR_MS)
    return Held(begin, begin + int(hours * HOUR_MS) - 1, size, seq, seq + seqs - 1, epoch)


def gone(
    parts: list[Held], now_hour: float, *, hours: float = 1e9, size: int = 1 << 60, log: int = 0
) -> list[int]:
    going = expired(
        parts,
        now_ms=int(now_hour * HOUR_MS),
        retention_ms=int(hours * HOUR_MS),
        retention_bytes=size,
        log_bytes=log,
    )
    return [one.first_seq for one in going]


def test_a_part_goes_when_its_newest_sample_is_past_the_retention() -> None:
    parts = [part(1, 0, 2), part(2, 2, 2), part(3, 4, 2)]
    assert gone(parts, 12, hours=9.9) == [1]
    assert gone(parts, 12, hours=10.1) == []


def test_the_oldest_go_until_parts_and_log_fit() -> None:
    parts = [part(3, 4, 2), part(1, 0, 2), part(2, 2, 2)]
    assert gone(parts, 6, size=30) == []
    assert gone(parts, 6, size=29) == [1]
    assert gone(parts, 6, size=29, log=10) == [1, 2]
    assert gone(parts, 6, size=5, log=100) == [1, 2, 3], "parts only: the log is not counted out"


SHAPES = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(1, 50)))


@given(SHAPES, st.integers(0, 500))
def test_what_is_kept_fits_and_is_newer_than_what_goes(
    shapes: list[tuple[int, int, int]], limit: int
) -> None:
    parts = [part(i, begin, length, size=size) for i, (begin, length, size) in enumerate(shapes)]
    going = set(gone(parts, 60, hours=40, size=limit))
    kept = [one for one in parts if one.first_seq not in going]
    assert sum(one.size for one in kept) <= limit or not kept
    assert all(one.max_ms >= 20 * HOUR_MS for one in kept)
    for old in parts:
        if old.first_seq in going:
            assert all(old.max_ms <= one.max_ms for one in kept)


def merged(parts: list[Held], now_hour: float, log_from: int = 1 << 60) -> list[int]:
    return [one.first_seq for one in to_merge(parts, now_ms=int(now_hour * HOUR_MS), log_from_seq=log_from)]


def test_two_hours_are_put_together_when_they_are_over() -> None:
    parts = [part(i, i / 6, 1 / 6) for i in range(15)]
    assert merged(parts, 1.9) == []
    assert merged(parts, 2) == list(range(12))


def test_what_the_log_still_has_is_left_alone() -> None:
    parts = [part(i, i / 6, 1 / 6) for i in range(12)]
    assert merged(parts, 3, log_from=10) == list(range(10))
    assert merged(parts, 3, log_from=1) == []


def test_two_hour_parts_become_days() -> None:
    parts = [part(i * 12, i * 2, 2, seqs=12) for i in range(14)]
    assert merged(parts, 23) == []
    assert merged(parts, 28) == [i * 12 for i in range(12)]


def test_epochs_are_not_mixed() -> None:
    parts = [part(1, 0, 0.5), part(2, 0.5, 0.5), part(3, 0.2, 0.5, epoch=1), part(4, 0.7, 0.5, epoch=1)]
    assert merged(parts, 5) == [1, 2]
    assert merged(parts[1:], 5) == [3, 4]
    assert merged(parts[1:3], 5) == []


def test_one_part_alone_is_finished() -> None:
    assert merged([part(1, 0, 2), part(2, 30, 2)], 100) == []
