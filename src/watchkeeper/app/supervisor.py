"""Runs the roles, each in a process of its own, and starts again what ends.

Always true: a role never outlives its supervisor (the kernel kills it at once, hung or not; every role is
made to survive that), and a role that keeps dying, or cannot even be started, is started again ever more
slowly, at most every 30 s, never given up (tests/app/test_supervisor.py).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchkeeper.app import signals
from watchkeeper.store.clock import Clock

log = logging.getLogger(__name__)

ROLES = ("watch", "work", "web")
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a role that ran this long is healthy again
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _become_role(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent was gone before the kernel knew of our wish
        os._exit(1)
    signals.hold_reload()


@dataclass
class _Role:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start: float = 0.0
    delay: float = FIRST_DELAY_SECONDS


class Supervisor:
    """Keeps one process per role running until it is told to stop."""

    def __init__(self, commands: Mapping[str, Sequence[str]], clock: Clock) -> None:
        self._clock = clock
        self._roles = [_Role(name, command) for name, command in commands.items()]
        self._stopping = False

    def run(self) -> None:
        """Start every role and keep it running; returns once all have ended after SIGTERM or SIGINT."""
        previous = {
            number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signals.release_reload()
        try:
            while not self._stopping:
                self.tick()
                self._clock.sleep(0.2)
        finally:
            self.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def tick(self) -> None:
        """Start what is due; note what has ended."""
        now = self._clock.monotonic()
        for role in self._roles:
            if role.process is None:
                if now >= role.next_start:
                    self._start(role, now)
                continue
            code = role.process.poll()
            if code is None:
                continue
            role.process = None
            if now - role.started_at >= STEADY_SECONDS:
                role.delay = FIRST_DELAY_SECONDS
            self._again(role, now, f"ended ({describe_exit(code)})")

    def stop(self) -> None:
        """End every role: politely first, by force after 10 s."""
        running = [role.process for role in self._roles if role.process is not None]
        for process in running:
            process.terminate()
        deadline = self._clock.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - self._clock.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for role in self._roles:
            role.process = None

    def pids(self) -> dict[str, int]:
        """The process id of each role that runs."""
        return {role.name: role.process.pid for role in self._roles if role.process is not None}

    def _start(self, role: _Role, now: float) -> None:
        parent = os.getpid()
        role.started_at = now
        try:
            role.process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                role.command,
                stdin=subprocess.DEVNULL,
                # Runs between fork and exec: only system calls, so no lock of another thread is needed.
                preexec_fn=lambda: _become_role(parent),
            )
        except (OSError, subprocess.SubprocessError) as error:  # no memory or no process left: it passes
            self._again(role, now, f"could not be started ({error})")

    @staticmethod
    def _again(role: _Role, now: float, what: str) -> None:
        log.error("the role %s %s; it is started again in %.1f s", role.name, what, role.delay)
        role.next_start = now + role.delay
        role.delay = min(role.delay * 2, LONGEST_DELAY_SECONDS)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _reload(self, *_: object) -> None:
        for role in self._roles:
            if role.process is not None:
                role.process.send_signal(signals.RELOAD)


def role_command(role: str, arguments: Sequence[str]) -> list[str]:
    """The command that runs ``role`` with this interpreter."""
    return [sys.executable, "-m", "watchkeeper.cli.main", "role", role, *arguments]


def describe_exit(code: int) -> str:
    """An exit status in words: ``exit code 1`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
