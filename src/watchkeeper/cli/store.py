"""``watchkeeper store``: copies of Watchkeeper's own state, and putting one in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, data_directory
from watchkeeper.cli.users import AsOption, actor, store_of

if TYPE_CHECKING:
    from watchkeeper.store.database import Store

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Watchkeeper's own state: copy, restore, describe."
)
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]


@app.command("backup")
def backup(
    path: Annotated[
        Path,
        typer.Argument(help="A new file; or a directory, which gets a file named by the time."),
    ],
    person: AsOption = None,
    data: DataOption = None,
) -> None:
    """Copy the store while it is in use, and prove the copy. PATH.tar.zst: a copy for any database."""
    from watchkeeper.store import backup as copies
    from watchkeeper.store.clock import SystemClock

    clock, by = SystemClock(), actor(person)
    with store_of(data, None, write=True) as store:
        target = path / copies.dated_name(clock.now(), store) if path.is_dir() else path
        made = copies.back_up(store, clock, target, by=by)
    typer.echo(
        f"{target}: {made.bytes} bytes, schema {made.revision}, {made.entries} journal entries, proved\n"
        f"{copies.manifest_path(target).name} belongs to it; head {made.entries}:{made.head}"
    )


@app.command("restore")
def restore(
    path: Annotated[Path, typer.Argument(help="A copy that `store backup` or the job store-backup made.")],
    person: AsOption = None,
    data: DataOption = None,
) -> None:
    """Put a copy in place of the store. Refused while `serve` runs; what is there now is kept beside it."""
    from watchkeeper.app.instance import sole_instance
    from watchkeeper.app.settings import SettingsError, prepare_data_directory, read_settings
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.errors import StoreError
    from watchkeeper.store.restore import restore as put_back

    clock, by = SystemClock(), actor(person)
    try:
        chosen = read_settings(data=data).data  # never a demo's: what is replaced is named, or here
        prepare_data_directory(chosen)
        with sole_instance(chosen, clock):
            done = put_back(path, chosen, clock, by=by)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    made = done.manifest
    typer.echo(
        f"{path} of {made.made_at} is now the store in {chosen}: {made.entries} journal entries, proved"
    )
    if done.upgraded_from is not None:
        typer.echo(f"its schema was brought up to date, from {done.upgraded_from}")
    if done.aside is not None:
        head = f" (its journal's head is {done.before.seq}:{done.before.hash})" if done.before else ""
        typer.echo(f"the store that was there is kept as {done.aside}{head}")
    typer.echo(
        "What happened since the copy is not in it: passwords, roles and tokens are as they were then, and "
        "what waited in its outbox is sent again. Look at both before you start `watchkeeper serve`."
    )


@app.command("info")
def info(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False, data: DataOption = None
) -> None:
    """Where the store is, how large, its schema, its journal's head, and which copies there are."""
    import json

    with store_of(data, None, write=False) as store:
        found = _described(store, data_directory(data))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    head = found["journal"]
    typer.echo(f"{found['place']}: {found['bytes']} bytes, schema {found['revision']}")
    typer.echo(f"journal: {head['entries']} entries, head {head['entries']}:{head['head']}")
    rows = ", ".join(f"{name} {count}" for name, count in found["rows"].items() if count)
    typer.echo(f"rows: {rows or 'none'}")
    if not found["copies"]:
        typer.echo(
            "no copies yet; the job store-backup makes one every night, `watchkeeper store backup` now"
        )
    for one in found["copies"]:
        said = f"{one['made_at']}, {one['entries']} journal entries" if one["made_at"] else "no manifest"
        typer.echo(f"copy {one['path']}: {said}")


def _described(store: Store, data: Path) -> dict[str, Any]:
    from sqlalchemy import func, select

    from watchkeeper.store import backup, journal, migrate
    from watchkeeper.store.models import metadata

    with store.read() as conn:
        head = journal.head(conn)
        revision = migrate.current_revision(conn, store.place)
        rows = {
            table.name: conn.execute(select(func.count()).select_from(table)).scalar()
            for table in metadata.sorted_tables
        }
    files = [] if store.file is None else [store.file, store.file.with_name(store.file.name + "-wal")]
    return {
        "place": store.place,
        "bytes": sum(file.stat().st_size for file in files if file.exists()),
        "revision": revision,
        "journal": {"entries": head.seq, "head": head.hash},
        "rows": rows,
        "copies": [
            {
                "path": str(kept.path),
                "made_at": kept.manifest.made_at if kept.manifest else None,
                "entries": kept.manifest.entries if kept.manifest else None,
                "head": kept.manifest.head if kept.manifest else None,
            }
            for kept in backup.copies(data / "backups")
        ],
    }
