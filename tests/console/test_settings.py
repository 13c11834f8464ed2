"""``/settings``: your password, your sessions, this browser."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.console.signed_in import NOW, Site, said, site, text_of
from watchkeeper.access import passwords, sessions, users
from watchkeeper.access.models import Role, Scope
from watchkeeper.access.throttle import FREE_FOR_NAME
from watchkeeper.console.gate import NAME

OLD, NEW = "the old words of ada", "some new words of ada"
NASTY = '<script>alert(1)</script>\x1b[2J"\u202e'


@pytest.fixture(scope="module")
def hashed() -> str:
    return passwords.hash_password(OLD)


@pytest.fixture
def here(tmp_path: Path, hashed: str) -> Iterator[Site]:
    with site(tmp_path) as it:
        with it.store.write() as conn:
            users.set_password_hash(
                conn,
                NOW,
                it.people[Role.RESPONDER],
                hashed,
                by="person:ada",
                keep=_session(it, Role.RESPONDER),
            )
        yield it


def _session(here: Site, role: Role) -> str:
    with here.store.read() as conn:
        found = sessions.identify(conn, here.clock.now(), here.sessions[role])
    assert found is not None
    assert found.session is not None
    return found.session


def another(here: Site, role: Role, agent: str = "Chrome", via: sessions.Via = "password") -> str:
    with here.store.write() as conn:
        return sessions.open_session(conn, here.clock.now(), here.people[role], via, agent)


def known(here: Site, password: str, role: Role = Role.RESPONDER) -> bool:
    with here.store.read() as conn:
        stored = users.password_hash_of(conn, here.people[role])
    return passwords.matches(stored, password)


def test_the_page_says_who_you_are_and_which_contact(here: Site) -> None:
    text = text_of(here.get("/settings", Role.RESPONDER))
    assert "Ada <b> ( ada" in text
    assert "Europe/Berlin" in text
    assert "Firefox this one" in text
    viewer = here.get("/settings")
    assert "no contact with the id viewer" in text_of(viewer)
    assert "/settings/users" not in viewer.text
    assert "/settings/tokens" in here.get("/settings", Role.ADMIN).text
    assert here.get("/settings", None).status_code == 303
    assert "data-notify hidden" in viewer.text


def test_a_password_changes_for_who_knows_the_one_before(here: Site) -> None:
    other = another(here, Role.RESPONDER)
    form = {"current": OLD, "new": NEW, "again": NEW}
    answer = here.post("/settings/password", form)
    assert answer.status_code == 303
    assert "other sessions have ended" in said(answer)
    assert known(here, NEW)
    assert here.entries("access.password_set")[-1].actor == "person:ada"
    assert here.get("/settings", Role.RESPONDER).status_code == 200
    with here.store.read() as conn:
        assert sessions.identify(conn, here.clock.now(), other) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"current": "a guess"}, "The current password is wrong"),
        ({"current": ""}, "The current password is wrong"),
        ({"again": "another"}, "not typed the same twice"),
        ({"new": "short", "again": "short"}, "at least 12 characters"),
        ({"new": "x" * 1100, "again": "x" * 1100}, "at most 1024 bytes"),
        ({"current": NASTY}, "The current password is wrong"),
    ],
)
def test_a_password_that_cannot_be_is_refused_and_none_is_shown(
    here: Site, change: dict[str, str], says: str
) -> None:
    form = {"current": OLD, "new": NEW, "again": NEW, **change}
    answer = here.post("/settings/password", form)
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert known(here, OLD)
    for typed in (OLD, NEW, "a guess", "<script>alert"):
        assert typed not in answer.text


def test_guesses_are_counted_as_at_the_door(here: Site) -> None:
    form = {"current": "a guess", "new": NEW, "again": NEW}
    found = [here.post("/settings/password", form).status_code for _ in range(12)]
    assert found[0] == 400
    assert found[-1] == 429
    assert here.post("/settings/password", {**form, "current": OLD}).status_code == 429
    assert here.entries("access.sign_in_failed")


def test_who_came_in_by_a_link_a_moment_ago_needs_no_password_of_before(here: Site) -> None:
    here.sessions[Role.RESPONDER] = another(here, Role.RESPONDER, via="link")
    assert 'name="current"' not in here.get("/settings", Role.RESPONDER).text
    here.clock.advance(31 * 60)
    assert here.post("/settings/password", {"new": NEW, "again": NEW}).status_code == 400
    here.sessions[Role.RESPONDER] = another(here, Role.RESPONDER, via="link")
    assert here.post("/settings/password", {"new": NEW, "again": NEW}).status_code == 303
    assert known(here, NEW)


def test_who_has_no_password_sets_the_first(here: Site) -> None:
    assert here.post("/settings/password", {"new": NEW, "again": NEW}, Role.VIEWER).status_code == 303
    assert known(here, NEW, Role.VIEWER)


def test_a_session_of_yours_is_ended_and_nobody_elses(here: Site) -> None:
    mine, theirs = another(here, Role.RESPONDER, NASTY), another(here, Role.ADMIN)
    page = here.get("/settings", Role.RESPONDER)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;" in page.text
    with here.store.read() as conn:
        ids = {token: sessions.identify(conn, NOW, token) for token in (mine, theirs)}
    assert ids[mine].session in page.text  # type: ignore[union-attr,operator]
    assert ids[theirs].session not in page.text  # type: ignore[union-attr,operator]
    for token in (mine, theirs):
        session = ids[token].session  # type: ignore[union-attr]
        assert here.post("/settings/sessions/end", {"session": session}).status_code == 303
    with here.store.read() as conn:
        assert sessions.identify(conn, NOW, mine) is None
        assert sessions.identify(conn, NOW, theirs) is not None


@pytest.mark.parametrize(
    ("asked", "kept"), [("dark", "dark"), ("light", "light"), (NASTY, "auto"), ("", "auto")]
)
def test_a_theme_is_kept_in_this_browser(here: Site, asked: str, kept: str) -> None:
    answer = here.post("/settings/theme", {"theme": asked}, Role.VIEWER)
    assert f"theme={kept};" in answer.headers["set-cookie"]


def test_a_form_of_another_site_and_a_token_change_nothing(here: Site) -> None:
    form = {"current": OLD, "new": NEW, "again": NEW}
    assert here.post("/settings/password", form, sec_fetch_site="cross-site").status_code == 403
    token = here.token(*Scope)
    assert here.post("/settings/password", form, None, authorization=f"Bearer {token}").status_code == 403
    assert here.get("/settings", None, authorization=f"Bearer {token}").status_code == 200
    assert here.post("/settings/theme", {"theme": "dark"}, sec_fetch_site="cross-site").status_code == 403
    assert known(here, OLD)


def test_guesses_made_at_once_gain_nothing(here: Site) -> None:
    """Each is looked at when its turn comes: what failed before it counts."""
    form = {"current": "a wrong guess", "new": NEW, "again": NEW}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post_apart(here, form), range(20)))
    assert answers.count(400) <= FREE_FOR_NAME + 1  # one more may be in its turn
    assert set(answers) == {400, 429}
    assert known(here, OLD)


def post_apart(here: Site, form: dict[str, str]) -> int:
    headers = {"cookie": f"{NAME}={here.sessions[Role.RESPONDER]}", "sec-fetch-site": "same-origin"}
    answer: httpx.Response = here.client.post("/settings/password", data=form, headers=headers)
    return answer.status_code
