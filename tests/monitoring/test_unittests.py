"""promtool's unit tests by our engine: the same verdict as promtool's, on good and on bad files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.monitoring.promtool import PROMTOOL, needs_promtool
from watchkeeper.monitoring.unittests import Report, run_file

RULES = """\
groups:
- name: alerts
  rules:
  - alert: InstanceDown
    expr: up == 0
    for: 5m
    labels: {severity: page, upper: '{{ $labels.job | toUpper }}'}
    annotations: {summary: '{{ $labels.instance }} is {{ $value }} in {{ $externalLabels.region }}'}
  - alert: TooFew
    expr: job:up:sum < 2
  - alert: Latched
    expr: |
      load > 10
      or (load > 5 and ignoring (alertname, alertstate) ALERTS{alertname="Latched", alertstate="firing"})
  - alert: Soon
    expr: load > 8
    for: 90s
  - alert: Kept
    expr: load > 10
    keep_firing_for: 2m
- name: records
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - record: job:up:sum
    expr: sum(up)
    labels: {job: all}
  - record: since
    expr: ALERTS_FOR_STATE{alertname="InstanceDown"}
"""
SERIES = """\
  input_series:
  - {series: 'up{job="api", instance="a"}', values: '1 1 0x9 1x5'}
  - {series: 'up{job="api", instance="b"}', values: '1x3 _x2 stale 1x20'}
  - {series: 'load{instance="a"}', values: '1 11 9 7 6 4 9 9 9 9 1 1 1'}
  external_labels: {region: eu}
