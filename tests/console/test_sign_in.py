"""Signing in with a password or a link, once, and out again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest
from starlette.types import ASGIApp

from tests.console.asgi import Answer, Answering, Grounds, call
from watchkeeper.access import links, passwords, signing_in, users
from watchkeeper.access.models import Role
from watchkeeper.console.gate import NAME
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    made = Grounds(tmp_path, ManualClock(NOW))
    with made.store.write() as conn:
        user = users.by_name(conn, "responder")
        assert user is not None
        hashed = passwords.hash_password(PASSWORD)
        users.set_password_hash(conn, NOW, user.id, hashed, by="person:responder")
    yield made
    made.store.close()


def post(
    on: Grounds,
    path: str,
    headers: dict[str, str] | None = None,
    application: ASGIApp | None = None,
    **fields: str,
) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded", **(OURS if headers is None else headers)}
    body = urlencode(fields).encode()
    return call(
        Answering(), path, method="POST", body=body, on=on, as_=None, headers=form, application=application
    )


def cookie_of(answer: Answer) -> str:
    found = SimpleCookie(answer.headers["set-cookie"])[NAME]
    assert found["httponly"]
    assert found["samesite"] == "lax"
    return found.value


def entries(on: Grounds, kind: str) -> list[journal.Entry]:
    with on.store.read() as conn:
        return journal.entries(conn, journal.Filter(kind=kind))


def test_a_password_opens_a_session_and_leads_on(on: Grounds) -> None:
    answer = post(on, "/sign-in", username=" Responder ", password=PASSWORD, next="/alerts?state=firing")
    assert (answer.status, answer.headers["location"]) == (303, "/alerts?state=firing")
    headers = {"Cookie": f"{NAME}={cookie_of(answer)}"}
    assert call(Answering(overview=b"{}"), "/api/overview", on=on, as_=None, headers=headers).status == 200


def test_a_wrong_password_is_said_without_saying_what_was_wrong(on: Grounds) -> None:
    known = post(on, "/sign-in", username="responder", password="wrong wrong wrong")
    unknown = post(on, "/sign-in", username="nobody", password="wrong wrong wrong")
    assert known.status == unknown.status == 401
    assert known.body.replace(b"responder", b"nobody") == unknown.body
    assert b"The name or the password is wrong." in known.body
    assert b"wrong wrong wrong" not in known.body


def test_a_guesser_is_made_to_wait_and_the_journal_stays_short(on: Grounds) -> None:
    application = on.app(Answering())
    statuses = [
        post(on, "/sign-in", None, application, username="responder", password=f"guess {number}").status
        for number in range(1000)
    ]
    assert statuses[0] == 401
    assert statuses.count(401) < 30
    assert statuses[-1] == 429
    assert len(entries(on, "access.*")) < 40
    late = post(on, "/sign-in", username="responder", password=PASSWORD)
    assert late.status == 429
    assert b"Too many attempts; try again in" in late.body
    assert isinstance(on.clock, ManualClock)
    on.clock.advance(16 * 60)
    assert post(on, "/sign-in", username="responder", password=PASSWORD).status == 303


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {}])
def test_another_site_cannot_sign_anybody_in(on: Grounds, headers: dict[str, str]) -> None:
    answer = post(on, "/sign-in", headers, username="responder", password=PASSWORD)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_what_was_typed_is_shown_as_text(on: Grounds) -> None:
    answer = post(on, "/sign-in", username='"><script>alert(1)</script>\x1b', password="x")
    assert b"<script>alert" not in answer.body
    assert b"\x1b" not in answer.body


def test_what_is_far_too_long_is_refused(on: Grounds) -> None:
    assert post(on, "/sign-in", username="a" * 5000, password=PASSWORD).status == 400


def test_a_link_is_used_up_by_its_button_and_not_by_being_opened(on: Grounds) -> None:
    with on.store.write() as conn:
        user = users.by_name(conn, "viewer")
        assert user is not None
        token = links.create(conn, NOW, user=user.id, role=Role.VIEWER, by="person:admin")
    where = f"/sign-in/link/{token}"
    for _ in range(3):
        shown = call(Answering(), where, on=on, as_=None)
        assert shown.status == 200
        assert b"Sign in as Viewer" in shown.body
        assert "set-cookie" not in shown.headers
    answer = post(on, where)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    headers = {"Cookie": f"{NAME}={cookie_of(answer)}"}
    assert call(Answering(overview=b"{}"), "/api/overview", on=on, as_=None, headers=headers).status == 200
    assert post(on, where).status == 410
    assert call(Answering(), where, on=on, as_=None).status == 410


def test_the_first_link_makes_the_first_account(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(NOW), accounts=False)
    token = links.first_admin(on.store, on.clock)
    where = f"/sign-in/link/{token}"
    assert b"The first account" in call(Answering(), where, on=on, as_=None).body
    weak = post(on, where, username="ada", name="Ada <b>", password="short")
    assert weak.status == 400
    assert b"at least 12" in weak.body
    assert b"Ada &lt;b&gt;" in weak.body
    bad = post(on, where, username="Not A Name!", name="Ada", password=PASSWORD)
    assert bad.status == 400
    answer = post(on, where, username="ada", name="Ada", password=PASSWORD)
    assert answer.status == 303
    with on.store.read() as conn:
        ada = users.by_name(conn, "ada")
    assert ada is not None
    assert ada.role is Role.ADMIN
    assert post(on, where, username="eve", name="Eve", password=PASSWORD).status == 410
    assert post(on, "/sign-in", username="ada", password=PASSWORD).status == 303
    on.store.close()


def test_signing_out_ends_the_session_for_good(on: Grounds) -> None:
    headers = {**OURS, "Cookie": f"{NAME}={on.cookies[Role.VIEWER]}"}
    elsewhere = call(
        Answering(), "/sign-out", method="POST", on=on, as_=None,
        headers={**headers, "Sec-Fetch-Site": "cross-site"},
    )  # fmt: skip
    assert elsewhere.status == 303
    assert call(Answering(overview=b"{}"), "/api/overview", on=on, as_=Role.VIEWER).status == 200
    answer = call(Answering(), "/sign-out", method="POST", on=on, as_=None, headers=headers)
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    assert call(Answering(overview=b"{}"), "/api/overview", on=on, as_=Role.VIEWER).status == 401
    assert [entry.actor for entry in entries(on, "access.signed_out")] == ["person:viewer"]


def test_no_token_and_no_password_is_in_the_store_or_the_journal(on: Grounds) -> None:
    token = cookie_of(post(on, "/sign-in", username="responder", password=PASSWORD))
    on.store.close()
    for path in on.settings.data.iterdir():
        if path.is_file():
            content = path.read_bytes()
            assert token.encode() not in content
            assert PASSWORD.encode() not in content


def test_a_flood_of_sign_ins_does_not_keep_the_pages_from_those_who_are_in(
    on: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def slow(*_: object) -> bool:
        return held.wait(20) and False

    monkeypatch.setattr(signing_in.sign_in, "__kwdefaults__", {"verify": slow})
    application = on.app(Answering())
    base = "http://127.0.0.1:8321"
    ours = {**OURS, "Cookie": f"{NAME}={on.cookies[Role.VIEWER]}"}

    async def look() -> tuple[int, list[int]]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            form = {"username": "x", "password": "wrong"}
            many = [asyncio.create_task(client.post("/sign-in", data=form, headers=OURS)) for _ in range(100)]
            await asyncio.sleep(0.5)
            try:
                async with asyncio.timeout(3):
                    page = await client.get("/settings", headers=ours)
            finally:
                held.set()
            return page.status_code, [answer.status_code for answer in await asyncio.gather(*many)]

    page, answers = asyncio.run(look())
    assert page == 200
    assert set(answers) == {401, 429}


@pytest.mark.parametrize("path", ["/alerts/日本", "/alerts/a?b", "/alerts/a b%"])
def test_whoever_must_sign_in_comes_back_to_an_address_of_any_letters(on: Grounds, path: str) -> None:
    away = call(Answering(), quote(path), on=on, as_=None, headers={"Accept": "text/html"})
    wanted = parse_qs(urlsplit(away.headers["location"]).query)["next"][0]
    answer = post(on, "/sign-in", username="responder", password=PASSWORD, next=wanted)
    assert (answer.status, answer.headers["location"]) == (303, quote(path))


def test_an_address_typed_in_any_letters_leads_there(on: Grounds) -> None:
    answer = post(on, "/sign-in", username="responder", password=PASSWORD, next="/alerts/日本?q=ü%20")
    assert (answer.status, answer.headers["location"]) == (303, f"/alerts/{quote('日本')}?q=%C3%BC%20")


def test_no_request_from_the_page_of_a_link_tells_the_link(on: Grounds) -> None:
    with on.store.write() as conn:
        link = links.create(conn, NOW, user=1, role=Role.VIEWER, by="person:a")
    for answer in (
        call(Answering(), f"/sign-in/link/{link}", on=on, as_=None),
        post(on, f"/sign-in/link/{link}"),
        post(on, f"/sign-in/link/{link}"),
    ):
        assert answer.headers["referrer-policy"] == "strict-origin"
    assert call(Answering(), "/sign-in", on=on, as_=None).headers["referrer-policy"] == "same-origin"
