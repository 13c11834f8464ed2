"""``watchkeeper top``: the runbook's monitoring section, live in the terminal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

ASK_SECONDS = 5.0


def top(
    server: Annotated[
        str | None,
        typer.Option("--server", envvar="WATCHKEEPER_SERVER", help="The running Watchkeeper's address."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the view once and end.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Layers, signals, thresholds, alerts, pages and verdicts, live. Ctrl-C ends it."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from watchkeeper.app.settings import read_settings
    from watchkeeper.cli.terminal import render
    from watchkeeper.store.clock import SystemClock

    address = (server or read_settings().url).rstrip("/")
    console = Console()
    if once:
        overview, problem = _ask(address)
        if overview is None:
            typer.echo(problem, err=True)
            raise typer.Exit(1)
        console.print(render(overview, console.width, 1000))
        return
    clock = SystemClock()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            overview, problem = _ask(address)
            if overview is not None:
                live.update(render(overview, console.width, console.height), refresh=True)
            else:
                live.update(Text(f"▲ {problem}", style="yellow"), refresh=True)
            clock.sleep(interval)


def _ask(address: str) -> tuple[dict[str, Any] | None, str]:
    """The overview of the Watchkeeper at ``address``, or why there is none."""
    import json
    import urllib.error
    import urllib.request

    if not address.startswith(("http://", "https://")):
        return None, f"{address!r} is no address; give one such as http://127.0.0.1:8321"
    try:
        with urllib.request.urlopen(f"{address}/api/overview", timeout=ASK_SECONDS) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
            return document, ""
    except urllib.error.HTTPError as error:
        with error:
            try:
                detail = json.load(error)["error"]
            except (ValueError, KeyError, TypeError):
                detail = error.reason
        return None, f"Watchkeeper at {address} cannot say yet: {detail}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return None, f"no Watchkeeper answers at {address} ({reason}); `watchkeeper serve` starts one"
