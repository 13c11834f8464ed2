"""The runbook that was in force last, kept in the data directory for a role that must begin anew.

Always true: the copy is replaced whole or not at all, and only by a runbook that is in force. A role that
finds a broken runbook when it begins (killed while somebody was editing, say) goes on with the copy and says
so: a mistake in a file never ends the watching (tests/app/test_inforce.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.app.policy import check_expr, load_policy
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.compile import Compiled, CompileError, compile_runbook
from watchkeeper.runbook.errors import RunbookError
from watchkeeper.runbook.loading import LoadedRunbook, load_bytes

log = logging.getLogger(__name__)

FILE_NAME = "runbook-in-force.json"
UNUSABLE = (RunbookError, CompileError)
"""What is raised for a runbook that cannot be used."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The runbook to begin with, its rules, and why it is not the one on disk, if it is not."""

    loaded: LoadedRunbook
    compiled: Compiled
    problem: str | None = None


def usable(settings: Settings) -> LoadedRunbook:
    """The runbook on disk, known to compile. Raises one of :data:`UNUSABLE`."""
    loaded = load_policy(settings)
    compile_runbook(loaded.runbook, settings.url)
    return loaded


def choose(settings: Settings) -> Chosen:
    """The runbook on disk, else the one that was in force. Raises one of :data:`UNUSABLE` for neither."""
    try:
        loaded = load_policy(settings)
        return Chosen(loaded, compile_runbook(loaded.runbook, settings.url))
    except UNUSABLE as error:
        last = kept(settings)
        if last is None:
            raise
        log.error("the runbook cannot be used; the one that was in force goes on: %s", error)
        return Chosen(last, compile_runbook(last.runbook, settings.url), str(error))


def keep(settings: Settings, loaded: LoadedRunbook) -> None:
    """Remember that ``loaded`` is in force. A failure is logged: it costs the copy, not the watching."""
    try:
        raw = settings.runbook.read_bytes()
        overlay = settings.overlay.read_bytes() if settings.overlay else None
        if _digest(raw, overlay) != loaded.digest:
            return  # it was changed since; the copy follows when that is in force
        document = {
            "runbook": raw.decode(),
            "overlay": overlay.decode() if overlay is not None else None,
            "digest": loaded.digest,
        }
        _replace(settings.data / FILE_NAME, json.dumps(document).encode())
    except (OSError, UnicodeDecodeError) as error:
        log.warning("no copy of the runbook in force could be kept in %s: %s", settings.data, error)


def kept(settings: Settings) -> LoadedRunbook | None:
    """The runbook that was in force last, from the data directory; None where there is none to be read."""
    path = settings.data / FILE_NAME
    try:
        document = json.loads(path.read_bytes())
        raw, overlay = document["runbook"].encode(), document["overlay"]
        second = None if overlay is None else (str(settings.overlay), overlay.encode())
        return load_bytes(str(settings.runbook), raw, overlay=second, check_expr=check_expr)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RunbookError) as error:
        log.error("the copy %s of the runbook in force cannot be used either: %s", path, error)
        return None


def _digest(raw: bytes, overlay: bytes | None) -> str:
    """As the loader computes it."""
    digest = hashlib.sha256(raw)
    if overlay is not None:
        digest.update(b"\0" + overlay)
    return digest.hexdigest()


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
