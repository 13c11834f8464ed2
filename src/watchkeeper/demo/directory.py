"""The demo's directory: one demo in it at a time, and nothing of anybody else's is ever removed.

A directory is taken only when it is new, empty, or holds a demo whose process is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from watchkeeper.demo.control import CONFIG, STATE, own_state, runs
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.settings import write_private


def claim(directory: Path, *, readable_by: str | None) -> None:
    """Make ``directory`` ours and empty. ``readable_by`` names the other user whose servers live below it.

    Raises :class:`DemoError` when it is in use, holds something else, or that user cannot reach it.
    """
    if readable_by is not None:
        _check_way(directory, readable_by)
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        _take_over(directory)
    except OSError as error:
        raise DemoError(
            f"{directory} cannot be created: {error.strerror}. Give another place with --dir."
        ) from error
    write_private(directory / STATE, json.dumps(own_state()))
    if readable_by is not None:
        directory.chmod(0o711)
    (directory / "logs").mkdir(mode=0o700)


def _take_over(directory: Path) -> None:
    if directory.is_symlink() or not directory.is_dir() or directory.stat().st_uid != os.geteuid():
        raise DemoError(f"{directory} is not a directory of yours. Give another place with --dir.")
    held = [path for path in directory.iterdir() if not path.name.startswith(f".{STATE}.")]
    if not held:
        return
    state = _state(directory)
    if state is None:
        raise DemoError(
            f"{directory} is not empty and holds no demo; nothing in it was touched. "
            "Give a new or empty directory with --dir."
        )
    if runs(state):
        raise DemoError(
            f"A demo runs in {directory} already (process {state['pid']}). Stop it there with Ctrl-C, "
            "or start a second one with another --dir."
        )
    for path in held:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _state(directory: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((directory / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    own = {STATE, CONFIG} & {path.name for path in directory.iterdir()}
    return state if own and {"pid", "start_time"} <= state.keys() else None


def _check_way(directory: Path, user: str) -> None:
    for parent in directory.resolve().parents:
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            raise DemoError(
                f"PostgreSQL refuses to run as root, so it runs as {user}, who cannot enter {parent}. "
                "Give a directory that everybody can reach with --dir, for example below /tmp."
            )
