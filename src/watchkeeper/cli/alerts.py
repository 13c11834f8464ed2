"""``watchkeeper alerts``: what fires, what is about to, what just ended; and taking one. Needs no server, and
can ask one elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, state
from watchkeeper.cli.remote import Remote, ServerOption, chosen, sentences

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """The alerts, pages first."""
    if context.invoked_subcommand is not None:
        return
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            _show(_from(there, everything), as_json)
            return

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import alert_list
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    try:
        with open_existing(state(data, store_url)) as store, store.read() as conn:
            found = alert_list.current(conn)
            if everything:
                found += alert_list.earlier(conn, found)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _show(found, as_json)


def _from(there: Remote, everything: bool) -> list[Listed]:
    from watchkeeper.monitoring.alert_list import from_json

    rows = there.get("/api/alerts", earlier="true" if everything else None)["alerts"]
    return [from_json(row) for row in rows]


def _show(found: list[Listed], as_json: bool) -> None:
    import json

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
    store_url: StoreOption = None,
    server: ServerOption = None,
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
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            _ack_there(there, named or [], everything, note, person)
            return
    try:
        with open_existing(state(data, store_url), write=True) as store, store.write() as conn:
            wanted = _wanted(alert_list.current(conn), named or [], everything)
            who = person or getpass.getuser()
            done = acknowledgements.acknowledge(conn, SystemClock().now(), wanted, who, note)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    _say(who, done.alertnames, done.receivers, done.already)


def _ack_there(there: Remote, named: list[str], everything: bool, note: str, person: str | None) -> None:
    if person is not None:
        raise typer.BadParameter("with --server you are who the token says", param_hint="--as")
    wanted = _wanted(_from(there, everything=False), named, everything)
    if not wanted:
        _say("", [], [], [])
        return
    who = there.get("/api/whoami")
    taken: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    for start in range(0, len(wanted), 1000):
        asked = {"fingerprints": wanted[start : start + 1000], "note": note}
        done = there.post("/api/alerts/acknowledge", asked)
        for found, name in zip(taken, ("alertnames", "receivers", "already"), strict=True):
            found.update(done[name])
    _say(f"{who['kind']}:{who['name']}", *(sorted(found) for found in taken))


def _wanted(known: list[Listed], named: list[str], everything: bool) -> list[str]:
    """The fingerprints of the firing alerts that somebody named; ends the command for a name of none."""
    firing = [one for one in known if one.state == "firing"]
    meant = {
        word: [one.fingerprint for one in firing if word in (one.alertname, one.fingerprint)]
        for word in named
    }
    strangers = [word for word, found in meant.items() if not found]
    if strangers:
        valid = ", ".join(sorted({one.alertname for one in firing})) or "none"
        typer.echo(f"no alert {strangers[0]!r} fires; nothing was done. Firing: {valid}", err=True)
        raise typer.Exit(1)
    every = [one.fingerprint for one in firing] if everything else []
    return [*every, *(name for found in meant.values() for name in found)]


def _say(who: str, taken: Sequence[str], receivers: Sequence[str], already: Sequence[str]) -> None:
    if not taken:
        typer.echo(f"{', '.join(already)} had it already" if already else "nothing fires")
        return
    heard = f"; told: {', '.join(receivers)}" if receivers else "; no receiver had been told of it"
    typer.echo(f"{who} has {', '.join(taken)}{heard}")


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
