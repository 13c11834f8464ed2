"""The runbook in force, as the pages read it: from the copy in the data directory, whichever role runs.

Always true: what is shown belongs together (runbook, rules and clauses of one digest); a copy that changed is
read again at the next question, and one that cannot be read leaves the one before it
(tests/console/test_policy.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.app import inforce
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.compile import Compiled, compile_runbook
from watchkeeper.runbook.clauses import Clause, clauses
from watchkeeper.runbook.models.runbook import Runbook


@dataclass(frozen=True)
class Policy:
    """One runbook, compiled."""

    runbook: Runbook
    digest: str
    compiled: Compiled
    clauses: tuple[Clause, ...]


class NoPolicyError(Exception):
    """There is no runbook in force yet: the role ``watch`` has not begun."""


class PolicyInForce:
    """Reads the copy again when its file changed. Safe from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path: Path = settings.data / inforce.FILE_NAME
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._policy: Policy | None = None

    def __call__(self) -> Policy:
        """The policy in force. Raises :class:`NoPolicyError`."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp or self._policy is None:
                self._stamp = stamp
                loaded = inforce.kept(self._settings)
                if loaded is not None:
                    runbook = loaded.runbook
                    compiled = compile_runbook(runbook, self._settings.url)
                    self._policy = Policy(runbook, loaded.digest, compiled, tuple(clauses(runbook)))
            if self._policy is None:
                raise NoPolicyError("no runbook is in force yet; the role watch is still starting")
            return self._policy

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


AskPolicy = Callable[[], Policy]
