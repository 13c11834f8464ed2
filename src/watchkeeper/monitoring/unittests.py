"""promtool's unit tests for rules, run by our own engine: the file format, and the verdict on each test.

Always true: where promtool passes a file we pass it, and where it fails one we fail it, as far as the two
versions of PromQL agree (tests/monitoring/test_unittests.py runs both). Source:
https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.durations import format_duration
from watchkeeper.monitoring.promql.numbers import general
from watchkeeper.monitoring.promql.result import format_labels
from watchkeeper.monitoring.promql.series_notation import SeriesText, parse_metric, parse_series
from watchkeeper.monitoring.rule_replay import Firing, Replay, RuleEvaluationError, Sample
from watchkeeper.monitoring.rulefile import Reader, RuleFileError, RuleGroup, load_rules, read_document
from watchkeeper.monitoring.templates import External
from watchkeeper.runbook.errors import Place, Problem
from watchkeeper.runbook.scalars import place_in_scalar
from watchkeeper.runbook.tree import Node

DEFAULT_INTERVAL_MS = 60_000
_FILE_KEYS = ("rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare")
_TEST_KEYS = (
    *("name", "interval", "input_series", "alert_rule_test", "promql_expr_test"),
    *("external_labels", "external_url", "start_timestamp"),
)


@dataclass(frozen=True, slots=True)
class AlertTest:
    """Which alerts of one name fire at a time, with their labels and annotations."""

    at_ms: int
    alertname: str
    expected: tuple[Firing, ...]


@dataclass(frozen=True, slots=True)
class ExprTest:
    """What an expression gives at a time."""

    at_ms: int
    expr: str
    expected: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One item of ``tests``: its series, and what is asked about them. Times count from ``start_ms``."""

    name: str
    interval_ms: int
    series: tuple[SeriesText, ...]
    alert_tests: tuple[AlertTest, ...]
    expr_tests: tuple[ExprTest, ...]
    external: External
    start_ms: int = 0

    @property
    def last_ms(self) -> int:
        """The latest time that anything is asked about."""
        alerts, exprs = (test.at_ms for test in self.alert_tests), (test.at_ms for test in self.expr_tests)
        return max((0, *alerts, *exprs))


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of unit tests."""

    rule_files: tuple[str, ...]
    evaluation_interval_ms: int
    group_eval_order: tuple[str, ...]
    cases: tuple[Case, ...]
    fuzzy_compare: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one file: it passed if there are no ``failures``; ``warnings`` do not count."""

    path: Path
    failures: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures


def run_file(path: Path) -> Report:
    """Runs the unit tests in ``path``. A file that cannot be read is a failure: the place of the mistake."""
    warnings: list[str] = []
    try:
        suite = load_suite(path)
        groups = _ordered(_rule_groups(path.parent, suite, warnings), suite)
    except RuleFileError as error:
        return Report(path, (error.render(),))
    failures = [failure for case in suite.cases for failure in run_case(case, groups, suite)]
    return Report(path, tuple(failures), tuple(warnings))


