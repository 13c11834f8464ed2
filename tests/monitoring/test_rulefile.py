"""Rule files: what is written is read again and taken by promtool; what is wrong is pointed at."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.promql.expressions import vectors
from tests.monitoring.promtool import PROMTOOL, needs_promtool
from watchkeeper.monitoring.promql.printer import to_string
from watchkeeper.monitoring.rulefile import (
    Rule,
    RuleFileError,
    RuleGroup,
    load_rules,
    read_rules,
    write_rules,
)

HOUR = 3_600_000
GROUPS = [
    RuleGroup(
        name="api",
        interval_ms=15_000,
        rules=(
            Rule(
                alert="ApiErrorRatePage",
                expr='sum by (service) (rate(http_requests_total{status=~"5.."}[5m]))\n  > 0.05\n',
                for_ms=120_000,
                keep_firing_for_ms=HOUR,
                labels=(("severity", "page"), ("team", "yes")),
                annotations=(
                    ("runbook_url", "https://example.org/#api"),
                    ("summary", "{{ $value | humanize }}"),
                ),
            ),
            Rule(record="job:up:sum", expr="sum by (job) (up)", labels=(("source", "5:30"),)),
        ),
    ),
    RuleGroup(name="empty"),
    RuleGroup(name="limited", limit=7, rules=(Rule(alert="Odd", expr='vector(1) # "comment"'),)),
]


def test_what_is_written_is_read_again() -> None:
    assert read_rules(write_rules(GROUPS)) == GROUPS


def test_the_same_groups_give_the_same_text() -> None:
    text = write_rules(GROUPS)
    assert write_rules(GROUPS) == text
    assert write_rules(read_rules(text)) == text
    assert text.startswith("groups:\n- name: api\n  interval: 15s\n  rules:\n  - alert: ApiErrorRatePage\n")
    assert "    expr: |\n      sum by (service)" in text
    assert "    for: 2m\n" in text


_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_pairs = st.dictionaries(
    st.sampled_from(["severity", "team", "a", "summary"]),
    _texts.filter(lambda text: "{{" not in text),
    max_size=3,
).map(lambda pairs: tuple(sorted(pairs.items())))
_durations = st.integers(0, 10**6).map(lambda seconds: seconds * 1000)
_alerts = st.builds(
    Rule,
    expr=vectors.map(to_string),
    alert=_texts.filter(bool),
    for_ms=_durations,
    keep_firing_for_ms=_durations,
    labels=_pairs,
    annotations=_pairs,
)


@given(st.lists(_alerts, max_size=3))
def test_any_rules_survive_being_written(rules: list[Rule]) -> None:
    group = RuleGroup(name="g", rules=tuple(rules))
    assert read_rules(write_rules([group])) == [group]


@needs_promtool
def test_promtool_accepts_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(write_rules(GROUPS))
    done = subprocess.run([PROMTOOL, "check", "rules", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 rules found" in done.stdout


def refusals(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(RuleFileError) as caught:
        read_rules(text)
    return [(problem.place.line, problem.place.column, problem.message) for problem in caught.value.problems]


def test_every_mistake_is_reported_with_its_place() -> None:
    text = """\
groups:
- name: g
  intervall: 5m
  rules:
  - alert: A
    expr: rate(up)
    for: 5 minutes
    labels: {severity: "{{ $nothing }}"}
    annotations:
      summary: "value {{ $value | humanise }}"
  - record: "bad{name}"
    expr: up
    for: 1m
  - expr: up
  - alert: B
    record: c
    expr: |
      sum(up)
        + sm(up)
  - alert: C
  - alert: D
    expr: up[5m]
- name: g
  limit: many
"""
    assert refusals(text) == [
        (3, 3, "unknown key `intervall` in a group"),
        (6, 16, 'expr: expected type range vector in call to function "rate", got instant vector'),
        (7, 10, 'for: not a valid duration string: "5 minutes"'),
        (8, 28, 'template of `severity`: undefined variable "$nothing"'),
        (10, 35, 'template of `summary`: function "humanise" not defined'),
        (11, 13, "a metric name without braces belongs in `record`"),
        (13, 5, "`for` belongs to alerting rules only"),
        (14, 5, "a rule needs `alert` (a name) or `record` (a metric)"),
        (16, 5, "a rule has either `alert` or `record`, not both"),
        (19, 11, 'expr: unknown function with name "sm"'),
        (20, 5, "a rule needs `expr`"),
        (22, 11, "expr gives a matrix; a rule needs an instant vector or a number"),
        (23, 9, "there are two groups named g"),
        (24, 10, "limit must be a whole number"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("groups: [", 1, "not valid YAML"),
        ("groups:\n\t- name: x", 2, "a tab cannot indent YAML"),
        ("- a", 1, "a rule file must be a mapping"),
        ("groups: 5", 1, "groups must be a list"),
        ("groups: [5]", 1, "a group must be a mapping"),
        ("groups: [{rules: []}]", 1, "a group needs a name"),
        ("groups: [{name: g, rules: [{alert: A, expr: ''}]}]", 1, "expr must not be empty"),
        ("groups: [{name: g, rules: [{alert: A, expr: [up]}]}]", 1, "expr must be a text"),
        ("groups: [{name: g, rules: [{alert: A, expr: up, labels: 5}]}]", 1, "labels must be a mapping"),
        ("groups: [{name: g, rules: [{record: a, expr: up, labels: {__name__: b}}]}]", 1, "cannot be set"),
        ("groups: []\ngroups: []", 2, "stands here twice"),
        ("groups: [{name: g, limit: .inf}]", 1, "limit must be a whole number"),
        ("groups: [{name: g, limit: -1}]", 1, "limit must be a whole number"),
    ],
)
def test_a_broken_file_is_refused(text: str, line: int, message: str) -> None:
    assert message in refusals(text)[0][2]
    assert refusals(text)[0][0] == line


def test_scalars_stay_what_was_written() -> None:
    text = (
        "groups: [{name: g, rules: [{alert: A, expr: 1, labels: {a: yes, b: 010, c: 5:30, d: ~, e: 1.50}}]}]"
    )
    assert read_rules(text)[0].rules[0] == Rule(
        alert="A", expr="1", labels=(("a", "yes"), ("b", "010"), ("c", "5:30"), ("d", ""), ("e", "1.50"))
    )


def test_an_empty_file_has_no_groups(tmp_path: Path) -> None:
    assert read_rules("") == []
    assert read_rules("# nothing\n") == []
    assert read_rules("groups:\n") == []
    with pytest.raises(RuleFileError, match="cannot be read: No such file"):
        load_rules(tmp_path / "absent.yml")
