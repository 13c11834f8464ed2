"""Rules over a remote API: against small servers that misbehave, and against Debian's Prometheus."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests.monitoring.stage import load_text
from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.remote import RemoteSource
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.monitoring.source import Answer, Failure, SourceError
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.store.clock import ManualClock, SystemClock
from watchkeeper.store.database import open_store

Reply = Callable[[str, Mapping[str, str], Mapping[str, str]], tuple[int, str, bytes]]
"""Path, form and headers of a request; status, content type and body of the answer."""


@contextmanager
def server(reply: Reply) -> Iterator[str]:
    """An HTTP server on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._answer(dict(urllib.parse.parse_qsl(raw)))

        def do_GET(self) -> None:
            self._answer({})

        def _answer(self, form: dict[str, str]) -> None:
            status, kind, body = reply(self.path, form, dict(self.headers.items()))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def ask(
    url: str, *queries: str, environ: Mapping[str, str] | None = None, at_ms: int = 1_500, **more: Any
) -> list[Answer]:
    async def work() -> list[Answer]:
        async with HttpFetcher(environ or {}) as fetcher:
            metrics = Metrics.model_validate({"url": url, "timeout": "2s", **more})
            return await RemoteSource(fetcher, metrics).evaluate(queries, at_ms)

    return asyncio.run(work())


def success(kind: str, result: Any) -> tuple[int, str, bytes]:
    document = {"status": "success", "data": {"resultType": kind, "result": result}}
    return 200, "application/json", json.dumps(document).encode()


def refusal(status: int, kind: str, message: str) -> tuple[int, str, bytes]:
    body = json.dumps({"status": "error", "errorType": kind, "error": message}).encode()
    return status, "application/json", body


# -- answers ------------------------------------------------------------------------------------


def test_a_vector_is_read_with_its_special_values() -> None:
    rows = [
        {"metric": {"__name__": "x", "b": "2", "a": "1"}, "value": [1.5, "+Inf"]},
        {"metric": {}, "value": [1.5, "-2.5e-3"]},
    ]
    asked: list[tuple[str, Mapping[str, str]]] = []

    def reply(path: str, form: Mapping[str, str], _: Mapping[str, str]) -> tuple[int, str, bytes]:
        asked.append((path, form))
        return success("vector", rows)

    with server(reply) as url:
        (answer,) = ask(f"{url}/prom/", "x # long")
    assert answer == {(("__name__", "x"), ("a", "1"), ("b", "2")): float("inf"), (): -0.0025}
    assert asked == [("/prom/api/v1/query", {"query": "x # long", "time": "1.5", "timeout": "2s"})]


def test_a_scalar_is_one_element_and_anything_else_a_failure_of_its_query() -> None:
    answers = {
        "1": success("scalar", [1.5, "1"]),
        "x[1m]": success("matrix", []),
        "h": success("vector", [{"metric": {}, "histogram": [1.5, {}]}]),
        "bad": refusal(400, "bad_data", "parse error"),
        "many": refusal(422, "execution", "found duplicate series"),
    }
    with server(lambda _, form, __: answers[form["query"]]) as url:
        one, matrix, histogram, bad, many = ask(url, *answers)
    assert one == {(): 1.0}
    assert isinstance(matrix, Failure)
    assert isinstance(histogram, Failure)
    assert (bad, many) == (Failure("parse error"), Failure("found duplicate series"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, "text/plain", b"starting"), "503"),
        (refusal(503, "unavailable", "starting"), "503"),
        ((401, "text/plain", b"who?"), "credentials"),
        ((404, "text/plain", b""), "check metrics.url"),
        ((200, "text/html", b"<html>sign in</html>"), "not an answer of Prometheus"),
        ((200, "application/json", b"[]"), "not an answer of Prometheus"),
    ],
)
def test_a_server_that_cannot_be_asked_is_one_error(answer: tuple[int, str, bytes], said: str) -> None:
    with server(lambda *_: answer) as url, pytest.raises(SourceError, match=said):
        ask(url, "up", "x")


def test_nobody_there_is_one_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(SourceError, match="cannot connect"):
        ask(f"http://127.0.0.1:{port}", "up")


def test_a_server_that_never_answers_is_given_up_at_the_time_out() -> None:
    release = threading.Event()

    def reply(*_: Any) -> tuple[int, str, bytes]:
        release.wait(10)
        return success("vector", [])

    with server(reply) as url:
        begun = time.monotonic()
        with pytest.raises(SourceError, match=r"within 0.2s \(metrics.timeout\)"):
            ask(url, "up", timeout="200ms")
        assert time.monotonic() - begun < 3
        release.set()


