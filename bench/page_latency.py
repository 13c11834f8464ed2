"""How long a page takes: from the answer that crosses the line to the request at the receiver, beside
Prometheus with Alertmanager.

Many targets, each with a gauge of its own service. Each crosses the threshold once, at a random moment. The
clock starts when a target sends the answer to the first scrape that holds the crossing value, and stops when
the request for that service arrives at a webhook. The rule has ``for: 0s``, so its own time is zero. Every
trial is an alert, a group and a notification of its own. Both sides scrape and evaluate at equal intervals;
one side runs after the other, on an otherwise idle machine, each with exporters and a receiver of its own.

Prometheus' way: scrape, wait for the rule group's next evaluation, Alertmanager, webhook. It is configured
for speed as far as its users can: ``group_wait: 0s`` and ``group_by: ['...']``, so that Alertmanager sends at
once; no cluster to wait for; both on loopback. When in the interval a target is scraped and when a group is
evaluated, Prometheus derives from hashes; it cannot be configured, so on average an answer waits half an
interval. A shorter ``evaluation_interval`` alone would shorten that, at the price of so many more
evaluations; here the intervals are equal on both sides.

Watchkeeper's way: all roles of ``watchkeeper serve``, as they are shipped: the visits lie just before the
evaluation, the evaluation wakes the role ``work``, which sends. Only the storm's threshold is raised, so that
each alert is told by itself.

``ratio`` is Prometheus' median divided by ours, at the first of ``--intervals``. The whole time, from the
crossing itself (which waits for its scrape half an interval on either side), is shown as well.
``violations`` counts trials on our side that were never told, or told twice.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from bench.processes import Child, free_port, wait_for_http
from bench.prometheus import Prometheus
from bench.report import report
from bench.rules import Watchkeeper
from tests.fakes.exporter import Ask, Exporter, Reply

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
LABELS = {"env": "prod", "region": "eu"}
LINE = 100
RUNBOOK: dict[str, Any] = {
    "runbook": 1,
    "platform": "Latency",
    "monitoring": {
        "layers": [
            {
                "id": "api",
                "title": "API",
                "signals": [
                    {
                        "id": "queue",
                        "title": "Queue depth",
                        "expr": "bench_queue_depth",
                        "page": {"above": LINE, "for": "0s"},
                    }
                ],
            }
        ]
    },
}
RULE = {
    "alert": "QueueDepth",
    "expr": f"bench_queue_depth > {LINE}",
    "for": "0s",
    "labels": {"severity": "page"},
    "annotations": {"summary": "the queue of {{ $labels.service }} is {{ $value }} long"},
}


@dataclass(frozen=True)
class Outcome:
    """Seconds of each trial: from the answer, and from the crossing, to the request at the receiver."""

    served: list[float]
    crossed: list[float]
    lost: int
    doubled: int

    @property
    def p50(self) -> float:
        """The median from the answer."""
        return statistics.median(self.served)

    @property
    def p99(self) -> float:
        """The 99th percentile from the answer."""
        return statistics.quantiles(self.served, n=100, method="inclusive")[98]

    @property
    def whole(self) -> float:
        """The median from the crossing."""
        return statistics.median(self.crossed)


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench page-latency")
    parser.add_argument("--trials", type=int, default=60, help="targets, each of which crosses once")
    parser.add_argument("--series", type=int, default=100, help="further series of each target")
    parser.add_argument("--intervals", type=int, nargs="+", default=[5, 1], help="seconds; the first counts")
    parser.add_argument("--span", type=int, default=60, help="seconds over which the crossings are spread")
    options = parser.parse_args(argv)
    rows: list[tuple[str, ...]] = []
    result: dict[str, float] = {}
    violations = 0
    for interval in options.intervals:
        theirs = _run(options, interval, _Peer)
        ours = _run(options, interval, _Ours)
        violations += ours.lost + ours.doubled
        rows += [
            (
                f"{label}, every {interval} s",
                f"{one.p50:.3f} s",
                f"{one.p99:.3f} s",
                f"{max(one.served):.3f} s",
                f"{one.whole:.2f} s",
                f"{len(one.served)}",
                f"{one.lost}",
            )
            for label, one in (("Prometheus + Alertmanager", theirs), ("Watchkeeper", ours))
        ]
        result |= {
            f"ratio_{interval}s": round(theirs.p50 / ours.p50, 2),
            f"ratio_p99_{interval}s": round(theirs.p99 / ours.p99, 2),
            f"ratio_from_crossing_{interval}s": round(theirs.whole / ours.whole, 2),
            f"p50_ms_{interval}s": round(ours.p50 * 1e3),
            f"p99_ms_{interval}s": round(ours.p99 * 1e3),
            f"prometheus_p50_ms_{interval}s": round(theirs.p50 * 1e3),
            f"prometheus_p99_ms_{interval}s": round(theirs.p99 * 1e3),
        }
    first = options.intervals[0]
    report(
        f"From the answer that crosses the line to the page, {options.trials} alerts at random moments",
        ("", "p50", "p99", "longest", "p50 from the crossing", "told", "never told"),
        rows,
        {
            "ratio": result[f"ratio_{first}s"],
            "ratio_p99": result[f"ratio_p99_{first}s"],
            "violations": violations,
            **result,
        },
    )
    return 0


@dataclass
class _Services:
    """The targets: paths of one exporter. Each is asked for its value, and crosses when its time has come."""

    count: int
    series: int
    crossing: dict[str, float] = field(default_factory=dict)
    served: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        filler = "".join(f'bench_filler{{n="{number}"}} {number}\n' for number in range(self.series))
        self._calm, self._high = (f"bench_queue_depth {value}\n{filler}".encode() for value in (1, 5 * LINE))

    def routes(self) -> dict[str, Callable[[Ask], Reply] | bytes]:
        """The exporter's."""
        return {f"/{name}": self._answer for name in self.names}

    @property
    def names(self) -> list[str]:
        """Of the services."""
        return [f"s{number}" for number in range(self.count)]

    def scrape_configs(self, address: str) -> list[dict[str, object]]:
        """As both sides read them."""
        targets = [
            {"targets": [address], "labels": {**LABELS, "service": name, "__metrics_path__": f"/{name}"}}
            for name in self.names
        ]
        return [{"job_name": "latency", "static_configs": targets}]

    def _answer(self, ask: Ask) -> Reply:
        name = ask.path[1:]
        if time.monotonic() < self.crossing.get(name, float("inf")):
            return Reply(self._calm)
        self.served.setdefault(name, time.monotonic())
        return Reply(self._high)


