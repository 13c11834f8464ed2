"""Words of time, figures as lines, and texts that cannot do anything."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.asgi import Answering, call
from watchkeeper.console.rendering import (
    LONGEST_TEXT,
    STATIC,
    Pages,
    about,
    ago,
    clean,
    mark,
    sparkline,
    time_element,
)

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (30, "30 s ago"),
        (90, "2 min ago"),
        (3600, "1 h ago"),
        (86400 * 3, "3 d ago"),
        (-7200, "in 2 h"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


@given(st.floats(min_value=0, max_value=1e10))
def test_a_duration_has_one_unit_and_no_fraction(seconds: float) -> None:
    assert re.fullmatch(r"\d+ (s|min|h|d)", about(seconds))


def test_a_moment_has_its_exact_utc_time() -> None:
    html = time_element(NOW - timedelta(minutes=3), NOW)
    assert 'datetime="2026-01-05T08:57:00Z"' in html
    assert 'title="2026-01-05 08:57:00 UTC"' in html
    assert ">3 min ago<" in html
    assert "never" in time_element(None, NOW)


@given(st.text(max_size=80))
def test_no_text_moves_a_cursor_or_hides_itself(text: str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in clean(text))


def test_the_ends_of_lines_that_forms_send_are_ends_of_lines() -> None:
    assert clean("a\r\nb\rc") == "a\nb\\u000dc"


def test_a_long_text_is_cut_and_says_so() -> None:
    said = clean("x" * 1_000_000)
    assert len(said) < LONGEST_TEXT + 60
    assert "1,000,000 characters" in said


def test_every_state_has_a_shape_and_a_word() -> None:
    html = mark("missed")
    assert "▲" in html
    assert ">missed<" in html
    assert 'aria-hidden="true"' in html


def test_a_line_has_gaps_where_there_is_no_data() -> None:
    html = sparkline([1.0, 2.0, None, 3.0, float("nan"), 2.0])
    (path,) = re.findall(r'd="([^"]*)"', html)
    assert path.count("M") == 3
    assert sparkline([None, 1.0]) == ""
    assert "nan" not in html


def test_static_files_are_served_for_ever_under_addresses_that_change_with_them() -> None:
    pages = Pages()
    for name in STATIC:
        answer = call(Answering(), pages.address(name), as_=None)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.body == pages.static[name]
        assert call(Answering(), f"/static/000000000000/{name}", as_=None).status == 404
    assert call(Answering(), "/static/000000000000/../rendering.py", as_=None).status == 404


def test_no_page_and_no_static_file_names_another_host() -> None:
    for name, content in Pages().static.items():
        addresses = re.findall(rb"https?://[^\s\"')]+", content)
        assert [one for one in addresses if not one.startswith(b"http://www.w3.org/")] == [], name
