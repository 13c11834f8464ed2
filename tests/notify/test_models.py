"""Notifications: the same after waiting in the outbox as before."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.conftest import Make
from watchkeeper.notify.models import Kind, Link, Member, Notification, NotifyError, dedup_key, personal_key
from watchkeeper.store.canonical import canonical_json

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
LABELS = st.dictionaries(TEXT, TEXT, max_size=4)
TIMES = st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC))
VALUES = st.none() | TEXT | st.floats(allow_nan=False, allow_infinity=False)
MEMBERS = st.builds(Member, TEXT, TEXT, LABELS, TIMES, VALUES, TEXT)
NOTIFICATIONS = st.builds(
    Notification,
    kind=st.sampled_from(Kind),
    dedup_key=TEXT,
    order_key=TEXT,
    subject=TEXT,
    alertname=TEXT,
    severity=st.sampled_from(["page", "warn", "info"]),
    summary=TEXT,
    starts_at=TIMES,
    ends_at=st.none() | TIMES,
    clause=st.none() | TEXT,
    labels=LABELS,
    annotations=LABELS,
    value=VALUES,
    playbook=st.none() | TEXT,
    links=st.lists(st.builds(Link, TEXT, TEXT), max_size=2).map(tuple),
    members=st.lists(MEMBERS, max_size=3).map(tuple),
    note=TEXT,
    to=st.none() | TEXT,
)


@given(NOTIFICATIONS)
def test_a_notification_survives_the_outbox_unchanged(notification: Notification) -> None:
    assert Notification.from_json(json.loads(canonical_json(notification.to_json()))) == notification


def test_a_row_that_was_written_before_there_were_addresses_is_read(make: Make) -> None:
    document = make().to_json()
    assert "to" not in document, (
        "nor does a version before ours stumble over what is for nobody in particular"
    )
    assert Notification.from_json(document).to is None
    assert make(to="ada@example.org").to_json()["to"] == "ada@example.org"


def test_each_address_has_a_thread_of_its_own() -> None:
    asked = [("mail", "ada"), ("mail", "ben"), ("chat", "ada")]
    keys = {personal_key("watchkeeper/abc/1", receiver, to) for receiver, to in asked}
    assert len(keys) == 3
    assert all(key.startswith("watchkeeper/abc/1/to/") for key in keys)
    assert personal_key("k", "mail", "ada") == personal_key("k", "mail", "ada")


def test_a_value_that_is_no_number_comes_back_as_its_word(make: type[Notification]) -> None:
    read = Notification.from_json(json.loads(canonical_json(make(value=math.nan).to_json())))  # type: ignore[call-arg]
    assert read.value == "NaN"


@pytest.mark.parametrize(
    "document", [{}, {"kind": "shout"}, [], None, {"kind": "trigger", "starts_at": "now"}]
)
def test_a_row_of_another_version_is_refused_by_name(document: object) -> None:
    with pytest.raises(NotifyError, match="stays there"):
        Notification.from_json(document)  # type: ignore[arg-type]


@given(TEXT, TEXT, TEXT)
def test_the_key_of_an_episode_is_stable_short_and_its_own(name: str, episode: str, other: str) -> None:
    assert dedup_key(name, episode) == dedup_key(name, episode)
    assert 0 < len(dedup_key(name * 30, episode * 30)) <= 255
    if episode != other:
        assert dedup_key(name, episode) != dedup_key(name, other)
