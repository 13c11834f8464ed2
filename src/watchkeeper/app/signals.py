"""What the signals of a role mean: SIGTERM and SIGINT end it, SIGHUP makes it read the runbook again.

Always true: a SIGHUP that comes while a role is still starting is not lost and does not end it. The
supervisor starts roles with the signal blocked, and it is delivered once the role can obey
(tests/app/test_supervisor.py).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

RELOAD = signal.SIGHUP
ENDS = (signal.SIGTERM, signal.SIGINT)


def obey(loop: asyncio.AbstractEventLoop, *, end: Callable[[], object], reload: Callable[[], object]) -> None:
    """From now on ``loop`` calls ``end`` and ``reload`` when this process is told to."""
    for number in ENDS:
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(RELOAD, reload)
    release_reload()


def ignore_reload() -> None:
    """For a role that has nothing to read again."""
    signal.signal(RELOAD, signal.SIG_IGN)
    release_reload()


def hold_reload() -> None:
    """Keep the signal until :func:`release_reload`: there is nobody yet who could obey it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (RELOAD,))


def release_reload() -> None:
    """Let the signal through, also one that came while it was held."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (RELOAD,))
