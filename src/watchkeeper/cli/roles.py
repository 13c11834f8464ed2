"""``watchkeeper role``: one role in this process. ``serve`` runs it; people need it only to debug one."""

from __future__ import annotations

from enum import StrEnum

import typer

from watchkeeper.cli.places import StoreOption
from watchkeeper.cli.serve import DataOption, ListenOption, OverlayOption, RunbookOption, UrlOption


class RoleName(StrEnum):
    """The roles there are."""

    WATCH = "watch"
    WORK = "work"
    WEB = "web"


def role(
    name: RoleName,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
    url: UrlOption = None,
    store_url: StoreOption = None,
) -> None:
    """Run one role in the foreground."""
    from watchkeeper.app.logs import configure_logging
    from watchkeeper.app.settings import SettingsError, prepare_data_directory, read_settings

    configure_logging(name.value)
    try:
        settings = read_settings(runbook, overlay, data, listen, url, store_url)
        prepare_data_directory(settings.data)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if name is RoleName.WATCH:
        from watchkeeper.app.watch import run_watch

        raise typer.Exit(run_watch(settings))
    if name is RoleName.WORK:
        from watchkeeper.app.work import run_work

        raise typer.Exit(run_work(settings))
    from watchkeeper.cli.web import run_web

    raise typer.Exit(run_web(settings))
