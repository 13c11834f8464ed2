"""Whatever is sent, by whomever: no defect, only documented answers, and nobody does what they may not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import APIOperation
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.console.asgi import Answering, Grounds
from tests.console.incident_ground import furnish_incidents
from tests.console.platform import CLAUSE, FIRING, PENDING, furnish, rule, target, watching
from tests.console.test_routes import OPERATIONS
from watchkeeper.access import tokens
from watchkeeper.access.models import SCOPES_OF, Role, Scope
from watchkeeper.app import inforce
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

WHO: dict[str, frozenset[Scope]] = {
    "viewer": SCOPES_OF[Role.VIEWER],
    "responder": SCOPES_OF[Role.RESPONDER],
    "metrics": frozenset({Scope.METRICS}),
    "nobody": frozenset(),
    "admin": SCOPES_OF[Role.ADMIN],
}
"""The admin comes last: what is asked of a thing that is gone says less."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


_SILENCE = {"matchers": ["service=backend"], "duration": "1h", "reason": "a disk is being changed"}
SENSIBLE: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "acknowledgeAlert": ({"fingerprint": FIRING}, {"note": "looking"}),
    "acknowledgeAlerts": ({}, {"fingerprints": [FIRING, PENDING]}),
    "abortIncidentRun": ({"number": 1, "run": "run-2"}, {"reason": "it is the wrong one"}),
    "acknowledgeIncident": ({"number": 1}, {"note": "looking"}),
    "addFollowUp": ({"number": 1}, {"title": "limit migrations", "owner": "ada", "due": "2026-03-10"}),
    "answerIncidentRun": (
        {"number": 1, "run": "run-1"},
        {"step": "deploys", "verdict": "confirm", "note": "seen"},
    ),
    "cancelOverride": ({"number": 1}, None),
    "changeFollowUp": ({"number": 2, "follow_up": 1}, {"owner": "ben", "done": True}),
    "changeIncident": ({"number": 1}, {"severity": "SEV-2", "commander": "ada", "scope": "checkout"}),
    "changeUser": ({"username": "responder"}, {"role": "viewer"}),
    "closeIncident": ({"number": 2}, {}),
    "createOverride": ({}, {"contact": "", "end": "2026-03-02 20:00", "reason": "dentist"}),
    "createSignInLink": ({"username": "viewer"}, None),
    "createSilence": ({}, _SILENCE),
    "createToken": ({}, {"name": "ci", "scopes": ["read"], "days": 30}),
    "createUser": ({}, {"username": "grace", "name": "Grace", "role": "responder"}),
    "endSessions": ({"username": "viewer"}, None),
    "endSilence": ({"number": 1}, None),
    "getAlert": ({"fingerprint": FIRING}, None),
    "getAlertHistory": ({"fingerprint": FIRING}, None),
    "getClause": ({"clause": CLAUSE}, None),
    "getIncident": ({"number": 1}, None),
    "getIncidentDocument": ({"number": 1}, None),
    "getIncidentTimeline": ({"number": 1}, None),
    "getJournalEntry": ({"seq": 1}, None),
    "getSilence": ({"number": 1}, None),
    "listSessions": ({"username": "viewer"}, None),
    "listIncidentRuns": ({"number": 1}, None),
    "mergeIncident": ({"number": 4}, {"into": 5}),
    "mitigateIncident": ({"number": 1}, {"note": "rolled back"}),
    "openIncident": ({}, {"title": "checkout is slow", "severity": "SEV-3"}),
    "pickKeyEvent": ({"number": 1}, {"seq": 1}),
    "postUpdate": ({"number": 1}, {"status": "identified", "impact": "some checkouts fail"}),
    "previewSilence": ({}, _SILENCE),
    "previewUpdate": ({"number": 1}, {"status": "identified", "impact": "some checkouts fail"}),
    "rateAlert": ({"number": 1}, {"fingerprint": "i1", "episode": "e1", "useful": True}),
    "reopenIncident": ({"number": 3}, {"reason": "it fails again"}),
    "resolveIncident": ({"number": 7}, {}),
    "recordChange": (
        {},
        {"key": "deploy-7", "kind": "deploy", "title": "Faster uploads", "service": "backend"},
    ),
    "revokeToken": ({"number": 1}, None),
    "splitIncident": (
        {"number": 6},
        {"title": "another thing", "alerts": [{"fingerprint": "i6b", "episode": "e1"}]},
    ),
    "startIncidentRun": ({"number": 1}, {"playbook": "api-errors", "inputs": {"service": "api"}}),
    "testReceiver": ({"name": "pagerduty"}, None),
    "listReceipts": ({"name": "pagerduty"}, None),
    "writeSection": ({"number": 1, "name": "root cause"}, {"text": "a migration held locks"}),
}
"""What makes sense where something must be there: in the address, and in the body."""


