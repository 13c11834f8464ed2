"""Finding the demo that runs, and asking it. Standard library only, so that the command line starts fast.

The demo listens on loopback and obeys only who knows the token in its state file, which only its user can
read. A state file whose process is gone counts as none.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.janitor import start_time

STATE = "state.json"
CONFIG = "settings.json"


def read_state(directory: Path) -> dict[str, Any] | None:
    """What the demo in ``directory`` wrote about itself; ``None`` when none runs there."""
    try:
        state: dict[str, Any] = json.loads((directory / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DemoError(f"{directory / STATE} cannot be read: {error}.") from error
    return state if runs(state) else None


def running_data(directory: Path) -> Path | None:
    """Watchkeeper's data directory of the demo that runs in ``directory``; ``None`` when none runs there."""
    try:
        state = read_state(directory)
    except DemoError:  # somebody else's, or damaged: not a demo that could be asked
        return None
    data = directory / "data"
    return data if state is not None and data.is_dir() else None


def runs(state: dict[str, Any]) -> bool:
    """Whether the process that wrote ``state`` still lives; its number alone does not count."""
    return bool(state.get("start_time")) and start_time(int(state["pid"])) == state["start_time"]


def own_state() -> dict[str, Any]:
    """How this process is recognised."""
    return {"pid": os.getpid(), "start_time": start_time(os.getpid())}


def request(directory: Path, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
    """Ask the demo in ``directory``. Raises :class:`DemoError` when none runs there, or it refuses."""
    state = read_state(directory)
    if state is None:
        raise DemoError(
            f"No demo runs in {directory}. Start one in another terminal: watchkeeper demo start "
            "(and give the same --dir here, if you give one there)."
        )
    if "control_port" not in state:
        raise DemoError(f"The demo in {directory} is still starting; try again in a few seconds.")
    call = urllib.request.Request(
        f"http://127.0.0.1:{state['control_port']}{path}",
        method=method,
        data=json.dumps(content or {}).encode() if method == "POST" else None,
        headers={"Authorization": f"Bearer {state['control_token']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(call, timeout=90) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise DemoError(_reason(error)) from None
    except (OSError, ValueError) as error:
        raise DemoError(
            f"The demo in {directory} (process {state['pid']}) does not answer: {error}. "
            "It may be stopping; otherwise stop it with Ctrl-C and start it again."
        ) from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, OSError):
        return f"The demo answered {error.code} {error.reason}."
