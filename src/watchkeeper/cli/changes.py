"""``watchkeeper changes``: what changed on the platform, and telling of a change. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.journal import moment
from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory
from watchkeeper.cli.plain import plain
from watchkeeper.cli.users import AsOption, actor, now, store_of

if TYPE_CHECKING:
    from watchkeeper.launches.changes import Recent

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="What changed: list it, tell of it.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
ServiceOption = Annotated[str | None, typer.Option("--service", help="Which service; without it, all.")]
EnvOption = Annotated[str | None, typer.Option("--env", help="Which environment; without it, all.")]


@app.command("list")
def list_changes(
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=24 * 366, help="How far back.")] = 24,
    service: ServiceOption = None,
    env: EnvOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of changes.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """What changed in the last hours, nearest first."""
    import json

    from watchkeeper.launches import changes

    at = now()
    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = changes.recent(conn, at, hours, service, env)
    if as_json:
        shown = [changes.document(one, at) for one in found]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo(f"nothing that we were told of changed in the last {hours:g} h")
    for one in found:
        typer.echo(_line(one))


@app.command("add")
def add(
    title: Annotated[str, typer.Argument(help="What changed, in a few words.")],
    kind: Annotated[
        str, typer.Option("--kind", help="deploy, configuration, launch, drill or maintenance.")
    ] = "deploy",
    key: Annotated[
        str | None, typer.Option("--key", help="Your name for it: told again under it, it is recorded once.")
    ] = None,
    service: ServiceOption = None,
    env: EnvOption = None,
    region: Annotated[str | None, typer.Option("--region", help="Which region; without it, all.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="What is there now.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Where to read on.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="A time or an age (15m). [default: now]")] = None,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Tell of a change that was made."""
    import uuid

    from watchkeeper.app.changes import change_receivers
    from watchkeeper.app.inforce import kept
    from watchkeeper.app.settings import SettingsError, read_settings
    from watchkeeper.launches import changes

    by, told_at = actor(person), now()
    when = told_at if at is None else moment(at, "--at")
    try:
        loaded = kept(read_settings(data=data_directory(data, store_url), store=store_url))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    change = changes.Change(
        key=key if key is not None else str(uuid.uuid4()),
        kind=kind,  # type: ignore[arg-type]  # record() says what would do
        title=title,
        at=when,
        by=by.removeprefix("person:"),
        service=service,
        env=env,
        region=region,
        version=version,
        url=url,
    )
    receivers = change_receivers(loaded.runbook) if loaded is not None else ()
    try:
        with store_of(data, store_url, write=True) as store, store.write() as conn:
            made = changes.record(conn, told_at, change, actor=by, tell=receivers)
    except changes.ChangeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    said = "recorded" if made.fresh else "known already, nothing was changed"
    typer.echo(plain(f"change {made.id}: {changes.in_words(made.change)} ({said})"))


def _line(one: Recent) -> str:
    what = " ".join(part for part in (one.service, one.version) if part)
    where = ", ".join(part for part in (one.env, one.region) if part)
    place = f"{what} ({where})" if where else what
    url = f"  {one.url}" if one.url else ""
    return plain(f"{one.at:%Y-%m-%d %H:%M:%S}Z  {one.kind:<13}  {place:<28}  {one.title}  by {one.by}{url}")
