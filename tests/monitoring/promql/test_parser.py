"""What PromQL text means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.promql.expressions import expressions
from watchkeeper.monitoring.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    Paren,
    PromQLError,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorMatching,
    VectorSelector,
)
from watchkeeper.monitoring.promql.parser import MAX_DEPTH, MAX_LENGTH, parse, parse_selector
from watchkeeper.monitoring.promql.printer import to_string


def named(name: str, *others: Matcher, offset_ms: int = 0) -> VectorSelector:
    matchers = (Matcher("__name__", MatchOp.EQUAL, name), *others)
    return VectorSelector(matchers=matchers, offset_ms=offset_ms)


def number(value: float) -> NumberLiteral:
    return NumberLiteral(value=value)


A, B, C = named("a"), named("b"), named("c")
ONE_TO_ONE = VectorMatching()


def binary(op: str, lhs: Expr, rhs: Expr, matching: VectorMatching | None = ONE_TO_ONE) -> Binary:
    return Binary(op=op, lhs=lhs, rhs=rhs, matching=matching)


# -- operators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("a or b and c", "a or (b and c)"),
        ("a and b unless c", "(a and b) unless c"),
        ("a and b == c", "a and (b == c)"),
        ("a == b + c", "a == (b + c)"),
        ("a > b >= c", "(a > b) >= c"),
        ("a - b - c", "(a - b) - c"),
        ("a + b * c", "a + (b * c)"),
        ("a / b % c", "(a / b) % c"),
        ("a * b atan2 c", "(a * b) atan2 c"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a * b ^ c", "a * (b ^ c)"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a) * b"),
        ("a ^ -b ^ c", "a ^ (-(b ^ c))"),
        ("a ^ -b * c", "(a ^ (-b)) * c"),
        ("a + -b", "a + (-b)"),
        ("a offset 5m ^ b", "(a offset 5m) ^ b"),
        ("a + b offset 5m", "a + (b offset 5m)"),
        ("a offset -2 ^ b", "(a offset -2) ^ b"),
        ("-a @ 5", "-(a @ 5)"),
    ],
)
def test_precedence_and_associativity(text: str, grouped: str) -> None:
    def without_parens(expr: Expr) -> Expr:
        match expr:
            case Paren():
                return without_parens(expr.expr)
            case Unary():
                return Unary(op=expr.op, expr=without_parens(expr.expr))
            case Binary():
                sides = without_parens(expr.lhs), without_parens(expr.rhs)
                return Binary(op=expr.op, lhs=sides[0], rhs=sides[1], matching=expr.matching)
            case _:
                return expr

    assert without_parens(parse(text)) == without_parens(parse(grouped))
    if "(" in grouped:
        assert parse(text) != parse(grouped), "the parentheses are kept in the tree"


def test_a_sign_before_a_number_is_part_of_the_number() -> None:
    assert parse("-1") == number(-1)
    assert parse("- -1") == number(1)
    assert parse("+1") == number(1)
    assert parse("-Inf") == number(-math.inf)
    assert parse("-1 ^ 2") == Unary(op="-", expr=binary("^", number(1), number(2), None))
    assert parse("-a") == Unary(op="-", expr=A)


def test_keywords_are_read_in_any_case() -> None:
    assert parse("SUM BY (x) (a) AND a") == parse("sum by (x) (a) and a")
    assert parse("a > BOOL b OFFSET 5m") == parse("a > bool b offset 5m")
    assert parse("a * ON (x) GROUP_LEFT (y) b") == parse("a * on (x) group_left (y) b")


@pytest.mark.parametrize(
    "keyword", ["by", "sum", "and", "offset", "without", "start", "fill", "quantile", "end"]
)
def test_a_keyword_can_name_a_metric(keyword: str) -> None:
    assert parse(keyword) == named(keyword)
    assert parse(f'{keyword}{{a="b"}}') == named(keyword, Matcher("a", MatchOp.EQUAL, "b"))
    assert parse(f"{keyword} + {keyword}") == binary("+", named(keyword), named(keyword))
    assert parse(f"rate({keyword}[5m] offset 1m)").type is ValueType.VECTOR


def test_a_keyword_can_name_a_label() -> None:
    read = parse('a{on="x", by="y", bool!="z", without=~"w"}')
    assert isinstance(read, VectorSelector)
    assert [matcher.name for matcher in read.matchers] == ["__name__", "on", "by", "bool", "without"]
    read = parse("sum by (on, by, sum, offset) (a)")
    assert isinstance(read, Aggregate)
    assert read.grouping == ("on", "by", "sum", "offset")


def test_vector_matching() -> None:
    def matching(text: str) -> VectorMatching | None:
        read = parse(text)
        assert isinstance(read, Binary)
        return read.matching

    assert matching("a + b") == VectorMatching()
    assert matching("a + on() b") == VectorMatching(on=True)
    assert matching("a + on(x, y,) b") == VectorMatching(labels=("x", "y"), on=True)
    assert matching("a + ignoring(x) b") == VectorMatching(labels=("x",))
    assert matching('a + on("a.b") b') == VectorMatching(labels=("a.b",), on=True)
    many = VectorMatching(cardinality=Cardinality.MANY_TO_ONE, labels=("x",), on=True)
    assert matching("a + on(x) group_left b") == many
    assert matching("a + on(x) group_left() b") == many
    one = VectorMatching(cardinality=Cardinality.ONE_TO_MANY, labels=("x",), include=("y", "z"))
    assert matching("a + ignoring(x) group_right(y, z) b") == one
    assert matching("a and b") == VectorMatching(cardinality=Cardinality.MANY_TO_MANY)
    either = VectorMatching(cardinality=Cardinality.MANY_TO_MANY, labels=("x",), on=True)
    assert matching("a or on(x) b") == either
    assert matching("a + 1") is None
    assert matching("1 < bool 2") is None


def test_a_comparison_can_return_a_bool() -> None:
    read = parse("a >= bool on(x) b")
    assert isinstance(read, Binary)
    assert (read.op, read.return_bool) == (">=", True)


# -- selectors ---------------------------------------------------------------------------------


def test_selectors_with_every_matcher() -> None:
    read = parse("""a{b="1", c!='2', d=~`3.*`, e!~"4|5",}""")
    assert read == named(
        "a",
        Matcher("b", MatchOp.EQUAL, "1"),
        Matcher("c", MatchOp.NOT_EQUAL, "2"),
        Matcher("d", MatchOp.REGEX, "3.*"),
        Matcher("e", MatchOp.NOT_REGEX, "4|5"),
    )
    assert parse("a{}") == A
    assert parse('{__name__=~"a|b"}') == VectorSelector(matchers=(Matcher("__name__", MatchOp.REGEX, "a|b"),))
    assert parse("job:a:rate5m") == named("job:a:rate5m")
    assert parse(":a") == named(":a")


def test_names_in_quotes_can_have_any_characters() -> None:
    dotted = Matcher("__name__", MatchOp.EQUAL, "http.requests")
    assert parse('{"http.requests"}') == VectorSelector(matchers=(dotted,))
    assert parse('{"http.requests", "http.status"=~"5.."}') == VectorSelector(
        matchers=(dotted, Matcher("http.status", MatchOp.REGEX, "5.."))
    )
    assert parse("{'http.requests'}") == parse('{"http.requests"}')


def test_ranges_offsets_and_times_in_either_order() -> None:
    expected = MatrixSelector(
        selector=VectorSelector(matchers=A.matchers, offset_ms=3_600_000, at=1_500), range_ms=300_000
    )
    assert parse("a[5m] offset 1h @ 1.5") == expected
    assert parse("a[5m] @ 1.5 offset 1h") == expected
    assert parse("a[300]@1.5 offset 1h") == expected
    assert parse("a offset -5m") == named("a", offset_ms=-300_000)
    assert parse("a offset 90") == named("a", offset_ms=90_000)
    assert parse("a[0.5]") == MatrixSelector(selector=A, range_ms=500)
    assert parse("a[1h30m]") == MatrixSelector(selector=A, range_ms=5_400_000)
    for text, at in [("start()", "start"), ("end()", "end"), ("-2", -2000), ("1e3", 1_000_000), ("0", 0)]:
        read = parse(f"a @ {text}")
        assert isinstance(read, VectorSelector)
        assert read.at == at


def test_subqueries() -> None:
    assert parse("a[1h:5m]") == Subquery(expr=A, range_ms=3_600_000, step_ms=300_000)
    assert parse("a[1h:]") == Subquery(expr=A, range_ms=3_600_000, step_ms=None)
    assert parse("a[3600 : 300] offset 1m @ end()") == Subquery(
        expr=A, range_ms=3_600_000, step_ms=300_000, offset_ms=60_000, at="end"
    )
    assert parse("(a + b)[1h:5m]") == Subquery(
        expr=Paren(expr=binary("+", A, B)), range_ms=3_600_000, step_ms=300_000
    )
    assert parse("a offset 1m [1h:5m]") == Subquery(
        expr=named("a", offset_ms=60_000), range_ms=3_600_000, step_ms=300_000
    )


# -- calls and aggregations --------------------------------------------------------------------


def test_calls_know_what_they_return() -> None:
    assert parse("rate(a[5m])") == Call(func="rate", args=(MatrixSelector(selector=A, range_ms=300_000),))
    assert parse("time()") == Call(func="time", args=(), returns=ValueType.SCALAR)
    assert parse("scalar(a) > bool 1").type is ValueType.SCALAR
    assert parse("vector(1) > 1").type is ValueType.VECTOR
    assert parse("hour()") == Call(func="hour", args=())
    assert parse("round(a, 0.5)") == Call(func="round", args=(A, number(0.5)))
    joined = parse('label_join(a, "x", "-")')
    assert isinstance(joined, Call)
    assert joined.args[1:] == (StringLiteral(value="x"), StringLiteral(value="-"))


def test_aggregations_take_their_clause_before_or_after() -> None:
    assert parse("sum by (x, y) (a)") == parse("sum(a) by (x, y)")
    assert parse("sum by (x) (a)") == Aggregate(op="sum", expr=A, grouping=("x",))
    assert parse("avg(a) without (x)") == Aggregate(op="avg", expr=A, grouping=("x",), without=True)
    assert parse("count(a)") == Aggregate(op="count", expr=A)
    assert parse("topk(5, a)") == Aggregate(op="topk", expr=A, param=number(5))
    assert parse('count_values("v", a)') == Aggregate(
        op="count_values", expr=A, param=StringLiteral(value="v")
    )
    assert parse('sum by ("a.b") (a)') == Aggregate(op="sum", expr=A, grouping=("a.b",))
    assert parse("quantile without () (0.9, a)") == Aggregate(
        op="quantile", expr=A, param=number(0.9), without=True
    )


def test_comments_and_blanks_are_ignored() -> None:
    assert parse("# sum\n a # what\n + # plus\r\n b") == binary("+", A, B)
    assert parse("a{ # inside\n b='c' }") == named("a", Matcher("b", MatchOp.EQUAL, "c"))
    assert parse("\ta\n[ 5m ]") == MatrixSelector(selector=A, range_ms=300_000)


def test_a_selector_alone_can_be_asked_for() -> None:
    assert parse_selector('a{b="c"}') == named("a", Matcher("b", MatchOp.EQUAL, "c"))
    for text in ["a + b", "a offset 5m", "a[5m]", "1"]:
        with pytest.raises(PromQLError, match="expected an instant vector selector"):
            parse_selector(text)


# -- places and limits -------------------------------------------------------------------------


def nodes(expr: Expr) -> list[Expr]:
    found = [expr]
    for name in ("expr", "lhs", "rhs", "param"):
        child = getattr(expr, name, None)
        if isinstance(child, Expr):
            found += nodes(child)
    for arg in getattr(expr, "args", ()):
        found += nodes(arg)
    return found


@given(expressions)
def test_every_node_knows_its_place_in_the_text(expr: Expr) -> None:
    text = to_string(expr)
    for node in nodes(parse(text)):
        assert parse(text[node.start : node.end]) == node


def test_places_leave_out_blanks_and_comments() -> None:
    text = "  sum ( rate ( a [ 5m ] offset 1m ) ) by ( x ) # why\n + 1 "
    read = parse(text)
    assert isinstance(read, Binary)
    assert text[read.lhs.start : read.lhs.end] == "sum ( rate ( a [ 5m ] offset 1m ) ) by ( x )"
    assert text[read.rhs.start : read.rhs.end] == "1"
    assert isinstance(read.lhs, Aggregate)
    assert isinstance(read.lhs.expr, Call)
    assert text[read.lhs.expr.start : read.lhs.expr.end] == "rate ( a [ 5m ] offset 1m )"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "a" + ")" * 10_000,
        "-" * 10_000 + "1",
        "a" + "+a" * 10_000,
        "a" + "^a" * 10_000,
        "abs(" * 10_000,
        "sum(" * 10_000 + "a",
        "a" + "[1m:]" * 10_000,
        "a and (" * 5_000,
        "(" * 100 + "a" + "+a" * 100 + ")" * 100,
    ],
)
def test_nesting_is_bounded_and_said_so(text: str) -> None:
    with pytest.raises(PromQLError, match=r"nested more than 128 levels|subquery is only allowed") as caught:
        parse(text)
    assert 0 <= caught.value.start < caught.value.end <= len(text) + 1


def test_as_deep_as_allowed_is_fine() -> None:
    deep = "a" + " + a" * (MAX_DEPTH - 1)
    assert parse(to_string(parse(deep))) == parse(deep)
    nested = "abs(" * (MAX_DEPTH - 1) + "a" + ")" * (MAX_DEPTH - 1)
    assert parse(to_string(parse(nested))) == parse(nested)


def test_length_is_bounded() -> None:
    with pytest.raises(PromQLError, match="longer than 65536 characters"):
        parse("a" * (MAX_LENGTH + 1))
    assert parse("a" * MAX_LENGTH) == named("a" * MAX_LENGTH)


_FRAGMENTS = st.sampled_from(
    [
        *"(){}[],+-*/%^@:=!~<>\"'`\\#_.5 \n",
        "sum",
        "by",
        "rate",
        "a",
        "5m",
        "offset",
        "and",
        "bool",
        "on",
        "=~",
        "\\x",
    ]
)


@given(st.one_of(st.text(max_size=40), st.lists(_FRAGMENTS, max_size=15).map("".join)))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    read, refusal = None, None
    try:
        read = parse(text)
    except PromQLError as error:
        refusal = error
    if read is not None:
        assert parse(to_string(read)) == read
    if refusal is not None:
        assert refusal.message
        assert 0 <= refusal.start < refusal.end <= len(text) + 1
