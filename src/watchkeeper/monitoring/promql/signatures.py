"""What each PromQL function takes and gives.

Always true: the table holds every function that Prometheus 3 has without a feature flag, and no other;
the experimental ones are listed by name, so that they can be refused by name. Source:
https://prometheus.io/docs/prometheus/latest/querying/functions/ and the feature flag
``promql-experimental-functions``.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.monitoring.promql.ast import ValueType


@dataclass(frozen=True, slots=True)
class Signature:
    """``args`` are the types in order; the last one is optional or repeatable where ``variadic`` is not 0.

    ``variadic``: 0, exactly ``args``; n > 0, the last one may be given 0 to n times; -1, 0 or more times.
    """

    name: str
    args: tuple[ValueType, ...]
    returns: ValueType = ValueType.VECTOR
    variadic: int = 0

    @property
    def least(self) -> int:
        """How many arguments must be given."""
        return len(self.args) if self.variadic == 0 else len(self.args) - 1

    @property
    def most(self) -> int | None:
        """How many may be given; None: any number."""
        if self.variadic < 0:
            return None
        return len(self.args) if self.variadic == 0 else len(self.args) - 1 + self.variadic


_S, _V, _M, _T = ValueType.SCALAR, ValueType.VECTOR, ValueType.MATRIX, ValueType.STRING


def _table() -> dict[str, Signature]:
    of_vector = (
        "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin "
        "sinh sort sort_desc sqrt tan tanh timestamp histogram_avg histogram_count histogram_sum "
        "histogram_stddev histogram_stdvar"
    )
    of_range = (
        "absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta increase "
        "irate last_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time "
        "stdvar_over_time sum_over_time"
    )
    of_optional_vector = "day_of_month day_of_week day_of_year days_in_month hour minute month year"
    others = [
        Signature("clamp", (_V, _S, _S)),
        Signature("clamp_max", (_V, _S)),
        Signature("clamp_min", (_V, _S)),
        Signature("histogram_fraction", (_S, _S, _V)),
        Signature("histogram_quantile", (_S, _V)),
        Signature("label_join", (_V, _T, _T, _T), variadic=-1),
        Signature("label_replace", (_V, _T, _T, _T, _T)),
        Signature("pi", (), _S),
        Signature("predict_linear", (_M, _S)),
        Signature("quantile_over_time", (_S, _M)),
        Signature("round", (_V, _S), variadic=1),
        Signature("scalar", (_V,), _S),
        Signature("time", (), _S),
        Signature("vector", (_S,)),
    ]
    signatures = [
        *(Signature(name, (_V,)) for name in of_vector.split()),
        *(Signature(name, (_M,)) for name in of_range.split()),
        *(Signature(name, (_V,), variadic=1) for name in of_optional_vector.split()),
        *others,
    ]
    return {signature.name: signature for signature in sorted(signatures, key=lambda s: s.name)}


SIGNATURES: dict[str, Signature] = _table()

EXPERIMENTAL_FUNCTIONS = frozenset(
    {
        "double_exponential_smoothing",
        "end",
        "histogram_quantiles",
        "info",
        "mad_over_time",
        "max_of",
        "min_of",
        "range",
        "sort_by_label",
        "sort_by_label_desc",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
    }
)
"""Functions that Prometheus has only behind a feature flag: refused here."""

RENAMED_FUNCTIONS = {"holt_winters": "double_exponential_smoothing"}
"""Names of Prometheus 2 that Prometheus 3 no longer knows."""

AGGREGATIONS = frozenset(
    {
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "max",
        "min",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
    }
)
EXPERIMENTAL_AGGREGATIONS = frozenset({"limitk", "limit_ratio"})

AGGREGATION_PARAMETERS = {
    "bottomk": ValueType.SCALAR,
    "topk": ValueType.SCALAR,
    "quantile": ValueType.SCALAR,
    "count_values": ValueType.STRING,
}
"""The type of the first argument of those aggregations that take two."""
