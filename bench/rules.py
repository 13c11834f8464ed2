"""What evaluating twelve runbook rules over 100,000 series costs, beside Prometheus on the same scrape.

Both scrape the same 20 targets (each at its own moment, 1 % of the series replaced per minute) every 15 s,
at the same time on the same machine: first without rules, until windows of five minutes are full, then with
the rules, which both take up on SIGHUP. The CPU of an evaluation is what a process used more per second
with the rules than without, divided by the evaluations that it held; so scraping, storing and everything
else cancel out on both sides. The rules are twelve thresholds of the shipped runbook; Prometheus gets what
``watchkeeper rules export`` writes for them. Our side is ``watchkeeper serve`` with all three roles: it
also journals verdicts and reads every signal for display.

That difference drowns in upkeep where evaluating costs little, so ours is held against the CPU time of the
thread that evaluates and records as well, and the larger of the two counts. ``ratio`` is Prometheus' CPU
per evaluation divided by ours. ``violations`` counts failed or missed evaluations of ours and whether we
take more memory (proportional set size, all roles).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.exporters import Exporters
from bench.processes import Child, free_port, wait_for_http
from bench.prometheus import Prometheus
from bench.report import report
from tests.api_tokens import token_for
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.tree import read_tree

SIGNALS = {
    "api": ("error-rate", "latency-p95"),
    "jobs": ("queue-depth", "failure-rate"),
    "database": ("storage", "connections", "replication-lag"),
    "infrastructure": ("certificate-expiry",),
    "users": ("lcp", "auth-success"),
}
"""The layers and signals of the shipped runbook whose thresholds are the twelve rules."""
RULES = 12
_TICKS = os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench rules")
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--series", type=int, default=5000, help="per target")
    parser.add_argument("--interval", type=int, default=15, help="seconds between scrapes, and evaluations")
    parser.add_argument("--settle", type=int, default=330, help="seconds until windows are full")
    parser.add_argument("--measure", type=int, default=180, help="seconds without rules, and with them")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        _run(options, Path(name))
    return 0


def _run(options: argparse.Namespace, directory: Path) -> None:
    without, with_rules = _runbooks(directory)
    rules = _export(directory, with_rules)
    runbook = directory / "runbook.yaml"
    runbook.write_text(without)
    with (
        Exporters(directory, options.targets, options.series, options.interval, 0.01) as exporters,
        Prometheus(directory, exporters.scrape_configs(), f"{options.interval}s") as peer,
        Watchkeeper(directory, runbook, exporters.scrape_configs(), f"{options.interval}s") as ours,
    ):
        time.sleep(max(0, options.settle - options.measure))
        bare = _measure({"peer": peer, "ours": ours}, options.measure)
        runbook.write_text(with_rules)
        peer.load_rules([rules])
        ours.reload()
        time.sleep(3 * options.interval)  # the first evaluations compile and cache: not what is measured
        counted = ours.totals(), _peer_totals(peer)
        busy = _measure({"peer": peer, "ours": ours}, options.measure)
        evaluated = ours.totals(), _peer_totals(peer)
        memory = {"peer": memory_of(peer.pid), "ours": sum(map(memory_of, ours.pids()))}
        roles = {role: memory_of(pid) for role, pid in ours.roles().items()}
        series = evaluated[0]["series"], peer.metric("prometheus_tsdb_head_series")
        wall = ours.metrics()["watchkeeper_evaluation_seconds"], _peer_seconds(peer)
        alive = _rules_with_data(ours)
        version = _version(peer)
    ours_count = {key: evaluated[0][key] - counted[0][key] for key in evaluated[0]}
    peer_count = {key: evaluated[1][key] - counted[1][key] for key in evaluated[1]}
    held = {"ours": ours_count["evaluations"], "peer": peer_count["evaluations"]}
    more = {name: (busy[name] - bare[name]) / held[name] for name in held}
    thread = ours_count["cpu_seconds"] / held["ours"]
    each = {"peer": more["peer"], "ours": max(more["ours"], thread)}
    violations = int(ours_count["failures"] + ours_count["missed"]) + (memory["ours"] > memory["peer"])
    rows = [
        (
            label,
            f"{wall[side] * 1e3:,.0f} ms",
            f"{each[name] * 1e3:,.1f} ms",
            f"{bare[name] / options.measure:.1%}",
            f"{busy[name] / options.measure:.1%}",
            f"{memory[name] / 1e6:,.0f} MB",
            f"{count:,.0f}",
        )
        for label, name, side, count in (
            (f"Prometheus {version}", "peer", 1, series[1]),
            ("Watchkeeper", "ours", 0, series[0]),
        )
    ]
    report(
        f"{RULES} runbook rules ({alive} with data) over {exporters.samples:,} series "
        f"from {options.targets} targets, 1 % churn per minute; {held['ours']:.0f} evaluations, "
        f"Prometheus {held['peer']:.0f}; memory of our roles: "
        + ", ".join(f"{role} {size / 1e6:.0f} MB" for role, size in roles.items()),
        ("", "wall", "CPU per evaluation", "CPU without", "CPU with rules", "memory", "series held"),
        rows,
        {
            "ratio": round(each["peer"] / each["ours"], 2),
            "violations": violations,
            "cpu_ms_per_evaluation": round(each["ours"] * 1e3, 1),
            "prometheus_cpu_ms_per_evaluation": round(each["peer"] * 1e3, 1),
            "cpu_ms_more_with_rules": round(more["ours"] * 1e3, 1),
            "cpu_ms_of_the_rules_thread": round(thread * 1e3, 1),
            "wall_ms": round(wall[0] * 1e3, 1),
            "prometheus_wall_ms": round(wall[1] * 1e3, 1),
            "memory_mb": round(memory["ours"] / 1e6),
            "prometheus_memory_mb": round(memory["peer"] / 1e6),
            "failed_evaluations": ours_count["failures"],
            "missed_evaluations": ours_count["missed"],
            "rules_with_data": alive,
        },
    )


class Watchkeeper(Child):
    """``watchkeeper serve`` with all its roles."""

    def __init__(
        self, directory: Path, runbook: Path, scrape_configs: list[dict[str, object]], interval: str
    ) -> None:
        metrics = {
            "scrape_interval": interval,
            "evaluation_interval": interval,
            "scrape_configs": scrape_configs,
        }
        overlay = directory / "overlay.yaml"
        overlay.write_text(yaml.safe_dump({"metrics": metrics}))
        self.data = directory / "watchkeeper"
        self._token: str | None = None
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "watchkeeper.cli.main", "serve", "--runbook", str(runbook)]
        command += ["--overlay", str(overlay), "--data", str(self.data)]
        super().__init__([*command, "--listen", f"127.0.0.1:{port}"], directory / "watchkeeper.log")
        wait_for_http(f"{self.url}/healthz", self)

    def reload(self) -> None:
        """Read the runbook again."""
        self.signal(signal.SIGHUP)

    def roles(self) -> dict[str, int]:
        """The process id of each role."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in children}
        return {
            words[words.index("role") + 1]: int(pid) for pid, words in commands.items() if "role" in words
        }

    def pids(self) -> list[int]:
        """The supervisor and its roles."""
        return [self.pid, *self.roles().values()]

    def metrics(self) -> dict[str, float]:
        """Our own metrics, summed over their labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            if not line.startswith("#"):
                name = line.partition("{")[0].partition(" ")[0]
                found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
        return found

    def totals(self) -> dict[str, float]:
        """What is counted over the measurement."""
        found = self.metrics()
        return {
            "evaluations": found["watchkeeper_evaluations_total"],
            "missed": found["watchkeeper_evaluations_missed_total"],
            "failures": found["watchkeeper_rule_failures_total"],
            "cpu_seconds": found["watchkeeper_evaluation_cpu_seconds_total"],
            "series": found["watchkeeper_series"],
        }

    def api(self, path: str) -> Any:
        """The ``data`` of Prometheus' API at ``path``."""
        return self.json(f"/api/v1/{path}")["data"]

    def json(self, path: str) -> Any:
        """The document at ``path`` of our API."""
        if self._token is None:
            self._token = token_for(self.data)
        request = urllib.request.Request(
            f"{self.url}{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def _runbooks(directory: Path) -> tuple[str, str]:
    """The shipped runbook without any rule, and with the twelve."""
    tree, problems = read_tree("default.yaml", default_text().encode())
    if problems:
        raise RuntimeError(f"the shipped runbook cannot be read: {problems}")
    document = tree.plain()
    monitoring = document["monitoring"]
    monitoring.pop("inhibition", None)
    monitoring.pop("heartbeat", None)
    layers = []
    for layer in monitoring["layers"]:
        layer.pop("alerts", None)
        layer["signals"] = [one for one in layer["signals"] if one["id"] in SIGNALS.get(layer["id"], ())]
        if layer["signals"]:
            layers.append(layer)
    texts = []
    for kept in ([], layers):
        monitoring["layers"] = kept
        texts.append(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    return texts[0], texts[1]


def _export(directory: Path, runbook: str) -> Path:
    source, rules = directory / "with-rules.yaml", directory / "rules.yml"
    source.write_text(runbook)
    command = [sys.executable, "-m", "watchkeeper.cli.main", "rules", "export", "--runbook", str(source)]
    subprocess.run([*command, "-o", str(rules)], check=True, stdout=subprocess.DEVNULL)
    exported = yaml.safe_load(rules.read_text())
    count = sum(len(group["rules"]) for group in exported["groups"])
    if count != RULES:
        raise RuntimeError(f"the runbook gives {count} rules, not {RULES}")
    return rules


def _measure(children: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """CPU seconds that each used in ``seconds``."""
    ours, peer = children["ours"], children["peer"]
    before = {"ours": sum(map(_cpu, ours.pids())), "peer": _cpu(peer.pid)}
    time.sleep(seconds)
    return {"ours": sum(map(_cpu, ours.pids())) - before["ours"], "peer": _cpu(peer.pid) - before["peer"]}


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> int:
    """Proportional set size: what processes share counts once."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no Pss")


def _peer_totals(peer: Prometheus) -> dict[str, float]:
    return {"evaluations": peer.metric("prometheus_rule_evaluations_total") / RULES}


def _peer_seconds(peer: Prometheus) -> float:
    return peer.metric("prometheus_rule_group_last_duration_seconds")


def _version(peer: Prometheus) -> str:
    with urllib.request.urlopen(f"{peer.url}/api/v1/status/buildinfo", timeout=10) as answer:
        version: str = json.load(answer)["data"]["version"]
    return version.partition("+")[0]


def _rules_with_data(ours: Watchkeeper) -> int:
    """How many rules had something to judge: their clause is met or missed, not unknown."""
    layers = ours.json("/api/overview")["layers"]
    signals = [signal for layer in layers for signal in layer["signals"] if signal["value"] is not None]
    return sum(len(signal["warn"]) + len(signal["page"]) for signal in signals)
