"""The API beside Debian's Prometheus, both scraping the same target: the same answers, the same shapes.

Times at which samples were scraped differ, so what is compared by value is what does not depend on them.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.app.prometheus import Prometheus, needs_prometheus
from tests.app.serving import LABELS, RUNBOOK, Serving, scraping, until
from tests.fakes.exporter import Exporter
from tests.fakes.pagerduty import FakePagerDuty

EXPOSITION = r"""# HELP temperature How warm it is, in "degrees" & <b>bold</b>.
# TYPE temperature gauge
temperature{room="kitchen"} 21.5
temperature{room="cellar"} -0.000001
temperature{room="oven"} 1e+21
temperature{room="void"} NaN
temperature{room="sun"} +Inf
temperature{room="<script>alert(1)</script>"} 1e-7
temperature{room="line\nbreak \\ \"quote\""} 123456789.125
temperature{room="Küche ☃"} 0.1
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{status="200"} 1027
http_requests_total{status="500"} 3
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 50
latency_seconds_bucket{le="0.5"} 90
latency_seconds_bucket{le="+Inf"} 100
latency_seconds_sum 27.5
latency_seconds_count 100
unhelpful 1
"""
NO_HEADERS: Mapping[str, str] = {}
ALWAYS = """
        - id: always
          title: Always
          expr: sum by (service, env, region) (up)
          page: {above: 0, for: 1h}
        - id: warm
          title: Warm
          expr: max by (service, env, region) (temperature{room="kitchen"})
          warn: {above: 20}
"""


@dataclass
class Pair:
    """Us and the peer, with a moment at which both had had samples for some seconds."""

    serving: Serving
    ours: str
    peer: str
    now: float

    def ask(self, path: str, form: str | None = None) -> tuple[tuple[int, Any], tuple[int, Any]]:
        """Status and document of both."""
        return _ask(self.ours + path, form, self.serving.headers(path)), _ask(self.peer + path, form)


def _ask(url: str, form: str | None, headers: Mapping[str, str] = NO_HEADERS) -> tuple[int, Any]:
    data = None if form is None else form.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, dict(headers)), timeout=20) as answer:
            assert answer.headers["content-type"] == "application/json"
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home: Path = tmp_path_factory.mktemp("pair")
    with (
        Exporter({"/metrics": EXPOSITION.encode()}) as exporter,
        FakePagerDuty() as pagerduty,
        Prometheus(home / "peer", exporter.address, LABELS) as peer,
    ):

        class Target:
            """What :func:`scraping` wants to know of a shop."""

        target: Any = Target()
        target.exporter = exporter
        text = RUNBOOK.replace("      playbook: look\n", ALWAYS.strip("\n") + "\n      playbook: look\n")
        serving = Serving(home, scraping(target, pagerduty), text)
        try:
            serving.start()
            both = Pair(serving, serving.url, peer.url, 0.0)
            path = "/api/v1/query?query=count_over_time(temperature[1m])>=4"
            until(lambda: all(one["data"]["result"] for _, one in both.ask(path)), 20, "four scrapes")
            both.now = time.time() - 1
            yield both
        finally:
            serving.close()


def shape(value: Any) -> Any:
    """The types and keys of a document; of a list, those of its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


QUERIES = [
    "temperature",
    'temperature{room="Küche ☃"}',
    "up",
    "sum by (status) (http_requests_total)",
    "histogram_quantile(0.9, latency_seconds_bucket)",
    "temperature * 2 > bool 40",
    'label_replace(temperature, "place", "$1", "room", "(k.*)")',
    "topk(2, temperature)",
    "1 / 0",
    "vector(-0)",
    '"a <b> \\n ü"',
    "42.125",
    "absent(nothing)",
    "rate(http_requests_total[5s])",
    "nothing",
    "pi() * 1e-9",
    "2 ^ 1000",
    "vector(pi() * 1e-9)",
    "vector(2 ^ 1000)",
    "scalar(temperature{room='kitchen'})",
    "http_requests_total and on (status) http_requests_total",
    "count_values('v', temperature)",
    "sort_desc(http_requests_total)",
]


@needs_prometheus
@pytest.mark.parametrize("query", QUERIES)
def test_an_instant_query_has_the_same_answer(pair: Pair, query: str) -> None:
    asked = f"query={urllib.parse.quote(query)}&time={pair.now}"
    ours, theirs = pair.ask(f"/api/v1/query?{asked}")
    assert _settled(ours) == _settled(theirs)
    assert _settled(pair.ask("/api/v1/query", asked)[0]) == _settled(theirs)


