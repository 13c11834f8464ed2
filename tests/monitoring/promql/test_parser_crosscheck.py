"""Our parser beside another one, the Rust ``promql-parser``: they take and refuse the same texts."""

from __future__ import annotations

import promql_parser
import pytest
from hypothesis import given, settings

from tests.monitoring.promql.expressions import bare, expressions
from tests.monitoring.promql.test_parser_errors import REFUSED
from watchkeeper.monitoring.promql.ast import Expr
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.printer import to_string

# Prometheus refuses these too; the other parser does not.
TAKEN_BY_THE_OTHER = {"a[0]", "a[1000000000000]", 'sum by ("") (a)'}

SHAPES = [
    "a or b and c unless d == e + f * g ^ h",
    "a ^ b ^ c - d - e",
    "-a ^ b * -c",
    "a > bool b >= on (x) c",
    "2 ^ -3 ^ 4 * 5 atan2 6",
    'sum by (x) (rate(a{b="c"}[5m] offset 1m)) / ignoring (y) group_left (z) d',
    "max_over_time(rate(a[5m])[1h:1m] @ 1000) < 3",
    "topk(3, a) or quantile without (x) (0.9, b)",
    "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
    "a @ start() + b offset -5m @ end()",
    'label_replace(a, "x", "$1", "y", "(.*)") and on () b',
]


@settings(deadline=None)
@given(expressions)
def test_the_other_parser_takes_what_we_print(expr: Expr) -> None:
    promql_parser.parse(to_string(expr))


@pytest.mark.parametrize("text", SHAPES)
def test_the_other_parser_sees_the_same_tree(text: str) -> None:
    assert bare(parse(str(promql_parser.parse(text)))) == bare(parse(text))


@pytest.mark.parametrize("text", [text for text, _, _ in REFUSED])
def test_the_other_parser_refuses_what_we_refuse(text: str) -> None:
    if text in TAKEN_BY_THE_OTHER:
        promql_parser.parse(text)
        return
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse(text)