def run_case(case: Case, groups: Sequence[RuleGroup], suite: Suite) -> list[str]:
    """What is wrong in one test, in promtool's words; empty where nothing is."""
    interval_ms = suite.evaluation_interval_ms
    replay = Replay(groups, case.series, case.interval_ms, interval_ms, case.external, case.start_ms)
    replay.load(case.last_ms // interval_ms * interval_ms, [test.expr for test in case.expr_tests])
    failures: list[str] = []
    pending = sorted(case.alert_tests, key=lambda test: test.at_ms)
    for at_ms in range(0, case.last_ms + 1, interval_ms):
        try:
            replay.evaluate(at_ms)
        except RuleEvaluationError as error:
            return [*failures, f"    rule: {error.rule}, time: {_go_duration(at_ms)}, err: {error}"]
        while pending and pending[0].at_ms < at_ms + interval_ms:
            failures += _check_alerts(case, pending.pop(0), replay)
    for test in case.expr_tests:
        failures += _check_expr(test, replay, fuzzy=suite.fuzzy_compare)
    return failures


def _check_alerts(case: Case, test: AlertTest, replay: Replay) -> list[str]:
    expected, got = sorted(test.expected), sorted(replay.firing(test.alertname))
    if expected == got:
        return []
    name = f"    name: {case.name},\n" if case.name else ""
    return [
        f"{name}    alertname: {test.alertname}, time: {format_duration(test.at_ms)}, \n"
        f"        exp:{_shown_alerts(expected)}, \n        got:{_shown_alerts(got)}"
    ]


def _check_expr(test: ExprTest, replay: Replay, *, fuzzy: bool) -> list[str]:
    head = f'    expr: "{test.expr}", time: {format_duration(test.at_ms)},'
    try:
        got = sorted(replay.query(test.expr, test.at_ms))
    except ValueError as error:
        return [f"{head} err: {error}"]
    expected = sorted(test.expected)
    alike = len(expected) == len(got) and all(
        wanted[0] == given[0] and _same(wanted[1], given[1], fuzzy=fuzzy)
        for wanted, given in zip(expected, got, strict=True)
    )
    if alike:
        return []
    return [f"{head}\n        exp: {_shown_samples(expected)}\n        got: {_shown_samples(got)}"]


def _same(wanted: float, given: float, *, fuzzy: bool) -> bool:
    if wanted == given:  # NaN is not NaN here, as in promtool
        return True
    return fuzzy and given in (math.nextafter(wanted, -math.inf), math.nextafter(wanted, math.inf))


def _shown_alerts(alerts: Sequence[Firing]) -> str:
    if not alerts:
        return "[]"
    shown = ",\n".join(
        f"            {position}:\n              Labels:{format_labels(labels)}\n"
        f"              Annotations:{format_labels(annotations)}"
        for position, (labels, annotations) in enumerate(alerts)
    )
    return f"[\n{shown}\n            ]"


def _shown_samples(samples: Sequence[Sample]) -> str:
    return ", ".join(f"{format_labels(labels)} {general(value)}" for labels, value in samples) or "nil"


def _go_duration(ms: int) -> str:
    """As Go prints a duration: ``1h0m0s``."""
    seconds = f"{ms % 60_000 / 1000:g}s"
    if ms < 60_000:
        return seconds
    minutes = f"{ms // 60_000 % 60}m{seconds}"
    return minutes if ms < 3_600_000 else f"{ms // 3_600_000}h{minutes}"


def _rule_groups(directory: Path, suite: Suite, warnings: list[str]) -> list[RuleGroup]:
    groups: list[RuleGroup] = []
    for pattern in suite.rule_files:
        absolute = Path(pattern).is_absolute()
        base, relative = (Path("/"), pattern.lstrip("/")) if absolute else (directory, pattern)
        found = sorted(base.glob(relative)) if relative else []
        if not found:
            warnings.append(f"  WARNING: no file match pattern {base / relative}")
        for path in found:
            groups += load_rules(path)
    return groups


def _ordered(groups: list[RuleGroup], suite: Suite) -> list[RuleGroup]:
    """As ``group_eval_order`` says; groups that it does not name come first, in their own order."""
    order = {name: position for position, name in enumerate(suite.group_eval_order)}
    return sorted(groups, key=lambda group: order.get(group.name, 0))


# -- reading -----------------------------------------------------------------------------------


def load_suite(path: Path) -> Suite:
    """The unit tests in the file at ``path``. Raises :class:`RuleFileError` with every mistake in it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RuleFileError([Problem(Place(str(path), 1, 1), f"cannot be read: {error.strerror}")]) from None
    root, problems = read_document(raw, str(path))
    if root is None:
        return Suite((), DEFAULT_INTERVAL_MS, (), ())
    reader = Reader(problems)
    suite = _suite(root, reader)
    reader.finish()
    return suite


def _suite(root: Node, reader: Reader) -> Suite:
    fields = reader.mapping(root, _FILE_KEYS, "a file of unit tests")
    interval_ms = reader.duration(fields.get("evaluation_interval"), "evaluation_interval")
    interval_ms = interval_ms or DEFAULT_INTERVAL_MS
    order = [
        reader.text(node, "a group's name") for node in reader.items(fields.get("group_eval_order"), "it")
    ]
    for position, name in enumerate(order):
        if name in order[:position]:
            place = fields["group_eval_order"].place
            reader.problem(place, f"group name repeated in evaluation order: {name}")
    return Suite(
        rule_files=tuple(
            reader.text(node, "a rule file") for node in reader.items(fields.get("rule_files"), "rule_files")
        ),
        evaluation_interval_ms=interval_ms,
        group_eval_order=tuple(order),
        cases=tuple(_case(node, interval_ms, reader) for node in reader.items(fields.get("tests"), "tests")),
        fuzzy_compare=reader.text(fields.get("fuzzy_compare"), "fuzzy_compare") == "true",
    )


def _case(node: Node, interval_ms: int, reader: Reader) -> Case:
    fields = reader.mapping(node, _TEST_KEYS, "a test")
    external = External(
        reader.pairs(fields.get("external_labels"), "external_labels"),
        reader.text(fields.get("external_url"), "external_url"),
    )
    return Case(
        name=reader.text(fields.get("name"), "name"),
        interval_ms=reader.duration(fields.get("interval"), "interval") or interval_ms,
        series=tuple(
            _series(item, reader) for item in reader.items(fields.get("input_series"), "input_series")
        ),
        alert_tests=tuple(
            _alert_test(item, reader)
            for item in reader.items(fields.get("alert_rule_test"), "alert_rule_test")
        ),
        expr_tests=tuple(
            _expr_test(item, reader)
            for item in reader.items(fields.get("promql_expr_test"), "promql_expr_test")
        ),
        external=external,
        start_ms=_start(fields.get("start_timestamp"), reader),
    )


def _series(node: Node, reader: Reader) -> SeriesText:
    fields = reader.mapping(node, ("series", "values"), "an input series")
    series, values = (reader.text(fields.get(key), key) for key in ("series", "values"))
    try:
        read = parse_series(f"{series} {values}")
    except PromQLError as error:
        inside = error.start < len(series) or "values" not in fields
        scalar = fields.get("series" if inside else "values", node)
        start = error.start if inside else error.start - len(series) - 1
        reader.problem(place_in_scalar(scalar, start, max(1, error.end - error.start)), error.message)
        return SeriesText((), ())
    if read.has_histograms:
        reader.problem(fields["values"].place, "native histograms are not supported")
    return read


def _alert_test(node: Node, reader: Reader) -> AlertTest:
    fields = reader.mapping(node, ("eval_time", "alertname", "exp_alerts"), "an alert test")
    name = reader.text(fields.get("alertname"), "alertname")
    if not name:
        reader.problem(node.place, "an item under alert_rule_test misses required attribute alertname")
    expected = []
    for item in reader.items(fields.get("exp_alerts"), "exp_alerts"):
        parts = reader.mapping(item, ("exp_labels", "exp_annotations"), "an expected alert")
        labels = {**reader.pairs(parts.get("exp_labels"), "exp_labels"), "alertname": name}
        annotations = reader.pairs(parts.get("exp_annotations"), "exp_annotations")
        expected.append((label_set(labels.items()), tuple(sorted(annotations.items()))))
    at_ms = reader.duration(fields.get("eval_time"), "eval_time") or 0
    return AlertTest(at_ms, name, tuple(expected))


def _expr_test(node: Node, reader: Reader) -> ExprTest:
    fields = reader.mapping(node, ("expr", "eval_time", "exp_samples"), "an expression test")
    expected: list[Sample] = []
    for item in reader.items(fields.get("exp_samples"), "exp_samples"):
        parts = reader.mapping(item, ("labels", "value", "histogram"), "an expected sample")
        if "histogram" in parts:
            reader.problem(parts["histogram"].place, "native histograms are not supported")
        expected.append((_metric(parts.get("labels"), reader), reader.number(parts.get("value"), "value")))
    at_ms = reader.duration(fields.get("eval_time"), "eval_time") or 0
    return ExprTest(at_ms, reader.text(fields.get("expr"), "expr"), tuple(expected))


def _metric(node: Node | None, reader: Reader) -> Labels:
    text = reader.text(node, "labels")
    if node is None or not text:
        return ()
    try:
        return parse_metric(text)
    except PromQLError as error:
        length = max(1, error.end - error.start)
        reader.problem(place_in_scalar(node, error.start, length), error.message)
        return ()


def _start(node: Node | None, reader: Reader) -> int:
    text = reader.text(node, "start_timestamp")
    if node is None or not text:
        return 0
    try:
        return round(float(text) * 1000)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        reader.problem(
            node.place, "start_timestamp must be Unix seconds or a time such as 2026-01-05T03:00:00Z"
        )
        return 0
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
