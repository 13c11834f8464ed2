"""``watchkeeper users`` and ``watchkeeper tokens``, as an administrator on the machine calls them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from watchkeeper.access import links, sessions, tokens
from watchkeeper.access.models import Role, Scope
from watchkeeper.cli.main import app
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing, open_store


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], color=True)


def token_in(result: Result) -> str:
    assert result.exit_code == 0, result.output
    base, _, token = result.stdout.strip().rpartition("/sign-in/link/")
    assert base == "https://watch.example.com"
    return token


@pytest.fixture(autouse=True)
def url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_URL", "https://watch.example.com/")


def test_somebody_is_added_and_comes_in_by_the_link(data: Path) -> None:
    added = run(data, "users", "add", "ada", "--name", "Ada\x1b[2J L", "--role", "admin", "--as", "Grace")
    token = token_in(added)
    assert token not in added.stderr
    with open_existing(data, write=True) as store, store.write() as conn:
        link = links.use(conn, SystemClock().now(), token)
        entries = journal.entries(conn)
    assert link is not None
    assert (link.username, link.role) == ("ada", Role.ADMIN)
    made = [entry for entry in entries if entry.kind in ("access.user_created", "access.link_made")]
    assert {entry.actor for entry in made} == {"person:Grace"}
    listed = run(data, "users", "list").stdout
    assert "\x1b" not in listed
    assert "ada" in listed
    assert "no password yet" in listed


def test_a_link_for_who_forgot_the_password_replaces_the_unused_one(data: Path) -> None:
    first = token_in(run(data, "users", "add", "ada"))
    second = token_in(run(data, "users", "link", "ada"))
    with open_existing(data) as store, store.read() as conn:
        assert links.peek(conn, SystemClock().now(), first) is None
        assert links.peek(conn, SystemClock().now(), second) is not None


def test_roles_and_sessions_end_as_told(data: Path) -> None:
    for name in ("ada", "bob"):
        assert run(data, "users", "add", name, "--role", "admin").exit_code == 0
    now = SystemClock().now()
    with open_existing(data, write=True) as store, store.write() as conn:
        session = sessions.open_session(conn, now, 2, "link")
    assert "responder" in run(data, "users", "role", "ada", "responder").stdout
    refused = run(data, "users", "disable", "bob")
    assert refused.exit_code == 1
    assert "last admin" in refused.stderr
    assert run(data, "users", "role", "ada", "admin").exit_code == 0
    assert "disabled" in run(data, "users", "disable", "bob").stdout
    with open_existing(data) as store, store.read() as conn:
        assert sessions.identify(conn, now + timedelta(seconds=1), session) is None
    assert "disabled" not in run(data, "users", "enable", "bob").stdout
    shown = json.loads(run(data, "users", "list", "--json").stdout)
    assert [(one["username"], one["role"], one["enabled"]) for one in shown] == [
        ("ada", "admin", True),
        ("bob", "admin", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["users", "add", "Not A Name"], 1, "cannot be a username"),
        (
            ["users", "add", "ada", "--role", "king"],
            2,
            "'king' is not a role; use viewer, responder or admin",
        ),
        (["users", "add", "ada", "--url", "nowhere"], 1, "write where people reach Watchkeeper"),
        (["users", "role", "zed", "viewer"], 1, "there is no user 'zed'"),
        (["users", "disable", "z\x1b[2J"], 1, "there is no user 'z [2J'"),
        (["users", "enable", "zed"], 1, "there is no user"),
        (["users", "link", "zed"], 1, "there is no user"),
        (["tokens", "create", "C I", "--scope", "read"], 1, "cannot name a token"),
        (["tokens", "create", "ci", "--scope", "all"], 2, "'all' is not a scope; use metrics:read, read"),
        (["tokens", "create", "ci", "--scope", "read", "--days", "367"], 1, "1 to 366 days"),
        (["tokens", "create", "ci", "--scope", "read", "--days", "99999999999"], 1, "1 to 366 days"),
        (["tokens", "create", "ci", "--scope", "read", "--days", "0"], 1, "1 to 366 days"),
        (["tokens", "create", "ci"], 2, "--scope"),
        (["tokens", "revoke", "ci"], 1, "there is no active token 'ci'"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(
    data: Path, arguments: list[str], code: int, said: str
) -> None:
    result = run(data, *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "\x1b" not in result.stderr
    with open_existing(data) as store, store.read() as conn:
        assert journal.head(conn).seq == 0


def test_a_token_is_made_shown_once_and_revoked(data: Path) -> None:
    arguments = ("--scope", "read", "--scope", "metrics:read", "--days", "30")
    made = run(data, "tokens", "create", "ci", *arguments)
    text = made.stdout.strip()
    with open_existing(data) as store, store.read() as conn:
        found = tokens.identify(conn, SystemClock().now(), text)
        assert found is not None
        assert found.scopes == {Scope.READ, Scope.METRICS}
        assert tokens.identify(conn, SystemClock().now() + timedelta(days=31), text) is None
    for listed in (run(data, "tokens", "list"), run(data, "tokens", "list", "--json")):
        assert "ci" in listed.stdout
        assert text not in listed.stdout
    assert run(data, "tokens", "revoke", "ci").exit_code == 0
    with open_existing(data) as store, store.read() as conn:
        assert tokens.identify(conn, SystemClock().now(), text) is None
    assert run(data, "tokens", "list", "--json").stdout.strip() == "[]"
    (over,) = json.loads(run(data, "tokens", "list", "--all", "--json").stdout)
    assert over["state"] == "revoked"


def test_where_there_is_nothing_it_says_how_to_begin(tmp_path: Path) -> None:
    missing = run(tmp_path, "users", "add", "ada")
    assert missing.exit_code == 1
    assert "watchkeeper serve" in missing.stderr
    open_store(tmp_path).close()
    assert "users add" in run(tmp_path, "users", "list").stdout
    assert "tokens create" in run(tmp_path, "tokens", "list").stdout


def test_no_command_takes_a_password() -> None:
    group = typer.main.get_command(app).commands["users"]  # type: ignore[attr-defined]
    options = {
        option for command in group.commands.values() for each in command.params for option in each.opts
    }
    assert "--role" in options
    assert not [option for option in options if "password" in option]
