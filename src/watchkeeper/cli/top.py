"""``watchkeeper top``: the runbook's monitoring section, live in the terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, data_directory
from watchkeeper.cli.remote import Remote, RemoteError, ServerOption, chosen, sentences

ASK_SECONDS = 5.0


def top(
    server: ServerOption = None,
    data: Annotated[Path | None, typer.Option("--data", help=DATA_HELP)] = None,
    note: Annotated[str, typer.Option("--note", envvar="WATCHKEEPER_TOP_NOTE", hidden=True)] = "",
    once: Annotated[bool, typer.Option("--once", help="Print the view once and end.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Layers, signals, thresholds, alerts, pages and verdicts, live. Ctrl-C ends it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from watchkeeper.app.settings import SettingsError, read_settings
    from watchkeeper.cli.terminal import render
    from watchkeeper.store.clock import SystemClock

    with sentences():
        there = chosen(server, data)
    if there is not None:
        ask = partial(_over_http, there)
    else:
        try:
            ask = partial(_locally, read_settings(data=data_directory(data)).watch_socket)
        except SettingsError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    console = Console()
    if once:
        overview, problem = ask()
        if overview is None:
            typer.echo(problem, err=True)
            raise typer.Exit(1)
        console.print(render(overview, console.width, 1000))
        return
    clock = SystemClock()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            overview, problem = ask()
            if overview is not None:
                shown = render(overview, console.width, console.height - bool(note))
                live.update(Group(shown, Text(note, overflow="ellipsis")) if note else shown, refresh=True)
            else:
                live.update(Text(f"▲ {problem}", style="yellow"), refresh=True)
            clock.sleep(interval)


def _locally(socket: Path) -> tuple[dict[str, Any] | None, str]:
    """The overview of the Watchkeeper whose data directory holds ``socket``, or why there is none."""
    import json

    from watchkeeper.app.wire import WireError, ask_blocking

    try:
        document: dict[str, Any] = json.loads(ask_blocking(socket, "overview", {}, ASK_SECONDS))
    except WireError as error:
        return None, f"{error} (in {socket.parent})"
    return document, ""


def _over_http(there: Remote) -> tuple[dict[str, Any] | None, str]:
    """The overview of another Watchkeeper, or why there is none."""
    try:
        document: dict[str, Any] = there.get("/api/overview")
    except RemoteError as error:
        return None, str(error)
    return document, ""
