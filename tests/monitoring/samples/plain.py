"""Samples as plain dictionaries: what the store's answers are compared with, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.samples.frame import ABSENT_BITS, STALE_BITS, Selection
from watchkeeper.monitoring.samples.group import AppendResult
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

START = datetime(2026, 1, 5, tzinfo=UTC)
START_MS = to_ms(START)
STALE = STALE_BITS
Plain = dict[Labels, dict[int, int]]
"""Series -> time in ms -> bits of the value."""


def bits(value: float) -> int:
    return int(np.array([value]).view(np.uint64)[0])


def named(name: str, **labels: str) -> Labels:
    return label_set([("__name__", name), *labels.items()])


def equal(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.EQUAL, value)


def matching(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.REGEX, value)


def plain(selection: Selection, start_ms: int = -(1 << 60), end_ms: int = 1 << 60) -> Plain:
    """Everything in ``selection`` between the two times; asserts what every selection promises."""
    out: Plain = {}
    seen: set[int] = set()
    for frame in selection.frames:
        assert (np.diff(frame.times) > 0).all(), "times ascend strictly"
        assert not seen & set(frame.refs.tolist()), "a series is in one frame only"
        seen |= set(frame.refs.tolist())
        assert len(frame.columns) == len(frame.refs)
        assert frame.values.shape[0] == len(frame.times)
        for column, ref in zip(frame.columns.tolist(), frame.refs.tolist(), strict=True):
            cells = np.ascontiguousarray(frame.values[:, column]).view(np.uint64)
            samples = {
                ts_ms: cell
                for ts_ms, cell in zip(frame.times.tolist(), cells.tolist(), strict=True)
                if cell != ABSENT_BITS and start_ms <= ts_ms <= end_ms
            }
            if samples:
                out[selection.labels.labels(ref)] = samples
            if frame.gap_ms is not None and frame.drop_ms is not None:
                _check_hints(
                    frame.times.tolist(), cells.tolist(), frame.gap_ms[column], frame.drop_ms[column]
                )
    return out


def _check_hints(times: list[int], cells: list[int], gap_ms: int, drop_ms: int) -> None:
    """``gap_ms`` and ``drop_ms`` against their definition, as far as the rows at hand can tell."""
    without = [t for t, cell in zip(times, cells, strict=True) if cell in (ABSENT_BITS, STALE_BITS)]
    assert gap_ms == without[-1] if without else gap_ms < times[0]
    last: float | None = None
    drops = []
    for t, cell in zip(times, cells, strict=True):
        if cell in (ABSENT_BITS, STALE_BITS):
            continue
        value = float(np.array([cell], np.uint64).view(np.float64)[0])
        if last is not None and value < last:
            drops.append(t)
        last = value
    assert drop_ms == drops[-1] if drops else drop_ms <= times[-1]


def everything(store: SampleStore, *matchers: Matcher) -> Plain:
    """All that the store has, read both ways."""
    views = plain(store.select(matchers, -(1 << 60), 1 << 60))
    copies = plain(store.select_copies(matchers, -(1 << 60), 1 << 60))
    assert views == copies
    return views


def opened(directory: Path, clock: ManualClock, **more: Any) -> SampleStore:
    """A store with a short window, that works in the foreground."""
    options: dict[str, Any] = {"window_ms": 120_000, "threads": False, **more}
    return SampleStore.open(directory, clock=clock, **options)


def abandoned(store: SampleStore) -> None:
    """What ``kill -9`` leaves: nothing is flushed, the lock is free."""
    store._directory.release()


def scrape(store: SampleStore, key: str, ts_ms: int, samples: dict[Labels, float]) -> AppendResult:
    """One append of ``samples`` to group ``key``."""
    group = store.group(key)
    columns = group.columns(list(samples))
    return group.append(ts_ms, columns, np.array(list(samples.values())))


def run_upkeep(store: SampleStore, times: int = 20) -> None:
    """Tick until nothing is left to do."""
    for _ in range(times):
        store.tick()


def of(samples: Iterable[tuple[int, float]]) -> dict[int, int]:
    return {ts_ms: bits(value) for ts_ms, value in samples}
