"""A context for a provider that is called without a runner."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.playbooks.support import START
from watchkeeper.playbooks.ports import Context
from watchkeeper.store.clock import SystemClock


def context(
    with_: Mapping[str, Any],
    *,
    timeout: float = 20.0,
    expect: Mapping[str, Any] | None = None,
    stop: threading.Event | None = None,
    lease: float = 15.0,
    folder: Path | None = None,
) -> Context:
    """What the runner would give for ``with_``."""
    clock = SystemClock()
    stopping = stop or threading.Event()
    return Context(
        run="r1",
        playbook="book",
        step="s",
        subject="incident:1",
        inputs={},
        started_at=START,
        with_=with_,
        expect=expect,
        key="r1/s",
        attempt=1,
        timeout_seconds=timeout,
        folder=folder or Path("/"),
        clock=clock,
        deadline=clock.monotonic() + timeout,
        stopped=stopping.is_set,
        lease_left=lambda: lease,
    )
