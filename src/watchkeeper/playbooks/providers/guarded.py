"""Starting a program under the guard, reading what it prints, and ending it in time.

Always true: a program that was started here does not outlive its time-out, the run's lease or this process,
and nothing that it started does either (tests/playbooks/providers/test_process.py). See
:mod:`watchkeeper.playbooks.providers.guard`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchkeeper.playbooks.ports import Context, StepFailed

GUARD = Path(__file__).with_name("guard.py")
PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""All that a program gets of our own environment without being asked for."""
MARGIN_SECONDS = 2.0
"""So much before the lease is over the program is dead."""
_LONGEST = 512 << 10
_EDGE = 64 << 10
_TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. ``code`` is negative for a signal; ``why``: it was ended by us, and why."""

    code: int
    stdout: str
    stderr: str
    cut: bool
    why: str | None = None


@dataclass(slots=True)
class _Kept:
    """What a program printed: all of it, or its beginning and its end."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    cut: bool = False

    def add(self, piece: bytes) -> None:
        if not self.cut and len(self.head) + len(piece) <= _LONGEST:
            self.head += piece
            return
        if not self.cut:
            self.cut = True
            self.tail = self.head[_EDGE:]
            self.head = self.head[:_EDGE]
        self.tail += piece
        del self.tail[: max(0, len(self.tail) - _EDGE)]

    def text(self) -> str:
        middle = b"\n[...]\n" if self.cut else b""
        return (bytes(self.head) + middle + bytes(self.tail)).decode(errors="replace")


def environment(context: Context, more: Mapping[str, str], inherit: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a step's program: little of ours, the run's names, and ``more``."""
    base = {name: os.environ[name] for name in (*PASSED_ON, *inherit) if name in os.environ}
    about = {
        "WATCHKEEPER_RUN": context.run,
        "WATCHKEEPER_STEP": context.step,
        "WATCHKEEPER_IDEMPOTENCY_KEY": context.key,
    }
    return {**base, **about, **more}


def run(
    context: Context,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    grace_seconds: float = 5.0,
) -> Ended:
    """Run ``command`` to its end, or end it. Raises :class:`StepFailed` where it cannot be started."""
    control, ours = os.pipe2(os.O_CLOEXEC)
    report, theirs = os.pipe2(os.O_CLOEXEC)
    given = os.memfd_create("stdin", os.MFD_CLOEXEC)
    process = None
    try:
        with open(given, "wb", closefd=False) as file:
            file.write(stdin)
        os.lseek(given, 0, os.SEEK_SET)
        process = _launch(control, theirs, given)
        for done in (control, theirs, given):
            os.close(done)
        control = theirs = given = -1
        document = {
            "command": list(command),
            "environment": dict(environ),
            "cwd": str(cwd) if cwd else "",
            "alive": _left(context),
        }
        return _follow(context, process, ours, report, json.dumps(document).encode() + b"\n", grace_seconds)
    finally:
        for one in (control, theirs, given, ours, report):
            if one >= 0:
                os.close(one)
        if process is not None:
            _reap(process)


def _launch(control: int, theirs: int, given: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", str(GUARD), str(theirs), str(given)],
            stdin=control,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs, given),
            env={},
            start_new_session=True,
        )
    except OSError as error:
        raise StepFailed(f"no process can be started: {error.strerror}") from None


def _follow(
    context: Context,
    process: subprocess.Popen[bytes],
    ours: int,
    report: int,
    document: bytes,
    grace_seconds: float,
) -> Ended:
    """Read what it prints until it has ended; say now and then that somebody is there."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err, said = _Kept(), _Kept(), bytearray()
    streams = {process.stdout.fileno(): out, process.stderr.fileno(): err}
    why: str | None = None
    give_up: float | None = None
    with selectors.DefaultSelector() as selector:
        for number in (*streams, report):
            os.set_blocking(number, False)
            selector.register(number, selectors.EVENT_READ)
        _tell(ours, document)
        told = context.clock.monotonic()
        while selector.get_map():
            now = context.clock.monotonic()
            if why is None and (why := _reason_to_stop(context)) is not None:
                _tell(ours, b"stop %f\n" % grace_seconds)
                give_up = now + grace_seconds + 5.0
            if give_up is not None and now > give_up:
                break
            if now - told >= 1.0:
                _tell(ours, b"alive %f\n" % _left(context))
                told = now
            for key, _ in selector.select(_TICK_SECONDS):
                piece = os.read(key.fd, 65536)
                if not piece:
                    selector.unregister(key.fd)
                elif key.fd == report:
                    said += piece
                else:
                    streams[key.fd].add(piece)
    found = json.loads(said) if said.endswith(b"\n") else {"exit": -signal.SIGKILL}
    if "error" in found:
        raise StepFailed(f"it cannot be started: {found['error']}")
    return Ended(int(found["exit"]), out.text(), err.text(), out.cut or err.cut, why)


def _reason_to_stop(context: Context) -> str | None:
    if context.remaining() <= 0:
        return (
            f"it did not end within {context.timeout_seconds:g} s, and was ended with all that it had started"
        )
    if context.cancelled:
        return "it was stopped, because the run was aborted or is not this process' any more"
    return None


def _left(context: Context) -> float:
    return max(0.0, context.lease_left() - MARGIN_SECONDS)


def _tell(control: int, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has ended; the report says how
        os.write(control, line)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """The guard ends by itself when the control pipe is closed; where it hangs, it is killed."""
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
