"""Which data directory a command means when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path

import typer

DATA_HELP = "The data directory. [env: WATCHKEEPER_DATA; default: .watchkeeper, else a running demo]"


def data_directory(given: Path | None) -> Path:
    """``--data``, else WATCHKEEPER_DATA, else ``.watchkeeper`` here, else that of the demo that runs.

    Which demo was taken is said on standard error, so that nobody mistakes it for the real thing.
    """
    from watchkeeper.app.settings import DATA_VARIABLE, read_settings

    chosen = read_settings(data=given).data
    if given is not None or os.environ.get(DATA_VARIABLE) or chosen.exists():
        return chosen
    from watchkeeper.demo.control import running_data
    from watchkeeper.demo.settings import default_directory

    demo = running_data(default_directory())
    if demo is None:
        return chosen
    typer.echo(f"(of the running demo, in {demo})", err=True)
    return demo
