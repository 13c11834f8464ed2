"""The default playbooks' programs: the SQL is PostgreSQL's, and what cannot be taken back is asked about."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runbook.documents import read
from watchkeeper.playbooks.providers.process import KEYS
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.models.playbooks import Step

PLAYBOOKS = read(default_text()).runbook.playbooks


def _programs() -> Iterator[tuple[str, Step, dict[str, Any]]]:
    for name, playbook in PLAYBOOKS.items():
        for step in playbook.steps:
            if step.verb == "process.run":
                yield name, step, step.with_
            if step.undo is not None and step.undo.action == "process.run":
                yield name, step, step.undo.with_


def test_there_are_programs_and_each_is_called_as_the_provider_wants_it() -> None:
    found = list(_programs())
    assert len(found) > 10
    for _, step, given in found:
        assert set(given) <= set(KEYS)
        assert isinstance(given["command"], list)
        assert given["command"][0] in ("kubectl", "psql", "certbot"), step.id
        assert step.timeout is not None


def test_the_statements_are_ones_that_postgresql_knows(postgresql: str) -> None:
    psycopg = importlib.import_module("psycopg")
    statements = [given["command"][-1] for _, _, given in _programs() if given["command"][0] == "psql"]
    assert len(statements) == 4
    with psycopg.connect(postgresql.replace("postgresql+psycopg://", "postgresql://")) as conn:
        for statement in statements:
            rows = conn.execute(statement).fetchall()
            if "json_build_object" in statement:
                assert rows == [({"replicas": 0, "unhealthy": 0},)]


@pytest.mark.parametrize(
    ("playbook", "step", "question"),
    [
        ("api-errors", "rollback", "decide"),
        ("api-errors", "scale", "saturated"),
        ("jobs-backlog", "scale", "size"),
        ("database-pressure", "kill", "idle"),
        ("infrastructure-health", "drain", "choose"),
    ],
)
def test_what_cannot_be_taken_back_waits_for_a_person(playbook: str, step: str, question: str) -> None:
    found = PLAYBOOKS[playbook]
    asked, done = found.step(question), found.step(step)
    assert asked is not None
    assert done is not None
    assert asked.kind == "manual"
    assert done.needs == (question,)
