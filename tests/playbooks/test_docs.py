"""Every key of a step, and every verb that is carried out with every key that it takes, is documented."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from watchkeeper.app import verbs
from watchkeeper.app.settings import read_settings
from watchkeeper.playbooks import wording
from watchkeeper.playbooks.decide import TIMER
from watchkeeper.playbooks.providers import chaostoolkit, http, process, python_call
from watchkeeper.runbook.models.playbooks import Step
from watchkeeper.runbook.verbs import VERBS

PAGE = (Path(__file__).parents[2] / "docs" / "playbooks.md").read_text()
SECTIONS = dict(re.findall(r"^### `([a-z.]+)`\n(.*?)(?=^###? |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def test_every_key_of_a_step_is_documented() -> None:
    keys = {field.alias or name for name, field in Step.model_fields.items()}
    assert sorted(key for key in keys if f"| `{key}` |" not in PAGE) == []


def test_every_verb_that_is_carried_out_is_documented_and_declared() -> None:
    carried = verbs.verbs_of(read_settings(), None) | {TIMER}  # type: ignore[arg-type]  # lists only
    assert sorted(carried) == sorted(SECTIONS)
    assert carried <= set(VERBS)


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        ("process.run", process.KEYS),
        ("http.request", http.KEYS),
        ("python.call", python_call.KEYS),
        ("chaostoolkit.run", chaostoolkit.KEYS),
    ],
)
def test_every_key_of_a_provider_is_documented(verb: str, keys: tuple[str, ...]) -> None:
    assert [key for key in keys if f"`{key}`" not in SECTIONS[verb]] == []


@pytest.mark.parametrize(
    ("verb", "provider"),
    [
        ("monitoring.query", verbs.Query),
        ("monitoring.baseline", verbs.Baseline),
        ("monitoring.silence", verbs.Silence),
        ("notify.send", verbs.Send),
        ("logs.link", verbs.LogsLink),
    ],
)
def test_every_key_of_a_section_s_verb_is_documented(verb: str, provider: type) -> None:
    found = re.search(r"context\.only\(([^)]*)\)", inspect.getsource(provider))
    assert found is not None
    keys = re.findall(r'"(\w+)"', found[1])
    assert [key for key in keys if f"`{key}" not in SECTIONS[verb]] == []


def test_every_kind_of_journal_entry_is_documented() -> None:
    kinds = {value for value in vars(wording).values() if isinstance(value, str) and value.startswith("run.")}
    assert len(kinds) == 9
    assert sorted(kind for kind in kinds if f"`{kind}`" not in PAGE) == []
