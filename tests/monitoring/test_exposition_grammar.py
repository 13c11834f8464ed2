"""The strict grammar: what both formats allow, and the reason for everything that they do not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.exposition.grammar import (
    Comment,
    LineError,
    Sample,
    locate,
    parse_comment,
    parse_series,
    parse_value,
)
from watchkeeper.monitoring.exposition.series import SeriesParser

TEXT, OM = False, True


def read(line: bytes, openmetrics: bool) -> tuple[dict[str, str], float, int | None]:
    found = locate(line, 0, len(line), openmetrics)
    assert isinstance(found, Sample)
    labels = parse_series(line[: found.value_start], openmetrics)
    return dict(labels), parse_value(line[found.value_start : found.value_end]), found.timestamp_ms


@pytest.mark.parametrize(
    ("line", "labels", "value", "timestamp"),
    [
        (b"a 1", {"__name__": "a"}, 1.0, None),
        (b"a:b_c{} 2", {"__name__": "a:b_c"}, 2.0, None),
        (b'a{b="c"} 3', {"__name__": "a", "b": "c"}, 3.0, None),
        (b'a{b="c"}3', {"__name__": "a", "b": "c"}, 3.0, None),
        (b'a{b="c",} 3', {"__name__": "a", "b": "c"}, 3.0, None),
        (b'a { b = "c" , d = "e" } 3 ', {"__name__": "a", "b": "c", "d": "e"}, 3.0, None),
        (b'\t a{b="c"}\t3\t1700000000000 ', {"__name__": "a", "b": "c"}, 3.0, 1700000000000),
        (b'a{b="x y"} 1 1700000000000', {"__name__": "a", "b": "x y"}, 1.0, 1700000000000),
        (b'a{b="x} 9 "} 1', {"__name__": "a", "b": "x} 9 "}, 1.0, None),
        (b'a{b="# no comment"} 1', {"__name__": "a", "b": "# no comment"}, 1.0, None),
        (rb'a{b="\"\\\n\t"} 1', {"__name__": "a", "b": '"\\\n\\t'}, 1.0, None),
        ('a{b="ü€😀"} 1'.encode(), {"__name__": "a", "b": "ü€😀"}, 1.0, None),
        (b'{"a.b","l"="x"} 1', {"__name__": "a.b", "l": "x"}, 1.0, None),
        (b'{"a.b"} 1', {"__name__": "a.b"}, 1.0, None),
        (b'{l="x","a.b"} 1', {"__name__": "a.b", "l": "x"}, 1.0, None),
        (b'a{"l.m"="x"} 1', {"__name__": "a", "l.m": "x"}, 1.0, None),
        (rb'{"a \"quoted\" name"} 1', {"__name__": 'a "quoted" name'}, 1.0, None),
        (b'a{b=""} 1', {"__name__": "a"}, 1.0, None),
        (b"a -1.5e-7 -12", {"__name__": "a"}, -1.5e-7, -12),
        (b"a +Inf", {"__name__": "a"}, math.inf, None),
    ],
)
def test_text_format_sample_is_read(
    line: bytes, labels: dict[str, str], value: float, timestamp: int | None
) -> None:
    assert read(line, TEXT) == (labels, value, timestamp)


@pytest.mark.parametrize(
    ("line", "labels", "value", "timestamp"),
    [
        (b"a_total 17.0", {"__name__": "a_total"}, 17.0, None),
        (b'a{b="c"} 1 1520879607.789', {"__name__": "a", "b": "c"}, 1.0, 1520879607789),
        (b'a{b="c d"} 1 -0.5', {"__name__": "a", "b": "c d"}, 1.0, -500),
        (b'a_bucket{le="1"} 3 # {trace_id="x"} 0.67', {"__name__": "a_bucket", "le": "1"}, 3.0, None),
        (b"a_bucket 3 # {} 0.67 1520879607.789", {"__name__": "a_bucket"}, 3.0, None),
        (b'a_bucket 3 12 # {"x.y"="z",t="u"} +Inf 1e9', {"__name__": "a_bucket"}, 3.0, 12000),
        (b'a{b="1 # {x=\\"y\\"} 2"} 3', {"__name__": "a", "b": '1 # {x="y"} 2'}, 3.0, None),
        (b'{"a.b","l"="x"} 1 # {t="u"} 2', {"__name__": "a.b", "l": "x"}, 1.0, None),
        (b"a_created 1520872607.123", {"__name__": "a_created"}, 1520872607.123, None),
    ],
)
def test_openmetrics_sample_is_read(
    line: bytes, labels: dict[str, str], value: float, timestamp: int | None
) -> None:
    assert read(line, OM) == (labels, value, timestamp)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a", "expected a blank and a value at column 2, got the end"),
        (b"a ", "no value"),
        (b"9a 1", "expected a metric name"),
        (b"a-b 1", "expected a blank and a value at column 2"),
        (b"a{b=c} 1", "label value in double quotes at column 5"),
        (b'a{b="c} 1', "closing quote of the label value at column 5"),
        (b'a{b="c"', "expected ',' or '}'"),
        (b'a{b="c"d="e"} 1', "expected ',' or '}'"),
        (b'a{9b="c"} 1', "expected a label name"),
        (b'a{b="c",b="d"} 1', "label 'b' is there twice"),
        (b'a{__name__="b"} 1', "label '__name__' is there twice"),
        (b'{b="c"} 1', "no metric name"),
        (b'a{"b"} 1', "a second metric name, 'b'"),
        (b'{"a","b"} 1', "a second metric name, 'b'"),
        (b'{""} 1', "metric name is empty"),
        (b'a{""="b"} 1', "label name is empty"),
        (b'a{b="\xff"} 1', "not valid UTF-8"),
        (b"a 1 2 3", "expected 'value [timestamp in milliseconds]'"),
        (b"a 1 1.5", "expected 'value [timestamp in milliseconds]'"),
        (b"a 1 99999999999999999999", "expected 'value"),
        (b"a 1 9999999999999999999", "out of range"),
        (b"a one", "is not a value"),
        (b"a 1_000", "is not a value"),
        (b"a 0x10", "is not a value"),
        (b"a 0x1p-2", "is not a value"),
        (b"a 1e999", "out of range"),
        (b"a +nan", "is not a value"),
        (b"a 1\r", "is not a value"),
        (b"\xef\xbb\xbfa 1", "expected a metric name"),
    ],
)
def test_text_format_refuses_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(LineError) as caught:
        read(line, TEXT)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a  1", "single blanks"),
        (b" a 1", "expected a metric name"),
        (b"a 1 ", "single blanks"),
        (b"a\t1", "expected a blank and a value"),
        (b'a {b="c"} 1', "is not a value"),
        (b'a{ b="c"} 1', "expected a label name"),
        (b"a 1 NaN", "is not a time"),
        (b"a 1 # {x=y} 1", "as the exemplar"),
        (b'a 1 # {x="y"}', "as the exemplar"),
        (b'a 1 # {x="y"} one', "is not a value"),
        (b'a 1 # {x="y"} 1 +Inf', "is not a time"),
        (b"", "a blank line"),
        (b"# hello", "expected '# HELP'"),
        (b"# TYPE a untyped", "is not one of"),
        (b"# HELP a", "no text after"),
        (b"# UNIT a_seconds bytes", "is not the end of the metric name"),
    ],
)
def test_openmetrics_refuses_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(LineError) as caught:
        read(line, OM)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("line", "openmetrics", "comment"),
    [
        (b'# HELP a some \\\\ text\\n\\"', TEXT, Comment("HELP", "a", 'some \\ text\n\\"')),
        (b'# HELP a some \\\\ text\\n\\"', OM, Comment("HELP", "a", 'some \\ text\n"')),
        (b"# HELP a", TEXT, Comment("HELP", "a", "")),
        (b"#\tTYPE  a   counter", TEXT, Comment("TYPE", "a", "counter")),
        (b'# TYPE "a.b" gauge', TEXT, Comment("TYPE", "a.b", "gauge")),
        (b"# TYPE a gaugehistogram", OM, Comment("TYPE", "a", "gaugehistogram")),
        (b"# UNIT a_seconds seconds", OM, Comment("UNIT", "a_seconds", "seconds")),
        (b"# UNIT a_seconds seconds", TEXT, Comment()),
        (b"# EOF", OM, Comment("EOF")),
        (b"#HELP a b", TEXT, Comment()),
        (b"# just words", TEXT, Comment()),
        (b"  # just words", TEXT, Comment()),
        (b"", TEXT, Comment()),
        (b" \t", TEXT, Comment()),
    ],
)
def test_comment_is_read(line: bytes, openmetrics: bool, comment: Comment) -> None:
    assert parse_comment(line, openmetrics) == comment


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"# TYPE a whatever", "metric type 'whatever' is not one of"),
        (b"# TYPE a", "metric type '' is not one of"),
        (b"# HELP 9a text", "expected a metric name after HELP"),
        (b"# HELP a\xff text", "not valid UTF-8"),
        (b"# HELP a-b text", "expected a blank"),
    ],
)
def test_text_comment_is_refused_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(LineError) as caught:
        parse_comment(line, TEXT)
    assert reason in str(caught.value)


def test_value_is_read_as_go_reads_it() -> None:
    good = [b"1", b"-1", b"+1", b"1.", b".5", b"1e3", b"1E+3", b"inf", b"-Infinity", b"0", b"-0", b"007"]
    assert [parse_value(text) for text in good] == [
        1,
        -1,
        1,
        1,
        0.5,
        1000,
        1000,
        math.inf,
        -math.inf,
        0,
        0,
        7,
    ]
    assert math.isnan(parse_value(b"NaN"))
    assert math.isnan(parse_value(b"nan"))
    for bad in [b"", b".", b"e5", b"1e", b"--1", b"-nan", b"1 ", b"infin", b"0x1p3", b"1_0", "١".encode()]:
        with pytest.raises(LineError):
            parse_value(bad)


_TEXTS = st.text(max_size=8)
_NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


@given(_NAMES, st.dictionaries(_NAMES.filter(lambda name: name != "__name__"), _TEXTS, max_size=4))
def test_what_is_written_is_read_back(name: str, labels: dict[str, str]) -> None:
    inner = ",".join(f"{label}={_quote(value)}" for label, value in labels.items())
    expected = {"__name__": name, **{label: value for label, value in labels.items() if value}}
    for openmetrics in (TEXT, OM):
        for form in (f"{name}{{{inner}}} ", f"{{{_quote(name)}{',' if inner else ''}{inner}}} "):
            key = form.encode()
            assert dict(parse_series(key, openmetrics)) == expected
            assert SeriesParser(openmetrics).parse(key) == parse_series(key, openmetrics)


@given(
    st.lists(
        st.sampled_from(
            ["a", "b", "_", "9", "{", "}", '"', ",", "=", " ", "\\", "\n", "\t", "é", 'a="b"', '",']
        ),
        max_size=14,
    ).map("".join)
)
def test_the_fast_parser_and_the_strict_one_agree_on_anything(text: str) -> None:
    key = text.encode()
    for openmetrics in (TEXT, OM):
        try:
            expected: object = parse_series(key, openmetrics)
        except LineError as error:
            expected = str(error)
        try:
            got: object = SeriesParser(openmetrics).parse(key)
        except LineError as error:
            got = str(error)
        assert got == expected
