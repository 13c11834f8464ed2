"""Numbers, durations and strings, as Prometheus 3 writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.promql.ast import NumberLiteral, PromQLError, StringLiteral
from watchkeeper.monitoring.promql.durations import MAX_DURATION_MS, format_duration, parse_duration
from watchkeeper.monitoring.promql.lexer import Kind, Lexer
from watchkeeper.monitoring.promql.parser import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (".5", 0.5),
        ("5.", 5),
        ("5.25", 5.25),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("2.5e-3", 0.0025),
        ("0xFf", 255),
        ("0X_1f", 31),
        ("010", 8),  # octal, as in Go
        ("08", 8),
        ("1_000_000", 1_000_000),
        ("1_0.5_0", 10.5),
        ("inf", math.inf),
        ("+Inf", math.inf),
        ("-INF", -math.inf),
        ("5m", 300),
        ("1d2h", 93_600),
        ("1500ms", 1.5),
        ("-1h", -3600),
        ("9223372036854775808", 2.0**63),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert parse(text) == NumberLiteral(value=value)


def test_nan_is_a_number() -> None:
    read = parse("NaN")
    assert isinstance(read, NumberLiteral)
    assert math.isnan(read.value)
    assert read == parse("-nan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1_", "bad number or duration syntax"),
        ("1__0", "bad number or duration syntax"),
        ("1e", "bad number or duration syntax"),
        ("1.2.3", "bad number or duration syntax"),
        ("0x", "bad number or duration syntax"),
        ("5mx", "bad number or duration syntax"),
        ("5x", "bad number or duration syntax"),
        ("1e999", "out of range"),
        ("5m5m", "not a valid duration string"),
        ("5m1h", "not a valid duration string"),
        ("1000y", "duration out of range"),
    ],
)
def test_bad_numbers(text: str, message: str) -> None:
    with pytest.raises(PromQLError, match=message) as caught:
        parse(f"1 + {text}")
    assert (caught.value.start, caught.value.end) == (4, 4 + len(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"plain"', "plain"),
        (r"'say \'x\''", "say 'x'"),
        (r'"a\tb\n\\\""', 'a\tb\n\\"'),
        (r'"\a\b\f\r\v"', "\a\b\f\r\v"),
        (r'"\x41\101\u00e9\U0001F600"', "AAé😀"),
        (r'"\xc3\xa9"', "é"),
        (r'"\xff"', "\udcff"),
        ("`raw \\n \"'`", "raw \\n \"'"),
        ("`two\nlines`", "two\nlines"),
        ('"ünïcode ✓"', "ünïcode ✓"),
        ('"# no comment"', "# no comment"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert parse(text) == StringLiteral(value=value)


@pytest.mark.parametrize(
    ("text", "message", "start", "end"),
    [
        ('"open', "unterminated quoted string", 0, 5),
        ('"two\nlines"', "unterminated quoted string", 0, 4),
        ("`open", "unterminated raw string", 0, 5),
        (r'"\q"', "unknown escape sequence", 1, 3),
        (r"""'\"'""", "unknown escape sequence", 1, 3),
        (r'"\x4"', "illegal character in escape sequence", 1, 5),
        (r'"\400"', "invalid Unicode code point", 1, 5),
        (r'"\ud800"', "invalid Unicode code point", 1, 7),
        (r'"\U00110000"', "invalid Unicode code point", 1, 11),
        ('"\\', "escape sequence not terminated", 1, 2),
    ],
)
def test_bad_strings(text: str, message: str, start: int, end: int) -> None:
    with pytest.raises(PromQLError, match=message) as caught:
        parse(text)
    assert (caught.value.start, caught.value.end) == (start, end)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("1ms", 1),
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("1w", 604_800_000),
        ("1y2w3d4h5m6s7ms", 33_019_506_007),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "5m5m", "1s1m", "1.5h", "1hour", "9" * 30 + "s"]
)
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, MAX_DURATION_MS))
def test_a_duration_survives_being_written(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (300_000, "5m"),
        (86_400_000, "1d"),
        (604_800_000, "1w"),
        (691_200_000, "8d"),
        (1_001, "1s1ms"),
    ],
)
def test_a_duration_is_written_as_prometheus_does(ms: int, text: str) -> None:
    assert format_duration(ms) == text


@given(st.text(st.sampled_from("ab5m_.+-*/()[]{}<>=!~@:,\"'`# \n"), max_size=30))
def test_tokens_with_blanks_and_comments_make_up_the_text(text: str) -> None:
    lexer, position = Lexer(text), 0
    try:
        while (token := lexer.next()).kind is not Kind.END:
            between = text[position : token.start]
            assert all(not line.strip() for line in between.split("#")[:1])
            assert text[token.start : token.end] == token.text
            position = token.end
    except PromQLError:
        return
    rest = text[position:]
    assert not rest.strip() or "#" in rest
