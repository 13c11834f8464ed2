"""``watchkeeper demo``: start the platform that is watched, break it, mend it, see how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="A small real platform to watch, and to break."
)

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="Where the demo lives. [env: WATCHKEEPER_DEMO_DIR; default: one place per user in /tmp]"
    ),
]


@app.command()
def start(
    directory: DirOption = None,
    listen: Annotated[
        str, typer.Option("--listen", envvar="WATCHKEEPER_LISTEN", help="Where Watchkeeper listens.")
    ] = "127.0.0.1:8321",
    no_top: Annotated[bool, typer.Option("--no-top", help="Print lines instead of the live view.")] = False,
    platform_only: Annotated[
        bool, typer.Option("--platform-only", help="Start the platform without Watchkeeper.")
    ] = False,
) -> None:
    """Start PostgreSQL, S3, a web service under load, and Watchkeeper on them. Ctrl-C ends it all."""
    import asyncio
    import sys

    from watchkeeper.demo.errors import DemoError
    from watchkeeper.store.clock import SystemClock

    top = not no_top and sys.stdout.isatty()
    try:
        _check_packages()
        from watchkeeper.demo.session import Wish, run

        wish = Wish(_directory(directory), listen=listen, watchkeeper=not platform_only, top=top)
        asyncio.run(run(wish, SystemClock(), lambda line: typer.echo(line)))
    except DemoError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command("break")
def break_(
    name: Annotated[str, typer.Argument(help="api, jobs, database, storage, latency or auth")],
    directory: DirOption = None,
) -> None:
    """Inject a real fault into the running platform."""
    outcome = _ask(directory, "POST", "/break", {"name": name})
    if not outcome["changed"]:
        typer.echo(f"{outcome['name']} is broken already: {outcome['cause']}.")
        return
    typer.echo(f"broken: {outcome['name']}: {outcome['cause']}.")
    typer.echo(f"  to be seen: {outcome['effect']}.")
    typer.echo(f"  take it back with: watchkeeper demo mend {outcome['name']}")


@app.command()
def mend(
    name: Annotated[str | None, typer.Argument(help="A fault; without it, all.")] = None,
    directory: DirOption = None,
) -> None:
    """Take a fault back, or all of them."""
    outcomes = _ask(directory, "POST", "/mend", {"name": name})
    for outcome in outcomes:
        typer.echo(
            f"mended: {outcome['name']}" if outcome["changed"] else f"{outcome['name']} is not broken."
        )
    if not outcomes:
        typer.echo("Nothing is broken.")


@app.command()
def status(
    directory: DirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What runs, what is broken since when, how many pages were sent."""
    import json

    state = _ask(directory, "GET", "/status")
    if as_json:
        typer.echo(json.dumps(state, indent=2))
        return
    typer.echo(f"demo in {state['directory']}")
    typer.echo(f"Watchkeeper: {state['watchkeeper'] or 'not started (--platform-only)'}")
    for process in state["processes"]:
        typer.echo(
            f"  {process['name']:<18} {'runs' if process['running'] else 'is down'} ({process['pid']})"
        )
    for fault in state["faults"]:
        typer.echo(f"broken since {fault['since'][11:19]} UTC: {fault['name']}: {fault['cause']}")
    if not state["faults"]:
        typer.echo("nothing is broken")
    typer.echo(
        f"pages received: {state['pages']}, with warnings and resolutions {state['notifications']} "
        f"({state['pages_file']})"
    )


def _directory(given: Path | None) -> Path:
    from watchkeeper.demo.settings import default_directory

    return (given or default_directory()).absolute()


def _ask(directory: Path | None, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    from watchkeeper.demo.control import request
    from watchkeeper.demo.errors import DemoError

    try:
        return request(_directory(directory), method, path, content)
    except DemoError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _check_packages() -> None:
    import importlib.util

    from watchkeeper.demo.errors import DemoError

    if importlib.util.find_spec("psycopg") is None:
        raise DemoError(
            "The package psycopg is not installed. "
            "Install the demo's packages: pip install 'watchkeeper[demo]'."
        )
