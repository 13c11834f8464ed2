"""``watchkeeper alerts``: what fires, what is about to, what just ended; and taking one. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import DATA_HELP, data_directory

if TYPE_CHECKING:
    from datetime import datetime

    from watchkeeper.monitoring.alert_list import Listed

app = typer.Typer(
    rich_markup_mode=None, help="What fires, what is pending, and what resolved in the last 15 minutes."
)
_MARKS = {"firing": "■", "pending": "△", "resolved": "●"}


DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of alerts.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what resolved longer ago (the newest 200).")
    ] = False,
    data: DataOption = None,
) -> None:
    """The alerts, pages first."""
    if context.invoked_subcommand is not None:
        return
    import json

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import alert_list
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    try:
        with open_existing(data_directory(data)) as store, store.read() as conn:
            found = alert_list.current(conn)
            if everything:
                found += alert_list.earlier(conn, found)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("● no alert")
    for one in found:
        typer.echo(_lines(one))


@app.command("ack")
def ack(
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ALERT]...", help="Names of alerts, or fingerprints (see --json)."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Whatever fires and nobody has.")] = False,
    note: Annotated[str, typer.Option("--note", help="What you are about to do; receivers are told.")] = "",
    person: Annotated[
        str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")
    ] = None,
    data: DataOption = None,
) -> None:
    """Acknowledge: you have it. The receivers that were told of it are told so, and so is the journal."""
    import getpass

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import acknowledgements, alert_list
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    if not named and not everything:
        typer.echo("say which: a name or fingerprint from `watchkeeper alerts`, or --all", err=True)
        raise typer.Exit(2)
    try:
        with open_existing(data_directory(data), write=True) as store, store.write() as conn:
            firing = [one for one in alert_list.current(conn) if one.state == "firing"]
            chosen = {
                word: [one.fingerprint for one in firing if word in (one.alertname, one.fingerprint)]
                for word in named or ()
            }
            strangers = [word for word, found in chosen.items() if not found]
            if strangers:
                valid = ", ".join(sorted({one.alertname for one in firing})) or "none"
                typer.echo(f"no alert {strangers[0]!r} fires; nothing was done. Firing: {valid}", err=True)
                raise typer.Exit(1)
            every = [one.fingerprint for one in firing] if everything else []
            wanted = [*every, *(name for found in chosen.values() for name in found)]
            who = person or getpass.getuser()
            done = acknowledgements.acknowledge(conn, SystemClock().now(), wanted, who, note)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if not done.alertnames:
        typer.echo(f"{', '.join(done.already)} had it already" if done.already else "nothing fires")
        return
    heard = f"; told: {', '.join(done.receivers)}" if done.receivers else "; no receiver had been told of it"
    typer.echo(f"{who} has {', '.join(done.alertnames)}{heard}")


def _lines(alert: Listed) -> str:
    """One alert for people; what came from outside cannot move the cursor."""
    where = " ".join(
        f"{name}={value}"
        for name, value in sorted(alert.labels.items())
        if name not in ("alertname", "severity", "layer", "signal")
    )
    head = f"{_MARKS[alert.state]} {alert.state:<8} {alert.severity:<4}  {alert.alertname}  {where}"
    times = [
        f"{name} {_clock(moment)}"
        for name, moment in (
            ("active", alert.active_at),
            ("fired", alert.fired_at),
            ("paged", alert.paged_at),
            ("acknowledged", alert.acknowledged_at),
            ("resolved", alert.resolved_at),
        )
        if moment is not None
    ]
    if alert.acknowledged_by:
        times.append(f"{alert.acknowledged_by} has it")
    if alert.inhibited_by and alert.state == "firing":
        silenced = alert.inhibited_by.startswith(("silence:", "maintenance:"))
        times.append(f"quiet: {alert.inhibited_by}" + ("" if silenced else " speaks for it"))
    lines = (head, f"    {alert.summary}", f"    {' · '.join(times)}")
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines)


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
