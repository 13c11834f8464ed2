"""docs/runbook.md names every key, verb, lint rule and clause that there is, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from tests.runbook.documents import read
from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.lint import RULES
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.models.base import Part
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.schema import keys_of
from watchkeeper.runbook.verbs import VERBS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")


def parts(annotation: Any) -> Iterator[type[Part]]:
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def models(root: type[Part], seen: dict[str, type[Part]]) -> dict[str, type[Part]]:
    if root.__name__ not in seen:
        seen[root.__name__] = root
        for info in root.model_fields.values():
            for part in parts(info.annotation):
                models(part, seen)
    return seen


MODELS = models(Runbook, {})


@pytest.mark.parametrize("name", MODELS)
def test_every_key_of_every_mapping_is_documented_in_order(name: str) -> None:
    section = DOCUMENT.split(f"\n#### {name}\n", 1)[1].split("\n#### ", 1)[0]
    assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == keys_of(MODELS[name])


def test_nothing_is_documented_that_is_not_there() -> None:
    assert set(re.findall(r"^#### (\w+)$", DOCUMENT, re.MULTILINE)) == set(MODELS)
    for link in re.findall(r"\]\(#([a-z]+)\)", DOCUMENT):
        assert link in {name.lower() for name in MODELS}


def test_every_step_verb_is_documented_with_its_own_line() -> None:
    for verb, words in VERBS.items():
        assert f"| `{verb}` | {words} |" in DOCUMENT


def test_every_lint_rule_is_documented() -> None:
    for rule in RULES:
        assert f"| `{rule.id}` | {rule.trap} |" in DOCUMENT


def test_every_clause_of_the_default_runbook_is_documented() -> None:
    listed = DOCUMENT.split("## Clauses", 1)[1].split("\n## ", 1)[0]
    for clause in clauses(read(default_text()).runbook):
        if clause.id.startswith("monitoring.") and clause.proof in ("rule", "samples"):
            continue
        known = clause.id in listed or any(f"`.{tail}`" in listed for tail in tails(clause.id))
        assert known or clause.id.startswith(("reviews.", "drills.scenario.")), clause.id


def tails(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[start:]) for start in range(1, len(words))]


EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example: str) -> None:
    text = example if "runbook: 1" in example else f"runbook: 1\nplatform: X\n{example}"
    assert read(text).runbook


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2
