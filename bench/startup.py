"""How long ``import watchkeeper`` and ``watchkeeper --help`` take beside bare Python.

Whole processes, alternating, so that a machine whose speed drifts treats all alike. The bound of 400 ms
more than bare Python is the product's; ``violations`` counts the commands that exceed it by their median.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.report import report

RUNS = 15
BOUND_SECONDS = 0.4


def main(argv: Sequence[str]) -> int:
    """Run the bench; no arguments."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import watchkeeper": [sys.executable, "-c", "import watchkeeper"],
        "watchkeeper --help": [sys.executable, "-m", "watchkeeper.cli.main", "--help"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(RUNS + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if run:  # the first fills the page cache
                seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    bare = median.pop("python -c pass")
    more = {name: value - bare for name, value in median.items()}
    rows = [("python -c pass", f"{bare * 1000:.0f} ms", "")]
    rows += [(name, f"{median[name] * 1000:.0f} ms", f"+{more[name] * 1000:.0f} ms") for name in median]
    report(
        "Start-up, median of whole processes",
        ("command", "wall", "beyond bare Python"),
        rows,
        {
            "bare_ms": round(bare * 1000, 1),
            **{f"{name} more_ms": round(value * 1000, 1) for name, value in more.items()},
            "violations": sum(value > BOUND_SECONDS for value in more.values()),
        },
    )
    return 0
