"""What is refused, in which words, and at which characters."""

from __future__ import annotations

import pytest

from watchkeeper.monitoring.promql.ast import PromQLError, UnsupportedError
from watchkeeper.monitoring.promql.parser import parse

# The place of the mistake is marked in the text by the line below it.
REFUSED = [
    # structure
    ("", "no expression found in input", "^"),
    ("# only a comment", "no expression found in input", "^^^^^^^^^^^^^^^^"),
    ("a b", 'unexpected identifier "b"', "  ^"),
    ("a 1", 'unexpected number "1"', "  ^"),
    ("(a", "unclosed left parenthesis", "^"),
    ("sum(a", "unclosed left parenthesis", "   ^"),
    ("abs(", "unclosed left parenthesis", "   ^"),
    ("a)", "unexpected right parenthesis", " ^"),
    ("()", 'unexpected ")"', " ^"),
    ("a + ", "unexpected end of input", "    ^"),
    ("* a", 'unexpected "*"', "^"),
    ("a ? b", "unexpected character: '?'", "  ^"),
    ("a = b", 'unexpected "="', "  ^"),
    ("a ! b", "unexpected character: '!'", "  ^"),
    ("a =~ b", 'unexpected "=~"', "  ^^"),
    ("a + bool", "unexpected end of input", "        ^"),
    ("bool", "unexpected <bool>", "^^^^"),
    ("on(a)", "unexpected <on>", "^^"),
    ("a + on b", 'unexpected identifier "b" in grouping opts, expected "("', "       ^"),
    ("a + on(x y) b", 'unexpected identifier "y" in grouping opts, expected "," or ")"', "         ^"),
    ("a + group_left b", "unexpected <group_left>", "    ^^^^^^^^^^"),
    ("a + on(x) ignoring(y) b", "unexpected <ignoring>", "          ^^^^^^^^"),
    ("a:b(c)", 'unknown function with name "a:b"', "^^^"),
    # selectors
    ("a{", "unexpected end of input in label matching", "  ^"),
    ("a{b", "unexpected end of input in label matching, expected label matching operator", "   ^"),
    ("a{b=c}", 'unexpected identifier "c" in label matching, expected string', "    ^"),
    ('a{b="c" d="e"}', 'unexpected identifier "d" in label matching, expected "," or "}"', "        ^"),
    ('a{b>"c"}', 'unexpected ">" in label matching', "   ^"),
    ("a{1}", 'unexpected number "1" in label matching', "  ^"),
    ('a{b=~"("}', "not a valid regular expression", "     ^^^"),
    ('a{b!~"(?<x)"}', "not a valid regular expression", "     ^^^^^^^"),
    ("{}", "vector selector must contain at least one non-empty matcher", "^^"),
    ('{a=""}', "vector selector must contain at least one non-empty matcher", "^^^^^^"),
    ('{a=~".*"}', "vector selector must contain at least one non-empty matcher", "^^^^^^^^^"),
    ('{a!="b", c!~"d"}', "vector selector must contain at least one non-empty matcher", "^" * 16),
    ('a{__name__="b"}', 'metric name must not be set twice: "a" or "b"', "^" * 15),
    ('a{"b"}', 'metric name must not be set twice: "a" or "b"', "^" * 6),
    # ranges, offsets, times
    ("a[5m", 'unexpected end of input in subquery or range, expected ":" or "]"', "    ^"),
    ("a[]", 'unexpected "]" in subquery or range selector', "  ^"),
    ("a[b]", 'unexpected identifier "b" in subquery or range selector', "  ^"),
    ("a[0]", "duration must be greater than 0", "  ^"),
    ("a[-5m]", "duration must be greater than 0", "  ^^^"),
    ("a[5m:0s]", "duration must be greater than 0", "     ^^"),
    ("a[1y1y]", "not a valid duration string", "  ^^^^"),
    ("a[1000000000000]", "duration out of range", "  ^^^^^^^^^^^^^"),
    ("a[5m][5m]", "ranges only allowed for vector selectors", "     ^^^^"),
    ("(a)[5m]", "ranges only allowed for vector selectors", "   ^^^^"),
    ("a offset 5m [5m]", "no offset modifiers allowed before range", "            ^^^^"),
    ("a @ 5 [5m]", "no @ modifiers allowed before range", "      ^^^^"),
    ("a offset", "unexpected end of input in offset", "        ^"),
    ("a offset b", 'unexpected identifier "b" in offset', "         ^"),
    ("a offset 5m offset 6m", "offset may not be set multiple times", "^^^^^^^^^^^"),
    ("a @ 5 @ 6", "may not be set multiple times", "^^^^^"),
    ("1 offset 5m", "offset modifier must be preceded by", "^"),
    ("sum(a) offset 5m", "offset modifier must be preceded by", "^^^^^^"),
    ("time() @ 5", "@ modifier must be preceded by", "^^^^^^"),
    ("a @ b", 'unexpected identifier "b" in @, expected timestamp', "    ^"),
    ("a @ start", 'unexpected end of input in @, expected "("', "         ^"),
    ("a @ Inf", "timestamp out of bounds", "    ^^^"),
    ("a @ NaN", "timestamp out of bounds", "    ^^^"),
    # calls and aggregations
    ("rat(a[5m])", 'unknown function with name "rat", did you mean "rate"?', "^^^"),
    ("Rate(a[5m])", 'unknown function with name "Rate", did you mean "rate"?', "^^^^"),
    ("holt_winters(a[5m], 1, 1)", "Prometheus 3 calls it", "^^^^^^^^^^^^"),
    ("nonsense(a)", 'unknown function with name "nonsense"', "^^^^^^^^"),
    ("rate(a)", 'expected type range vector in call to function "rate", got instant vector', "     ^"),
    ("abs(a[5m])", 'expected type instant vector in call to function "abs", got range vector', "    ^^^^^"),
    ("abs()", 'expected 1 argument(s) in call to "abs", got 0', "^^^^^"),
    ("abs(a, b)", 'expected 1 argument(s) in call to "abs", got 2', "^^^^^^^^^"),
    ("round()", 'expected at least 1 argument(s) in call to "round", got 0', "^^^^^^^"),
    ("round(a, 1, 2)", 'expected at most 2 argument(s) in call to "round", got 3', "^" * 14),
    ("hour(a, b)", 'expected at most 1 argument(s) in call to "hour", got 2', "^" * 10),
    ('label_join(a, "x")', 'expected at least 3 argument(s) in call to "label_join", got 2', "^" * 18),
    ('label_join(a, "x", "-", 1)', "expected type string in call", "                        ^"),
    ("abs(a,)", "trailing commas not allowed in function call args", "     ^"),
    ("abs(,a)", 'unexpected ","', "    ^"),
    ("abs(a b)", 'unexpected identifier "b"', "      ^"),
    ("sum()", "no arguments for aggregate expression provided", "^^^^^"),
    ("sum(a, b)", "wrong number of arguments for aggregate expression provided, expected 1, got 2", "^" * 9),
    ("topk(a)", "wrong number of arguments for aggregate expression provided, expected 2, got 1", "^" * 7),
    ("sum(1)", "expected type instant vector in aggregation expression, got scalar", "    ^"),
    ("sum(a[5m])", "expected type instant vector in aggregation expression, got range vector", "    ^^^^^"),
    ("topk(b, a)", "expected type scalar in aggregation parameter, got instant vector", "     ^"),
    ("count_values(1, a)", "expected type string in aggregation parameter, got scalar", "             ^"),
    ("sum by (x) (a) by (y)", "unexpected <by>", "               ^^"),
    ("sum by x (a)", 'unexpected identifier "x" in grouping opts, expected "("', "       ^"),
    ("sum by (1) (a)", 'unexpected number "1" in grouping opts, expected label', "        ^"),
    ('sum by ("") (a)', "invalid label name for grouping", "        ^^"),
    ("sum by (x) a", 'unexpected identifier "a" in aggregation, expected "("', "           ^"),
    # types
    ("1 > 2", "comparisons between scalars must use BOOL modifier", "  ^"),
    ("a + bool b", "bool modifier can only be used on comparison operators", "  ^^^^^^"),
    ("a and 1", 'set operator "and" not allowed in binary scalar expression', "^^^^^^^"),
    ("1 or 2", 'set operator "or" not allowed in binary scalar expression', "^^^^^^"),
    ("a and on(x) group_left(y) b", 'no grouping allowed for "and" operation', "^" * 27),
    (
        "a + on(x) group_left(x) b",
        'label "x" must not occur in ON and GROUP clause at once',
        "  ^" + "^" * 20,
    ),
    ("a + on(x) 1", "vector matching only allowed between instant vectors", "^" * 11),
    ('a + "b"', "binary expression must contain only scalar and instant vector types", "    ^^^"),
    ("a[5m] + b", "binary expression must contain only scalar and instant vector types", "^^^^^"),
    ("-a[5m]", "unary expression only allowed on expressions of type scalar or instant vector", "^^^^^^"),
    ('-"a"', "unary expression only allowed on expressions of type scalar or instant vector", "^^^^"),
    ("1[5m:]", "subquery is only allowed on instant vector, got scalar instead", "^^^^^^"),
    ("a[5m][1h:]", "subquery is only allowed on instant vector, got matrix instead", "^" * 10),
    ("a\n  + rate(b)", "expected type range vector", "           ^"),
]

