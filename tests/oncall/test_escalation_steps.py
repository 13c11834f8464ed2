"""Whom a step means: by the rota and its overrides at the moment when it is due, each way once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oncall.rotas import utc
from watchkeeper.oncall.rota import Override, on_call
from watchkeeper.oncall.steps import (
    ACKNOWLEDGE,
    Audience,
    Recipient,
    Step,
    audience,
    everybody,
    next_person,
    steps,
)
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook

TEXT = """
runbook: 1
platform: Island
notifications:
  receivers:
    - {id: mail, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}
    - {id: push, apprise: {url: {env: PUSH}}}
    - {id: hook, slack: {webhook_url: {env: HOOK}}}
    - {id: bot, slack: {token: {env: TOKEN}, channel: "#ops"}}
contacts:
  - {id: ada, name: Ada, email: ada@example.org, slack: U1, receivers: [push]}
  - {id: ben, name: Ben, email: ben@example.org, receivers: [push]}
  - {id: cleo, name: Cleo, phone: "+49 30 1"}
oncall:
  rotas:
    - id: platform
      title: Platform
      layers:
        - {id: weekly, participants: [ada, ben], start: "2026-03-02T09:00:00+00:00"}
    - id: office
      title: Office
      layers:
        - {id: day, participants: [cleo], hours: ["mon-fri 09:00-17:00"]}
"""
NOW = utc("2026-03-04 03:00")  # a Wednesday night in Ada's week
MINUTES = timedelta(minutes=1)


def _none(_: str) -> Sequence[Override]:
    return ()


@pytest.fixture(scope="module")
def runbook() -> Runbook:
    return load_bytes("runbook.yaml", TEXT.encode()).runbook


def _rota(runbook: Runbook, name: str = "platform") -> Rota:
    found = runbook.oncall.rota(name)
    assert found is not None
    return found


def _means(
    runbook: Runbook, *notify: str, rota: str = "platform", now: datetime = NOW, stored: object = _none
) -> Audience:
    return audience(Step(notify, MINUTES), runbook, _rota(runbook, rota), stored, now)  # type: ignore[arg-type]


def test_without_an_escalation_it_is_on_call_then_the_next_then_everybody(runbook: Runbook) -> None:
    asked = steps(_rota(runbook), timedelta(minutes=7))
    assert [(step.notify, step.wait) for step in asked] == [
        (("oncall",), 7 * MINUTES),
        (("next",), 7 * MINUTES),
        (("everybody",), 7 * MINUTES),
    ]
    assert {step.wait for step in steps(_rota(runbook), None)} == {ACKNOWLEDGE}


def test_an_escalation_counts_as_it_is_written() -> None:
    written = {"escalation": [{"notify": "oncall", "wait": "90s"}, {"notify": ["ada", "rota:office"]}]}
    rota = Rota.model_validate({"id": "p", "title": "P", **written})
    assert steps(rota, timedelta(minutes=7)) == (
        Step(("oncall",), timedelta(seconds=90)),
        Step(("ada", "rota:office"), 5 * MINUTES),
    )


def test_somebody_is_reached_in_every_way_that_the_runbook_has_for_them(runbook: Runbook) -> None:
    assert _means(runbook, "oncall") == Audience(
        ("ada",),
        (
            Recipient("ada", "push"),
            Recipient("ada", "mail", "ada@example.org"),
            Recipient("ada", "bot", "U1"),
        ),
    )


def test_a_way_that_two_people_share_is_taken_once(runbook: Runbook) -> None:
    found = _means(runbook, "oncall", "everybody", "ada")
    assert found.contacts == ("ada", "ben")
    assert [(one.receiver, one.to) for one in found.recipients] == [
        ("push", None),
        ("mail", "ada@example.org"),
        ("bot", "U1"),
        ("mail", "ben@example.org"),
    ]


def test_a_telephone_number_alone_reaches_nobody(runbook: Runbook) -> None:
    assert _means(runbook, "cleo", "ben").unreachable == ("cleo",)
    assert _means(runbook, "stranger") == Audience(("stranger",), (), unreachable=("stranger",))


def test_where_nobody_is_on_call_everybody_is_meant_and_it_says_so(runbook: Runbook) -> None:
    found = _means(runbook, "oncall", rota="office")
    assert (found.contacts, found.unattended) == (("cleo",), ("office",))
    found = _means(runbook, "rota:office")
    assert (found.contacts, found.unattended) == (("cleo",), ("office",))
    assert _means(runbook, "rota:office", now=utc("2026-03-04 10:00")).unattended == ()


def test_whoever_stands_in_is_meant_and_the_next_is_somebody_else(runbook: Runbook) -> None:
    stand_in = [Override("ben", NOW - MINUTES, NOW + MINUTES)]
    assert _means(runbook, "oncall", stored=lambda _: stand_in).contacts == ("ben",)
    assert _means(runbook, "next", stored=lambda _: stand_in).contacts == ("ada",)
    assert _means(runbook, "next").contacts == ("ben",)


def test_the_next_of_a_rota_of_one_is_nobody(runbook: Runbook) -> None:
    at_work = utc("2026-03-04 10:00")
    assert _means(runbook, "next", rota="office", now=at_work) == Audience((), ())
    assert _means(runbook, "next", rota="office").contacts == ("cleo",)  # nobody has the watch at night


def test_the_next_is_found_though_it_is_long_until_then() -> None:
    layer = {"id": "year", "participants": ["ada", "ben"], "handover": {"every": "yearly"}}
    rota = Rota.model_validate({"id": "p", "title": "P", "layers": [layer]})
    assert next_person(rota, (), utc("2024-01-02 00:00")) == "ben"


@given(
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)),
    st.lists(st.sampled_from(["oncall", "next", "everybody", "ada", "ben", "rota:office"]), min_size=1),
)
def test_whenever_it_is_nobody_is_reached_twice_in_the_same_way(at: datetime, notify: list[str]) -> None:
    runbook = load_bytes("runbook.yaml", TEXT.encode()).runbook
    rota, now = _rota(runbook), at.replace(tzinfo=utc("2026-01-01 00:00").tzinfo)
    found = _means(runbook, *notify, now=now)
    assert len({(one.receiver, one.to) for one in found.recipients}) == len(found.recipients)
    assert {one.contact for one in found.recipients} | set(found.unreachable) <= set(found.contacts)
    assert next_person(rota, (), now) not in (None, on_call(rota, (), now).contact)
    assert set(everybody(rota)) == {"ada", "ben"}
