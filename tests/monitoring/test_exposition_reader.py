"""A reader that remembers reads the same as one that does not, and as the grammar line by line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.exporter import OPENMETRICS
from watchkeeper.monitoring.exposition.grammar import Comment, locate, parse_series, parse_value
from watchkeeper.monitoring.exposition.layout import ExpositionError
from watchkeeper.monitoring.exposition.metadata import Family
from watchkeeper.monitoring.exposition.reader import Reader, TooManySamplesError
from watchkeeper.monitoring.labels import Labels

Row = tuple[Labels, float, int | None]


@dataclass
class Follower:
    """Keeps label sets beside a reader, as the scraper does with columns."""

    reader: Reader = field(default_factory=Reader)
    labels: list[Labels] = field(default_factory=list)
    fresh: int = 0

    def read(self, body: bytes, content_type: str = "") -> list[Row]:
        reading = self.reader.read(body, content_type)
        self.fresh = len(reading.fresh)
        if reading.origin is not None:
            fresh = iter(reading.fresh)
            self.labels = [next(fresh) if i < 0 else self.labels[i] for i in reading.origin.tolist()]
            assert next(fresh, None) is None
        self.reader.keep(reading)
        stamps = dict(zip(reading.stamped.tolist(), reading.stamps_ms.tolist(), strict=True))
        rows = zip(self.labels, reading.values.tolist(), strict=True)
        return [(labels, value, stamps.get(i)) for i, (labels, value) in enumerate(rows)]


def line_by_line(body: bytes, openmetrics: bool = False) -> list[Row]:
    rows: list[Row] = []
    for line in body.split(b"\n"):
        if openmetrics and not line:
            continue
        found = locate(line, 0, len(line), openmetrics)
        if not isinstance(found, Comment):
            value = parse_value(line[found.value_start : found.value_end])
            rows.append((parse_series(line[: found.value_start], openmetrics), value, found.timestamp_ms))
    return rows


def assert_same(got: list[Row], expected: list[Row]) -> None:
    assert [(labels, stamp) for labels, _, stamp in got] == [(labels, stamp) for labels, _, stamp in expected]
    assert np.array_equal([row[1] for row in got], [row[1] for row in expected], equal_nan=True)


_SERIES = st.sampled_from(
    [
        "a",
        "b",
        'a{x="1"}',
        'a{x="2"}',
        'a{x="1 2"}',
        'a{x="# 1"}',
        'a{x="} 5"}',
        'b{y="é"}',
        '{"c.d",x="1"}',
        'a {x="3"}',
        'b{ y="4" , z="5" }',
        'h_bucket{le="1"}',
        'h_bucket{le="+Inf"}',
    ]
)
_VALUES = st.sampled_from(["0", "1", "2.5", "-7", "1e-07", "NaN", "+Inf", "123456789012"])
_ENDS = st.sampled_from(["", "", "", "", " 1700000000000", "\t17", " "])
_SAMPLES = st.tuples(_SERIES, _VALUES, _ENDS).map(lambda parts: f"{parts[0]} {parts[1]}{parts[2]}")
_COMMENTS = st.sampled_from(["", "  ", "# x", "  # x 5", "# TYPE a counter", "# HELP a text 5", "\t", "#"])
_BODIES = st.lists(st.one_of(_SAMPLES, _SAMPLES, _SAMPLES, _COMMENTS), max_size=12)


@settings(max_examples=400)
@given(st.lists(_BODIES, min_size=1, max_size=5))
def test_whatever_was_read_before_a_body_reads_the_same(bodies: list[list[str]]) -> None:
    follower = Follower()
    for lines in bodies:
        body = "\n".join(lines).encode()
        assert_same(follower.read(body), line_by_line(body))


_OM_ENDS = st.sampled_from(["", "", "", ' # {t="u"} 1', " 17.5", ' 17 # {t="x y"} 1 2'])
_OM_SERIES = _SERIES.filter(lambda series: " {" not in series and "{ " not in series)
_OM_SAMPLES = st.tuples(_OM_SERIES, _VALUES, _OM_ENDS).map(lambda parts: f"{parts[0]} {parts[1]}{parts[2]}")


@settings(max_examples=300)
@given(st.lists(st.lists(_OM_SAMPLES, max_size=10), min_size=1, max_size=5))
def test_whatever_was_read_before_openmetrics_reads_the_same(bodies: list[list[str]]) -> None:
    follower = Follower()
    for lines in bodies:
        body = ("".join(f"{line}\n" for line in lines) + "# EOF\n").encode()
        assert_same(follower.read(body, OPENMETRICS), line_by_line(body, openmetrics=True))


@settings(max_examples=12, deadline=None)
@given(st.randoms(use_true_random=False))
def test_series_that_come_go_and_move_among_thousands_read_the_same(random: object) -> None:
    import random as module

    rng = module.Random(getattr(random, "getrandbits")(64))  # noqa: B009 - the strategy's type is opaque
    names = [f'm_{n % 7}{{n="{n}"}}' for n in range(3000)]
    follower = Follower()
    for _ in range(4):
        body = "".join(f"{name} {rng.randrange(1000)}\n" for name in names).encode()
        assert_same(follower.read(body), line_by_line(body))
        match rng.randrange(4):
            case 0:
                names = [name for name in names if rng.random() > 0.02]
            case 1:
                at = rng.randrange(len(names))
                names[at:at] = [f'new{{n="{rng.getrandbits(40)}"}}' for _ in range(rng.randrange(2500))]
            case 2:
                rng.shuffle(names)
            case _:
                names = [f"z{name}" if rng.random() < 0.01 else name for name in names]


def test_a_body_with_the_same_series_needs_no_grammar() -> None:
    follower = Follower()
    follower.read(b"a 1\nb 2\n")
    assert follower.fresh == 2
    assert [value for _, value, _ in follower.read(b"a 3\nb 4\n")] == [3, 4]
    assert follower.fresh == 0
    follower.read(b"a 3\ncc 1\nb 4\n")
    assert follower.fresh == 1


def test_timestamps_and_exemplars_do_not_make_series_fresh_every_time() -> None:
    follower = Follower()
    for visit in range(3):
        body = f'a{{b="x y"}} {visit} 170000000000{visit}\nc {visit}\n'.encode()
        assert [stamp for _, _, stamp in follower.read(body)] == [1700000000000 + visit, None]
        assert follower.fresh == (0 if visit else 2)
    for visit in range(3):
        body = f'h_bucket{{le="1.0"}} {visit} # {{t="{visit}"}} 0.{visit}\n# EOF\n'.encode()
        assert [value for _, value, _ in follower.read(body, OPENMETRICS)] == [visit]
        assert follower.fresh == (0 if visit else 1)


def test_memory_is_that_of_the_last_body_only() -> None:
    reader = Reader()
    for visit in range(50):
        reading = reader.read(b"".join(b"bomb_%d_%d 1\n" % (visit, n) for n in range(200)))
        assert len(reading.fresh) == 200
        reader.keep(reading)
    assert reader._memory is not None
    assert len(reader._memory.lines) == 200


def test_more_samples_than_allowed_are_not_read() -> None:
    with pytest.raises(TooManySamplesError, match="3 samples; sample_limit is 2") as caught:
        Reader().read(b"a 1\nb 2\nnot checked any further 3\n", sample_limit=2)
    assert caught.value.samples == 3
    assert len(Reader().read(b"a 1\nb 2\n# c\n", sample_limit=2).values) == 2


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"a 1\nb{ 2\nc 3\n", "", "line 2: expected a label name or '}' at column 4"),
        (b"a 1\n\nb x\n", "", "line 3: 'x' is not a value"),
        (b"a 1\nb 1e999\n", "", "line 2: value '1e999' is out of range"),
        (b"# TYPE a b c\n", "", "line 1: metric type 'b c' is not one of"),
        (b"a 1\na 1 2 3\n", "", "line 2: a number too many behind the value"),
        (b"a\n", "", "line 1: expected a blank and a value"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "", "expected a metric name"),
        (b"a 1\n", OPENMETRICS, "does not end with '# EOF'"),
        (b"a 1\n# EOF\nb 1\n# EOF\n", OPENMETRICS, "line 3: there is more behind '# EOF'"),
        (b"a 1\n\n# EOF\n", OPENMETRICS, "line 2: a blank line"),
        (b"<html></html>", "text/html; charset=utf-8", "answered with text/html"),
        (b"{}", "application/json", "answered with application/json"),
        (b"x", "application/vnd.google.protobuf;proto=x", "application/vnd.google.protobuf"),
    ],
)
def test_error_names_the_line_and_the_reason(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(ExpositionError) as caught:
        Reader().read(body, content_type)
    assert message in str(caught.value)


def test_an_error_leaves_what_is_remembered_as_it_was() -> None:
    follower = Follower()
    follower.read(b"a 1\nb 2\n")
    for bad in (b"a 1\nb x\n", b"a 1\nb{ 2\n", b"a\n"):
        with pytest.raises(ExpositionError):
            follower.read(bad)
    assert_same(follower.read(b"a 5\nb 4\n"), line_by_line(b"a 5\nb 4\n"))
    assert follower.fresh == 0


def test_empty_body_is_a_scrape_without_samples() -> None:
    for content_type in ("", OPENMETRICS):
        assert len(Reader().read(b"", content_type).values) == 0


def test_last_line_may_lack_its_line_end() -> None:
    assert Reader().read(b"a 1\nb 2").values.tolist() == [1, 2]
    assert Reader().read(b"a 1\n# EOF", OPENMETRICS).values.tolist() == [1]


def test_metadata_follows_the_comments() -> None:
    reader = Reader()
    body = b"# HELP a A thing.\n# TYPE a counter\na 1\n"
    first = reader.read(body)
    assert first.families == {"a": Family("a", "counter", "A thing.")}
    reader.keep(first)
    second = reader.read(body.replace(b"a 1", b"a 2"))
    assert second.families is first.families
    reader.keep(second)
    third = reader.read(b"# HELP a Another thing.\n# TYPE a untyped\na 2\n")
    assert third.families == {"a": Family("a", "unknown", "Another thing.")}


def test_bucket_and_quantile_bounds_are_normalised_as_in_prometheus_3() -> None:
    body = (
        b"# TYPE h histogram\n# TYPE s summary\n# TYPE g gauge\n"
        b'h_bucket{le="1"} 1\nh_bucket{le="0.5"} 1\nh_bucket{le="1e6"} 1\nh_bucket{le="+Inf"} 1\n'
        b's{quantile="1"} 1\ng{le="1"} 1\nother_bucket{le="1"} 1\n'
    )
    bounds = [dict(labels).get("le") or dict(labels)["quantile"] for labels in Reader().read(body).fresh]
    assert bounds == ["1.0", "0.5", "1e+06", "+Inf", "1.0", "1", "1"]


def test_a_family_that_becomes_a_histogram_has_its_bounds_read_again() -> None:
    follower = Follower()
    follower.read(b'h_bucket{le="1"} 1\n')
    rows = follower.read(b'# TYPE h histogram\nh_bucket{le="1"} 2\n')
    assert dict(rows[0][0])["le"] == "1.0"


def test_not_a_number_is_kept() -> None:
    values = Reader().read(b"a NaN\nb +Inf\nc -Inf\n").values.tolist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]
