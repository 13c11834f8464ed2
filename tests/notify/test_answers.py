"""What is read out of a receiver's answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from watchkeeper.notify.answers import redacted, retry_after
from watchkeeper.notify.transport import Response

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("Mon, 05 Jan 2026 03:01:00 GMT", 60.0),
        ("Mon, 05 Jan 2026 02:00:00 GMT", 0.0),
        ("999999999999999999999", 999999999.0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_nothing_else(header: str, seconds: float | None) -> None:
    assert retry_after(Response(429, {"retry-after": header}), NOW) == seconds


def test_no_retry_after_is_none() -> None:
    assert retry_after(Response(503), NOW) is None


def test_text_from_outside_is_one_bounded_line_without_secrets() -> None:
    text = redacted("key hunter2\nis \x1b[31mwrong" + "x" * 1000, "hunter2", "")
    assert text.startswith("key [secret] is  [31mwrong")
    assert len(text) == 300
    assert "\n" not in text
