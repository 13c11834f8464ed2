"""Which targets there are: lists, files and HTTP; what is broken keeps the last good state and says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.exporter import Ask, Exporter, Reply
from watchkeeper.monitoring.discovery import Discovered, DiscoveryError, JobDiscovery, parse_groups
from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.relabel import rules_of
from watchkeeper.monitoring.targets import ScrapeJob, Target, TargetError, jobs_of, resolve
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.store.clock import ManualClock

START = datetime(2026, 1, 5, tzinfo=UTC)


def job(relabel: Sequence[Mapping[str, Any]] | None = None, **config: Any) -> ScrapeJob:
    config.setdefault("job_name", "api")
    (made,) = jobs_of(Metrics.model_validate({"scrape_configs": [config]}))
    if relabel is None:
        return made
    return ScrapeJob(made.config, made.interval_seconds, made.timeout_seconds, made.limits, rules_of(relabel))


class Stage:
    """A job's discovery and a clock that it obeys."""

    def __init__(self, of: ScrapeJob, base: Path = Path()) -> None:
        self.discovery = JobDiscovery(of, base)
        self.clock = ManualClock(START)

    def after(self, seconds: float) -> Discovered:
        self.clock.advance(seconds)

        async def run() -> Discovered:
            async with HttpFetcher({}) as fetcher:
                return await self.discovery.refresh(fetcher, self.clock)

        return asyncio.run(run())


def addresses(found: Discovered) -> list[str]:
    return [target.instance for target in found.targets]


# -- targets -------------------------------------------------------------------------------------


def made(of: ScrapeJob, **labels: str) -> Target:
    target = resolve(of, {"__address__": "host:80"}, labels)
    assert target is not None
    return target


def test_target_has_the_labels_and_url_of_its_config() -> None:
    target = made(
        job(scheme="https", metrics_path="/m", params={"q": ["a b", "c"], "token": ["hush"]}), service="api"
    )
    assert target.labels == (("instance", "host:80"), ("job", "api"), ("service", "api"))
    assert target.url == "https://host:80/m?q=a+b&q=c&token=hush"
    assert target.shown_url == "https://host:80/m?q=a+b&q=c&token=***"
    assert "hush" not in repr(target)
    assert (target.interval_seconds, target.timeout_seconds) == (15, 10)


def test_relabelling_may_change_everything_about_a_target() -> None:
    rules: list[dict[str, Any]] = [
        {"source_labels": ["__address__"], "target_label": "instance"},
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"target_label": "__address__", "replacement": "prober:9115"},
        {"target_label": "__metrics_path__", "replacement": "/probe"},
        {"target_label": "__scheme__", "replacement": "https"},
        {"target_label": "__scrape_interval__", "replacement": "1m"},
        {"target_label": "__scrape_timeout__", "replacement": "30s"},
        {"target_label": "job", "replacement": "probes"},
    ]
    target = made(job(rules))
    assert target.url == "https://prober:9115/probe?target=host%3A80"
    assert target.labels == (("instance", "host:80"), ("job", "probes"))
    assert (target.interval_seconds, target.timeout_seconds) == (60, 30)


def test_a_target_that_relabelling_drops_is_none() -> None:
    of = job([{"source_labels": ["__address__"], "regex": "host:.*", "action": "drop"}])
    assert resolve(of, {"__address__": "host:80"}, {}) is None


@pytest.mark.parametrize(
    ("address", "rules", "message"),
    [
        ("", [], "has no address"),
        ("http://host:80/x", [], "is not an address; write host:port"),
        ("h:1", [{"target_label": "__scrape_interval__", "replacement": "soon"}], "__scrape_interval__"),
        ("h:1", [{"target_label": "__scrape_interval__", "replacement": "0s"}], "more than 0s"),
        ("h:1", [{"target_label": "__scrape_timeout__", "replacement": "1h"}], "longer than its interval"),
        ("h:1", [{"target_label": "__scheme__", "replacement": "ftp"}], "neither http nor https"),
        ("h:1", [{"target_label": "a-b", "replacement": "x"}], "'a-b' is not a label name"),
    ],
)
def test_what_is_no_target_has_a_reason(address: str, rules: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TargetError) as caught:
        resolve(job(rules), {"__address__": address}, {})
    assert message in str(caught.value)


