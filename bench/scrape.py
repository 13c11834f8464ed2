"""What scraping costs, beside Prometheus on the same exposition at the same time.

Both fetch the same targets over HTTP at the same interval, parse, append to their store and write their
write-ahead log; no rules in either. After both have settled, CPU (user and system, from /proc) and samples
are counted over the same stretch. ``ratio`` is Prometheus' CPU per sample divided by ours.
``parse_per_second`` is our parser alone on bodies whose values move. ``violations`` counts failed scrapes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.exporters import Exporters, Target
from bench.processes import Child
from bench.prometheus import Prometheus
from bench.report import report
from watchkeeper.monitoring.exposition.reader import Reader


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench scrape")
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--series", type=int, default=5000, help="per target")
    parser.add_argument("--interval", type=int, default=5, help="seconds")
    parser.add_argument("--settle", type=int, default=30, help="seconds before the measurement")
    parser.add_argument("--measure", type=int, default=120, help="seconds")
    parser.add_argument("--gzip", action="store_true", help="the targets pack their answers")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        _measure(options, Path(name))
    return 0


def _measure(options: argparse.Namespace, directory: Path) -> None:
    with (
        Exporters(
            directory, options.targets, options.series, options.interval, 0.01, packed=options.gzip
        ) as exporters,
        Prometheus(directory, exporters.scrape_configs(), f"{options.interval}s") as peer,
        _watchkeeper(directory, exporters, options.interval) as ours,
    ):
        time.sleep(options.settle)
        children: dict[str, Child] = {"Prometheus": peer, "Watchkeeper": ours}
        before = {name: child.usage() for name, child in children.items()}
        appended_before = peer.metric("prometheus_tsdb_head_samples_appended_total")
        counted_before = _count(directory)
        started = time.monotonic()
        time.sleep(options.measure)
        seconds = time.monotonic() - started
        after = {name: child.usage() for name, child in children.items()}
        appended = peer.metric("prometheus_tsdb_head_samples_appended_total") - appended_before
        counted = {name: value - counted_before[name] for name, value in _count(directory).items()}
        parse = _parse_per_second(options.series)
        wall = _version(peer)
    samples = {"Prometheus": appended, "Watchkeeper": float(counted["samples"])}
    cpu = {name: after[name].cpu_seconds - before[name].cpu_seconds for name in children}
    each = {name: cpu[name] / samples[name] for name in children}
    rows = [
        (
            label,
            f"{samples[name] / seconds:,.0f}",
            f"{cpu[name] / seconds:.1%}",
            f"{each[name] * 1e6:.2f} µs",
            f"{after[name].resident / 1e6:.0f} MB",
            f"{after[name].peak / 1e6:.0f} MB",
        )
        for name, label in (("Prometheus", f"Prometheus {wall}"), ("Watchkeeper", "Watchkeeper"))
    ]
    title = (
        f"Scraping {exporters.samples:,} series from {options.targets} targets every {options.interval} s, "
        f"{seconds:.0f} s; our parser alone: {parse / 1e6:.1f} M samples/s"
    )
    report(
        title,
        ("", "samples/s", "CPU", "CPU per sample", "resident", "peak"),
        rows,
        {
            "ratio": round(each["Prometheus"] / each["Watchkeeper"], 2),
            "violations": counted["failed"],
            "samples_per_second": round(samples["Watchkeeper"] / seconds),
            "cpu_us_per_sample": round(each["Watchkeeper"] * 1e6, 3),
            "prometheus_cpu_us_per_sample": round(each["Prometheus"] * 1e6, 3),
            "parse_per_second": round(parse),
            "peak_mb": round(after["Watchkeeper"].peak / 1e6),
            "prometheus_peak_mb": round(after["Prometheus"].peak / 1e6),
        },
    )


def _watchkeeper(directory: Path, exporters: Exporters, interval: int) -> Child:
    plan = {
        "metrics": {
            "scrape_interval": f"{interval}s",
            "scrape_timeout": f"{interval}s",
            "scrape_configs": exporters.scrape_configs(),
        },
        "directory": str(directory / "watchkeeper"),
        "counts": str(directory / "counts.json"),
    }
    (directory / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "bench.scraping", str(directory / "plan.json")]
    child = Child(command, directory / "watchkeeper.log")
    deadline = time.monotonic() + 60
    while not (directory / "counts.json").exists():
        child.usage()
        if time.monotonic() > deadline:
            raise RuntimeError("Watchkeeper's scraper did not start within 60 s")
        time.sleep(0.1)
    return child


def _count(directory: Path) -> dict[str, int]:
    counts: dict[str, int] = json.loads((directory / "counts.json").read_text())
    return counts


def _version(peer: Prometheus) -> str:
    with urllib.request.urlopen(f"{peer.url}/api/v1/status/buildinfo", timeout=10) as answer:
        version: str = json.load(answer)["data"]["version"]
    return version.partition("+")[0]


def _parse_per_second(series: int) -> float:
    """Our parser alone: samples per CPU second over successive bodies of one target, half of them moving."""
    target = Target(0, series, 0.5, packed=False)
    bodies = []
    for _ in range(4):
        target.render(5.0, 0.0)
        bodies.append(target.answer.partition(b"\r\n\r\n")[2])
    reader = Reader()
    reader.keep(reader.read(bodies[0]))
    best = 0.0
    for turn in range(60):
        body = bodies[turn % len(bodies)]
        started = time.process_time()
        reading = reader.read(body)
        best = max(best, len(reading.values) / max(time.process_time() - started, 1e-6))
        reader.keep(reading)
    return best
