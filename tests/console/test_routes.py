"""Every route is open on purpose or declares the scope it needs, and who may do what is written twice."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from tests.console.asgi import Answering, grounds
from watchkeeper.access.models import SCOPES_OF, Role, Scope
from watchkeeper.console.console import Console
from watchkeeper.console.openapi import document, guarded
from watchkeeper.console.server import application

OPEN = {
    "GET /healthz": "a process manager asks it",
    "GET /readyz": "a load balancer asks it; it names roles and receivers, no secrets",
    "GET /metrics": "a Prometheus scrapes it; figures, no names",
    "GET /static/{digest}/{name}": "the sign-in page needs its style",
    "GET /sign-in": "how one gets in",
    "POST /sign-in": "how one gets in",
    "GET /sign-in/link/{token}": "how one gets in",
    "POST /sign-in/link/{token}": "how one gets in",
    "POST /sign-out": "it ends whatever session is shown to it",
    "POST /api/webhooks/pagerduty/{receiver}": "its signature is checked by the role that has the secret",
}
READ, RESPOND, ADMIN, KNOWN = Scope.READ, Scope.RESPOND, Scope.ADMIN, None
OPERATIONS = {
    "getIdentity": KNOWN,
    "listAlerts": READ,
    "getAlert": READ,
    "getAlertHistory": READ,
    "acknowledgeAlerts": RESPOND,
    "acknowledgeAlert": RESPOND,
    "listIncidents": READ,
    "getIncident": READ,
    "getIncidentTimeline": READ,
    "getIncidentDocument": READ,
    "listIncidentRuns": READ,
    "startIncidentRun": RESPOND,
    "answerIncidentRun": RESPOND,
    "abortIncidentRun": RESPOND,
    "openIncident": RESPOND,
    "changeIncident": RESPOND,
    "acknowledgeIncident": RESPOND,
    "previewUpdate": RESPOND,
    "postUpdate": RESPOND,
    "mitigateIncident": RESPOND,
    "resolveIncident": RESPOND,
    "closeIncident": RESPOND,
    "reopenIncident": RESPOND,
    "mergeIncident": RESPOND,
    "splitIncident": RESPOND,
    "pickKeyEvent": RESPOND,
    "writeSection": RESPOND,
    "addFollowUp": RESPOND,
    "changeFollowUp": RESPOND,
    "rateAlert": RESPOND,
    "waiveDeadline": RESPOND,
    "listChanges": READ,
    "recordChange": Scope.CHANGES,
    "listSilences": READ,
    "getSilence": READ,
    "previewSilence": RESPOND,
    "createSilence": RESPOND,
    "endSilence": RESPOND,
    "getOnCall": READ,
    "getSchedule": READ,
    "getCalendar": READ,
    "listOverrides": READ,
    "createOverride": RESPOND,
    "cancelOverride": RESPOND,
    "searchJournal": READ,
    "tailJournal": READ,
    "listJournalKinds": READ,
    "verifyJournal": READ,
    "getJournalEntry": READ,
    "listClauses": READ,
    "getClause": READ,
    "listTargets": READ,
    "listRules": READ,
    "listReceivers": READ,
    "listReceipts": READ,
    "testReceiver": RESPOND,
    "getRunbook": READ,
    "getRunbookDocument": READ,
    "changeOwnPassword": READ,
    "listOwnSessions": READ,
    "endOwnSession": READ,
    "listUsers": ADMIN,
    "createUser": ADMIN,
    "changeUser": ADMIN,
    "createSignInLink": ADMIN,
    "listSessions": ADMIN,
    "endSessions": ADMIN,
    "listTokens": ADMIN,
    "createToken": ADMIN,
    "revokeToken": ADMIN,
}
"""Who may do what, written by hand: the scope that each operation needs."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    on = grounds()
    return application(Console(on.settings, on.store, Answering(), on.clock), CollectorRegistry())


def test_every_route_is_open_on_purpose_or_says_what_it_needs(app: FastAPI) -> None:
    routes = list(guarded(app))
    assert len(routes) > 60
    free = {f"{one.method} {one.path}" for one in routes if not one.known}
    assert sorted(free - OPEN.keys()) == []
    assert sorted(OPEN.keys() - free) == []


def test_nothing_is_changed_by_a_get(app: FastAPI) -> None:
    changing = [one for one in guarded(app) if one.scope in (Scope.RESPOND, Scope.ADMIN)]
    assert any(one.method == "POST" for one in changing)
    looking = {"/api/users", "/api/users/{username}/sessions", "/api/tokens"}
    gets = {one.path for one in changing if one.method == "GET" and one.path.startswith("/api/")}
    assert gets == looking


def test_the_document_says_of_each_operation_who_may_do_it(app: FastAPI) -> None:
    found = {}
    for methods in document(app)["paths"].values():
        for operation in methods.values():
            if operation["operationId"] in OPERATIONS:
                found[operation["operationId"]] = operation.get("x-scope")
                assert operation["security"]
    assert found == {name: scope.value if scope else None for name, scope in OPERATIONS.items()}


def test_every_operation_below_api_of_ours_is_in_the_table(app: FastAPI) -> None:
    ours = {
        operation["operationId"]
        for path, methods in document(app)["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/") and not path.startswith(("/api/v1/", "/api/webhooks/", "/api/overview"))
    }
    assert sorted(ours ^ OPERATIONS.keys()) == []


def test_what_roles_may_is_what_their_scopes_say() -> None:
    assert SCOPES_OF[Role.VIEWER].isdisjoint({Scope.RESPOND, Scope.ADMIN})
    assert Scope.ADMIN not in SCOPES_OF[Role.RESPONDER]


def test_the_document_holds_no_error_that_is_not_answered(app: FastAPI) -> None:
    text = str(document(app))
    assert "422" not in {
        status
        for methods in document(app)["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
        if operation["operationId"] in OPERATIONS
    }
    assert "HTTPValidationError" not in text


def test_every_operation_is_described(app: FastAPI) -> None:
    for path, methods in document(app)["paths"].items():
        for operation in methods.values():
            if operation["operationId"] in OPERATIONS:
                assert operation["description"], path
                refusals = {"400", "401", "403", "503"}
                assert refusals <= operation["responses"].keys(), path
                for status in refusals:
                    schema = operation["responses"][status]["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}
