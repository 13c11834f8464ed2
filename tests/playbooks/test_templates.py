"""Templates: names filled with values, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.support import ADA, START, act, playbook
from watchkeeper.playbooks import templates
from watchkeeper.playbooks.models import Record, Run, StepState, Target
from watchkeeper.playbooks.templates import SecretPlace, TemplateError

DONE = Record(
    StepState.DONE, outputs={"n": 3, "pods": [{"name": "x"}], "s": "{{ inputs.who }}"}, note="by hand"
)
RUN = Run("r1", "book", playbook([act("a"), act("b")]), {"who": "ada", "n": 2}, None, ADA, START).put(
    Target("a"), DONE
)
LOOKUP = templates.of_run(RUN)


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ("{{ inputs.n }}", 2),
        ("{{inputs.n}} pods", "2 pods"),
        ("{{ steps.a.output.n }}", 3),
        ("{{ steps.a.n }}", 3),
        ("{{ steps.a.output.pods.0.name }}", "x"),
        ("{{ steps.a.output.pods }}", [{"name": "x"}]),
        ("pods: {{ steps.a.output.pods }}", 'pods: [{"name": "x"}]'),
        ("{{ steps.a.note }}", "by hand"),
        ("{{ run.id }}/{{ run.playbook }}/{{ run.subject }}", "r1/book/"),
        ({"a": ["{{ inputs.who }}", 1, None, True]}, {"a": ["ada", 1, None, True]}),
        ("no template { here }", "no template { here }"),
    ],
)
def test_names_are_filled_and_a_lone_one_keeps_its_type(given: Any, filled: Any) -> None:
    assert templates.fill(given, LOOKUP) == filled


def test_what_was_filled_in_is_not_read_as_a_template_again() -> None:
    assert templates.fill("{{ steps.a.output.s }}", LOOKUP) == "{{ inputs.who }}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{{ inputs.nope }}", "the run's inputs have no nope; there is who, n"),
        ("{{ steps.a.output.nope }}", r"the outputs of step a \(done\) have no nope; there is n, pods, s"),
        ("{{ steps.z.output.n }}", "there is no step z; there is a, b"),
        ("{{ steps.b.output.n }}", "step b has not run yet"),
        ("{{ nope }}", "names nothing; write inputs.NAME"),
        ("{{ run.owner }}", "names nothing"),
        ("{{ 1 + 1 }}", "is no name"),
        ("{{ inputs.n | upper }}", "is no name"),
        ("{{ __import__('os').system('true') }}", "is no name"),
        ("{{ steps.a.__class__ }}", "have no __class__"),
    ],
)
def test_an_unknown_name_is_an_error_that_says_what_there_is(given: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        templates.fill(given, LOOKUP)


def test_the_place_of_a_secret_stands_in_the_playbook_and_is_never_made_of_values() -> None:
    assert templates.fill({"key": {"env": "TOKEN"}}, LOOKUP) == {"key": SecretPlace("env", "TOKEN")}
    assert templates.fill({"file": "/run/key"}, LOOKUP) == SecretPlace("file", "/run/key")
    with pytest.raises(TemplateError, match="an input that could choose it could read any secret"):
        templates.fill({"env": "{{ inputs.who }}"}, LOOKUP)
    sneaky = RUN.put(Target("a"), Record(StepState.DONE, outputs={"place": {"env": "TOKEN"}}))
    assert templates.fill("{{ steps.a.place }}", templates.of_run(sneaky)) == {
        "env": "TOKEN"
    }  # a plain value