"""


def suite(*tests: str, head: str = "") -> str:
    cases = "".join(f"- interval: 1m\n{SERIES}{test}" for test in tests)
    return f"rule_files: ['*rules.yml']\n{head}tests:\n{cases}"


def alerts(at: str, name: str, *expected: str) -> str:
    lines = "".join(f"      - {item}\n" for item in expected)
    return f"  alert_rule_test:\n  - eval_time: {at}\n    alertname: {name}\n    exp_alerts:\n{lines}"


def expr(text: str, at: str, *expected: str) -> str:
    lines = "".join(f"      - {item}\n" for item in expected)
    return f"  promql_expr_test:\n  - expr: {text!r}\n    eval_time: {at}\n    exp_samples:\n{lines}"


DOWN = (
    "{exp_labels: {severity: page, upper: API, instance: a, job: api}, "
    "exp_annotations: {summary: 'a is 0 in eu'}}"
)
ALL_UP = "{labels: 'job:up:sum{job=\"all\"}', value: 2}"
API_UP = "{labels: 'job:up:sum{job=\"api\"}', value: 2}"

PASSING = {
    "an alert is pending for as long as it says": suite(alerts("6m", "InstanceDown")),
    "then it fires": suite(alerts("7m", "InstanceDown", DOWN)),
    "between two evaluations the earlier one counts": suite(alerts("7m59s", "InstanceDown", DOWN)),
    "it ends when the condition does": suite(alerts("12m", "InstanceDown")),
    "a rule sees what a later group recorded the time before": suite(
        alerts("3m", "TooFew", "{exp_labels: {job: api}}", "{exp_labels: {job: all}}")
    ),
    "recorded series": suite(expr("job:up:sum", "1m", ALL_UP, API_UP)),
    "recorded series end": suite(expr('job:up:sum{job="none"}', "1m")),
    "hysteresis through ALERTS holds": suite(alerts("4m", "Latched", "{exp_labels: {instance: a}}")),
    "hysteresis through ALERTS ends": suite(alerts("5m", "Latched")),
    "an alert is kept firing as long as it says": suite(alerts("3m", "Kept", "{exp_labels: {instance: a}}")),
    "and then no longer": suite(alerts("4m", "Kept")),
    "ALERTS is a series": suite(
        expr(
            'count by (alertstate, instance) (ALERTS{alertname="InstanceDown"})',
            "4m",
            '{labels: \'{alertstate="pending", instance="a"}\', value: 1}',
        )
    ),
    "ALERTS_FOR_STATE is the time of the beginning": suite(
        expr('max(ALERTS_FOR_STATE{alertname="InstanceDown"})', "9m", "{labels: '{}', value: 120}")
    ),
    "what is no number": suite(expr("-1 / 0", "0m", "{value: -.inf}")),
    "a scalar is a sample without labels": suite(expr("1 + 1", "0m", "{value: 2}")),
    "functions of time": suite(expr("time()", "90s", "{labels: '{}', value: 90}")),
    "a stale series is gone": suite(expr('up{instance="b"}', "6m")),
    "an interval of its own": suite(
        alerts("4m", "Soon"),
        alerts("2m30s", "Soon", "{exp_labels: {instance: a}}"),
        head="evaluation_interval: 30s\n",
    ),
    "the order of groups": suite(
        expr("job:up:sum", "0m", ALL_UP, API_UP), head="group_eval_order: [records, alerts]\n"
    ),
    "nothing to test": "rule_files: [rules.yml]\ntests: []\n",
    "no rules": "rule_files: []\ntests:\n- interval: 1m\n"
    + expr("vector(1)", "0m", "{labels: '{}', value: 1}"),
    "a subquery's default step is the evaluation interval": suite(
        expr("count_over_time(vector(1)[10m30s:])", "10m", "{labels: '{}', value: 11}")
    ),
}
FAILING = {
    "an alert that is not there": suite(alerts("6m", "InstanceDown", DOWN)),
    "an alert that was not expected": suite(alerts("7m", "InstanceDown")),
    "another label": suite(alerts("7m", "InstanceDown", DOWN.replace("API", "api"))),
    "another annotation": suite(alerts("7m", "InstanceDown", DOWN.replace("is 0", "is 1"))),
    "another value": suite(expr("job:up:sum", "1m", ALL_UP.replace("2", "3"), API_UP)),
    "NaN is nothing's equal": suite(expr("0 / 0", "0m", "{value: .nan}")),
    "a sample too many": suite(expr("job:up:sum", "1m", ALL_UP, API_UP, "{labels: 'x', value: 1}")),
    "a sample too few": suite(expr("job:up:sum", "1m", ALL_UP)),
    "a bad expression": suite(expr("rate(up)", "1m")),
    "an expression that cannot be evaluated": suite(expr("up + on (job) up", "1m")),
    "a range vector": suite(expr("up[5m]", "1m")),
    "an alert without a name": suite("  alert_rule_test:\n  - eval_time: 5m\n"),
    "a bad series": "tests:\n- interval: 1m\n  input_series: [{series: 'up{', values: '1'}]\n"
    + expr("up", "0m"),
    "bad values": "tests:\n- interval: 1m\n  input_series: [{series: up, values: '1 x'}]\n"
    + expr("up", "0m"),
    "an unknown key": "rule_files: [rules.yml]\nevaluation_intervall: 1m\ntests: []\n",
    "not YAML": "rule_files: [",
    "a group twice in the order": suite(head="group_eval_order: [a, a]\n") + "[]\n",
    "a broken rule file": "rule_files: [broken.yml]\ntests:\n- interval: 1m\n" + expr("up", "0m"),
    "a rule that cannot be evaluated": "rule_files: [failing.yml]\ntests:\n- interval: 1m\n"
    "  input_series: [{series: 'a{x=\"1\"}', values: 1}, {series: 'a{x=\"2\"}', values: 1}]\n"
    + expr("a", "0m", "{labels: 'a{x=\"1\"}', value: 1}", "{labels: 'a{x=\"2\"}', value: 1}"),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "broken.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]\n")
    (tmp_path / "failing.yml").write_text("groups: [{name: g, rules: [{record: r, expr: a + on () a}]}]\n")
    return tmp_path


def run(directory: Path, text: str) -> Report:
    path = directory / "test.yml"
    path.write_text(text)
    return run_file(path)


@pytest.mark.parametrize("name", PASSING)
def test_what_promtool_passes_passes(directory: Path, name: str) -> None:
    assert run(directory, PASSING[name]).failures == ()


@pytest.mark.parametrize("name", FAILING)
def test_what_promtool_fails_fails(directory: Path, name: str) -> None:
    assert not run(directory, FAILING[name]).passed


@needs_promtool
def test_promtool_gives_the_same_verdicts(directory: Path) -> None:
    verdicts = {}
    for name, text in {**PASSING, **FAILING}.items():
        path = directory / "test.yml"
        path.write_text(text)
        command = [PROMTOOL, "test", "rules", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        verdicts[name] = done.returncode == 0
    assert verdicts == {**dict.fromkeys(PASSING, True), **dict.fromkeys(FAILING, False)}


def test_a_failure_says_what_was_expected_and_what_came(directory: Path) -> None:
    (failure,) = run(directory, FAILING["another annotation"]).failures
    assert failure == (
        "    alertname: InstanceDown, time: 7m, \n"
        "        exp:[\n"
        "            0:\n"
        '              Labels:{alertname="InstanceDown", instance="a", job="api", '
        'severity="page", upper="API"}\n'
        '              Annotations:{summary="a is 1 in eu"}\n'
        "            ], \n"
        "        got:[\n"
        "            0:\n"
        '              Labels:{alertname="InstanceDown", instance="a", job="api", '
        'severity="page", upper="API"}\n'
        '              Annotations:{summary="a is 0 in eu"}\n'
        "            ]"
    )
    (failure,) = run(directory, FAILING["a sample too few"]).failures
    assert failure == (
        '    expr: "job:up:sum", time: 1m,\n'
        '        exp: {__name__="job:up:sum", job="all"} 2\n'
        '        got: {__name__="job:up:sum", job="all"} 2, {__name__="job:up:sum", job="api"} 2'
    )


def test_a_failing_rule_is_named_with_its_time(directory: Path) -> None:
    (failure,) = run(directory, FAILING["a rule that cannot be evaluated"]).failures
    assert failure.startswith("    rule: r, time: 0s, err: found duplicate series for the match group")


def test_a_file_that_cannot_be_read_points_at_the_mistake(directory: Path) -> None:
    (failure,) = run(directory, FAILING["bad values"]).failures
    assert f"{directory}/test.yml:3:42: not a series value" in failure
    (failure,) = run(directory, FAILING["a broken rule file"]).failures
    assert "broken.yml:1:49: expr: unclosed left parenthesis" in failure
    assert "cannot be read" in run_file(directory / "absent.yml").failures[0]


def test_what_newer_promtools_can_do_works_too(directory: Path) -> None:
    (directory / "keep.yml").write_text(
        "groups: [{name: g, limit: 1, labels: {team: a}, "
        "rules: [{alert: K, expr: up == 0, keep_firing_for: 3m}]}]"
    )
    text = (
        "rule_files: [keep.yml]\nfuzzy_compare: true\ntests:\n- interval: 1m\n"
        "  start_timestamp: 2026-01-05T03:00:00Z\n"
        "  input_series: [{series: up, values: '0 0 1x10'}]\n"
    )
    expected = "{exp_labels: {team: a}}"
    assert run(directory, text + alerts("4m", "K", expected)).failures == ()
    assert run(directory, text + alerts("5m", "K")).failures == ()
    assert run(directory, text + expr("hour()", "1m", "{labels: '{}', value: 3}")).failures == ()
    assert run(directory, text + expr("0.1 + 0.2", "1m", "{labels: '{}', value: 0.3}")).failures == ()
    two = """input_series: [{series: 'up{x="1"}', values: '0'}, {series: 'up{x="2"}', values: '0'}]"""
    many = text.replace("input_series: [{series: up, values: '0 0 1x10'}]", two)
    assert "more than 1" in run(directory, many + alerts("0m", "K")).failures[0]


def test_native_histograms_are_refused(directory: Path) -> None:
    text = "tests:\n- interval: 1m\n  input_series: [{series: h, values: '{{count:1}}'}]\n" + expr("h", "0m")
    assert "native histograms are not supported" in run(directory, text).failures[0]


def test_a_file_pattern_without_a_match_is_a_warning(directory: Path) -> None:
    report = run(directory, "rule_files: ['absent*.yml']\ntests: []\n")
    assert report.passed
    assert report.warnings == (f"  WARNING: no file match pattern {directory}/absent*.yml",)
