"""What a target says about its metric families, and what follows from it for the labels of their series."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from watchkeeper.monitoring.exposition.grammar import Comment, LineError, parse_value
from watchkeeper.monitoring.labels import METRIC_NAME, Labels
from watchkeeper.monitoring.promql.numbers import general


@dataclass(frozen=True, slots=True)
class Family:
    """The TYPE, HELP and UNIT of a metric family; ``unknown`` and empty where it says nothing."""

    name: str
    type: str = "unknown"
    help: str = ""
    unit: str = ""


def families(comments: Iterable[Comment]) -> dict[str, Family]:
    """The families that ``comments`` describe, by name; what is said last counts."""
    found: dict[str, Family] = {}
    for comment in comments:
        if comment.keyword not in ("TYPE", "HELP", "UNIT"):
            continue
        family = found.get(comment.name) or Family(comment.name)
        if comment.keyword == "TYPE":
            kind = "unknown" if comment.text == "untyped" else comment.text
            family = replace(family, type=kind)
        elif comment.keyword == "HELP":
            family = replace(family, help=comment.text)
        else:
            family = replace(family, unit=comment.text)
        found[comment.name] = family
    return found


def normalized(labels: Labels, known: dict[str, Family]) -> Labels:
    """``labels`` with ``le`` of histograms and ``quantile`` of summaries as OpenMetrics writes numbers.

    Prometheus 3 does the same, so that ``le="1"`` of one exporter and ``le="1.0"`` of another are one bucket:
    https://prometheus.io/docs/prometheus/latest/migration/#le-and-quantile-label-values
    """
    for index, (label, value) in enumerate(labels):
        if label == "le" and value != "+Inf":
            name = dict(labels)[METRIC_NAME]
            family = known.get(name.removesuffix("_bucket"))
            if family is None or family.type != "histogram":
                continue
        elif label == "quantile":
            family = known.get(dict(labels)[METRIC_NAME])
            if family is None or family.type != "summary":
                continue
        else:
            continue
        written = _openmetrics_number(value)
        if written != value:
            return (*labels[:index], (label, written), *labels[index + 1 :])
    return labels


def _openmetrics_number(text: str) -> str:
    try:
        number = parse_value(text.encode())
    except LineError:
        return text
    written = general(number)
    return written if not math.isfinite(number) or "e" in written or "." in written else f"{written}.0"
