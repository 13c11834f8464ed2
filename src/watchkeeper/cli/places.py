"""Which data directory, and which store, a command means when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

DATA_HELP = "The data directory. [env: WATCHKEEPER_DATA; default: .watchkeeper, else a running demo]"
STORE_HELP = (
    "Where state is kept, such as postgresql://user@host/name. [env: WATCHKEEPER_STORE; default: a SQLite "
    "file in the data directory]"
)


def _seen_by_everybody(given: str | None) -> str | None:
    """Arguments of a process can be read by every user of the machine; say so where that matters."""
    if given is not None:
        from watchkeeper.store.errors import StoreError
        from watchkeeper.store.postgresql import has_password

        try:
            exposed = has_password(given)
        except StoreError:
            return given  # whoever opens it says what is wrong
        if exposed:
            typer.echo(
                "warning: every user of this machine can read the password in --store. Put the URL into "
                "WATCHKEEPER_STORE, or the password into a file that WATCHKEEPER_STORE_PASSWORD_FILE names.",
                err=True,
            )
    return given


StoreOption = Annotated[
    str | None, typer.Option("--store", help=STORE_HELP, callback=_seen_by_everybody, metavar="URL")
]


def data_directory(given: Path | None, store: str | None = None) -> Path:
    """``--data``, else WATCHKEEPER_DATA, else ``.watchkeeper`` here, else that of the demo that runs.

    Which demo was taken is said on standard error, so that nobody mistakes it for the real thing. Where a
    store is named (``store`` is ``--store``), no demo is meant.
    """
    from watchkeeper.app.settings import DATA_VARIABLE, read_settings

    settings = read_settings(data=given, store=store)
    chosen = settings.data
    if given is not None or settings.store or os.environ.get(DATA_VARIABLE) or chosen.exists():
        return chosen
    from watchkeeper.demo.control import running_data
    from watchkeeper.demo.settings import default_directory

    demo = running_data(default_directory())
    if demo is None:
        return chosen
    typer.echo(f"(of the running demo, in {demo})", err=True)
    return demo


def state(data: Path | None, store: str | None) -> Path | str:
    """What to open: the database that ``--store`` or WATCHKEEPER_STORE names, else the data directory."""
    from watchkeeper.app.settings import read_settings

    return read_settings(data=data_directory(data, store), store=store).state
