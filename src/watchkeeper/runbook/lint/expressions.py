"""Lint of PromQL: mistakes that are valid PromQL and measure something else than meant.

These read the text; what needs the meaning (which labels a result has) is asked of ``result_labels``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from watchkeeper.runbook.lint.findings import Hit, Subject
from watchkeeper.runbook.lint.thresholds import signals
from watchkeeper.runbook.models.monitoring import Monitoring, Signal
from watchkeeper.runbook.models.quantities import BadQuantityError, Duration
from watchkeeper.runbook.models.references import WINDOW, WINDOW_PLACEHOLDER, fill_window
from watchkeeper.runbook.sentences import Loc

_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*")
_RANGE = re.compile(r"\[\s*([0-9a-z$]+)\s*\]")
_COUNTER_CALL = re.compile(r"\b(rate|irate|increase|resets)\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*[\[{]")
_GAUGE_CALL = re.compile(r"\b(delta|idelta|deriv|predict_linear)\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*[\[{]")
_OVER_AGGREGATE = re.compile(
    r"\b(rate|irate|increase)\s*\(\s*(sum|avg|min|max|count|group|topk|bottomk|quantile|stddev)\b"
)
_ALWAYS_THERE = re.compile(r"\bor\s+(?:on\s*\(\s*\)\s*)?\(?\s*vector\s*\(")
_SURELY_COUNTERS = (
    "_count",
    "_sum",
    "_bucket",
    "_requests_total",
    "_errors_total",
    "_seconds_total",
    "_attempts_total",
    "_jobs_total",
)
"""`_total` alone also ends gauges that count what is there, such as the bytes of a bucket."""
_COUNTER_ENDINGS = ("_total", "_count", "_sum", "_bucket", "_created")


def _texts(signal: Signal, loc: Loc) -> Iterator[tuple[Loc, str]]:
    for field, alternatives in (("expr", signal.expr), ("guard", signal.guard)):
        for index, text in enumerate(alternatives):
            yield (*loc, field, index), _STRING.sub(lambda m: " " * len(m[0]), text)


def window_and_scrape(subject: Subject) -> Iterator[Hit]:
    """A rate needs two samples, and four to survive a missed scrape."""
    scrape = subject.runbook.metrics.scrape_interval.total_seconds()
    for loc, name, _, signal in signals(subject.runbook):
        windows = _windows(subject.runbook.monitoring, signal)
        seen: set[str] = set()
        for at, text in _texts(signal, loc):
            for written in _RANGE.findall(text):
                for window in windows if written == WINDOW else [written]:
                    seconds = _seconds(window)
                    if seconds is None or seconds >= 4 * scrape or window in seen:
                        continue
                    seen.add(window)
                    worst = (
                        "can never hold two samples"
                        if seconds < 2 * scrape
                        else "breaks at one missed scrape"
                    )
                    yield Hit(
                        at,
                        name,
                        f"a window of {window} with scrape_interval: {scrape:g}s {worst}",
                        f"use a window of at least four scrapes: {int(4 * scrape)}s",
                    )


def _windows(monitoring: Monitoring, signal: Signal) -> list[str]:
    used = [monitoring.window_of(signal, threshold) for threshold in (*signal.warn, *signal.page)]
    return sorted({window.text for window in [*used, monitoring.window_of(signal)]})


def _seconds(text: str) -> float | None:
    try:
        return Duration(text).total_seconds()
    except BadQuantityError:
        return None


def rate_of_gauge(subject: Subject) -> Iterator[Hit]:
    """Rate and increase read every fall as a restart of a counter."""
    for loc, name, _, signal in signals(subject.runbook):
        for at, text in _texts(signal, loc):
            for function, metric in _COUNTER_CALL.findall(text):
                if not metric.endswith(_COUNTER_ENDINGS):
                    yield Hit(
                        at,
                        name,
                        f"{function}({metric}) takes a gauge for a counter: each fall counts as a restart",
                        f"use delta or deriv for a gauge; a counter's name ends in {_COUNTER_ENDINGS[0]}",
                    )


def delta_of_counter(subject: Subject) -> Iterator[Hit]:
    """Delta and deriv read a restart of a counter as a fall."""
    for loc, name, _, signal in signals(subject.runbook):
        for at, text in _texts(signal, loc):
            for function, metric in _GAUGE_CALL.findall(text):
                if metric.endswith(_SURELY_COUNTERS):
                    yield Hit(
                        at,
                        name,
                        f"{function}({metric}) takes a counter for a gauge: a restart counts as a fall",
                        "use increase or rate for a counter",
                    )


def rate_of_sum(subject: Subject) -> Iterator[Hit]:
    """The sum of counters falls when one of them restarts."""
    for loc, name, _, signal in signals(subject.runbook):
        for at, text in _texts(signal, loc):
            for function, aggregate in _OVER_AGGREGATE.findall(text):
                yield Hit(
                    at,
                    name,
                    f"{function}({aggregate}(...)) hides restarts: one counter's reset is a jump of all",
                    f"{function} each series first: {aggregate} by (...) ({function}(x_total[$window]))",
                )


def absent_as_fine(subject: Subject) -> Iterator[Hit]:
    """What is absent is unknown, never green."""
    for loc, name, _, signal in signals(subject.runbook):
        for at, text in _texts(signal, loc):
            if _ALWAYS_THERE.search(text):
                yield Hit(
                    at,
                    name,
                    "`or vector(...)` makes a missing series a good figure: a dead exporter looks healthy",
                    "take zero only from something that is there: or 0 * sum by (service, env, region) (...)",
                )


def dropped_labels(subject: Subject) -> Iterator[Hit]:
    """An alert that does not say which service, environment or region."""
    if subject.result_labels is None:
        return
    wanted = set(subject.runbook.monitoring.hygiene.required_labels)
    for loc, name, _, signal in signals(subject.runbook):
        for field, alternatives in (("expr", signal.expr), ("guard", signal.guard)):
            for index, text in enumerate(alternatives):
                labels = subject.result_labels(fill_window(text, WINDOW_PLACEHOLDER))
                missing = sorted(wanted - labels) if labels is not None else []
                if missing:
                    yield Hit(
                        (*loc, field, index),
                        name,
                        f"the result has no {', '.join(missing)}, so nobody sees where it burns",
                        f"aggregate by ({', '.join(subject.runbook.monitoring.hygiene.required_labels)})",
                    )
