"""Child processes: each in a process group of its own, ended by the kernel if this process ends first.

Every group is told to the janitor before anything else happens, so no way of ending leaves one behind
(``tests/demo/test_leaves_nothing.py``). Children are started from the main thread only: the kernel ties a
child's life to the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.janitor import start_time
from watchkeeper.store.clock import Clock

logger = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PORTS = (20000, 32000)
"""Below the range from which the kernel takes ports for outgoing connections, so none is taken meanwhile."""
_BLOCK = 100
_reservations: list[socket.socket] = []


@dataclass(frozen=True)
class Program:
    """How to start one child.

    ``stop_signal`` asks it to end; ``orphan_signal`` is what it gets when the demo dies. ``interactive``
    children keep the terminal's process group.
    """

    name: str
    command: tuple[str, ...]
    log: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    patience_seconds: float = 5.0
    interactive: bool = False


class Child:
    """A running program."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self.process = process

    @property
    def name(self) -> str:
        """What people call it."""
        return self.program.name

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def stop(self) -> None:
        """Ask it to end; kill its whole group when it does not, or when it left something."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.program.stop_signal)
            try:
                async with asyncio.timeout(self.program.patience_seconds):
                    await self.process.wait()
            except TimeoutError:
                logger.warning(
                    "%s did not end within %s s and is killed", self.name, self.program.patience_seconds
                )
        if not self.program.interactive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        elif self.running:
            self.process.kill()
        await self.process.wait()

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        return tail(self.program.log) if self.program.log else ""


class Janitor:
    """The process that cleans up after this one; see :mod:`watchkeeper.demo.janitor`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file, no input
            [sys.executable, "-I", "-S", "-B", str(_HERE / "janitor.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Name a group, file or directory that must not outlive this process."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(line + "\n")
            pipe.flush()
        except BrokenPipeError:
            raise DemoError(
                "The demo's cleaner process was ended from outside, so nothing more is started: it could be "
                "left behind. Stop the demo (Ctrl-C) and start it again."
            ) from None

    async def finish(self) -> None:
        """Let it clean up, and wait until it has."""
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
        await asyncio.to_thread(self._process.wait, 20)


async def spawn(program: Program, janitor: Janitor) -> Child:
    """Start ``program``. Raises :class:`DemoError` when it cannot be started at all."""
    assert threading.current_thread() is threading.main_thread()
    output = open(program.log, "ab") if program.log else None  # noqa: SIM115 - closed below
    try:
        process = await asyncio.create_subprocess_exec(
            *launcher(program),
            stdin=None if program.interactive else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env={**os.environ, **program.environment},
            cwd="/" if program.user else None,
            process_group=None if program.interactive else 0,
        )
    except OSError as error:
        raise DemoError(f"{program.name} cannot be started: {error}") from error
    finally:
        if output:
            output.close()
    if not program.interactive:
        janitor.tell(f"group {process.pid} {start_time(process.pid)}")
    return Child(program, process)


def launcher(program: Program) -> list[str]:
    """The command line that becomes ``program``."""
    return [
        sys.executable,
        "-I",
        "-S",
        "-B",
        str(_HERE / "launch.py"),
        str(os.getpid()),
        str(int(program.orphan_signal)),
        program.user or "-",
        *program.command,
    ]


async def wait_ready(
    what: str, probe: Callable[[], Awaitable[bool]], child: Child | None, clock: Clock, within_seconds: float
) -> None:
    """Wait until ``probe`` says yes. Raises :class:`DemoError` with the end of the log when it does not."""
    deadline = clock.monotonic() + within_seconds
    while not await probe():
        if child is not None and not child.running:
            raise DemoError(
                f"{what} ended at its start with code {child.process.returncode}. "
                f"The end of its log:\n{child.last_words()}"
            )
        if clock.monotonic() > deadline:
            words = f" The end of its log:\n{child.last_words()}" if child else ""
            raise DemoError(f"{what} is not ready after {within_seconds:.0f} s.{words}")
        await clock.wait(0.05)


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nothing listens now, and which no other demo is given while this
    process lives: between choosing a port and listening on it a demo needs seconds."""
    starts = list(range(*_PORTS, _BLOCK))
    SystemRandom().shuffle(starts)
    for start in starts:
        if (reservation := _reserved(start)) is None:
            continue
        ports = [port for port in range(start, min(start + _BLOCK, _PORTS[1])) if _is_free(port)]
        if len(ports) >= count:
            _reservations.append(reservation)
            return ports[:count]
        reservation.close()
    raise DemoError(f"There are not {count} free ports together between {_PORTS[0]} and {_PORTS[1]}.")


def _reserved(start: int) -> socket.socket | None:
    """The block of ports from ``start``, ours until the socket is closed; None where another process has it.

    A name in Linux' abstract namespace: it belongs to the network, as ports do, and ends with the process.
    """
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        reservation.bind(f"\0watchkeeper-demo-ports-{start}")
    except OSError:
        reservation.close()
        return None
    return reservation


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a text file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return "".join(deque(file, lines)).rstrip()
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
