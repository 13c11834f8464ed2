"""The product through weeks of operations with everything going wrong, and every invariant held.

A seed that fails here tells its story with ``python -m tests.simulation --seed N --days D``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", [1, 3])
def test_days_of_faults_break_no_invariant(seed: int) -> None:
    report = simulate(seed, 3.0)
    assert report.violations == []
    assert report.alerts > 2
    assert report.pages > 2
    assert sum(report.faults.values()) > 10


def test_a_week_in_which_nothing_goes_wrong_breaks_none_either() -> None:
    report = simulate(7, 5.0, faulty=False)
    assert report.violations == []
    assert report.verdicts > 0


def test_a_seed_is_the_same_story_in_every_process() -> None:
    """To the last hash of the journal, which covers every entry, whatever Python's own hashes are."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.simulation", "--seed", "12", "--days", "3", "--quiet"]
    heads: set[str] = set()
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join([str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        done = subprocess.run(
            command, cwd=root, env=environ, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        heads.update(line for line in done.stdout.splitlines() if line.startswith("journal head"))
    assert len(heads) == 1


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1000, 1003))
def test_a_quarter_of_faults_breaks_no_invariant(seed: int) -> None:
    report = simulate(seed, 90.0)
    assert report.violations == []
    assert report.alerts > 100