def test_one_query_that_fails_leaves_the_others() -> None:
    def reply(_: str, form: Mapping[str, str], __: Mapping[str, str]) -> tuple[int, str, bytes]:
        return success("vector", []) if form["query"] != "slow" else (500, "text/plain", b"")

    with server(reply) as url:
        first, slow, last = ask(url, "up", "slow", "x")
    assert (first, last) == ({}, {})
    assert isinstance(slow, Failure)


def test_credentials_come_from_their_place_and_appear_in_no_message() -> None:
    seen: list[str] = []

    def reply(_: str, __: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        seen.append(headers.get("Authorization", ""))
        return 403, "text/plain", b""

    with server(reply) as url:
        for more in (
            {"authorization": {"credentials": {"env": "TOKEN"}}},
            {"basic_auth": {"username": "ada", "password": {"env": "TOKEN"}}},
        ):
            with pytest.raises(SourceError) as caught:
                ask(url, "up", environ={"TOKEN": "hush"}, **more)
            assert "hush" not in str(caught.value)
    assert seen == ["Bearer hush", f"Basic {base64.b64encode(b'ada:hush').decode()}"]


# -- Debian's Prometheus ------------------------------------------------------------------------

RULES = """
runbook: 1
platform: Test
metrics: {{url: "{url}", timeout: 5s}}
notifications:
  receivers: [{{id: pd, pagerduty: {{routing_key: {{env: KEY}}}}}}]
monitoring:
  layers:
    - id: shop
      title: Shop
      signals:
        - {{id: depth, title: Depth, expr: "max by (service) (depth)", page: {{above: 10, clear: 5}}}}
        - {{id: twins, title: Twins, expr: "depth + on () group_left () vector(1)", warn: {{above: 1000}}}}
        - {{id: broken, title: Broken, expr: "depth * on (service) other", warn: {{above: 0}}}}
"""


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes ``target`` every 200 ms; its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = directory / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        "scrape_configs:\n"
        "  - job_name: shop\n"
        f"    static_configs: [{{targets: ['{target}'], labels: {{service: shop}}}}]\n"
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            cwd=directory,
            stdout=log,
            stderr=log,
        )
        try:
            for _ in range(300):
                assert process.poll() is None, (directory / "log").read_text()
                try:
                    urllib.request.urlopen(f"http://{address}/-/ready", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.needs_prometheus
@pytest.mark.skipif(which("prometheus") is None, reason="prometheus is not installed")
def test_the_same_rules_over_a_real_prometheus(tmp_path: Path) -> None:
    depth = 1.0

    def metrics(path: str, _: Mapping[str, str], __: Mapping[str, str]) -> tuple[int, str, bytes]:
        text = f'depth {depth}\nother{{n="1"}} 1\nother{{n="2"}} 1\n'
        return 200, "text/plain; version=0.0.4", text.encode()

    async def scenario(url: str, target: str) -> None:
        nonlocal depth
        loaded = load_text(RULES.format(url=url))
        clock = ManualClock(datetime.now(UTC))
        async with HttpFetcher({}) as fetcher:
            with open_store(tmp_path / "state", SystemClock()) as store:
                source = RemoteSource(fetcher, loaded.runbook.metrics)
                service = MonitoringService(store, clock, source, loaded)

                async def firing() -> list[str]:
                    clock.advance(max(0.0, (datetime.now(UTC) - clock.now()).total_seconds()))
                    await service.evaluate(clock.now())
                    return [
                        dict(a.labels)["alertname"] for a in service.alerts() if a.state.value == "firing"
                    ]

                async def until(wanted: bool) -> None:
                    for _ in range(100):
                        if ("ShopDepthPage" in await firing()) is wanted:
                            return
                        await asyncio.sleep(0.1)
                    raise AssertionError(f"ShopDepthPage firing is never {wanted}")

                for _ in range(100):  # until the first scrape is in
                    await firing()
                    if service.standings["monitoring.shop.depth.page"].verdict == "met":
                        break
                    await asyncio.sleep(0.1)
                assert service.standings["monitoring.shop.depth.page"].verdict == "met"
                assert service.health["ShopBrokenWarn"].health == "err"
                assert "many-to-many" in service.health["ShopBrokenWarn"].last_error
                assert service.health["ShopTwinsWarn"].health == "ok"
                depth = 11.0
                await until(True)
                (page,) = [a for a in service.alerts() if dict(a.labels)["alertname"] == "ShopDepthPage"]
                assert dict(page.labels)["service"] == "shop"
                depth = 7.0  # below the line, above where it clears
                await asyncio.sleep(0.6)
                assert "ShopDepthPage" in await firing()
                depth = 5.0
                await until(False)

    with server(metrics) as address:
        target = address.removeprefix("http://")
        with prometheus(tmp_path, target) as url:
            asyncio.run(scenario(url, target))