class People:
    """A token for each kind of asker, made anew where an operation took it away."""

    def __init__(self, on: Grounds) -> None:
        self._on = on
        self._texts: dict[str, str] = {}

    def headers(self, who: str) -> dict[str, str]:
        if who == "nobody":
            return {}
        now = self._on.clock.now()
        with self._on.store.read() as conn:
            works = who in self._texts and tokens.identify(conn, now, self._texts[who]) is not None
        if not works:
            with self._on.store.write() as conn:
                self._texts[who] = tokens.create(
                    conn,
                    now,
                    name=f"{who}-{len(tokens.listing(conn))}",
                    scopes=WHO[who],
                    expires_at=now + timedelta(days=300),
                    by="component:test",
                )
        return {"Authorization": f"Bearer {self._texts[who]}"}


class _Stage:
    """One application with a real store, for all operations."""

    def __init__(self, folder: Path) -> None:
        self.on = Grounds(folder, ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC)))
        furnish(self.on)
        furnish_incidents(self.on)
        self.people = People(self.on)
        for who in WHO:
            self.people.headers(who)
        self.contact = inforce_contact(self.on)
        roles: Answering = watching(
            target(1),
            target(2, "down", "refused"),
            target(3, "unknown"),
            rules=[rule("A"), rule("B", "firing")],
        )
        self.app = self.on.app(roles)
        document = schemathesis.openapi.from_asgi(
            "/api/openapi.json",
            app=self.app,
            config=SchemathesisConfig(),
            headers=self.people.headers("admin"),
        )
        self.operations: dict[str, APIOperation[Any, Any, Any, Any]] = {
            found.definition.raw["operationId"]: found
            for found in (one.ok() for one in document.get_all_operations() if isinstance(one, Ok))
        }

    def journal(self) -> list[str]:
        """What happened, but for tokens that the tests themselves made, and what was refused."""
        with self.on.store.read() as conn:
            found = journal.entries(conn, limit=10_000)
        made = [entry for entry in found if entry.actor != "component:test"]
        return [entry.hash for entry in made if entry.kind != "access.refused"]


def inforce_contact(on: Grounds) -> str:
    """A contact of the runbook in force."""
    loaded = inforce.kept(on.settings)
    assert loaded is not None
    return loaded.runbook.contacts[0].id


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Stage]:
    made = _Stage(tmp_path_factory.mktemp("api"))
    yield made
    made.on.store.close()


def _probe(stage: _Stage, operation_id: str, examples: int, *, derandomize: bool) -> None:
    operation = stage.operations[operation_id]
    needed = OPERATIONS[operation_id]

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case: schemathesis.Case[Any]) -> None:
        for who, scopes in WHO.items():
            response = case.call(headers=stage.people.headers(who))
            case.validate_response(response, checks=CHECKS)
            if who == "nobody":
                assert response.status_code in (400, 401), f"{who}: {response.status_code}"
            elif operation_id == "changeOwnPassword":
                assert response.status_code in (400, 403), f"{who}: {response.content!r}"
            elif needed is None or needed in scopes:
                assert response.status_code not in (401, 403), f"{who}: {response.content!r}"
            else:
                assert response.status_code in (400, 403), f"{who}: {response.status_code}"

    ask()


PERSONAL = {"endOwnSession", "changeOwnPassword", "waiveDeadline"}
"""What only a person does; test_api_access.py and test_api_incidents.py do it as persons."""


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - PERSONAL))
def test_what_makes_sense_is_done_for_whom_it_may(stage: _Stage, operation: str) -> None:
    address, body = SENSIBLE.get(operation, ({}, None))
    if operation == "createOverride":
        body = {**(body or {}), "contact": stage.contact}
    sent: dict[str, Any] = {"body": body, "media_type": "application/json"} if body is not None else {}
    case = stage.operations[operation].Case(path_parameters=address, **sent)
    needed = OPERATIONS[operation]
    before = stage.journal()
    for who, scopes in WHO.items():
        if who != "nobody" and (needed is None or needed in scopes):
            continue
        response = case.call(headers=stage.people.headers(who))
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == (401 if who == "nobody" else 403)
    assert stage.journal() == before
    response = case.call(headers=stage.people.headers("admin"))
    case.validate_response(response, checks=CHECKS)
    assert response.status_code in (200, 201), response.content


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_nobody_gets_what_is_not_documented_or_not_theirs(stage: _Stage, operation: str) -> None:
    _probe(stage, operation, 6, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_nobody_gets_what_is_not_documented_or_not_theirs_long(stage: _Stage, operation: str) -> None:
    _probe(stage, operation, 300, derandomize=False)
