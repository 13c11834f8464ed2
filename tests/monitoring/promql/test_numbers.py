"""Numbers as Go reads and writes them."""

from __future__ import annotations

import math

import pytest

from watchkeeper.monitoring.promql.numbers import general, parse_float, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+Inf", math.inf),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1", 1.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("0x1p-2", 0.25),
        ("", None),
        (" 1", None),
        ("1_000", None),
        ("1e", None),
        ("one", None),
        ("0x", None),
        ("١", None),
    ],
)
def test_reading(text: str, value: float | None) -> None:
    assert parse_float(text) == value


def test_reading_nan() -> None:
    value = parse_float("NaN")
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_writing_without_exponent(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.5, None, "1.5"),
        (100000.0, None, "100000"),
        (1e6, None, "1e+06"),
        (1234567.0, None, "1.234567e+06"),
        (0.0001, None, "0.0001"),
        (0.00001, None, "1e-05"),
        (-2.5e-9, None, "-2.5e-09"),
        (0.0, None, "0"),
        (math.inf, None, "+Inf"),
        (1234.5, 2, "1.2e+03"),
        (0.123, 2, "0.12"),
    ],
)
def test_writing_with_exponent_where_shorter(value: float, digits: int | None, text: str) -> None:
    assert general(value, digits) == text
