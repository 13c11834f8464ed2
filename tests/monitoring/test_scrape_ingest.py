"""From a body to the store: labels, limits, staleness, reports, timestamps; all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.exporter import OPENMETRICS
from tests.fakes.sink import STALE, MemorySink, short
from watchkeeper.monitoring.exposition.layout import ExpositionError
from watchkeeper.monitoring.ingest import Intake, LimitError, Outcome, ingest, merge
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.relabel import rules_of
from watchkeeper.monitoring.samples.frame import is_stale
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.targets import ScrapeJob, Target, jobs_of, resolve
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.store.clock import SystemClock, to_ms

REPORTS = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
}


def job(metric_relabel: Sequence[Mapping[str, Any]] | None = None, **config: Any) -> ScrapeJob:
    config.setdefault("job_name", "api")
    (made,) = jobs_of(Metrics.model_validate({"scrape_configs": [config]}))
    if metric_relabel is None:
        return made
    return ScrapeJob(
        made.config, made.interval_seconds, made.timeout_seconds, made.limits, (), rules_of(metric_relabel)
    )


def target(of: ScrapeJob, **labels: str) -> Target:
    made = resolve(of, {"__address__": "host:80"}, labels)
    assert made is not None
    return made


def scraped(row: dict[str, float | str]) -> dict[str, float | str]:
    return {series: cell for series, cell in row.items() if series.partition("{")[0] not in REPORTS}


def reports(row: dict[str, float | str]) -> list[float | str]:
    by_name = {series.partition("{")[0]: cell for series, cell in row.items()}
    return [
        by_name[name]
        for name in (
            "up",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added",
        )
    ]


class Bench:
    """One target over a sink in memory."""

    def __init__(self, of: ScrapeJob | None = None, **labels: str) -> None:
        self.sink = MemorySink()
        self.intake = Intake(target(of or job(), **labels), self.sink)
        self.ts = 0

    def scrape(self, body: str, content_type: str = "") -> Outcome:
        self.ts += 1000
        return ingest(self.intake, body.encode(), content_type, self.ts, 0.25)

    @property
    def row(self) -> dict[str, float | str]:
        return self.sink.row()


def test_samples_and_reports_of_a_scrape_share_its_time() -> None:
    bench = Bench(service="api")
    outcome = bench.scrape('a 1\nb{c="d"} 2\n')
    assert outcome == Outcome(scraped=2, kept=2, added=2)
    assert scraped(bench.row) == {'a{service="api"}': 1, 'b{c="d",service="api"}': 2}
    assert reports(bench.row) == [1, 2, 2, 2]
    assert bench.row['scrape_duration_seconds{service="api"}'] == 0.25
    (group,) = bench.sink.groups.values()
    assert dict(group.series[0]) == {"__name__": "up", "instance": "host:80", "job": "api", "service": "api"}


def test_the_same_series_again_need_no_columns() -> None:
    bench = Bench()
    for visit in range(4):
        assert bench.scrape(f"a {visit}\nb 2\n").added == (0 if visit else 2)
    (group,) = bench.sink.groups.values()
    assert group.appends_with_same_columns == 3
    assert [row[group.series[5]] for row in group.rows.values()] == [0, 1, 2, 3]


def test_a_series_that_is_gone_ends_and_may_come_back() -> None:
    bench = Bench()
    bench.scrape("a 1\nb 2\n")
    bench.scrape("b 3\n")
    assert scraped(bench.row) == {"a": STALE, "b": 3}
    assert bench.scrape("b 4\na 5\n").added == 1
    assert scraped(bench.row) == {"a": 5, "b": 4}


def test_a_failed_scrape_ends_every_series_but_the_reports() -> None:
    bench = Bench()
    bench.scrape("a 1\nb 2\n")
    bench.ts += 1000
    bench.intake.fail(bench.ts, 10.0)
    assert scraped(bench.row) == {"a": STALE, "b": STALE}
    assert reports(bench.row) == [0, 0, 0, 0]
    assert bench.scrape("a 2\nb 3\n").added == 0
    assert scraped(bench.row) == {"a": 2, "b": 3}


def test_a_target_that_is_not_scraped_any_more_ends_with_its_reports() -> None:
    bench = Bench()
    bench.scrape("a 1\n")
    bench.intake.end(5000)
    assert set(bench.row.values()) == {STALE}


@pytest.mark.parametrize("bad", ["a 1\nb x\n", "<html>", "a{ 1", "a 1 2 3 4"])
def test_garbage_is_stored_not_at_all(bad: str) -> None:
    bench = Bench()
    bench.scrape("a 1\n")
    with pytest.raises(ExpositionError):
        bench.scrape(bad)
    assert scraped(bench.row) == {"a": STALE}
    assert reports(bench.row)[0] == 0
    bench.scrape("a 2\n")
    assert scraped(bench.row) == {"a": 2}


@pytest.mark.parametrize(
    ("limits", "body", "reason"),
    [
        ({"sample_limit": 2}, "a 1\nb 1\nc 1\n", "3 samples; sample_limit is 2"),
        ({"label_limit": 4}, 'ok 1\na{b="c",d="e"} 1\n', "'a' has 5 labels; label_limit is 4"),
        ({"label_name_length_limit": 8}, 'a{%s="x"} 1\n' % ("n" * 9), "label name of 9 bytes"),
        ({"label_value_length_limit": 9}, 'a{b="%s"} 1\n' % ("é" * 5), "a value of 10 bytes in label 'b'"),
    ],
)
def test_beyond_a_limit_nothing_is_stored_or_registered(
    limits: dict[str, Any], body: str, reason: str
) -> None:
    bench = Bench(job(**limits))
    with pytest.raises((LimitError, ExpositionError), match=reason):
        bench.scrape(body)
    assert scraped(bench.row) == {}
    (group,) = bench.sink.groups.values()
    assert len(group.series) == len(REPORTS)
    assert bench.scrape("a 1\n").kept == 1


def test_a_limit_of_zero_is_none() -> None:
    bench = Bench(job(sample_limit=0, label_limit=0, label_value_length_limit=0, label_name_length_limit=0))
    assert bench.scrape("".join(f'a{{n{"x" * 300}="{n}{"y" * 5000}"}} 1\n' for n in range(3))).kept == 3


def test_sample_limit_counts_what_relabelling_leaves() -> None:
    drop = [{"source_labels": ["__name__"], "regex": "noise.*", "action": "drop"}]
    bench = Bench(job(drop, sample_limit=2))
    assert bench.scrape("a 1\nnoise_1 1\nnoise_2 1\nb 1\n") == Outcome(scraped=4, kept=2, added=2)
    assert reports(bench.row) == [1, 4, 2, 2]
    with pytest.raises(LimitError, match="3 samples are left after relabelling"):
        bench.scrape("a 1\nnoise_1 1\nb 1\nc 1\n")
    assert scraped(bench.row) == {"a": STALE, "b": STALE}


def test_dropped_series_stay_dropped_and_renamed_ones_renamed() -> None:
    rules: list[dict[str, Any]] = [
        {"source_labels": ["__name__"], "regex": "drop_.*", "action": "drop"},
        {"source_labels": ["code"], "regex": "(.)..", "target_label": "class", "replacement": "${1}xx"},
        {"regex": "code", "action": "labeldrop"},
    ]
    bench = Bench(job(rules))
    for visit in range(3):
        bench.scrape(f'drop_me {visit}\na{{code="404"}} {visit}\nb 7\n')
        assert scraped(bench.row) == {'a{class="4xx"}': visit, "b": 7}


def test_relabelling_that_leaves_no_name_fails_the_scrape() -> None:
    bench = Bench(job([{"regex": "__name__", "action": "labeldrop"}]))
    with pytest.raises(LimitError, match="without a metric name"):
        bench.scrape("a 1\n")


def test_the_first_of_a_series_that_comes_twice_counts() -> None:
    bench = Bench()
    for visit in range(2):
        outcome = bench.scrape(f'a{{x="1",y="2"}} {visit}\nb 5\na{{y="2",x="1"}} 9\nb 8\n')
        assert (outcome.scraped, outcome.kept, outcome.repeated) == (4, 4, 2)
        assert scraped(bench.row) == {'a{x="1",y="2"}': visit, "b": 5}
    bench.scrape('b 8\na{y="2",x="1"} 9\n')
    assert scraped(bench.row) == {'a{x="1",y="2"}': 9, "b": 8}


def test_relabelling_two_series_into_one_keeps_the_first() -> None:
    bench = Bench(job([{"regex": "pod", "action": "labeldrop"}]))
    assert bench.scrape('a{pod="1"} 1\na{pod="2"} 2\n').repeated == 1
    assert scraped(bench.row) == {"a": 1}


def test_labels_of_the_target_win_and_the_others_are_renamed() -> None:
    exposed = (("__name__", "a"), ("exported_job", "old"), ("instance", "theirs"), ("job", "theirs"))
    ours = (("instance", "ours"), ("job", "ours"))
    assert dict(merge(exposed, ours, honor_labels=False)) == {
        "__name__": "a",
        "instance": "ours",
        "job": "ours",
        "exported_instance": "theirs",
        "exported_exported_job": "theirs",
        "exported_job": "old",
    }
    assert dict(merge(exposed, ours, honor_labels=True)) == {
        "__name__": "a",
        "exported_job": "old",
        "instance": "theirs",
        "job": "theirs",
    }


def test_times_of_samples_are_honoured_or_not() -> None:
    body = "a 1 1700000000123\nb 2\n"
    bench = Bench()
    bench.scrape(body)
    bench.scrape(body.replace("123", "456").replace("a 1", "a 7"))
    assert scraped(bench.row) == {"b": 2}
    assert [(short(labels), ts, value) for _, labels, ts, value in bench.sink.timed] == [
        ("a", 1700000000123, 1),
        ("a", 1700000000456, 7),
    ]
    bench = Bench(job(honor_timestamps=False))
    bench.scrape(body)
    assert scraped(bench.row) == {"a": 1, "b": 2}
    assert bench.sink.timed == []


def test_a_series_may_begin_and_cease_to_bring_its_own_times() -> None:
    bench = Bench()
    bench.scrape("a 1\nb 2\n")
    bench.scrape("a 2 5000\nb 2\n")
    assert scraped(bench.row) == {"a": STALE, "b": 2}
    bench.scrape("a 3\nb 2 6000\n")
    assert scraped(bench.row) == {"a": 3, "b": STALE}
    bench.scrape("c 1 7000\na 3\nb 2 7000\n")
    assert scraped(bench.row) == {"a": 3}
    bench.scrape("b 2 8000\na 3\nc 1 8000\n")
    assert [(short(labels), ts) for _, labels, ts, _ in bench.sink.timed] == [
        ("a", 5000),
        ("b", 6000),
        ("c", 7000),
        ("b", 7000),
        ("b", 8000),
        ("c", 8000),
    ]


def test_dropped_series_with_times_of_their_own_stay_dropped() -> None:
    bench = Bench(job([{"source_labels": ["__name__"], "regex": "a", "action": "drop"}]))
    for _ in range(2):
        bench.scrape("a 1 1000\nb 1 2000\n")
    assert {short(labels) for _, labels, _, _ in bench.sink.timed} == {"b"}


@pytest.mark.parametrize("remember", [True, False])
def test_columns_that_are_renumbered_are_followed(remember: bool) -> None:
    bench = Bench(service="s")
    bench.scrape("a 1\nb 2\nc 3\n")
    bench.scrape("a 1\nc 3\n")
    (group,) = bench.sink.groups.values()
    group.compact(remember=remember)
    bench.scrape("a 4\nc 5\n")
    assert scraped(bench.row) == {'a{service="s"}': 4, 'c{service="s"}': 5}
    group.compact(remember=remember)
    bench.ts += 1000
    bench.intake.fail(bench.ts, 1.0)
    assert reports(bench.row)[0] == 0
    group.compact(remember=remember)  # now only the reports are left
    bench.scrape("a 6\nb 7\n")
    assert scraped(bench.row) == {'a{service="s"}': 6, 'b{service="s"}': 7}


def test_columns_renumbered_between_reading_and_storing_are_followed() -> None:
    bench = Bench()
    bench.scrape("a 1\nb 2\n")
    prepared = bench.intake.prepare(b"b 3\nc 4\n", "")
    (group,) = bench.sink.groups.values()
    group.compact(remember=False)
    bench.intake.store(prepared, 9000, 0.1)
    assert scraped(bench.row) == {"a": STALE, "b": 3, "c": 4}


def test_metadata_goes_to_the_store_when_it_changes() -> None:
    bench = Bench()
    bench.scrape("# HELP a Help.\n# TYPE a counter\na 1\n")
    assert bench.sink.metadata == {"a": ("counter", "Help.", "")}
    bench.sink.metadata.clear()
    bench.scrape("# HELP a Help.\n# TYPE a counter\na 2\n")
    assert bench.sink.metadata == {}
    bench.scrape("# TYPE x_seconds gauge\n# UNIT x_seconds seconds\nx_seconds 1\n# EOF\n", OPENMETRICS)
    assert bench.sink.metadata == {"x_seconds": ("gauge", "", "seconds")}


def test_a_target_without_the_required_labels_is_a_finding() -> None:
    bench = Bench(service="s")
    assert [(f.label, f.series_without, f.series) for f in bench.intake.findings()] == [
        ("env", 0, 0),
        ("region", 0, 0),
    ]
    bench.scrape('a{env="prod"} 1\nb{env="prod"} 1\nc{region="eu"} 1\n')
    bench.scrape('a{env="prod"} 1\nc{region="eu"} 1\nd 1\n')
    found = bench.intake.findings()
    assert [(f.label, f.series_without, f.series) for f in found] == [("env", 2, 3), ("region", 2, 3)]
    assert "has no label env; 2 of its 3 series have none either" in str(found[0])
    assert Bench(service="s", env="e", region="r").intake.findings() == []


def test_a_label_bomb_costs_the_intake_no_more_than_its_last_body() -> None:
    bench = Bench()
    for visit in range(20):
        bench.scrape("".join(f'bomb_{visit}{{n="{n}"}} 1\n' for n in range(50)))
    assert len(bench.intake._codes) == 50
    assert bench.intake._reader._memory is not None
    assert len(bench.intake._reader._memory.lines) == 50


def test_the_real_store_keeps_what_was_scraped(tmp_path: Path) -> None:
    clock = SystemClock()
    store = SampleStore.open(tmp_path / "samples", clock=clock, threads=False)
    try:
        intake = Intake(target(job(), service="s"), store)
        ts = to_ms(clock.now()) - 10_000
        ingest(intake, b'a{x="1"} 1\na{x="2"} 2\n', "", ts)
        ingest(intake, b'a{x="1"} 3\na{x="2"} 4\n', "", ts + 1000)
        ingest(intake, b'a{x="1"} 5\ntimed 7 %d\n' % (ts + 500), "", ts + 2000)
        with pytest.raises(ExpositionError):
            ingest(intake, b"junk{", "", ts + 3000)
        assert _read(store, "a", ts) == {"1": [1, 3, 5, STALE], "2": [2, 4, STALE]}
        assert _read(store, "up", ts) == {"": [1, 1, 1, 0]}
        assert _read(store, "timed", ts) == {"": [7]}
    finally:
        store.close()


def _read(store: SampleStore, name: str, start_ms: int) -> dict[str, list[float | str]]:
    """By label ``x``: the samples of metric ``name``, without the times at which there is none."""
    found: dict[str, list[float | str]] = {}
    selection = store.select([Matcher("__name__", MatchOp.EQUAL, name)], start_ms, start_ms + 60_000)
    for frame in selection.frames:
        stale = is_stale(frame.values)
        for column, ref in zip(frame.columns.tolist(), frame.refs.tolist(), strict=True):
            cells: list[float | str] = []
            for row in range(len(frame.times)):
                if stale[row, column]:
                    cells.append(STALE)
                elif not np.isnan(frame.values[row, column]):
                    cells.append(float(frame.values[row, column]))
            found[dict(selection.labels.labels(ref)).get("x", "")] = cells
    return found
