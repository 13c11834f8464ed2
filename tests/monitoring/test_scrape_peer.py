"""Prometheus and we read the same bodies in the same way: what is accepted, and which series come out.

One known difference: blanks before a series are allowed, as the format's description says, while
Prometheus takes them as part of the name and refuses it.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bench.prometheus import BINARY, Prometheus
from tests.fakes.exporter import OPENMETRICS, TEXT, Exporter, Reply
from tests.fakes.sink import STALE, MemorySink
from watchkeeper.monitoring.exposition.layout import ExpositionError
from watchkeeper.monitoring.ingest import Intake, LimitError, ingest
from watchkeeper.monitoring.targets import jobs_of, resolve
from watchkeeper.monitoring.wire_format import format_value
from watchkeeper.runbook.models.metrics import Metrics

CASES: dict[str, tuple[str, bytes]] = {
    "plain": (TEXT, b'a 1\na_total{b="c"} 2.5\n# some words\n\n# TYPE a gauge\na{d="e"} -3e-7\n'),
    "blanks": (TEXT, b'a \t 1  \nb{ c = "d" , e="f" , }\t2\n#\n # x\nc{} 3'),
    "tight": (TEXT, b'a{b="c"}1\n'),
    "escapes": (TEXT, b'a{b="\\\\x\\"y\\nz\\q"} 1\na{b="# no {comment} 5"} 2\na{b="} 7"} 3\n'),
    "unicode": (TEXT, 'a{b="ü€😀",c="\x01"} 1\n'.encode()),
    "values": (TEXT, b"a NaN\nb +Inf\nc -inf\nd 1e300\ne .5\nf 5.\ng 007\nh -0\ni Infinity\nj +4\n"),
    "clash": (TEXT, b'a{job="x",instance="y",exported_job="z"} 1\n'),
    "empty label": (TEXT, b'a{b="",c="d"} 1\n'),
    "twice": (TEXT, b'a{b="1",c="2"} 1\na{c="2",b="1"} 1\nd 1\n'),
    "empty": (TEXT, b""),
    "openmetrics": (
        OPENMETRICS,
        b'# HELP a x\n# TYPE a counter\n# UNIT a_seconds seconds\na_total{b="c d"} 1 # {t="x y"} 0.5 1.5\n'
        b'a_created{b="c d"} 1520872607.123\ng{h="# {"} 5\n# EOF\n',
    ),
    "no value": (TEXT, b"a\n"),
    "word": (TEXT, b"a one\n"),
    "hexadecimal": (TEXT, b"a 0x1p-2\n"),
    "underscore": (TEXT, b"a 1_000\n"),
    "out of range": (TEXT, b"a 1e999\n"),
    "line feed": (TEXT, b"a 1\r\n"),
    "bad timestamp": (TEXT, b"a 1 1.5\n"),
    "too much": (TEXT, b"a 1 2 3\n"),
    "bad name": (TEXT, b"a-b 1\n"),
    "bad label": (TEXT, b'a{9="b"} 1\n'),
    "unquoted": (TEXT, b"a{b=c} 1\n"),
    "open quote": (TEXT, b'a{b="c} 1\n'),
    "open brace": (TEXT, b'a{b="c" 1\n'),
    "not utf-8": (TEXT, b'a{b="\xff"} 1\n'),
    "bad type": (TEXT, b"# TYPE a thing\na 1\n"),
    "same label": (TEXT, b'a{b="c",b="d"} 1\n'),
    "good then bad": (TEXT, b"a 1\nb 2\nc {\n"),
    "cut off": (OPENMETRICS, b"a 1\n"),
    "after the end": (OPENMETRICS, b"a 1\n# EOF\nb 1\n# EOF\n"),
    "blank line": (OPENMETRICS, b"a 1\n\n# EOF\n"),
    "two blanks": (OPENMETRICS, b"a  1\n# EOF\n"),
    "blank at the end": (OPENMETRICS, b"a 1 \n# EOF\n"),
    "bad unit": (OPENMETRICS, b"# UNIT a_seconds bytes\na_seconds 1\n# EOF\n"),
    "bad exemplar": (OPENMETRICS, b"a_total 1 # {b=c} 1\n# EOF\n"),
}


@pytest.mark.needs_prometheus
@pytest.mark.skipif(BINARY is None, reason="prometheus is not installed")
def test_prometheus_and_we_agree_on_every_body(tmp_path: Path) -> None:
    with Exporter() as exporter:
        configs: list[dict[str, Any]] = []
        for number, (name, (content_type, body)) in enumerate(CASES.items()):
            path = f"/{number}"
            exporter.routes[path] = lambda ask, b=body, c=content_type: Reply(b, content_type=c)  # type: ignore[misc]
            configs.append(
                {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [exporter.address]}]}
            )
        ours = {name: _ours(configs[at], *CASES[name]) for at, name in enumerate(CASES)}
        with Prometheus(tmp_path, configs, "1s") as peer:
            _until_scraped(peer, len(CASES))
            theirs = {name: _theirs(peer, name) for name in CASES}
        assert all(exporter.requests[f"/{number}"] for number in range(len(CASES)))
    for name in CASES:
        assert ours[name] == theirs[name], name


def _ours(config: dict[str, Any], content_type: str, body: bytes) -> dict[str, str]:
    """What we store, by series; without the reports, but ``up``."""
    (job,) = jobs_of(Metrics.model_validate({"scrape_configs": [config]}))
    target = resolve(job, {"__address__": config["static_configs"][0]["targets"][0]}, {})
    assert target is not None
    sink = MemorySink()
    with contextlib.suppress(ExpositionError, LimitError):
        ingest(Intake(target, sink), body, content_type, 1000)
    ((row),) = [group.rows[1000] for group in sink.groups.values()]
    return {
        json.dumps(dict(labels), sort_keys=True): format_value(float(cell))
        for labels, cell in row.items()
        if cell != STALE and not dict(labels)["__name__"].startswith("scrape_")
    }


def _theirs(peer: Prometheus, job: str) -> dict[str, str]:
    query = urllib.parse.urlencode({"query": f'{{job="{job}",__name__!~"scrape_.*"}}'})
    with urllib.request.urlopen(f"{peer.url}/api/v1/query?{query}", timeout=30) as answer:
        result = json.load(answer)["data"]["result"]
    return {json.dumps(one["metric"], sort_keys=True): one["value"][1] for one in result}


def _until_scraped(peer: Prometheus, targets: int) -> None:
    deadline = time.monotonic() + 30
    while peer.value("count(up)") < targets:
        assert time.monotonic() < deadline, "Prometheus did not scrape all targets in time"
        time.sleep(0.3)
