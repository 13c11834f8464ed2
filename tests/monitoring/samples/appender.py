"""A process that appends without end, and says so after each append; it is killed by test_crash.py.

python -m tests.monitoring.samples.appender DIRECTORY SEED
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.monitoring.samples.plain import named
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import SystemClock, to_ms

KEYS = ("one", "two")
SERIES = 50


def series(key: str, churn: int) -> list[Labels]:
    """The series of a scrape: most stay, some are new every few rows."""
    return [
        named("requests_total", target=key, i=str(i if i % 5 else i + 1000 * churn)) for i in range(SERIES)
    ]


def values(seed: int, number: int) -> npt.NDArray[np.float64]:
    """The values of append ``number``."""
    return np.random.default_rng([seed, number]).standard_normal(SERIES) * 10.0**number


def opened(directory: Path, *, threads: bool) -> SampleStore:
    """A store that rotates and transposes all the time, so that kills hit those too."""
    return SampleStore.open(
        directory, clock=SystemClock(), window_ms=3_000, segment_ms=150, sync_ms=50, threads=threads
    )


def main() -> None:
    directory, seed = Path(sys.argv[1]), int(sys.argv[2])
    clock = SystemClock()
    store = opened(directory, threads=True)
    groups = [store.group(key) for key in KEYS]
    last_ms = 0
    for number in range(1 << 30):
        for key, group in zip(KEYS, groups, strict=True):
            last_ms = max(to_ms(clock.now()), last_ms + 1)
            result = group.append(last_ms, group.columns(series(key, number // 20)), values(seed, number))
            if result.appended:
                print(key, last_ms, number, flush=True)
        store.tick()
        clock.sleep(0.002)


if __name__ == "__main__":
    main()
