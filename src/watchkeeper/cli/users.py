"""``watchkeeper users``: who may sign in, and as what. Needs no server.

No command takes or shows a password: whoever is new, or forgot theirs, gets a one-time link.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, state

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from watchkeeper.access.models import Role
    from watchkeeper.access.users import User
    from watchkeeper.store.database import Store

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Users: who may sign in, and as what.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="Where people reach Watchkeeper. [env: WATCHKEEPER_URL; default: http://LISTEN]"
    ),
]
UsernameArgument = Annotated[str, typer.Argument(metavar="USERNAME", help="As `users list` shows it.")]
ROLES = "viewer, responder or admin"


@app.command("list")
def list_users(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of users.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Every account, with its role; also disabled ones."""
    import json

    from watchkeeper.access import users

    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = users.listing(conn)
    if as_json:
        typer.echo(json.dumps([_document(user) for user in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("no users yet; `watchkeeper serve` prints the first admin's link, `users add` makes one")
    for user in found:
        typer.echo(_line(user))


@app.command("add")
def add(
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="A contact's id, where there is one.")],
    name: Annotated[str, typer.Option("--name", help="The person's name. [default: USERNAME]")] = "",
    role: Annotated[str, typer.Option("--role", help=f"One of {ROLES}.")] = "viewer",
    url: UrlOption = None,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Make an account, and print the one-time link with which its owner comes in."""
    from watchkeeper.access import links, users

    chosen = _role(role)
    base = _base(url)
    by, made_at = actor(person), now()
    with store_of(data, store_url, write=True) as store, store.write() as conn:
        made = users.create(conn, made_at, username=username, name=name, role=chosen, by=by)
        token = links.create(conn, made_at, user=made, role=chosen, by=by)
    typer.echo(f"{username} may sign in as {chosen}", err=True)
    _show_link(base, token)


@app.command("role")
def change_role(
    username: UsernameArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {ROLES}.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Give an account another role, at once."""
    from watchkeeper.access import users

    chosen = _role(role)
    with store_of(data, store_url, write=True) as store, store.write() as conn:
        users.change_role(conn, now(), _found(conn, username).id, chosen, by=actor(person))
        changed = _found(conn, username)
    typer.echo(_line(changed))


@app.command("disable")
def disable(
    username: UsernameArgument,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Let somebody in no more: ends their sessions and links, at once."""
    from watchkeeper.access import users

    with store_of(data, store_url, write=True) as store, store.write() as conn:
        users.disable(conn, now(), _found(conn, username).id, by=actor(person))
        changed = _found(conn, username)
    typer.echo(_line(changed))


@app.command("enable")
def enable(
    username: UsernameArgument,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Let a disabled account in again."""
    from watchkeeper.access import users

    with store_of(data, store_url, write=True) as store, store.write() as conn:
        users.enable(conn, now(), _found(conn, username).id, by=actor(person))
        changed = _found(conn, username)
    typer.echo(_line(changed))


@app.command("link")
def link(
    username: UsernameArgument,
    url: UrlOption = None,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Print a one-time link for somebody who forgot their password; it replaces an unused one."""
    from watchkeeper.access import links

    base = _base(url)
    with store_of(data, store_url, write=True) as store, store.write() as conn:
        user = _found(conn, username)
        token = links.create(conn, now(), user=user.id, role=user.role, by=actor(person))
    _show_link(base, token)


@contextlib.contextmanager
def store_of(data: Path | None, store_url: str | None, *, write: bool) -> Iterator[Store]:
    """The store that is meant; what goes wrong in the block is a sentence and exit code 1."""
    from watchkeeper.access.models import AccessError
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    try:
        with open_existing(state(data, store_url), write=write) as store:
            yield store
    except (AccessError, SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def actor(person: str | None) -> str:
    """Who acts, as the journal names it: ``--as``, else who is logged in here."""
    import getpass

    return f"person:{person or getpass.getuser()}"


def now() -> datetime:
    """The machine's time."""
    from watchkeeper.store.clock import SystemClock

    return SystemClock().now()


def _role(text: str) -> Role:
    from watchkeeper.access.models import Role

    try:
        return Role(text)
    except ValueError:
        typer.echo(f"{text!r} is not a role; use {ROLES}", err=True)
        raise typer.Exit(2) from None


def _base(url: str | None) -> str:
    from watchkeeper.app.settings import SettingsError, read_settings

    try:
        return read_settings(url=url).url
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _found(conn: Connection, username: str) -> User:
    from watchkeeper.access import users
    from watchkeeper.access.models import AccessError, printable

    user = users.by_name(conn, username)
    if user is None:
        raise AccessError(
            f"there is no user {printable(username, 64)!r}; `watchkeeper users list` shows who there is"
        )
    return user


def _show_link(base: str, token: str) -> None:
    """The link on standard output alone, so that it can be sent on; what to know of it beside it."""
    typer.echo("it lets in once, within 30 min; send it to this person alone:", err=True)
    typer.echo(f"{base}/sign-in/link/{token}")


def _document(user: User) -> dict[str, object]:
    from watchkeeper.store.canonical import rfc3339

    return {
        "username": user.username,
        "name": user.name,
        "role": user.role.value,
        "enabled": user.enabled,
        "has_password": user.has_password,
        "created_at": rfc3339(user.created_at),
        "created_by": user.created_by,
    }


def _line(user: User) -> str:
    notes = [] if user.enabled else ["disabled"]
    notes += [] if user.has_password else ["no password yet"]
    return f"{user.username:<20} {user.role.value:<10} {user.name}  {', '.join(notes)}".rstrip()
