"""The words of a message: what they say, and that nothing in an alert makes them long or adds a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.conftest import Make
from watchkeeper.notify.models import Kind, Link, Member
from watchkeeper.notify.wording import MAX_ALERTS, MAX_TITLE, one_line, shortened, words

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


def member(number: int, state: str = "firing") -> Member:
    return Member(f"f{number}", state, {"instance": f"api-{number}"}, NOW, 0.5, "")


def test_one_alert_says_what_is_broken_since_when_and_where_to_read_on(make: Make) -> None:
    told = words(make(note="mute is over", annotations={"description": "Requests fail."}))
    assert told.title == "[FIRING] PAGE: alert-1: 7.3 % of requests fail"
    assert told.text() == (
        "What: alert-1: 7.3 % of requests fail\n"
        "Description: Requests fail.\n"
        "Alert: ApiErrorRatePage\n"
        "Since: 2026-01-05 03:00:00 UTC\n"
        "Value: 0.073\n"
        "Labels: env=prod, region=eu-1, service=api, severity=page\n"
        "Clause: monitoring.api.error-rate.page\n"
        "Playbook: api-errors\n"
        "Note: mute is over\n"
        "\n"
        "Playbook: https://wk.example/playbooks/api-errors"
    )


@pytest.mark.parametrize(
    ("kind", "state"),
    [(Kind.TRIGGER, "FIRING"), (Kind.ACKNOWLEDGE, "ACKNOWLEDGED"), (Kind.RESOLVE, "RESOLVED")],
)
def test_the_title_begins_with_the_state(make: Make, kind: Kind, state: str) -> None:
    assert words(make(kind=kind)).title.startswith(f"[{state}] PAGE: ")


def test_a_resolve_says_until_when(make: Make) -> None:
    resolved = make(kind=Kind.RESOLVE, ends_at=NOW + timedelta(minutes=5))
    assert "Until: 2026-01-05 03:05:00 UTC" in words(resolved).text()


@pytest.mark.parametrize("summary", ["requests fail", "37 alerts: requests fail"])
def test_a_group_says_how_many_and_in_which_states_once(make: Make, summary: str) -> None:
    members = tuple(member(i, "firing" if i < 30 else "resolved") for i in range(37))
    told = words(make(summary=summary, members=members))
    assert told.title == "[FIRING] PAGE: 37 alerts: requests fail"
    text = told.text()
    assert "Alerts: 37: 30 firing, 7 resolved" in text
    assert "- firing since 2026-01-05 03:00:00 UTC: instance=api-0 (value 0.5)" in text
    assert text.count("\n- ") == MAX_ALERTS + 1
    assert "- and 17 more" in text


@pytest.mark.parametrize("summary", ["9812 alerts: queues", "9,812 alerts: queues", "queues"])
def test_a_storm_says_how_many_there_are_and_not_how_many_it_lists(make: Make, summary: str) -> None:
    members = tuple(member(i) for i in range(50))
    told = words(make(summary=summary, members=members, alerts=9812))
    assert told.title.replace(",", "") == "[FIRING] PAGE: 9812 alerts: queues"
    assert "Alerts: 9,812\n" in told.text()
    assert f"- and {9812 - MAX_ALERTS} more" in told.text()


def test_ten_thousand_members_and_megabyte_labels_make_a_short_text(make: Make) -> None:
    huge = {f"l{i}": "y" * 1_000_000 for i in range(50)}
    long = "v" * 1_000_000
    members = tuple(Member(f"f{i}", f"state {i}", huge, NOW, long, long) for i in range(10_000))
    links = tuple(Link(f"https://wk.example/{i}", long) for i in range(1000))
    told = words(make(summary="x" * 1_000_000, members=members, labels=huge, links=links, annotations=huge))
    assert len(told.title) <= MAX_TITLE
    assert len(told.text()) < 40_000
    assert "and 9980 more" in told.text()


def test_only_whole_web_addresses_are_links(make: Make) -> None:
    odd = ("javascript:x", "https://x/\ny", "https://x/ y", "https://x/" + "y" * 1000, "https://x/|y>", "")
    good = Link("https://wk.example/a?b=1&c", "Runbook")
    assert words(make(links=(*(Link(href, "x") for href in odd), good))).links == (good,)


def test_an_alert_without_words_has_a_title(make: Make) -> None:
    assert words(make(summary="\n", alertname="", severity="")).title == "[FIRING] ALERT: alert"


@given(st.text(), st.integers(1, 50))
def test_a_line_is_one_printable_line_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert line == line.strip()
    assert one_line(line, limit) == line


def test_what_was_cut_says_so() -> None:
    assert one_line("abc", 3) == "abc"
    assert one_line("abcd", 3) == "ab…"
    assert one_line("a" + "\n" * 100, 3) in ("a", "a…")


def test_a_text_is_shortened_by_whole_lines() -> None:
    assert shortened("ab\ncd", 5) == "ab\ncd"
    assert shortened("ab\ncde", 5) == "ab\n…"
    assert shortened("abcdef", 5) == "abcd…"
