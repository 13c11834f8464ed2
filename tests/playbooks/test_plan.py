"""A dry run: what would be done, and what cannot."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.playbooks.support import act, ask, playbook
from tests.runbook.documents import read
from watchkeeper.playbooks import plan
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.runbook.loading import default_text

BOOK = playbook(
    [
        act(
            "a", **{"with": {"service": "{{ inputs.service }}", "n": "{{ inputs.n }}", "key": {"env": "KEY"}}}
        ),
        ask("b", deadline="10m", four_eyes=True),
        {"id": "c", "action": "kubernetes.scale", "with": {"x": "{{ steps.a.output.x }}"}, "needs": "b"},
    ],
    inputs={
        "service": {"title": "The service"},
        "n": {"title": "How many", "default": 2},
        "why": {"title": "Why", "required": False},
    },
)


def _plan(**given: object) -> tuple[plan.Planned, ...]:
    inputs = plan.inputs_of("book", BOOK, given)
    return plan.plan("book", BOOK, inputs, "r1", None, {"smoke.run"})


def test_inputs_are_filled_in_and_secrets_shown_by_their_place() -> None:
    first, second, third = _plan(service="api", n="3")
    assert first.with_ == {"service": "api", "n": 3, "key": {"env": "KEY"}}
    assert (first.carried, first.limit, first.on_doubt) == (True, timedelta(minutes=10), "ask")
    assert (second.asks, second.limit) == ("two people", timedelta(minutes=10))
    assert (third.carried, third.asks, third.with_) == (False, "responder", {"x": "{{ steps.a.output.x }}"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"playbook book needs service \(The service\)"),
        ({"service": ""}, "needs service"),
        ({"service": "x", "servce": "y"}, "has no input 'servce'; its inputs are service, n, why"),
        ({"service": "x", "n": "two"}, "input n is 'two'; it takes a number such as 2"),
        ({"service": ["x"]}, "input service is a list"),
        ({"service": "x" * 5000}, "longer than 4000"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(PlaybookError, match=message):
        _plan(**given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ inputs.nope }}", "step b: the run's inputs have no nope"),
        ("{{ steps.b.output.x }}", "step b: there is no earlier step b"),
        ("{{ steps.a }}", "step b: .* names nothing"),
        ("{{ a + b }}", "step b: .* is no name"),
    ],
)
def test_a_template_that_leads_nowhere_is_found_before_anything_runs(text: str, message: str) -> None:
    book = playbook([act("a"), act("b", **{"with": {"x": text}})])
    with pytest.raises(PlaybookError, match=message):
        plan.plan("book", book, {}, "r1", None, ())


@pytest.mark.parametrize("name", read(default_text()).runbook.playbooks)
def test_every_default_playbook_can_be_planned(name: str) -> None:
    book = read(default_text()).runbook.playbooks[name]
    given = {key: "x" for key, one in book.inputs.items() if one.required and one.default is None}
    planned = plan.plan(name, book, plan.inputs_of(name, book, given), "r1", None, ())
    assert [one.id for one in planned] == [step.id for step in book.steps]
