"""Many targets in one cheap process: values that move, series that come and go, bodies rendered beforehand.

Run as a process by :class:`Exporters`, or by hand: ``python -m bench.exporters --targets 20 --series 5000``.
It prints one line of JSON (``port``, ``samples``) and serves ``/t/N/metrics`` for each target until its
standard input closes. Every target renders its next body once per interval, at its own moment; whoever asks
in between gets the same bytes, so two scrapers beside each other see the same. The shapes are those of a
platform: request histograms and counters, jobs, gauges, page loads.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Child

_BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
_VOLUME = 'mountpoint="/var/lib/postgresql",device="sda1",fstype="ext4"'
_RUM_BOUNDS = ("0.1", "0.3", "1.0", "1.2", "1.8", "2.5", "4.0", "+Inf")


@dataclass
class _Part:
    """One thing that has series: a route on a pod, a queue, a page."""

    kind: str
    labels: str
    rate: float
    total: float = 0.0


def _lines(part: _Part) -> Iterator[str]:
    """The samples of ``part``."""
    total = part.total
    if part.kind == "http":
        seen = 0.0
        for position, bound in enumerate(_BOUNDS):
            seen = total * min(1.0, (position + 1) / 9) if bound != "+Inf" else total
            yield f'http_server_request_duration_seconds_bucket{{{part.labels},le="{bound}"}} {int(seen)}'
        yield f"http_server_request_duration_seconds_sum{{{part.labels}}} {total * 0.083719:.9g}"
        yield f"http_server_request_duration_seconds_count{{{part.labels}}} {int(total)}"
        for status, share in (("200", 0.97), ("404", 0.02), ("500", 0.01)):
            yield f'http_requests_total{{{part.labels},status="{status}"}} {int(total * share)}'
        yield f"http_requests_in_flight{{{part.labels}}} {int(total) % 17}"
    elif part.kind == "job":
        yield f'jobs_total{{{part.labels},outcome="success"}} {int(total)}'
        yield f'jobs_total{{{part.labels},outcome="failure"}} {int(total * 0.01)}'
        yield f"job_queue_depth{{{part.labels}}} {int(total) % 40}"
        yield f"job_last_success_timestamp_seconds{{{part.labels}}} {1700000000 + int(total)}"
        yield f"process_resident_memory_bytes{{{part.labels}}} {123456789 + 4096 * (int(total) % 999)}"
        yield f"process_cpu_seconds_total{{{part.labels}}} {total * 0.01:.2f}"
    elif part.kind == "base":
        yield f'treazr_auth_attempts_total{{method="password",outcome="success"}} {int(total)}'
        yield f'treazr_auth_attempts_total{{method="password",outcome="failure"}} {int(total * 0.01)}'
        yield f'pg_stat_database_numbackends{{datname="treazr"}} {20 + int(total) % 30}'
        yield "pg_settings_max_connections 100"
        yield f"pg_replication_lag_seconds {int(total) % 5}"
        yield f"node_filesystem_avail_bytes{{{_VOLUME}}} {6e9 + 4096 * (int(total) % 999):.0f}"
        yield f"node_filesystem_size_bytes{{{_VOLUME}}} 10000000000"
        yield "probe_ssl_earliest_cert_expiry 4000000000"
    else:
        for position, bound in enumerate(_RUM_BOUNDS):
            seen = total if bound == "+Inf" else total * (position + 1) / 10
            yield f'rum_lcp_seconds_bucket{{{part.labels},le="{bound}"}} {int(seen)}'
        yield f"rum_lcp_seconds_sum{{{part.labels}}} {total * 1.37:.9g}"
        yield f"rum_lcp_seconds_count{{{part.labels}}} {int(total)}"


_SIZES = {"http": 18, "job": 6, "rum": 10, "base": 8}
_TYPES = {
    "treazr_auth_attempts_total": "counter",
    "pg_stat_database_numbackends": "gauge",
    "pg_settings_max_connections": "gauge",
    "pg_replication_lag_seconds": "gauge",
    "node_filesystem_avail_bytes": "gauge",
    "node_filesystem_size_bytes": "gauge",
    "probe_ssl_earliest_cert_expiry": "gauge",
    "http_server_request_duration_seconds": "histogram",
    "http_requests_total": "counter",
    "http_requests_in_flight": "gauge",
    "jobs_total": "counter",
    "job_queue_depth": "gauge",
    "job_last_success_timestamp_seconds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
    "rum_lcp_seconds": "histogram",
}
_FAMILY_OF = {
    f"{family}{suffix}": family
    for family, kind in _TYPES.items()
    for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
}


class Target:
    """One target of about ``series`` series, of which a share is replaced by new ones as time goes by."""

    def __init__(self, number: int, series: int, active: float, packed: bool) -> None:
        self._random = random.Random(number)
        self._active = active
        self._packed = packed
        self._parts: list[_Part] = []
        self._base = _Part("base", "", 30.0, self._random.uniform(0, 1e6))
        self._owed = 0.0
        left = series - _SIZES["base"]
        while left > 0:
            kind = self._random.choices(("http", "job", "rum"), (6, 2, 3))[0]
            self._parts.append(self._part(kind))
            left -= _SIZES[kind]
        self.samples = sum(_SIZES[part.kind] for part in (*self._parts, self._base))
        self.answer = b""
        self.render(0.0, 0.0)

    def _part(self, kind: str) -> _Part:
        chance = self._random
        pod = f"api-7d9f8b6c4-{chance.getrandbits(20):05x}"
        labels = {
            "http": f'method="GET",route="/api/v1/items/{chance.randrange(40)}",pod="{pod}"',
            "job": f'job_type="type-{chance.randrange(30)}",pod="{pod}"',
            "rum": f'page="/shop/{chance.randrange(60)}",browser="firefox",pod="{pod}"',
        }[kind]
        rate = chance.uniform(0.1, 40) if chance.random() < self._active else 0.0
        return _Part(kind, labels, rate, chance.uniform(0, 1e6))

    def render(self, seconds: float, churn_per_minute: float) -> None:
        """Let ``seconds`` pass: counters move, some parts are replaced, and the answer is rendered."""
        self._owed += churn_per_minute * self.samples * seconds / 60
        while self._owed > 0:
            victim = self._random.randrange(len(self._parts))
            kind = self._parts[victim].kind
            self._parts[victim] = self._part(kind)
            self._owed -= _SIZES[kind]
        by_family: dict[str, list[str]] = {}
        for part in (*self._parts, self._base):
            part.total += seconds * part.rate
            for line in _lines(part):
                name = line.partition(" ")[0].partition("{")[0]
                by_family.setdefault(_FAMILY_OF[name], []).append(line)
        body = "".join(
            f"# HELP {family} Something of the platform.\n# TYPE {family} {_TYPES[family]}\n"
            + "\n".join(lines)
            + "\n"
            for family, lines in by_family.items()
        ).encode()
        packing = b""
        if self._packed:
            body, packing = gzip.compress(body, 1), b"Content-Encoding: gzip\r\n"
        self.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            + packing
            + b"Content-Length: %d\r\n\r\n" % len(body)
            + body
        )


class _Connection(asyncio.Protocol):
    """As much HTTP as a scraper speaks."""

    def __init__(self, targets: dict[bytes, Target]) -> None:
        self._targets = targets
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            target = self._targets.get(head.split(b" ", 2)[1])
            nothing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            self._transport.write(nothing if target is None else target.answer)


async def _serve(targets: list[Target], interval: float, churn: float) -> None:
    paths = {f"/t/{number}/metrics".encode(): target for number, target in enumerate(targets)}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(paths), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "samples": sum(target.samples for target in targets)}), flush=True)

    async def move(target: Target, offset: float) -> None:
        await asyncio.sleep(offset)
        last = time.monotonic()
        while True:
            await asyncio.sleep(interval)
            now = time.monotonic()
            target.render(now - last, churn)
            last = now

    movers = [asyncio.ensure_future(move(t, i * interval / len(targets))) for i, t in enumerate(targets)]
    await loop.run_in_executor(None, sys.stdin.read)
    for mover in movers:
        mover.cancel()


class Exporters(Child):
    """The process, as a context manager. ``samples`` is how many samples all targets have together."""

    def __init__(
        self,
        directory: Path,
        targets: int,
        series: int,
        interval: float,
        churn: float,
        *,
        packed: bool = False,
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "bench.exporters",
            "--targets",
            str(targets),
            "--series",
            str(series),
        ]
        command += ["--interval", str(interval), "--churn", str(churn)] + (["--gzip"] if packed else [])
        super().__init__(command, directory / "exporters.log")
        deadline = time.monotonic() + 60
        while b"\n" not in self.log.read_bytes():
            self.usage()
            if time.monotonic() > deadline:
                raise RuntimeError("the exporters did not start within 60 s")
            time.sleep(0.05)
        said = json.loads(self.log.read_text().splitlines()[0])
        self.port: int = said["port"]
        self.samples: int = said["samples"]
        self.targets = targets

    def scrape_configs(self) -> list[dict[str, object]]:
        """One job for each target, in Prometheus' format, with the labels that the runbook requires."""
        return [
            {
                "job_name": f"bench-{number}",
                "metrics_path": f"/t/{number}/metrics",
                "static_configs": [
                    {
                        "targets": [f"127.0.0.1:{self.port}"],
                        "labels": {
                            "service": f"service-{number % 5}",
                            "env": "bench",
                            "region": f"r{number % 2}",
                        },
                    }
                ],
            }
            for number in range(self.targets)
        ]


def main(argv: list[str]) -> int:
    """Serve until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m bench.exporters")
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=15.0)
    parser.add_argument("--churn", type=float, default=0.01, help="share of the series replaced per minute")
    parser.add_argument("--active", type=float, default=0.5, help="share of the series whose values move")
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args(argv)
    targets = [
        Target(number, options.series, options.active, options.gzip) for number in range(options.targets)
    ]
    asyncio.run(_serve(targets, options.interval, options.churn))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