class _Webhook:
    """A receiver that notes when it was first asked about a service, and how often."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.told: Counter[str] = Counter()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                now = time.monotonic()
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for name in _firing(document):
                    sink.arrived.setdefault(name, now)
                    sink.told[name] += 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _firing(document: dict[str, Any]) -> list[str]:
    """The services that a request says are in trouble, in either side's format."""
    if "alerts" in document:  # Alertmanager's
        return [one["labels"]["service"] for one in document["alerts"] if one["status"] == "firing"]
    data = document["data"]
    return [data["labels"]["service"]] if data["kind"] == "trigger" and "service" in data["labels"] else []


class _Peer:
    """Prometheus and Alertmanager."""

    def __init__(self, directory: Path, scrapes: list[dict[str, object]], interval: int, url: str) -> None:
        if ALERTMANAGER is None:
            raise RuntimeError("this bench needs Alertmanager: apt-get install prometheus-alertmanager")
        config = directory / "alertmanager.yml"
        route = {
            "receiver": "sink",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "4h",
        }
        receivers = [{"name": "sink", "webhook_configs": [{"url": url, "send_resolved": True}]}]
        config.write_text(yaml.safe_dump({"route": route, "receivers": receivers}))
        rules = directory / "rules.yml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": "latency", "rules": [RULE]}]}))
        port = free_port()
        command = [ALERTMANAGER, f"--config.file={config}", f"--storage.path={directory / 'alertmanager'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn"]
        self._alertmanager = Child(command, directory / "alertmanager.log")
        wait_for_http(f"http://127.0.0.1:{port}/-/ready", self._alertmanager)
        self._prometheus = Prometheus(directory, scrapes, f"{interval}s")
        self._prometheus.alert_to(f"127.0.0.1:{port}")
        self._prometheus.load_rules([rules])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._prometheus.stop()
        self._alertmanager.stop()


class _Ours:
    """``watchkeeper serve``, as shipped; only a storm is not taken for one."""

    def __init__(self, directory: Path, scrapes: list[dict[str, object]], interval: int, url: str) -> None:
        runbook = directory / "runbook.yaml"
        by = ["alertname", "service", *LABELS]
        notifications = {
            "receivers": [{"id": "sink", "webhook": {"url": url}}],
            "grouping": {"by": by, "storm": 100_000},
        }
        runbook.write_text(yaml.safe_dump({**RUNBOOK, "notifications": notifications}))
        self._watchkeeper = Watchkeeper(directory, runbook, scrapes, f"{interval}s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._watchkeeper.stop()


def _run(options: argparse.Namespace, interval: int, side: type[_Peer] | type[_Ours]) -> Outcome:
    services = _Services(options.trials, options.series)
    draw = random.Random(11 * interval)
    with (
        tempfile.TemporaryDirectory() as name,
        Exporter(services.routes()) as exporter,
        _Webhook() as sink,
        side(Path(name), services.scrape_configs(exporter.address), interval, sink.url),
    ):
        time.sleep(15 + 3 * interval)  # some scrapes and evaluations of everything
        begin = time.monotonic()
        services.crossing.update((name, begin + draw.uniform(0, options.span)) for name in services.names)
        deadline = begin + options.span + 3 * interval + 15
        while len(sink.arrived) < options.trials and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)  # what is told twice shows by now
    told = sorted(sink.arrived)
    return Outcome(
        served=[sink.arrived[name] - services.served[name] for name in told],
        crossed=[sink.arrived[name] - services.crossing[name] for name in told],
        lost=options.trials - len(told),
        doubled=sum(max(0, sink.told[name] - 1) for name in told),
    )
