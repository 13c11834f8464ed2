"""``python -m tests.simulation --seed N --quarters 1`` tells the story of one seed, and whether all held."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.world import simulate


def main(argv: Sequence[str]) -> int:
    """Run one seed; the exit code is 1 where an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quarters", type=float, default=1.0)
    parser.add_argument("--days", type=float, help="instead of --quarters")
    parser.add_argument("--no-faults", action="store_true", help="nothing goes wrong")
    parser.add_argument("--quiet", action="store_true", help="only what came of it")
    options = parser.parse_args(argv)
    days = options.days or options.quarters * 90.0
    report = simulate(options.seed, days, faulty=not options.no_faults, tell=None if options.quiet else print)
    print(
        f"seed {report.seed}, {report.days:g} days: {report.alerts} alerts, {report.pages} pages, "
        f"{report.acknowledgements} acknowledgements, {report.notifications} notifications, "
        f"{report.evaluations} evaluations, {report.events} events, {report.entries} journal entries"
    )
    for kind, count in sorted(report.faults.items()):
        print(f"  {count:6}  {kind}")
    print(f"journal head {report.head}")
    for violation in report.violations:
        print(f"VIOLATED  {violation}")
    print(f"invariants broken: {len(report.violations)}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
