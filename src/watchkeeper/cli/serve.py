"""``watchkeeper serve``: the runbook, running, until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.cli.places import StoreOption

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


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="Where people reach that, for links. [env: WATCHKEEPER_URL; default: http://LISTEN]"
    ),
]


def serve(
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
    url: UrlOption = None,
    store_url: StoreOption = None,
) -> None:
    """Watch, page and answer, until SIGTERM or Ctrl-C. SIGHUP reads the runbook again."""
    from watchkeeper.access import links
    from watchkeeper.app import signals
    from watchkeeper.app.inforce import UNUSABLE, usable
    from watchkeeper.app.instance import check_address, sole_instance
    from watchkeeper.app.logs import configure_logging
    from watchkeeper.app.settings import STORE_VARIABLE, SettingsError, prepare_data_directory, read_settings
    from watchkeeper.app.supervisor import ROLES, Supervisor, role_command
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_store
    from watchkeeper.store.errors import StoreError

    signals.hold_reload()
    configure_logging("serve")
    clock = SystemClock()
    try:
        settings = read_settings(runbook, overlay, data, listen, url, store_url)
        usable(settings)
        prepare_data_directory(settings.data)
        with sole_instance(settings.data, clock):
            check_address(settings, clock)
            with open_store(settings.state) as store:  # migrate once, before three roles want to
                first = links.first_admin(store, clock)
            arguments = ["--runbook", str(settings.runbook), "--data", str(settings.data)]
            arguments += ["--listen", settings.listen, "--url", settings.url]
            if settings.store:  # to the roles by the environment: arguments are seen by everybody
                os.environ[STORE_VARIABLE] = settings.store
            if settings.overlay:
                arguments += ["--overlay", str(settings.overlay)]
            typer.echo(f"watching on {settings.url} (state in {settings.state_shown})")
            if first is not None:
                typer.echo(f"first sign-in, once and within 24 h: {settings.url}/sign-in/link/{first}")
            Supervisor({name: role_command(name, arguments) for name in ROLES}, clock).run()
    except (SettingsError, StoreError, *UNUSABLE) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
