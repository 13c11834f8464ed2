"""``watchkeeper alerts``: what fires, what is about to, what just ended. Reads the store, needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import data_directory

if TYPE_CHECKING:
    from datetime import datetime

    from watchkeeper.monitoring.alert_list import Listed

app = typer.Typer(
    rich_markup_mode=None, help="What fires, what is pending, and what resolved in the last 15 minutes."
)
_MARKS = {"firing": "■", "pending": "△", "resolved": "●"}


@app.callback(invoke_without_command=True)
def alerts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of alerts.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what resolved longer ago (the newest 200).")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="The data directory. [env: WATCHKEEPER_DATA; default: .watchkeeper, else a running demo]",
        ),
    ] = None,
) -> None:
    """The alerts, pages first."""
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
    if alert.inhibited_by and alert.state == "firing":
        times.append(f"quiet: {alert.inhibited_by} speaks for it")
    lines = (head, f"    {alert.summary}", f"    {' · '.join(times)}")
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines)


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
