"""``/settings/users`` and ``/settings/tokens``: for administrators, and every secret shown once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.signed_in import NOW, Site, said, site, text_of
from watchkeeper.access import links, tokens, users
from watchkeeper.access.models import Role, Scope

NASTY = '<script>alert(1)</script>\x1b[2J"\u202e'
USER = {"username": "grace", "name": "Grace", "role": "responder"}
TOKEN = {"name": "grafana", "scope": ["metrics:read", "read"], "days": "30"}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("/settings/users", USER),
    ("/settings/users/1/link", {}),
    ("/settings/users/1/role", {"role": "admin"}),
    ("/settings/users/1/disable", {}),
    ("/settings/users/1/enable", {}),
    ("/settings/tokens", TOKEN),
    ("/settings/tokens/1/revoke", {}),
]


@pytest.fixture
def here(tmp_path: Path, place: Path | str) -> Iterator[Site]:
    with site(tmp_path, place=place) as it:
        yield it


def user(here: Site, name: str) -> users.User:
    with here.store.read() as conn:
        found = users.by_name(conn, name)
    assert found is not None
    return found


def all_tokens(here: Site) -> list[tokens.ApiToken]:
    with here.store.read() as conn:
        return tokens.listing(conn)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.RESPONDER])
def test_only_administrators_come_here(here: Site, role: Role) -> None:
    here.token(Scope.READ)
    before = len(here.entries())
    for path in ("/settings/users", "/settings/tokens"):
        assert here.get(path, role).status_code == 403
    for path, form in CHANGES:
        assert here.post(path, form, role).status_code == 403, path
    tried = here.entries()[before:]
    assert [entry.kind for entry in tried] == ["access.refused"] * len(CHANGES)
    assert len({entry.actor for entry in tried}) == 1


def test_a_form_of_another_site_is_refused(here: Site) -> None:
    here.token(Scope.READ)
    before = len(here.entries())
    for path, form in CHANGES:
        assert here.post(path, form, Role.ADMIN, sec_fetch_site="cross-site").status_code == 403, path
    assert len(here.entries()) == before


def test_a_user_is_added_with_a_link_that_is_shown_once_and_works(here: Site) -> None:
    answer = here.post("/settings/users", {**USER, "username": " Grace "}, Role.ADMIN)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in answer.headers
    found = re.search(r"http://watch\.test/sign-in/link/([\w-]{43})", answer.text)
    assert found is not None
    with here.store.read() as conn:
        link = links.peek(conn, NOW, found[1])
    assert link is not None
    assert (link.username, link.role) == ("grace", Role.RESPONDER)
    assert found[1] not in here.get("/settings/users", Role.ADMIN).text
    assert all(found[1] not in str(entry) for entry in here.entries())
    assert user(here, "grace").created_by == "person:root"


def test_a_new_link_replaces_the_one_before(here: Site) -> None:
    pattern = r"/sign-in/link/([\w-]{43})"
    first = re.search(pattern, here.post("/settings/users", USER, Role.ADMIN).text)
    number = user(here, "grace").id
    second = re.search(pattern, here.post(f"/settings/users/{number}/link", {}, Role.ADMIN).text)
    assert first is not None
    assert second is not None
    with here.store.read() as conn:
        assert links.peek(conn, NOW, first[1]) is None
        assert links.peek(conn, NOW, second[1]) is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"username": "ada"}, "there is a user ada already"),
        ({"username": "has space"}, "cannot be a username"),
        ({"username": ""}, "cannot be a username"),
        ({"username": "x" * 65}, "cannot be a username"),
        ({"role": "owner"}, "there is no role 'owner'"),
    ],
)
def test_a_user_that_cannot_be_comes_back_with_a_sentence(
    here: Site, change: dict[str, str], says: str
) -> None:
    answer = here.post("/settings/users", {**USER, **change}, Role.ADMIN)
    assert answer.status_code == 400
    assert says.lower() in text_of(answer).lower()
    assert 'value="Grace"' in answer.text
    assert "/sign-in/link/" not in answer.text


def test_a_role_changes_and_an_account_is_disabled_and_enabled(here: Site) -> None:
    number = here.people[Role.VIEWER]
    assert "viewer is responder now" in said(
        here.post(f"/settings/users/{number}/role", {"role": "responder"}, Role.ADMIN)
    )
    assert user(here, "viewer").role is Role.RESPONDER
    assert "may not sign in" in said(here.post(f"/settings/users/{number}/disable", {}, Role.ADMIN))
    assert here.get("/settings").status_code == 303
    refused = here.post(f"/settings/users/{number}/link", {}, Role.ADMIN)
    assert (refused.status_code, "enable the account first" in text_of(refused)) == (400, True)
    assert "may sign in again" in said(here.post(f"/settings/users/{number}/enable", {}, Role.ADMIN))
    assert [entry.actor for entry in here.entries("access.user_*")][-2:] == ["person:root"] * 2


def test_the_last_administrator_stays_one(here: Site) -> None:
    number = here.people[Role.ADMIN]
    for path, form in (("role", {"role": "viewer"}), ("disable", {})):
        answer = here.post(f"/settings/users/{number}/{path}", form, Role.ADMIN)
        assert (answer.status_code, "last admin" in text_of(answer)) == (409, True)
    assert user(here, "root").enabled
    assert user(here, "root").role is Role.ADMIN


def test_what_is_not_there_is_said(here: Site) -> None:
    for path in ("users/99/role", "users/99/disable", "users/99/enable", "tokens/99/revoke"):
        assert here.post(f"/settings/{path}", {"role": "viewer"}, Role.ADMIN).status_code == 409, path
    assert here.post("/settings/users/99/link", {}, Role.ADMIN).status_code == 400
    assert here.post(f"/settings/users/{2**70}/disable", {}, Role.ADMIN).status_code == 400


def test_a_token_is_made_shown_once_works_and_is_revoked(here: Site) -> None:
    answer = here.post("/settings/tokens", TOKEN, Role.ADMIN)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in answer.headers
    found = re.search(r"<code>(wk_[\w-]{43})</code>", answer.text)
    assert found is not None
    bearer = {"authorization": f"Bearer {found[1]}"}
    assert here.get("/silences", None, **bearer).status_code == 200
    listing = here.get("/settings/tokens", Role.ADMIN)
    assert found[1] not in listing.text
    assert "metrics:read, read" in text_of(listing)
    (one,) = all_tokens(here)
    assert (one.created_by, one.last_used_at) == ("person:root", NOW)
    assert "opens nothing" in said(here.post(f"/settings/tokens/{one.id}/revoke", {}, Role.ADMIN))
    assert here.get("/silences", None, accept="*/*", **bearer).status_code == 401
    assert here.post(f"/settings/tokens/{one.id}/revoke", {}, Role.ADMIN).status_code == 409
    assert all(found[1] not in str(entry) for entry in here.entries())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "has space"}, "cannot name a token"),
        ({"name": ""}, "cannot name a token"),
        ({"scope": []}, "at least one scope"),
        ({"scope": ["root"]}, "no scope 'root'"),
        ({"days": "0"}, "1 to 366 days"),
        ({"days": "367"}, "1 to 366 days"),
        ({"days": "-1"}, "1 to 366 days"),
        ({"days": "many"}, "1 to 366 days"),
    ],
)
def test_a_token_that_cannot_be_comes_back_with_a_sentence(
    here: Site, change: dict[str, object], says: str
) -> None:
    answer = here.post("/settings/tokens", {**TOKEN, **change}, Role.ADMIN)
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert all_tokens(here) == []


def test_a_token_gives_no_scope_that_it_lacks(here: Site) -> None:
    token = here.token(Scope.ADMIN, name="robot")
    bearer = {"authorization": f"Bearer {token}"}
    assert here.post("/settings/tokens", TOKEN, None, **bearer).status_code == 400
    made = here.post("/settings/tokens", {**TOKEN, "scope": ["admin"]}, None, **bearer)
    assert made.status_code == 200
    assert all_tokens(here)[0].created_by == "token:robot"


def test_every_field_is_shown_escaped_and_visible(here: Site) -> None:
    user_back = here.post("/settings/users", dict.fromkeys(USER, NASTY), Role.ADMIN)
    token_back = here.post(
        "/settings/tokens", {"name": NASTY, "scope": [NASTY], "days": NASTY[:10]}, Role.ADMIN
    )
    assert here.post("/settings/users", {**USER, "name": NASTY}, Role.ADMIN).status_code == 200
    for answer in (user_back, token_back, here.get("/settings/users", Role.ADMIN)):
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        assert "&lt;script&gt;" in answer.text
    assert (user_back.status_code, token_back.status_code) == (400, 400)


def test_what_is_far_too_long_is_refused(here: Site) -> None:
    assert here.post("/settings/users", {**USER, "name": "x" * 3000}, Role.ADMIN).status_code == 400
    assert here.post("/settings/tokens", {**TOKEN, "name": "x" * 3000}, Role.ADMIN).status_code == 400


def test_an_empty_list_says_what_would_fill_it(here: Site) -> None:
    assert "watchkeeper tokens create" in text_of(here.get("/settings/tokens", Role.ADMIN))


def test_a_token_with_the_scope_admin_alone_gives_nobody_more(here: Site) -> None:
    """Or else it could make itself an administrator by a form, where the API refuses it."""
    bearer = {"authorization": f"Bearer {here.token(Scope.ADMIN, name='accounts')}"}
    root = here.people[Role.ADMIN]
    viewer = here.people[Role.VIEWER]
    with here.store.write() as conn:
        users.create(conn, NOW, username="gone", name="", role=Role.ADMIN, by="person:root")
        gone = users.by_name(conn, "gone")
        assert gone is not None
        users.disable(conn, NOW, gone.id, by="person:root")
    before = len(here.entries())
    for path, form in (
        ("/settings/users", {"username": "mallory", "role": "admin"}),
        (f"/settings/users/{root}/link", {}),
        (f"/settings/users/{viewer}/role", {"role": "admin"}),
        (f"/settings/users/{gone.id}/enable", {}),
    ):
        answer = here.post(path, form, None, **bearer)
        assert answer.status_code == 403, path
        assert "what it lacks: changes:write, metrics:read, read, respond" in text_of(answer)
    assert len(here.entries()) == before