@needs_prometheus
@pytest.mark.parametrize("query", [query for query in QUERIES if not query.startswith('"')])
def test_a_range_query_has_the_same_answer(pair: Pair, query: str) -> None:
    asked = f"query={urllib.parse.quote(query)}&start={pair.now - 0.5}&end={pair.now}&step=0.25"
    ours, theirs = pair.ask(f"/api/v1/query_range?{asked}")
    assert _settled(ours) == _settled(theirs)


def _settled(answer: tuple[int, Any]) -> tuple[int, Any]:
    """Without the order of series, which Prometheus leaves open, and the wording of annotations."""
    status, document = answer
    document = {key: value for key, value in document.items() if key not in ("infos", "warnings")}
    data = document["data"]
    if data["resultType"] in ("vector", "matrix"):
        data["result"].sort(key=lambda row: sorted(row["metric"].items()))
    return status, document


@needs_prometheus
@pytest.mark.parametrize(
    "path",
    [
        "query",
        "query?query=",
        "query?query=sum(",
        "query?query=up&time=soon",
        "query?query=up[5m:&time=1",
        "query?query=up&timeout=never",
        "query_range?query=up&start=1&end=2",
        "query_range?query=up&start=2&end=1&step=1",
        "query_range?query=up&start=1&end=2&step=0",
        "query_range?query=up&start=0&end=11001&step=1",
        "query_range?query=up[1m]&start=1&end=2&step=1",
        "query_range?query=up&start=a&end=2&step=1",
        "series",
        "series?match[]=sum(up)",
        "series?match[]={",
        "series?match[]={}",
        "labels?match[]=(",
        "label/a-b/values",
        "query?query=label_replace(up,'a','b','c','(')",
        "query?query=up*on(instance)group_left()up",
    ],
)
def test_an_error_has_the_same_status_and_type(pair: Pair, path: str) -> None:
    (status, ours), (expected, theirs) = pair.ask(f"/api/v1/{urllib.parse.quote(path, safe='/?&=()[]{}')}")
    assert (status, ours["status"]) == (expected, theirs["status"]), (ours, theirs)
    assert ours.get("errorType") == theirs.get("errorType"), (ours, theirs)
    assert shape(ours).keys() >= {"status"}


@needs_prometheus
def test_as_many_points_as_prometheus_allows_are_allowed(pair: Pair) -> None:
    for steps in (11_000, 11_001):
        start = pair.now - steps
        asked = f"query=vector(1)&start={start}&end={pair.now}&step=1"
        (ours, _), (theirs, _) = pair.ask(f"/api/v1/query_range?{asked}")
        assert ours == theirs == (200 if steps == 11_000 else 400)


@needs_prometheus
@pytest.mark.parametrize(
    "selector", ["temperature", '{__name__=~"http.+|latency.+"}', '{room=~".*<.*"}', "nothing"]
)
def test_series_are_the_same(pair: Pair, selector: str) -> None:
    asked = f"match[]={urllib.parse.quote(selector)}&match[]=up&start={pair.now - 60}&end={pair.now}"
    for ours, theirs in (pair.ask(f"/api/v1/series?{asked}"), pair.ask("/api/v1/series", asked)):
        assert ours[0] == theirs[0] == 200

        def key(row: dict[str, str]) -> list[tuple[str, str]]:
            return sorted(row.items())

        assert sorted(ours[1]["data"], key=key) == sorted(theirs[1]["data"], key=key)


@needs_prometheus
def test_label_names_and_values_are_the_same(pair: Pair) -> None:
    within = f"start={pair.now - 60}&end={pair.now}"
    for path in (
        f"labels?match[]=temperature&{within}",
        f"label/room/values?{within}",
        f"label/nothing/values?{within}",
        f"label/status/values?match[]=http_requests_total&{within}",
        "label/room/values",
    ):
        ours, theirs = pair.ask(f"/api/v1/{path}")
        assert ours == theirs, path
    (_, ours_all), (_, theirs_all) = pair.ask("/api/v1/label/__name__/values")
    names = [name for name in ours_all["data"] if not name.startswith(("ALERTS", "scrape_"))]
    assert names == [name for name in theirs_all["data"] if not name.startswith("scrape_")]


