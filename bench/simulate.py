"""Years of operations in minutes: the product's own code in the simulation, with everything going wrong.

Each quarter is a seed of ``tests/simulation``: services that fail and flap, people who answer or sleep,
receivers that fail, processes that die at statements, commits and sends, clocks that are set, a store that
is full or held. Every invariant (``tests/simulation/invariants.py``) is checked after every event; a seed
that breaks one is printed, and ``python -m tests.simulation --seed N --quarters 1`` tells its story.

There is no peer: ``violations`` is what counts, and ``years_per_minute`` says how much was tried.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from bench.report import report
from tests.simulation.platform import DAY, QUARTER
from tests.simulation.world import Report, simulate


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench simulate")
    parser.add_argument("--years", type=float, default=25)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(argv)
    quarters = max(1, round(options.years * 4))
    seeds = range(options.first_seed, options.first_seed + quarters)
    began = time.monotonic()
    reports: list[Report] = []
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=fresh, initializer=_prepare) as pool:
        for done in as_completed([pool.submit(_quarter, seed) for seed in seeds]):
            one = done.result()
            reports.append(one)
            for violation in one.violations:
                print(f"seed {one.seed}: {violation}", file=sys.stderr, flush=True)
            if len(reports) % 10 == 0:
                minutes = (time.monotonic() - began) / 60
                print(
                    f"{len(reports)} of {quarters} quarters, {minutes:.1f} min", file=sys.stderr, flush=True
                )
    _show(reports, (time.monotonic() - began) / 60)
    return 0


def _prepare() -> None:
    """What is loaded stays, so the collector need not walk through it again and again."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _quarter(seed: int) -> Report:
    return simulate(seed, QUARTER / DAY)


def _show(reports: Sequence[Report], minutes: float) -> None:
    years = len(reports) / 4
    faults: Counter[str] = Counter()
    for one in reports:
        faults.update(one.faults)
    broken = sum(len(one.violations) for one in reports)

    def total(name: str) -> int:
        return sum(getattr(one, name) for one in reports)

    counted = [
        ("alerts", "alerts"),
        ("pages told", "pages"),
        ("notifications delivered", "notifications"),
        ("acknowledgements", "acknowledgements"),
        ("silences", "silences"),
        ("incidents", "incidents"),
        ("playbook runs", "runs"),
        ("verdicts of deadlines", "verdicts"),
        ("evaluations", "evaluations"),
        ("journal entries", "entries"),
    ]
    rows = [
        ("simulated years", f"{years:g}"),
        ("years per minute", f"{years / minutes:.2f}"),
        *[(label, f"{total(name):,}") for label, name in counted],
        *[(f"fault: {kind}", f"{count:,}") for kind, count in sorted(faults.items())],
        ("faults injected", f"{sum(faults.values()):,}"),
        ("invariants broken", f"{broken}"),
    ]
    report(
        f"{years:g} years of operations, from {len(reports)} seeds",
        ("", "count"),
        rows,
        {
            "violations": broken,
            "years": years,
            "years_per_minute": round(years / minutes, 2),
            "minutes": round(minutes, 1),
            "faults": sum(faults.values()),
            **{name: total(name) for _, name in counted},
            "broken_seeds": sorted(one.seed for one in reports if one.violations),
        },
    )
