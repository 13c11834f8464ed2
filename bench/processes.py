"""Child processes of a bench: started, measured through /proc, and always ended, by their own process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process has used. Memory in bytes: resident now, and the most it ever was."""

    cpu_seconds: float
    resident: int
    peak: int


class Child:
    """A process of the bench. Use as a context manager: it is ended when the bench leaves it, however."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=env
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not within ten seconds."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def usage(self) -> Usage:
        """What it has used so far, all its threads together. Raises RuntimeError if it has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(
                f"a process of the bench ended by itself (status {self._process.returncode}):\n{tail}"
            )
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
            if ":" in line
        )
        return Usage(
            (int(fields[11]) + int(fields[12])) / _TICKS,
            int(status["VmRSS"].split()[0]) * 1024,
            int(status["VmHWM"].split()[0]) * 1024,
        )

    def reset_peak(self) -> None:
        """Count the peak of memory from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for_http(url: str, child: Child, seconds: float = 30) -> None:
    """Wait until ``url`` answers 200. Raises RuntimeError if ``child`` ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        child.usage()
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.05)
    raise RuntimeError(
        f"{url} did not answer within {seconds:.0f} s:\n{child.log.read_text(errors='replace')[-2000:]}"
    )
