"""From the runbook to rules: one standard rule for each threshold, which means what the runbook says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from tests.monitoring.stage import default_runbook, load_text
from watchkeeper.monitoring import expressions
from watchkeeper.monitoring.compile import Compiled, CompileError, compile_runbook
from watchkeeper.monitoring.export import rule_groups
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.rulefile import write_rules
from watchkeeper.monitoring.samples.memory import MemoryStorage
from watchkeeper.runbook.clauses import Proof, clauses
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.rendering import render

HEAD = "runbook: 1\nplatform: Test\n"


def compiled(layers: str, rest: str = "") -> Compiled:
    """The rules of a runbook with these layers (a YAML list, indented by four)."""
    return compile_runbook(load_text(f"{HEAD}monitoring:\n  layers:\n{layers}\n{rest}").runbook)


def layer(signal: str) -> str:
    return f"    - id: l\n      title: L\n      signals:\n        - {{id: s, title: S, {signal}}}\n"


# -- one rule for each threshold ----------------------------------------------------------------


def test_every_threshold_clause_has_exactly_one_rule() -> None:
    runbook = default_runbook().runbook
    wanted = [clause.id for clause in clauses(runbook) if clause.proof is Proof.RULE]
    assert [rule.clause for rule in compile_runbook(runbook).rules] == wanted


def test_every_signal_is_there_whether_it_has_thresholds_or_not() -> None:
    runbook = default_runbook().runbook
    signals = compile_runbook(runbook).signals
    assert [one.identity for one in signals] == [
        f"{row.id}.{signal.id}" for row in runbook.monitoring.layers for signal in row.signals
    ]
    every = {clause.id for clause in clauses(runbook)}
    assert {clause for one in signals for clause in one.clauses} <= every


def test_a_rule_is_named_labelled_and_linked_as_people_look_for_it() -> None:
    rules = compile_runbook(default_runbook().runbook, "https://watch.example/")
    rule = rules.rule("ApiErrorRatePage")
    assert rule is not None
    assert dict(rule.labels) == {"layer": "api", "severity": "page", "signal": "error-rate"}
    annotations = dict(rule.annotations)
    assert annotations["clause"] == rule.clause == "monitoring.api.error-rate.page"
    assert annotations["runbook_url"] == "https://watch.example/runbook#playbook-api-errors"
    assert "above 5% over 2 minutes" in annotations["summary"]
    assert rule.loc == ("monitoring", "layers", 0, "signals", 0, "page", 0)


def test_every_link_leads_to_an_anchor_of_the_rendered_runbook() -> None:
    runbook = default_runbook().runbook
    document = render(runbook)
    for rule in compile_runbook(runbook).rules:
        anchor = dict(rule.annotations)["runbook_url"].partition("#")[2]
        assert f'<a id="{anchor}"></a>' in document, rule.name


def test_a_dashboard_is_linked_below_the_place_where_dashboards_are() -> None:
    rules = compiled(
        layer("expr: up, dashboard: d/api, page: {above: 1}"),
        "  hygiene: {dashboard_url: 'https://grafana.example/x/'}\n",
    )
    assert dict(rules.rules[0].annotations)["dashboard_url"] == "https://grafana.example/x/d/api"


def test_names_stay_unique_when_ids_run_together() -> None:
    rows = (
        "    - {id: a, title: A, signals: [{id: b-c, title: X, expr: up, page: {above: 1}}]}\n"
        "    - {id: a-b, title: B, signals: [{id: c, title: X, expr: up, page: [{above: 1}, {above: 2}]}]}\n"
    )
    assert [rule.name for rule in compiled(rows).rules] == ["ABCPage", "ABCPage2", "ABCPage22"]


def test_the_names_of_our_own_alerts_are_never_taken() -> None:
    signal = "{id: rule-failed, title: X, expr: up, page: {above: 1}}"
    rows = f"    - {{id: watchkeeper, title: W, signals: [{signal}]}}\n"
    assert compiled(rows).rules[0].name == "WatchkeeperRuleFailedPage"


def test_over_fills_the_window_and_for_is_the_hold() -> None:
    (warn, page) = compiled(
        layer(
            "expr: 'rate(x_total[$window])', warn: {above: 1, over: 10m}, page: {above: 2, for: 90s, "
            "keep_firing_for: 5m}"
        )
    ).rules
    assert warn.expr == "rate(x_total[10m]) > 1"
    assert page.expr == "rate(x_total[5m]) > 2"
    assert (page.hold.total_seconds(), page.keep_firing_for.total_seconds()) == (90, 300)


@pytest.mark.parametrize(
    ("threshold", "expr"),
    [
        ("above: 3%", "up > 0.03"),
        ("below: 21d", "up < 1814400"),
        ("at_least: 1", "up >= 1"),
        ("at_most: 10GiB", "up <= 10737418240"),
        ("equals: 0", "up == 0"),
        ("above: 1.5s", "up > 1.5"),
    ],
)
def test_figures_are_in_base_units(threshold: str, expr: str) -> None:
    assert compiled(layer(f"expr: up, page: {{{threshold}}}")).rules[0].expr == expr


def test_a_summary_of_the_runbook_is_used_with_its_figures_filled_in() -> None:
    (rule,) = compiled(
        layer("expr: up, page: {above: 3%, summary: 'over {above} on {{ $labels.service }}'}")
    ).rules
    assert dict(rule.annotations)["summary"] == "over 3% on {{ $labels.service }}"


def test_bad_promql_names_its_signal() -> None:
    good = load_text(f"{HEAD}monitoring:\n  layers:\n{layer('expr: up, page: {above: 1}')}").runbook
    broken = good.model_dump(by_alias=True)
    broken["monitoring"]["layers"][0]["signals"][0]["expr"] = ("up +",)
    with pytest.raises(CompileError, match=r"monitoring\.l\.s: bad PromQL"):
        compile_runbook(Runbook.model_validate(broken, strict=False))


# -- expressions --------------------------------------------------------------------------------


def evaluate(expr: str, **series: float) -> dict[str, float]:
    """Elements by their label ``s``; series are named ``metric__s``."""
    storage = MemoryStorage()
    for name, value in series.items():
        metric, _, label = name.partition("__")
        storage.add({"__name__": metric, "s": label}, [0], [value])
    return {dict(labels)["s"]: value for labels, value in Engine(storage).instant(expr, 0).values.items()}


def test_the_first_alternative_with_data_wins_for_each_series() -> None:
    (rule,) = compiled(layer("expr: [new, old], page: {above: 0}")).rules
    assert evaluate(rule.value_expr, new__a=1, old__a=5, old__b=7) == {"a": 1, "b": 7}


@pytest.mark.parametrize(
    "expr",
    [
        "a + b",
        "a or b",
        "-a",
        "a # comment",
        "a\n  + b # comment",
        "sum(a) by (s)",
        "(a)",
        "a and b",
        "a > 1",
    ],
)
def test_an_expression_keeps_its_meaning_inside_a_rule(expr: str) -> None:
    wanted = evaluate(f"({expr}\n) * 2", a__x=3, b__x=4)
    assert evaluate(f"{expressions.enclosed(expr)} * 2", a__x=3, b__x=4) == wanted


def test_a_guard_without_a_result_silences_the_threshold() -> None:
    (rule,) = compiled(layer("expr: ratio, guard: traffic > 10, page: {above: 5%}")).rules
    assert evaluate(rule.expr, ratio__a=0.5, traffic__a=11, ratio__b=0.5, traffic__b=9) == {"a": 0.5}


def test_a_guard_matches_on_the_labels_that_it_shares_with_the_signal() -> None:
    text = "expr: 'sum by (s, pod) (x)', guard: 'sum by (s) (t) > 10', page: {above: 1}"
    (rule,) = compiled(layer(text)).rules
    assert "and on (s)" in rule.expr
    same = "expr: 'sum by (s) (x)', guard: 'sum by (s) (t) > 10', page: {above: 1}"
    assert "\nand\n" in compiled(layer(same)).rules[0].expr


@pytest.mark.parametrize(
    ("expr", "labels"),
    [
        ("x", None),
        ("sum by (a, b) (x)", {"a", "b"}),
        ("sum(x)", set()),
        ("sum without (a) (sum by (a, b) (x))", {"b"}),
        ("sum without (a) (x)", None),
        ("histogram_quantile(0.9, sum by (le, a) (rate(x[5m])))", {"a"}),
        ("sum by (a) (x) / sum by (a) (y)", {"a"}),
        ("sum by (a, b) (x) / on (a) group_left () sum by (a) (y)", {"a", "b"}),
        ("sum by (a) (x) / on (a) group_right (c) sum by (a, b) (y)", {"a", "b", "c"}),
        ("sum by (a, b) (x) * on (a) sum by (a) (y)", {"a"}),
        ("sum by (a, b) (x) * ignoring (b) sum by (a) (y)", {"a"}),
        ("1 - sum by (a) (x)", {"a"}),
        ("-sum by (a) (x)", {"a"}),
        ("sum by (a) (x) or sum by (a) (y)", {"a"}),
        ("sum by (a) (x) or sum by (b) (y)", None),
        ("sum by (a) (x) unless y", {"a"}),
        ("topk by (a) (3, sum by (a, b) (x))", {"a", "b"}),
        ("vector(1)", set()),
        ("absent(x)", None),
        ("label_replace(sum by (a) (x), 'b', '$1', 'a', '(.*)')", None),
        ("count_values by (a) ('v', x)", None),
        ("max_over_time(sum by (a) (x)[5m:])", {"a"}),
        ("time() - max by (a) (x)", {"a"}),
        ("1", set()),
    ],
)
def test_the_labels_of_a_result_are_known_before_there_is_one(expr: str, labels: set[str] | None) -> None:
    assert expressions.result_labels(parse(expr)) == labels


def test_a_missing_signal_becomes_a_rule_where_the_runbook_wants_one() -> None:
    rules = compiled(layer("expr: [a, b], page: {above: 1}, missing: {after: 10m, as: warn}")).rules
    assert [rule.name for rule in rules] == ["LSPage", "LSMissing"]
    missing = rules[1]
    assert (missing.severity, missing.hold.total_seconds(), missing.kind) == ("warn", 600, "missing")
    assert missing.clause == "monitoring.l.s.page"
    storage = MemoryStorage()
    assert Engine(storage).instant(missing.expr, 0).values == {(): 1.0}


# -- what Prometheus makes of it ----------------------------------------------------------------

needs_promtool = pytest.mark.skipif(
    which("promtool") is None, reason="promtool (Debian: prometheus) is not installed"
)


def promtool(directory: Path, rules: Compiled, test: dict[str, Any] | None = None) -> str:
    (directory / "rules.yml").write_text(write_rules(rule_groups(rules)))
    command = ["promtool", "check", "rules", "rules.yml"]
    if test is not None:
        document = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]}
        (directory / "test.yml").write_text(yaml.safe_dump(document))
        command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs_prometheus
@needs_promtool
def test_promtool_takes_the_rules_of_the_default_runbook(tmp_path: Path) -> None:
    assert "17 rules found" in promtool(tmp_path, compile_runbook(default_runbook().runbook))


@pytest.mark.needs_prometheus
@needs_promtool
def test_hysteresis_works_in_a_plain_prometheus(tmp_path: Path) -> None:
    rules = compiled(layer("expr: x, guard: t > 0, page: {above: 10, clear: 5, for: 30s}"))
    #          0  15 30 45 60 75 90 105 120
    values = "11  7 11 11 11  7  6   5   7"
    firing = {60: True, 75: True, 90: True, 105: False, 120: False, 45: False}
    query = 'ALERTS{alertname="LSPage",alertstate="firing"}'
    labels = 'ALERTS{alertname="LSPage",alertstate="firing",layer="l",severity="page",signal="s",service="a"}'
    test = {
        "interval": "15s",
        "input_series": [
            {"series": 'x{service="a"}', "values": " ".join(values.split())},
            {"series": 't{service="a"}', "values": "1x8"},
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": f"{second}s",
                "exp_samples": [{"labels": labels, "value": 1}] if on else [],
            }
            for second, on in firing.items()
        ],
    }
    promtool(tmp_path, rules, test)