@needs_prometheus
def test_metadata_is_the_same(pair: Pair) -> None:
    for path in ("metadata", "metadata?metric=temperature", "metadata?metric=nothing", "metadata?limit=1"):
        (status, ours), (expected, theirs) = pair.ask(f"/api/v1/{path}")
        assert status == expected == 200
        if "limit" in path:
            assert len(ours["data"]) == len(theirs["data"]) == 1
        else:
            assert ours == theirs


@needs_prometheus
def test_targets_have_the_same_shape(pair: Pair) -> None:
    for path in ("targets", "targets?state=active", "targets?state=dropped", "targets?state=any"):
        (status, ours), (expected, theirs) = pair.ask(f"/api/v1/{path}")
        assert status == expected == 200
        for target in (*ours["data"]["activeTargets"], *theirs["data"]["activeTargets"]):
            target["discoveredLabels"] = {}
            target.pop("lastSamples", None)  # which Prometheus does not tell
        more = {"droppedTargetCounts"}  # of a later Prometheus
        peers = {name: value for name, value in theirs["data"].items() if name not in more}
        assert shape(ours["data"]) == shape(peers)
    (_, ours), (_, theirs) = pair.ask("/api/v1/targets")
    (target,), (peer) = ours["data"]["activeTargets"], theirs["data"]["activeTargets"][0]
    for name in (
        "labels",
        "scrapePool",
        "scrapeUrl",
        "health",
        "lastError",
        "scrapeInterval",
        "scrapeTimeout",
    ):
        assert target[name] == peer[name], name


@needs_prometheus
def test_rules_and_alerts_have_the_fields_that_prometheus_gives_them(pair: Pair) -> None:
    until(lambda: pair.serving.alert_state("ApiAlwaysPage") == "pending", 10, "the alert")
    until(lambda: pair.serving.alert_state("ApiWarmWarn") == "firing", 10, "the other alert")
    (_, rules), (_, empty) = pair.ask("/api/v1/rules")
    assert shape(empty["data"]) == {"groups": []}
    (group,) = rules["data"]["groups"]
    # Source: https://prometheus.io/docs/prometheus/latest/querying/api/#rules
    assert group.keys() == {
        *("name", "file", "interval", "limit", "rules", "evaluationTime", "lastEvaluation"),
    }
    for rule in group["rules"]:
        assert rule.keys() - {"lastError"} == {
            *("state", "name", "query", "duration", "keepFiringFor", "labels", "annotations", "alerts"),
            *("health", "evaluationTime", "lastEvaluation", "type"),
        }
        assert _ask(f"{pair.peer}/api/v1/query?query={urllib.parse.quote(rule['query'])}", None)[0] == 200
    (_, alerts), (_, none) = pair.ask("/api/v1/alerts")
    assert none["data"] == {"alerts": []}
    for alert in alerts["data"]["alerts"]:
        assert alert.keys() - {"keepFiringSince"} == {"labels", "annotations", "state", "activeAt", "value"}
        assert alert["activeAt"].endswith("Z")
    only = pair.serving.json("/api/v1/rules?rule_name[]=ApiWarmWarn&type=alert")["data"]["groups"]
    assert [rule["name"] for one in only for rule in one["rules"]] == ["ApiWarmWarn"]
    assert pair.serving.json("/api/v1/rules?type=record")["data"] == {"groups": []}


@needs_prometheus
def test_the_version_is_told_as_prometheus_tells_it(pair: Pair) -> None:
    ours, theirs = pair.ask("/api/v1/status/buildinfo")
    assert ours[0] == theirs[0] == 200
    assert shape(ours[1]).items() >= {"status": "str"}.items()
    assert ours[1]["data"].keys() >= theirs[1]["data"].keys()


@needs_prometheus
def test_raw_samples_have_the_same_shape_and_values(pair: Pair) -> None:
    asked = f"query=http_requests_total[3s]&time={pair.now}"
    (_, ours), (_, theirs) = pair.ask(f"/api/v1/query?{asked}")
    assert shape(ours) == shape(theirs)
    for document in (ours, theirs):
        found = {row["metric"]["status"]: {v for _, v in row["values"]} for row in document["data"]["result"]}
        assert found == {"200": {"1027"}, "500": {"3"}}
    for _, value in ours["data"]["result"][0]["values"]:
        assert isinstance(value, str)
