"""A process is killed at any moment: what it had acknowledged is there, bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.monitoring.samples import appender
from tests.monitoring.samples.appender import series, values
from tests.monitoring.samples.plain import Plain, abandoned, named, opened, plain, scrape
from watchkeeper.monitoring.samples.errors import StoreLockedError
from watchkeeper.store.clock import ManualClock, to_ms

ROOT = Path(__file__).parents[3]


def killed_appender(directory: Path, seed: int, seconds: float) -> list[tuple[str, int, int]]:
    """Run an appender, kill it ``seconds`` after its first append; what it acknowledged."""
    command = [sys.executable, "-m", "tests.monitoring.samples.appender", str(directory), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    killer = threading.Timer(seconds, process.kill)
    killer.start()
    try:
        lines += process.stdout.readlines()
    finally:
        killer.cancel()
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(key, int(ts_ms), int(number)) for key, ts_ms, number in whole]


def survives(directory: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    expected: Plain = {}
    for number in range(rounds):
        acknowledged = killed_appender(directory, number, chance.uniform(0.0, 0.4))
        assert acknowledged
        for key, ts_ms, row in acknowledged:
            cells = values(number, row).view(np.uint64).tolist()
            for labels, cell in zip(series(key, row // 20), cells, strict=True):
                expected.setdefault(labels, {})[ts_ms] = cell
        store = appender.opened(directory, threads=False)
        try:
            found = plain(store.select([], -(1 << 60), 1 << 60))
            for _ in range(50):  # what is in the log only, and older than the window, goes into parts
                store.tick()
            assert plain(store.select([], -(1 << 60), 1 << 60)) == found
            assert store.health().ok
        finally:
            store.close()
        for labels, samples in expected.items():
            kept = found[labels]
            assert samples.items() <= kept.items(), f"{labels} after round {number}"


def test_no_acknowledged_row_is_lost_by_kill_9(tmp_path: Path) -> None:
    began = time.monotonic()
    survives(tmp_path, rounds=20, seed=1)
    assert time.monotonic() - began < 60


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_acknowledged_row_is_lost_by_kill_9_again_and_again(tmp_path: Path) -> None:
    survives(tmp_path, rounds=150, seed=2)


def test_after_a_crash_the_head_is_as_it_was(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock)
    a, b = named("a_total"), named("b_total")
    for row in range(12):
        clock.advance(15)
        scrape(store, "t", to_ms(clock.now()), {a: float(row % 7)} | ({b: 1.0} if row < 6 else {}))
    before = store.group("t")
    abandoned(store)

    again = opened(tmp_path, clock)
    after = again.group("t")
    assert after.views[1].view(np.uint64).tolist() == before.views[1].view(np.uint64).tolist()
    for mine, theirs in zip(after.views, before.views, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(after.head.live[: len(after)], before.head.live[: len(before)])
    clock.advance(15)
    assert scrape(again, "t", to_ms(clock.now()), {b: 2.0}).stale == 1, "a was live, and is missing now"
    again.close()


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock)
    with pytest.raises(StoreLockedError, match=r"in use by another process \(pid \d+\).*Stop that process"):
        opened(tmp_path, clock)
    store.close()
    opened(tmp_path, clock).close()