UNSUPPORTED = [
    ("limitk(5, a)", "limitk() is an experimental aggregation", "^^^^^^"),
    ("limit_ratio by (x) (0.5, a)", "limit_ratio() is an experimental aggregation", "^" * 11),
    ("1 + info(a)", 'function "info" is experimental', "    ^^^^"),
    ('sort_by_label(a, "b")', 'function "sort_by_label" is experimental', "^" * 13),
    ("mad_over_time(a[5m])", 'function "mad_over_time" is experimental', "^" * 13),
    ("double_exponential_smoothing(a[5m], 0.5, 0.5)", "is experimental", "^" * 28),
    ("ts_of_last_over_time(a[5m])", "is experimental", "^" * 20),
    ("a > start()", 'function "start" is experimental', "    ^^^^^"),
    ("max_of(1, 2)", 'function "max_of" is experimental', "^^^^^^"),
    ("a + fill(0) b", 'the "fill" modifier is experimental', "    ^^^^"),
    ("a + on(x) fill_left(0) b", 'the "fill_left" modifier is experimental', "          ^^^^^^^^^"),
    ("rate(a[5m] anchored)", 'the "anchored" modifier is experimental', "           ^^^^^^^^"),
    ("a smoothed", 'the "smoothed" modifier is experimental', "  ^^^^^^^^"),
    ("a[5m + 1m]", "arithmetic in durations is experimental", "     ^"),
    ("a[5m:2 * 30]", "arithmetic in durations is experimental", "       ^"),
    ("a[step()]", "arithmetic in durations is experimental", "  ^^^^"),
    ("a offset (5m)", "arithmetic in durations is experimental", "         ^"),
    ("a offset -(5m)", "arithmetic in durations is experimental", "          ^"),
    ("a </ 5", "trims native histograms", "  ^^"),
    ("a >/ 5", "trims native histograms", "  ^^"),
]


@pytest.mark.parametrize(("text", "message", "marks"), REFUSED)
def test_refusals_name_the_mistake_and_point_at_it(text: str, message: str, marks: str) -> None:
    with pytest.raises(PromQLError) as caught:
        parse(text)
    error = caught.value
    assert message in error.message
    assert (error.start, error.end) == (marks.index("^"), len(marks))
    assert not isinstance(error, UnsupportedError)


@pytest.mark.parametrize(("text", "message", "marks"), UNSUPPORTED)
def test_experimental_syntax_is_refused_by_name(text: str, message: str, marks: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse(text)
    error = caught.value
    assert message in error.message
    assert "not supported" in error.message
    assert (error.start, error.end) == (marks.index("^"), len(marks))