def test_key_and_number_are_stable_and_spread() -> None:
    targets = [resolve(job(), {"__address__": f"host-{n}:80"}, {}) for n in range(200)]
    again = [resolve(job(), {"__address__": f"host-{n}:80"}, {}) for n in range(200)]
    places = sorted(target.number / 2**64 for target in targets if target)
    assert [t.key for t in targets if t] == [t.key for t in again if t]
    assert len({t.key for t in targets if t}) == 200
    assert all(0 <= place < 1 for place in places)
    assert max(b - a for a, b in pairwise(places)) < 1 / 15


# -- documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"targets": []}, "must be a list"),
        ([{"targets": ["a:1"], "lables": {}}], "item 1 must have the keys"),
        ([{"labels": {}}], "'targets' of item 1"),
        ([{"targets": "a:1"}], "'targets' of item 1"),
        ([{"targets": [1]}], "'targets' of item 1"),
        (
            [{"targets": ["a:1"]}, {"targets": ["b:1"], "labels": {"x": False}}],
            "label 'x' of item 2 must be text",
        ),
        ([{"targets": ["a:1"], "labels": ["x"]}], "'labels' of item 1"),
        (["a:1"], "item 1"),
    ],
)
def test_document_that_is_not_of_the_format_has_a_reason(document: object, message: str) -> None:
    with pytest.raises(DiscoveryError) as caught:
        parse_groups(document)
    assert message in str(caught.value)


# -- static lists --------------------------------------------------------------------------------


def test_static_targets_are_there_at_once() -> None:
    of = job(static_configs=[{"targets": ["a:1", "b:1"], "labels": {"env": "x"}}, {"targets": ["a:1"]}])
    found = JobDiscovery(of).resolved()
    assert addresses(found) == ["a:1", "b:1", "a:1"]
    assert [dict(target.labels).get("env") for target in found.targets] == ["x", "x", None]


def test_one_bad_target_does_not_hide_the_others() -> None:
    found = JobDiscovery(job(static_configs=[{"targets": ["a:1", "b/c", "d:1"]}])).resolved()
    assert addresses(found) == ["a:1", "d:1"]
    assert "job api: target 'b/c' is left out" in found.problems[0]


def test_the_same_target_twice_is_one() -> None:
    found = JobDiscovery(job(static_configs=[{"targets": ["a:1"]}, {"targets": ["a:1"]}])).resolved()
    assert addresses(found) == ["a:1"]


def test_static_targets_are_never_due_again() -> None:
    assert JobDiscovery(job(static_configs=[{"targets": ["a:1"]}])).due == float("inf")


# -- files ---------------------------------------------------------------------------------------


def test_files_are_found_relative_to_the_runbook_and_followed(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([{"targets": ["a:1"], "labels": {"env": "x"}}]))
    (folder / "b.yaml").write_text("- targets: ['b:1', 'c:1']\n  labels: {env: 'y'}\n")
    stage = Stage(job(file_sd_configs=[{"files": ["targets/*.json", "targets/*.yaml"]}]), tmp_path)
    found = stage.after(0)
    assert addresses(found) == ["a:1", "b:1", "c:1"]
    assert dict(found.targets[0].discovered)["__meta_filepath"] == str(folder / "a.json")
    assert "__meta_filepath" not in dict(found.targets[0].labels)
    (folder / "a.json").write_text(json.dumps([{"targets": ["d:1"]}]))
    (folder / "c.json").write_text(json.dumps([{"targets": ["e:1"]}]))
    assert stage.after(1) is found  # not looked at yet
    assert sorted(addresses(stage.after(5))) == ["b:1", "c:1", "d:1", "e:1"]
    (folder / "b.yaml").unlink()
    assert sorted(addresses(stage.after(5))) == ["d:1", "e:1"]


