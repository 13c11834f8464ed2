"""``watchkeeper serve``: the runbook, running, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunbookOption = Annotated[
    Path | None,
    typer.Option("--runbook", help="The runbook. [env: WATCHKEEPER_RUNBOOK; default: runbook.yaml]"),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option("--overlay", help="This deployment's metrics and notifications. [env: WATCHKEEPER_OVERLAY]"),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="State, samples and sockets. [env: WATCHKEEPER_DATA; default: .watchkeeper]"),
]
ListenOption = Annotated[
    str | None,
    typer.Option("--listen", help="Where HTTP listens. [env: WATCHKEEPER_LISTEN; default: 127.0.0.1:8321]"),
]


def serve(
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
) -> None:
    """Watch, page and answer, until SIGTERM or Ctrl-C. SIGHUP reads the runbook again."""
    from watchkeeper.app.logs import configure_logging
    from watchkeeper.app.policy import load_policy
    from watchkeeper.app.settings import SettingsError, prepare_data_directory, read_settings
    from watchkeeper.app.supervisor import ROLES, Supervisor, role_command
    from watchkeeper.runbook.errors import RunbookError
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_store
    from watchkeeper.store.errors import StoreError

    configure_logging("serve")
    try:
        settings = read_settings(runbook, overlay, data, listen)
        load_policy(settings)
        prepare_data_directory(settings.data)
        open_store(settings.data).close()  # migrate once, before three roles want to
    except (SettingsError, RunbookError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    arguments = ["--runbook", str(settings.runbook), "--data", str(settings.data)]
    arguments += ["--listen", f"{settings.host}:{settings.port}"]
    if settings.overlay:
        arguments += ["--overlay", str(settings.overlay)]
    typer.echo(f"watching on {settings.url} (state in {settings.data})")
    Supervisor({name: role_command(name, arguments) for name in ROLES}, SystemClock()).run()
