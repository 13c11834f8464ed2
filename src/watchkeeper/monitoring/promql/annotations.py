"""The warnings and infos that Prometheus attaches to results.

Always true: an annotation names the expression that it is about, not a place; the place is looked up in
the text of the query that is being answered, because equal expressions of several queries are evaluated
once. The wording is that of Prometheus 3 (util/annotations), so that users find it on the web.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from watchkeeper.monitoring.promql.ast import Expr
from watchkeeper.monitoring.promql.numbers import general
from watchkeeper.monitoring.promql.traversal import walk

WARNING = "PromQL warning: "
INFO = "PromQL info: "


@dataclass(frozen=True, slots=True)
class Forced:
    """How the buckets of classic histograms were made monotonic, and in how many of them."""

    first_ms: int
    last_ms: int
    low_bound: float
    high_bound: float
    most: float
    histograms: int

    def merged(self, other: Forced) -> Forced:
        return Forced(
            min(self.first_ms, other.first_ms),
            max(self.last_ms, other.last_ms),
            min(self.low_bound, other.low_bound),
            max(self.high_bound, other.high_bound),
            max(self.most, other.most),
            self.histograms + other.histograms,
        )

    def __str__(self) -> str:
        low, high, most = general(self.low_bound), general(self.high_bound), general(self.most, 2)
        first, last = _rfc3339(self.first_ms), _rfc3339(self.last_ms)
        return (
            f", from buckets {low} to {high}, with a max diff of {most}, "
            f"over {self.histograms} samples from {first} to {last}"
        )


@dataclass(frozen=True, slots=True)
class Annotation:
    text: str
    about: Expr
    forced: Forced | None = None


class Annotations:
    """A set of annotations: one of each text, the first one found."""

    __slots__ = ("_by_text",)

    def __init__(self) -> None:
        self._by_text: dict[str, Annotation] = {}

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self._by_text.values())

    def __bool__(self) -> bool:
        return bool(self._by_text)

    def add(self, annotation: Annotation) -> None:
        known = self._by_text.get(annotation.text)
        if known is None:
            self._by_text[annotation.text] = annotation
        elif known.forced and annotation.forced:
            merged = known.forced.merged(annotation.forced)
            self._by_text[annotation.text] = replace(known, forced=merged)

    def update(self, others: Iterable[Annotation]) -> None:
        for annotation in others:
            self.add(annotation)

    def render(self, expr: Expr, text: str | None) -> tuple[str, ...]:
        """As texts, warnings first, with line and column in ``text``, of which ``expr`` is the reading."""
        if not self._by_text:
            return ()
        rendered = []
        for annotation in self:
            line = annotation.text + (str(annotation.forced) if annotation.forced else "")
            place = None if text is None else _place(expr, annotation.about, text)
            rendered.append(line if place is None else f"{line} ({place})")
        return tuple(sorted(rendered, key=lambda line: (not line.startswith(WARNING), line)))


def _place(root: Expr, about: Expr, text: str) -> str | None:
    nodes = list(walk(root))
    found = [node for node in nodes if node is about] or [node for node in nodes if node == about]
    if not found:
        return None
    node = found[0]
    line = text.count("\n", 0, node.start) + 1
    column = node.start - (text.rfind("\n", 0, node.start) + 1) + 1
    return f"{line}:{column}"


def _rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(text: str, metric: str) -> str:
    return f'{text} for metric name "{metric}"' if metric else text


def possible_non_counter(metric: str, about: Expr) -> Annotation:
    """``rate``/``increase`` of a series whose name does not look like a counter's."""
    text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"
    return Annotation(f'{INFO}{text} "{metric}"', about)


def invalid_quantile(quantile: float, about: Expr) -> Annotation:
    """A quantile outside [0, 1]."""
    return Annotation(f"{WARNING}quantile value should be between 0 and 1, got {general(quantile)}", about)


def bad_bucket_label(metric: str, bound: str, about: Expr) -> Annotation:
    """A series given to a histogram function without a usable ``le`` label."""
    text = f'{WARNING}bucket label "le" is missing or has a malformed value of "{bound}"'
    return Annotation(_named(text, metric), about)


def forced_monotonicity(metric: str, forced: Forced, about: Expr) -> Annotation:
    """Cumulative buckets that went down were raised."""
    text = (
        f"{INFO}input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
    )
    return Annotation(_named(text, metric), about, forced)


def sort_in_range_query(about: Expr) -> Annotation:
    """``sort`` where the order cannot be kept."""
    text = f"{WARNING}sort is ineffective for range queries since results are always ordered by labels"
    return Annotation(text, about)
