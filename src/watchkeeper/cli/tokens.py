"""``watchkeeper tokens``: how machines come in. Needs no server.

A token's text is shown when it is made and never again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption
from watchkeeper.cli.users import actor, now, store_of

if TYPE_CHECKING:
    from datetime import datetime

    from watchkeeper.access.models import Scope
    from watchkeeper.access.tokens import ApiToken

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="API tokens: how machines come in.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]


@app.command("list")
def list_tokens(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of tokens.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """The tokens that work, with their scopes, end and last use."""
    import json

    from watchkeeper.access import tokens

    moment = now()
    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = tokens.listing(conn)
    shown = [one for one in found if everything or one.state(moment) == "active"]
    if as_json:
        typer.echo(json.dumps([_document(one, moment) for one in shown], indent=2, ensure_ascii=False))
        return
    if not shown:
        typer.echo("no tokens; `watchkeeper tokens create` makes one")
    for one in shown:
        typer.echo(_line(one, moment))


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the journal calls it, such as ci.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="metrics:read, read, respond, changes:write or admin; may be repeated."),
    ],
    days: Annotated[int, typer.Option("--days", help="How long it works, at most 366.")] = 90,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Make a token and print it, once."""
    from datetime import timedelta

    from watchkeeper.access import tokens
    from watchkeeper.access.models import AccessError

    scopes = [_scope(text) for text in scope]
    moment = now()
    with store_of(data, store_url, write=True) as store, store.write() as conn:
        if not 1 <= days <= tokens.LONGEST.days:
            raise AccessError(f"a token works for 1 to {tokens.LONGEST.days} days")
        ends = moment + timedelta(days=days)
        text = tokens.create(conn, moment, name=name, scopes=scopes, expires_at=ends, by=actor(person))
    typer.echo(f"{name} works until {ends:%Y-%m-%d %H:%MZ}; this is shown once:", err=True)
    typer.echo(text)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `tokens list` shows it.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Make a token worthless, at once."""
    from watchkeeper.access import tokens
    from watchkeeper.access.models import AccessError, printable

    moment = now()
    with store_of(data, store_url, write=True) as store, store.write() as conn:
        active = [one for one in tokens.listing(conn) if one.name == name and one.state(moment) == "active"]
        if not active:
            raise AccessError(
                f"there is no active token {printable(name, 64)!r}; `watchkeeper tokens list` shows them"
            )
        tokens.revoke(conn, moment, active[0].id, by=actor(person))
    typer.echo(f"{name} is revoked")


def _scope(text: str) -> Scope:
    from watchkeeper.access.models import Scope

    try:
        return Scope(text)
    except ValueError:
        typer.echo(f"{text!r} is not a scope; use {', '.join(Scope)}", err=True)
        raise typer.Exit(2) from None


def _document(token: ApiToken, moment: datetime) -> dict[str, object]:
    from watchkeeper.store.canonical import rfc3339

    return {
        "name": token.name,
        "state": token.state(moment),
        "scopes": sorted(token.scopes),
        "created_at": rfc3339(token.created_at),
        "created_by": token.created_by,
        "expires_at": rfc3339(token.expires_at),
        "last_used_at": None if token.last_used_at is None else rfc3339(token.last_used_at),
    }


def _line(token: ApiToken, moment: datetime) -> str:
    last = "never used" if token.last_used_at is None else f"used {token.last_used_at:%Y-%m-%d %H:%MZ}"
    scopes = ", ".join(sorted(token.scopes))
    return f"{token.name:<20} {token.state(moment):<8} until {token.expires_at:%Y-%m-%d}  {scopes}  {last}"
