"""Who asks is found out from a cookie or a token; changes are taken from our own pages or from programs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.asgi import Answer, Answering, Grounds, call
from watchkeeper.access import sessions, tokens, users
from watchkeeper.access.models import Role, Scope
from watchkeeper.console.gate import NAME, REFUSALS_A_MINUTE, local_path
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    made = Grounds(tmp_path, ManualClock(NOW))
    yield made
    made.store.close()


def whole(on: Grounds, **how: object) -> Answer:
    return call(Answering(overview=b"{}"), "/api/overview", on=on, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", list(Role))
def test_a_session_and_a_token_let_in(on: Grounds, role: Role) -> None:
    assert whole(on, as_=role).status == 200
    assert whole(on, as_=role, token=True).status == 200


def test_nobody_is_refused_to_programs_and_led_to_the_sign_in_as_a_person(on: Grounds) -> None:
    answer = whole(on, as_=None)
    assert (answer.status, answer.json["errorType"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    page = call(Answering(), "/?verdict=met", on=on, as_=None, headers={"Accept": "text/html"})
    assert (page.status, page.headers["location"]) == (303, "/sign-in?next=%2F%3Fverdict%3Dmet")


@pytest.mark.parametrize("stolen", ["", "x", "wk_" + "A" * 43, "A" * 43, "A" * 100_000, "ä", "a;b"])
def test_what_is_no_session_or_token_of_ours_lets_nobody_in(on: Grounds, stolen: str) -> None:
    for headers in ({"Cookie": f"{NAME}={stolen}"}, {"Authorization": f"Bearer {stolen}"}):
        named = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        assert whole(on, as_=None, headers=named).status == 401


def test_a_session_that_expired_was_ended_or_whose_user_is_disabled_lets_nobody_in(on: Grounds) -> None:
    clock = on.clock
    assert isinstance(clock, ManualClock)
    with on.store.write() as conn:
        viewer = users.by_name(conn, "viewer")
        assert viewer is not None
        sessions.end_all(conn, viewer.id)
        responder = users.by_name(conn, "responder")
        assert responder is not None
        users.disable(conn, NOW, responder.id, by="component:test")
    assert whole(on, as_=Role.VIEWER).status == 401
    assert whole(on, as_=Role.RESPONDER).status == 401
    assert whole(on, as_=Role.ADMIN).status == 200
    clock.advance(sessions.LIFETIME.idle.total_seconds() + 1)
    assert whole(on, as_=Role.ADMIN).status == 401


def test_use_keeps_a_session_alive(on: Grounds) -> None:
    assert isinstance(on.clock, ManualClock)
    application = on.app(Answering(overview=b"{}"))
    for _ in range(3):
        on.clock.advance(sessions.LIFETIME.idle.total_seconds() * 0.6)
        assert whole(on, application=application).status == 200


def test_a_token_that_expired_or_was_revoked_lets_nobody_in(on: Grounds) -> None:
    assert isinstance(on.clock, ManualClock)
    with on.store.write() as conn:
        (one,) = (token for token in tokens.listing(conn) if token.name == "viewer")
        tokens.revoke(conn, NOW, one.id, by="component:test")
    assert whole(on, as_=Role.VIEWER, token=True).status == 401
    on.clock.advance(timedelta(days=1).total_seconds() + 1)
    assert whole(on, as_=Role.ADMIN, token=True).status == 401


def test_a_token_may_only_what_its_scopes_say(on: Grounds) -> None:
    with on.store.write() as conn:
        text = tokens.create(
            conn,
            NOW,
            name="grafana",
            scopes=[Scope.METRICS],
            expires_at=NOW + timedelta(days=9),
            by="person:x",
        )
    headers = {"Authorization": f"Bearer {text}"}
    assert (
        call(Answering(query=b"{}"), "/api/v1/query?query=up", on=on, as_=None, headers=headers).status == 200
    )
    refused = whole(on, as_=None, headers=headers)
    assert (refused.status, refused.json["errorType"]) == (403, "forbidden")
    assert "read" in refused.json["error"]


@pytest.mark.parametrize("token", [True, False])
def test_whoever_tries_what_they_may_not_is_in_the_journal_and_cannot_fill_it(
    on: Grounds, token: bool
) -> None:
    application = on.app(Answering())

    def end(number: int) -> int:
        path = f"/api/silences/{number}/end"
        how = {"method": "POST", "on": on, "as_": Role.VIEWER, "token": token, "application": application}
        return call(Answering(), path, **how).status  # type: ignore[arg-type]

    def refused() -> list[journal.Entry]:
        with on.store.read() as conn:
            return journal.entries(conn, journal.Filter(kind="access.refused"))

    assert end(7) == 403
    (entry,) = refused()
    assert entry.actor == ("token:viewer" if token else "person:viewer")
    assert (entry.facts["path"], entry.facts["scope"]) == ("/api/silences/7/end", "respond")
    assert {end(number) for number in range(100)} == {403}
    assert len(refused()) == REFUSALS_A_MINUTE
    assert isinstance(on.clock, ManualClock)
    on.clock.advance(61)
    end(8)
    assert len(refused()) == REFUSALS_A_MINUTE + 1


def test_whoever_only_looks_where_they_may_not_is_refused_without_an_entry(on: Grounds) -> None:
    assert call(Answering(), "/silences/new", on=on, as_=Role.VIEWER).status == 403
    with on.store.read() as conn:
        assert not journal.entries(conn, journal.Filter(kind="access.refused"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8321"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://watch.example.com", "Host": "watch.example.com"}, 200),
        ({"Origin": "http://evil.example.com", "Host": "watch.example.com"}, 403),
        ({"Origin": "null", "Host": "watch.example.com"}, 403),
        ({}, 403),
    ],
)
def test_a_change_with_a_cookie_is_taken_from_our_own_pages_only(
    on: Grounds, headers: dict[str, str], status: int
) -> None:
    cookie = {"Cookie": f"{NAME}={on.cookies[Role.ADMIN]}", **headers}
    form = {"Content-Type": "application/x-www-form-urlencoded", **cookie}
    answer = call(
        Answering(query=b"{}"),
        "/api/v1/query",
        method="POST",
        body=b"query=up",
        on=on,
        as_=None,
        headers=form,
    )
    assert answer.status == status


def test_over_tls_the_cookie_is_bound_to_the_host_and_to_tls(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(NOW), url="https://watch.example.com")
    plain = {"Cookie": f"{NAME}={on.cookies[Role.ADMIN]}"}
    bound = {"Cookie": f"__Host-{NAME}={on.cookies[Role.ADMIN]}"}
    assert whole(on, as_=None, headers=plain).status == 401
    assert whole(on, as_=None, headers=bound).status == 200
    on.store.close()


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        ("/alerts?state=firing", "/alerts?state=firing"),
        (None, "/"),
        ("", "/"),
        ("https://evil.example.com/", "/"),
        ("//evil.example.com/", "/"),
        ("/\\evil.example.com", "/"),
        ("/a\\b", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/" + "a" * 3000, "/"),
    ],
)
def test_whoever_signs_in_is_led_to_a_page_of_ours(wanted: str | None, leads: str) -> None:
    assert local_path(wanted) == leads


@given(st.text(max_size=40))
def test_no_text_leads_to_another_host(wanted: str) -> None:
    leads = local_path(wanted)
    assert leads.startswith("/")
    assert not leads.startswith(("//", "/\\"))
    assert leads.isprintable()


@pytest.mark.parametrize("token", [True, False])
def test_whoever_reads_does_not_wait_for_those_who_write(tmp_path: Path, token: bool) -> None:
    on = Grounds(tmp_path)
    free, held = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with on.store.write():
            held.set()
            free.wait(10)

    writer = threading.Thread(target=write_for_long)
    writer.start()
    held.wait(10)
    application = on.app(Answering())
    headers = (
        {"Authorization": f"Bearer {on.tokens[Role.VIEWER]}"}
        if token
        else {"Cookie": f"{NAME}={on.cookies[Role.VIEWER]}"}
    )

    async def ask() -> int:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as client:
            try:
                async with asyncio.timeout(5):
                    return (await client.get("/api/whoami", headers=headers)).status_code
            finally:
                free.set()

    assert asyncio.run(ask()) == 200
    writer.join()
    on.store.close()
