"""Printing an expression gives text that means the same."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.monitoring.promql.expressions import bare, expressions
from watchkeeper.monitoring.promql.ast import Binary, Expr, NumberLiteral, Unary
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.printer import format_number, quote_string, to_string


@given(expressions)
def test_what_is_printed_reads_as_what_was_meant(expr: Expr) -> None:
    assert bare(parse(to_string(expr))) == bare(expr)


@given(expressions)
def test_printing_what_was_read_changes_nothing(expr: Expr) -> None:
    read = parse(to_string(expr))
    printed = to_string(read)
    assert parse(printed) == read
    assert to_string(parse(printed)) == printed


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("SUM(up)BY(job)", "sum by (job) (up)"),
        ("sum(up) without (job,instance)", "sum without (job, instance) (up)"),
        ("sum by () (up)", "sum(up)"),
        ("topk(3,up)", "topk(3, up)"),
        ("foo{a='b'}", 'foo{a="b"}'),
        ('{__name__="foo"}', "foo"),
        ('{"foo", a="b"}', 'foo{a="b"}'),
        ('{a="b", __name__="foo"}', '{a="b",__name__="foo"}'),
        ('{"a.b"}', '{__name__="a.b"}'),
        ('{"a.b"=~"x|y", c="d"}', '{"a.b"=~"x|y",c="d"}'),
        ("foo[300]", "foo[5m]"),
        ("foo[5m] offset -1h @ 10", "foo[5m] @ 10.000 offset -1h"),
        ("rate(foo[5m])[1h:]", "rate(foo[5m])[1h:]"),
        ("foo @ end()", "foo @ end()"),
        ("a+b*c^-d", "a + b * c ^ -d"),
        ("(a+b)*c", "(a + b) * c"),
        ("a and on(x,y) b", "a and on (x, y) b"),
        ("a > bool ignoring() b", "a > bool b"),
        ("a * on(x) group_left(y) b", "a * on (x) group_left (y) b"),
        ("a * on(x) group_right b", "a * on (x) group_right b"),
        ("a * on(x) group_left() (b)", "a * on (x) group_left () (b)"),
        ("5m", "300"),
        ("1e3", "1000"),
        ("0x1F", "31"),
        ("-Inf", "-Inf"),
        ("nan", "NaN"),
        ("- - up", "--up"),
        ('"a\\tb"', '"a\tb"'),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert to_string(parse(text)) == canonical


def test_a_tree_built_by_hand_gets_the_parentheses_it_needs() -> None:
    one, two = NumberLiteral(value=1), NumberLiteral(value=2)
    total = Binary(op="+", lhs=one, rhs=two)
    assert to_string(Binary(op="*", lhs=total, rhs=total)) == "(1 + 2) * (1 + 2)"
    assert to_string(Binary(op="-", lhs=one, rhs=total)) == "1 - (1 + 2)"
    power = Binary(op="^", lhs=one, rhs=two)
    assert to_string(Binary(op="^", lhs=power, rhs=power)) == "(1 ^ 2) ^ 1 ^ 2"
    assert to_string(Binary(op="^", lhs=NumberLiteral(value=-1), rhs=two)) == "(-1) ^ 2"
    assert to_string(Unary(op="-", expr=total)) == "-(1 + 2)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e15, "1000000000000000.0"), (1e300, "1e+300"), (-0.0, "-0"), (1234567.0, "1234567")],
)
def test_a_number_keeps_its_value(value: float, text: str) -> None:
    assert format_number(value) == text
    assert float(text) == value


def test_a_string_that_is_not_utf8_is_printed_as_escapes() -> None:
    read = parse('"a\\xffb"')
    assert to_string(read) == '"a\\xffb"'
    assert parse(to_string(read)) == read
    assert quote_string('say "no"\n\\') == '"say \\"no\\"\\n\\\\"'
