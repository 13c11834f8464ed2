"""The scrape loop: punctual on every clock, undisturbed by bad targets, quiet about what stays the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.exporter import Exporter, MuteListener, closed_port, label_bomb, redirect
from tests.fakes.sink import STALE, MemoryGroup, MemorySink, short
from watchkeeper.monitoring.fetch import Answer, FetchError, HttpFetcher, Request
from watchkeeper.monitoring.scrape import THREAD_BYTES, Scraper
from watchkeeper.monitoring.targets import ScrapeJob, jobs_of
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.store.clock import ManualClock, SystemClock, to_ms

START = datetime(2026, 1, 5, 12, 0, 3, tzinfo=UTC)


def jobs(*configs: Mapping[str, Any], **metrics: Any) -> tuple[ScrapeJob, ...]:
    return jobs_of(Metrics.model_validate({**metrics, "scrape_configs": list(configs)}))


def static(name: str, *addresses: str, **config: Any) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": list(addresses)}], **config}


class Web:
    """A fetcher without a network: host -> body, or the error to raise."""

    def __init__(self, **bodies: str | Exception) -> None:
        self.bodies: dict[str, str | Exception] = dict(bodies)
        self.asked: list[Request] = []
        self.clock: ManualClock | None = None
        self.seconds = 0.0

    async def fetch(self, request: Request) -> Answer:
        self.asked.append(request)
        if self.clock is not None:
            self.clock.advance(self.seconds)
        body = self.bodies[request.url.split("/")[2].partition(":")[0]]
        if isinstance(body, Exception):
            raise body
        return Answer(body.encode(), "text/plain")


class Stage:
    """A scraper on a clock that is moved by hand."""

    def __init__(
        self, web: Web, *configured: ScrapeJob, later: float = 0, evaluated_every: float | None = None
    ) -> None:
        self.web = web
        self.sink = MemorySink()
        self.clock = ManualClock(START)
        self.clock.advance(later)
        self.scraper = Scraper(self.sink, web, self.clock)
        self.scraper.configure(configured, evaluated_every)

    def run(self, seconds: float) -> None:
        """Let time pass, and scrape whenever something is due."""

        async def steps() -> None:
            end = self.clock.monotonic() + seconds
            while True:
                self.scraper.start_due()
                await self.scraper.settle()
                pause = min(self.scraper.start_due(), 1.0)  # a visit that has ended may have moved its next
                await self.scraper.settle()
                if pause > end - self.clock.monotonic():
                    break
                self.clock.advance(pause)
            self.clock.advance(max(0.0, end - self.clock.monotonic()))

        asyncio.run(steps())

    def group(self, instance: str) -> MemoryGroup:
        (group,) = [group for key, group in self.sink.groups.items() if f"/{instance}#" in key]
        return group

    def values(self, instance: str, series: str) -> list[float | str]:
        return [
            {short(labels): cell for labels, cell in row.items()}[series]
            for row in self.group(instance).rows.values()
        ]


def test_every_target_is_scraped_once_per_interval_at_its_own_moment() -> None:
    stage = Stage(Web(a="x 1\n", b="x 1\n"), *jobs(static("j", "a:1", "b:1"), scrape_interval="15s"))
    stage.run(60)
    for instance in ("a:1", "b:1"):
        times = list(stage.group(instance).rows)
        assert len(times) == 4
        assert {b - a for a, b in pairwise(times)} == {15_000}
        assert to_ms(START) <= times[0] < to_ms(START) + 15_000
    assert list(stage.group("a:1").rows) != list(stage.group("b:1").rows)


def test_a_restart_scrapes_at_the_same_moments_of_the_interval() -> None:
    configured = jobs(static("j", "a:1"), scrape_interval="15s")
    first, second = Stage(Web(a="x 1\n"), *configured), Stage(Web(a="x 1\n"), *configured, later=7.25)
    first.run(60)
    second.run(60)
    assert {ts % 15_000 for ts in first.group("a:1").rows} == {ts % 15_000 for ts in second.group("a:1").rows}


def before_evaluation(times: list[int]) -> list[int]:
    """Milliseconds from each visit to the evaluation after it, every 15 s."""
    return [-ts % 15_000 for ts in times]


def test_targets_are_visited_just_before_the_rules_are_evaluated() -> None:
    configured = jobs(static("j", "a:1", "b:1"), static("k", "c:1", scrape_interval="60s"))
    stage = Stage(Web(a="x 1\n", b="x 1\n", c="x 1\n"), *configured, evaluated_every=15)
    stage.run(120)
    for instance, visits in (("a:1", 8), ("b:1", 8), ("c:1", 2)):
        times = list(stage.group(instance).rows)
        assert len(times) == visits
        assert len(set(before_evaluation(times))) == 1
        assert 50 <= before_evaluation(times)[0] <= 66


def test_a_slow_target_is_visited_earlier_and_only_as_long_as_it_is_slow() -> None:
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1")), evaluated_every=15)
    stage.run(30)
    stage.web.clock, stage.web.seconds = stage.clock, 2.0
    stage.run(60)
    stage.web.seconds = 0.0
    stage.run(60 * 15)
    times = list(stage.group("a:1").rows)
    ahead = before_evaluation(times)
    assert ahead[0] < 100
    assert 2500 <= max(ahead) <= 3300
    assert ahead[-1] < 100
    assert stage.scraper.totals.scrapes == 66
    assert all(7_500 <= b - a <= 22_500 for a, b in pairwise(times))


def test_after_a_step_of_the_wall_clock_visits_come_back_to_their_moment() -> None:
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1")), evaluated_every=15)
    stage.run(60)
    stage.clock.jump(4.0)
    stage.run(60)
    times = list(stage.group("a:1").rows)
    ahead = before_evaluation(times)
    assert ahead[3] == ahead[-1] < 100
    assert stage.scraper.totals.scrapes == 8
    assert all(7_500 <= b - a <= 22_500 for a, b in pairwise(times))


def test_an_evaluation_interval_that_a_reload_changes_is_followed() -> None:
    configured = jobs(static("j", "a:1"))
    stage = Stage(Web(a="x 1\n"), *configured, evaluated_every=15)
    stage.scraper.configure(configured)
    stage.run(60)
    kept = list(stage.group("a:1").rows)[-1]
    stage.scraper.configure(configured, 5)
    stage.run(60)
    assert before_evaluation([kept])[0] < 100
    assert -list(stage.group("a:1").rows)[-1] % 5_000 < 100


def test_the_request_carries_timeout_and_limit() -> None:
    stage = Stage(Web(a=""), *jobs(static("j", "a:1", scrape_timeout="7s", body_size_limit="1MiB")))
    stage.run(15)
    (request,) = stage.web.asked
    assert (request.url, request.timeout_seconds, request.body_limit) == ("http://a:1/metrics", 7, 1 << 20)
    assert request.headers == {"X-Prometheus-Scrape-Timeout-Seconds": "7"}


def test_a_target_that_fails_is_down_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1")))
    assert stage.scraper.statuses()[0].health == "unknown"
    stage.run(15)
    assert stage.scraper.statuses()[0].health == "up"
    assert stage.scraper.statuses()[0].samples == 1
    stage.web.bodies["a"] = FetchError("cannot connect to a:1: Connection refused")
    stage.run(45)
    (status,) = stage.scraper.statuses()
    assert (status.health, status.error) == ("down", "cannot connect to a:1: Connection refused")
    stage.web.bodies["a"] = "x 2\n"
    stage.run(15)
    (status,) = stage.scraper.statuses()
    assert (status.health, status.error, status.samples) == ("up", "", 1)
    assert stage.values("a:1", "up") == [1, 0, 0, 0, 1]
    rows = [{short(labels): cell for labels, cell in row.items()} for row in stage.group("a:1").rows.values()]
    assert [row.get("x") for row in rows] == [1, STALE, None, None, 2]
    assert caplog.text.count("is down: cannot connect") == 1
    assert caplog.text.count("is up again") == 1
    assert stage.scraper.totals.scrapes == 5
    assert stage.scraper.totals.failed == 3


def test_garbage_from_one_target_is_its_own_problem() -> None:
    stage = Stage(Web(a="x 1\n", b="a{ 1\n"), *jobs(static("j", "a:1", "b:1")))
    stage.run(30)
    assert stage.values("a:1", "x") == [1, 1]
    assert stage.values("b:1", "up") == [0, 0]
    errors = {status.instance: status.error for status in stage.scraper.statuses()}
    assert errors["a:1"] == ""
    assert errors["b:1"].startswith("line 1: expected a label name")


def test_a_defect_in_reading_one_target_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(Web(a="x 1\n", b=ZeroDivisionError()), *jobs(static("j", "a:1", "b:1")))
    stage.run(30)
    assert stage.values("a:1", "up") == [1, 1]
    assert stage.values("b:1", "up") == [0, 0]
    assert "a defect of Watchkeeper (ZeroDivisionError)" in stage.scraper.statuses()[1].error
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_step_of_the_wall_clock_neither_adds_nor_loses_a_scrape(jump: float) -> None:
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1")))
    stage.run(60)
    stage.clock.jump(jump)
    stage.run(60)
    assert len(stage.web.asked) == 8
    assert stage.scraper.totals.scrapes == 8
    stage.clock.jump(-jump)
    stage.run(60)
    assert len(stage.web.asked) == 12
    newest = max(stage.group("a:1").rows)
    assert newest <= to_ms(stage.clock.now()) + max(jump, 0) * 1000
    if jump > 0:
        assert stage.scraper.totals.out_of_order > 0  # what came after the step back is the store's to refuse


def test_a_machine_that_slept_scrapes_once_and_goes_on() -> None:
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1")))
    stage.run(15)
    stage.clock.advance(3600)
    stage.run(1)
    assert len(stage.web.asked) == 2
    stage.run(60)
    assert len(stage.web.asked) in (5, 6)


def test_reload_keeps_what_stays_and_ends_what_goes() -> None:
    stage = Stage(Web(a="x 1\n", b="x 1\n", c="x 1\n"), *jobs(static("j", "a:1", "b:1")))
    stage.run(30)
    kept = stage.group("a:1")
    stage.scraper.configure(jobs(static("j", "a:1", "c:1")))
    assert {status.instance: status.health for status in stage.scraper.statuses()} == {
        "a:1": "up",
        "c:1": "unknown",
    }
    assert set(stage.values("b:1", "up")[-1:]) == {STALE}
    stage.run(30)
    assert stage.values("a:1", "x") == [1, 1, 1, 1]
    assert kept.appends_with_same_columns == 3
    assert {b - a for a, b in pairwise(kept.rows)} == {15_000}
    assert len(stage.group("b:1").rows) == 3
    assert len(stage.group("c:1").rows) == 2


def test_reload_that_changes_how_a_target_is_scraped_applies_to_the_next_scrape() -> None:
    stage = Stage(Web(a='x 1\ny{z="w"} 1\n'), *jobs(static("j", "a:1")))
    stage.run(30)
    stage.scraper.configure(jobs(static("j", "a:1", sample_limit=1)))
    assert stage.scraper.statuses()[0].health == "up"
    stage.run(15)
    assert "sample_limit is 1" in stage.scraper.statuses()[0].error
    stage.scraper.configure(jobs(static("j", "a:1", scrape_interval="5s", scrape_timeout="5s")))
    stage.run(15)
    assert stage.values("a:1", "up") == [1, 1, 0, 1, 1, 1]


def test_a_job_with_a_rule_that_makes_no_sense_goes_on_as_it_was() -> None:
    stage = Stage(Web(a="x 1\n", b="x 1\n"), *jobs(static("j", "a:1"), static("k", "b:1")))
    stage.run(15)
    bad = [{"action": "hashmod", "source_labels": ["a"], "target_label": "b"}]
    stage.scraper.configure(jobs(static("j", "c:1", relabel_configs=bad), static("k", "b:1")))
    assert stage.scraper.problems() == [
        "job j: relabel_configs: relabelling rule 1: action hashmod needs a modulus of 1 or more"
    ]
    stage.run(15)
    assert stage.values("a:1", "up") == [1, 1]
    stage.scraper.configure(jobs(static("j", "a:1")))
    assert stage.scraper.problems() == []
    fresh = Stage(Web(b="x 1\n"), *jobs(static("j", "c:1", relabel_configs=bad), static("k", "b:1")))
    fresh.run(15)
    assert [status.instance for status in fresh.scraper.statuses()] == ["b:1"]


def test_no_secret_parameter_is_shown() -> None:
    stage = Stage(Web(a="x 1\n"), *jobs(static("j", "a:1", params={"token": ["hush"], "q": ["all"]})))
    stage.run(15)
    (status,) = stage.scraper.statuses()
    assert status.url == "http://a:1/metrics?q=all&token=***"
    assert "hush" not in repr(status)
    assert "token=hush" in stage.web.asked[0].url


def test_large_answers_are_read_in_a_thread_with_the_same_result() -> None:
    big = "".join(f'x{{n="{n}",filler="{"f" * 40}"}} {n}\n' for n in range(20_000))
    assert len(big) > THREAD_BYTES
    stage = Stage(Web(a=big, b="x 1\n", c=big + "{"), *jobs(static("j", "a:1", "b:1", "c:1")))
    stage.run(30)
    assert [status.samples for status in stage.scraper.statuses()] == [20_000, 1, 0]
    assert stage.values("b:1", "x") == [1, 1]
    assert stage.scraper.statuses()[2].error.startswith("line 20001: ")


def test_findings_and_metadata_are_those_of_the_targets() -> None:
    config = {
        "job_name": "j",
        "static_configs": [{"targets": ["a:1"], "labels": {"service": "s", "env": "e"}}],
    }
    stage = Stage(Web(a="# TYPE x counter\nx 1\n"), *jobs(config))
    stage.run(15)
    assert [finding.label for finding in stage.scraper.findings()] == ["region"]
    assert stage.scraper.families()["x"][0].type == "counter"


def test_discovery_is_followed_while_running(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text("[]")

    async def run() -> list[str]:
        with Exporter({"/metrics": b"a 1\n"}) as exporter:
            async with HttpFetcher({}) as fetcher:
                scraper = Scraper(MemorySink(), fetcher, SystemClock(), tmp_path)
                of = {"job_name": "j", "file_sd_configs": [{"files": ["t.json"], "refresh_interval": "1s"}]}
                scraper.configure(jobs(of, scrape_interval="1s", scrape_timeout="1s"))
                loop = asyncio.ensure_future(scraper.run())
                await asyncio.sleep(0.2)
                assert scraper.statuses() == []
                file.write_text(json.dumps([{"targets": [exporter.address]}]))
                await _until(lambda: [s.health for s in scraper.statuses()] == ["up"])
                file.write_text("[{")
                await _until(lambda: bool(scraper.problems()))
                assert [s.health for s in scraper.statuses()] == ["up"]
                file.write_text("[]")
                await _until(lambda: scraper.statuses() == [])
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
                return scraper.problems()

    assert asyncio.run(run()) == []


async def _until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def test_a_crowd_of_bad_targets_does_not_disturb_the_good_one() -> None:
    """Garbage, label bomb, 1 GB, drip, silence, mute TLS, closed port, redirect loop: all at once."""

    async def run() -> tuple[Scraper, MemorySink, int]:
        with Exporter() as exporter, MuteListener() as mute:
            exporter.routes |= {
                "/good": b"".join(b'good{n="%d"} %d\n' % (n, n) for n in range(500)),
                "/garbage": bytes(range(256)) * 2000,
                "/bomb": label_bomb(20_000),
                "/endless": exporter.endless(1 << 30),
                "/drip": exporter.drip(),
                "/silence": exporter.silence(),
                "/loop": redirect("/loop"),
            }
            at = exporter.address
            paths = ("good", "garbage", "bomb", "endless", "drip", "silence", "loop")
            configs = [
                static(path, at, metrics_path=f"/{path}", sample_limit=10_000, body_size_limit="8MiB")
                for path in paths
            ]
            configs += [static("mute", mute.address, scheme="https"), static("closed", closed_port())]
            sink = MemorySink()
            async with HttpFetcher({}) as fetcher:
                scraper = Scraper(sink, fetcher, SystemClock())
                scraper.configure(jobs(*configs, scrape_interval="1s", scrape_timeout="1s"))
                process = psutil.Process()
                loop = asyncio.ensure_future(scraper.run())
                await asyncio.sleep(1.5)
                before = process.memory_info().rss
                await asyncio.sleep(5)
                grown = process.memory_info().rss - before
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
            return scraper, sink, grown

    scraper, sink, grown = asyncio.run(run())
    health = {status.job: (status.health, status.error) for status in scraper.statuses()}
    assert health.pop("good") == ("up", "")
    expected = {
        "garbage": "line ",
        "bomb": "20000 samples; sample_limit is 10000",
        "endless": "larger than body_size_limit",
        "drip": "no complete answer within 1s",
        "silence": "no complete answer within 1s",
        "loop": "redirects in a circle",
        "mute": "no complete answer within 1s",
        "closed": "Connection refused",
    }
    assert health.keys() == expected.keys()
    for job, (state, error) in health.items():
        assert state == "down", job
        assert expected[job] in error
    (good,) = [group for key, group in sink.groups.items() if key.startswith("good/")]
    times = list(good.rows)
    assert 4 <= len(times) <= 8
    assert all(500 <= b - a <= 2000 for a, b in pairwise(times))
    assert all(STALE not in row.values() for row in good.rows.values())
    (bomb,) = [group for key, group in sink.groups.items() if key.startswith("bomb/")]
    assert len(bomb.series) == 5  # its reports only
    assert grown < 100 << 20