@pytest.mark.parametrize(
    "junk", ["[{", '{"targets": []}', '[{"targets": ["a:1"], "labels": {"x": 1}}]', "\xff\xfe"]
)
def test_a_broken_file_keeps_its_targets_and_says_so(
    tmp_path: Path, junk: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "t.json"
    file.write_text('[{"targets": ["a:1"]}]')
    stage = Stage(job(file_sd_configs=[{"files": ["t.json"]}]), tmp_path)
    assert addresses(stage.after(0)) == ["a:1"]
    file.write_text(junk, encoding="latin-1")
    for _ in range(3):
        found = stage.after(5)
        assert addresses(found) == ["a:1"]
        assert f"discovery file {file} cannot be used" in found.problems[0]
        assert "its last good targets stay" in found.problems[0]
    assert caplog.text.count("cannot be used") == 1
    file.write_text('[{"targets": ["b:1"]}]')
    found = stage.after(5)
    assert (addresses(found), found.problems) == (["b:1"], ())


def test_a_file_that_is_named_in_full_has_to_be_there(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    stage = Stage(job(file_sd_configs=[{"files": ["t.yaml", "*.json"]}]), tmp_path)
    assert "No such file" in stage.after(0).problems[0]
    file.write_text("[{targets: ['a:1']}]")
    assert addresses(stage.after(5)) == ["a:1"]
    file.unlink()
    found = stage.after(5)
    assert addresses(found) == ["a:1"]
    assert len(found.problems) == 1


# -- HTTP ----------------------------------------------------------------------------------------


def documents(*replies: Reply | Callable[[], Reply]) -> Callable[[Ask], Reply]:
    """A handler that gives ``replies`` one after the other, and then the last one again."""
    left = list(replies)

    def handler(ask: Ask) -> Reply:
        reply = left.pop(0) if len(left) > 1 else left[0]
        return reply if isinstance(reply, Reply) else reply()

    return handler


def listing(*targets: str) -> Reply:
    return Reply(
        json.dumps([{"targets": list(targets)}]).encode(), content_type="application/json; charset=utf-8"
    )


def test_http_discovery_is_asked_at_its_interval_and_keeps_what_was_good() -> None:
    replies = documents(
        listing("a:1"),
        listing("a:1", "b:1"),
        Reply(b"down", 503),
        Reply(b"<html>", content_type="text/html"),
        Reply(b"[{]", content_type="application/json"),
        listing("c:1"),
    )
    with Exporter({"/sd": replies}) as server:
        stage = Stage(job(http_sd_configs=[{"url": server.url("/sd"), "refresh_interval": "1m"}]))
        found = stage.after(0)
        assert addresses(found) == ["a:1"]
        assert dict(found.targets[0].discovered)["__meta_url"] == server.url("/sd")
        assert server.last is not None
        assert server.last.headers["x-prometheus-refresh-interval-seconds"] == "60"
        assert addresses(stage.after(30)) == ["a:1"]
        assert server.requests["/sd"] == 1
        assert addresses(stage.after(30)) == ["a:1", "b:1"]
        for problem in ("answered 503", "answered with 'text/html'", "Expecting"):
            found = stage.after(60)
            assert addresses(found) == ["a:1", "b:1"]
            assert problem in found.problems[0]
        found = stage.after(60)
        assert (addresses(found), found.problems) == (["c:1"], ())


def test_a_reload_begins_with_what_the_sources_said_last() -> None:
    with Exporter({"/sd": listing("a:1").body}) as server:
        server.routes["/sd"] = documents(listing("a:1"), Reply(b"", 500))
        config = {"http_sd_configs": [{"url": server.url("/sd")}]}
        stage = Stage(job(**config))
        stage.after(0)
        again = JobDiscovery(job(metrics_path="/other", **config))
        again.inherit(stage.discovery)
        assert [target.url for target in again.resolved().targets] == ["http://a:1/other"]


def test_credentials_of_discovery_are_sent() -> None:
    async def run(discovery: JobDiscovery) -> Coroutine[Any, Any, Discovered] | Discovered:
        async with HttpFetcher({"TOKEN": "hush"}) as fetcher:
            return await discovery.refresh(fetcher, ManualClock(START))

    with Exporter({"/sd": documents(listing("a:1"))}) as server:
        sd = {"url": server.url("/sd"), "authorization": {"credentials": {"env": "TOKEN"}}}
        asyncio.run(run(JobDiscovery(job(http_sd_configs=[sd]))))
        assert server.last is not None
        assert server.last.headers["authorization"] == "Bearer hush"
