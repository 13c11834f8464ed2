"""The charts of signals and alerts: what is asked for, which lines are not to be crossed, what happened when.

Always true: of an alert only the series is drawn that it is about; a chart that cannot be had is a sentence
that says why, never an error of the page around it (tests/console/test_signal_charts.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from markupsafe import Markup

from watchkeeper.console.alert_story import Story
from watchkeeper.console.charts import MAX_LINES, Chart, Level, Mark, draw
from watchkeeper.console.picture import Picture
from watchkeeper.console.policy import Policy
from watchkeeper.console.ranges import NoAnswerError, Range, Span, ask, ask_range, lines_of
from watchkeeper.console.roles import Roles
from watchkeeper.monitoring.compile import RULE_FAILED, CompiledRule, CompiledSignal
from watchkeeper.runbook.models.monitoring import SEVERITIES
from watchkeeper.store.clock import from_ms, to_ms

BEFORE = timedelta(minutes=15)
AFTER = timedelta(minutes=10)
LEAST = timedelta(minutes=30)
LABEL_LENGTH = 500
NOT_HERE = "Samples are not kept here but at a remote API, so there is no chart; ask there"


def levels_of(policy: Policy, layer_id: str, signal_id: str) -> tuple[Level, ...]:
    """The thresholds of a signal, as the runbook writes them."""
    layer = policy.runbook.monitoring.layer(layer_id)
    signal = layer.signal(signal_id) if layer else None
    if signal is None:
        return ()
    return tuple(
        Level(float(threshold.figure), f"{severity} {threshold.operator} {threshold.figure.text}", severity)
        for severity in SEVERITIES
        for threshold in signal.thresholds(severity)
    )


def only(expr: str, labels: Mapping[str, str]) -> str:
    """``expr`` restricted to the elements that have exactly these values for these labels."""
    if not labels:
        return expr
    wanted = "vector(1)"
    for name, value in sorted(labels.items()):
        text = json.dumps(value.replace("$", "$$"), ensure_ascii=False)
        wanted = f'label_replace({wanted}, "{name}", {text}, "", "")'
    return f"({expr}\n)\nand on ({', '.join(sorted(labels))})\n{wanted}"


def own_labels(rule: CompiledRule, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of an alert that its series brought, not its rule."""
    given = {"alertname", "rule", *dict(rule.labels)} if rule.kind == "threshold" else set(labels)
    return {
        name: value
        for name, value in labels.items()
        if name not in given and len(value) <= LABEL_LENGTH and value.isprintable()
    }


def moments(story: Story) -> tuple[Mark, ...]:
    """What happened to an alert, for the time axis."""
    alert = story.alert
    told = [one.settled_at for one in story.told if one.state == "delivered" and one.settled_at]
    paged = alert.paged_at or min(told, default=None)
    known = (
        (alert.active_at, "pending", "pending"),
        (alert.fired_at, "firing", alert.severity),
        (paged, "paged" if alert.severity == "page" else "told", "unknown"),
        (alert.acknowledged_at, "acknowledged", "unknown"),
        (alert.resolved_at, "resolved", "resolved"),
    )
    return tuple(Mark(to_ms(at), text, state) for at, text, state in known if at is not None)


async def alert_chart(
    roles: Roles, story: Story, rule: CompiledRule | None, picture: Picture
) -> tuple[Markup | None, str]:
    """The signal around an alert, and why there is no drawing of it."""
    alert, policy = story.alert, picture.policy
    if rule is None or policy is None or alert.alertname == RULE_FAILED:
        return None, "There is no chart: no signal of the runbook in force belongs to this alert."
    begin = alert.active_at or alert.fired_at or picture.at
    end = min(alert.resolved_at + AFTER, picture.at) if alert.resolved_at else picture.at
    start = min(begin - BEFORE, end - LEAST)
    try:
        found = await ask_range(
            roles, only(rule.value_expr, own_labels(rule, alert.labels)), Span.around(start, end), MAX_LINES
        )
    except NoAnswerError as error:
        return None, why_not(error)
    chart = _chart(rule.title, rule.unit, found, levels_of(policy, rule.layer, rule.signal), moments(story))
    return _drawn(chart)


async def signal_chart(
    roles: Roles, policy: Policy, signal: CompiledSignal, end: datetime, span: timedelta
) -> tuple[Markup | None, str]:
    """All series of a signal for ``span`` up to ``end``, and why there is no drawing of them."""
    try:
        found = await ask_range(roles, signal.expr, Span.around(end - span, end), MAX_LINES)
        count = await count_at(roles, signal.expr, end) if found.more else len(found.series)
    except NoAnswerError as error:
        return None, why_not(error)
    levels = levels_of(policy, signal.layer, signal.signal)
    return _drawn(_chart(signal.title, signal.unit, found, levels, (), count))


def _drawn(chart: Chart) -> tuple[Markup | None, str]:
    if all(value is None for line in chart.lines for value in line.values):
        start, end = from_ms(chart.times_ms[0]), from_ms(chart.times_ms[-1])
        return None, f"There is no data from {start:%d %b %H:%M} to {end:%d %b %H:%M} UTC."
    return draw(chart), ""


def _chart(
    title: str,
    unit: str,
    found: Range,
    levels: tuple[Level, ...],
    marks: tuple[Mark, ...],
    count: int = 0,
) -> Chart:
    lines = lines_of(found)
    return Chart(title, unit, found.times_ms, lines, levels, marks, max(count, len(lines) + found.more))


async def count_at(roles: Roles, expr: str, at: datetime) -> int:
    """How many series ``expr`` has at that time; 0 where that cannot be said."""
    try:
        said = await ask(roles, "query", {"query": f"count({expr}\n)", "time_ms": to_ms(at), "limit": 1})
        return int(float(said["data"]["result"][0]["value"][1]))
    except (NoAnswerError, IndexError, KeyError, ValueError):
        return 0


def why_not(error: NoAnswerError) -> str:
    """Why there is no chart, as a sentence."""
    if error.kind == "not_found":
        return f"{NOT_HERE}: {error}."
    return f"The chart cannot be drawn: {error}."
