"""The parent of a step's process: it ends the process, and all that came from it, whatever becomes of us.

Run as a program of its own (``python -I -S guard.py``), so it imports nothing of ours. Always true: when the
runner is gone (its end of the control pipe closes), when it is silent for longer than it still holds the run,
or when it says so, every process that descends from the step's is killed, in whatever group or session it
hides (tests/playbooks/providers/test_process.py).

Descriptor 0 is the control pipe, 1 and 2 are the command's own; the two arguments are the numbers of those
that take the report and give the command its input.
The first line of control is the command as JSON; then ``alive SECONDS`` and ``stop SECONDS``. The report is
one JSON line: ``{"exit": code}`` (negative: by that signal) or ``{"error": "..."}``.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CONTROL = 0
REPORT, INPUT = (int(word) for word in sys.argv[1:3])
_now = time.monotonic  # noqa: TID251 - a program of its own, that measures only how long it is left alone


def main() -> None:
    """Start the command, and stay until nothing of it is left."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.set_inheritable(REPORT, False)
    given, rest = _first_line()
    child = _start(libc, given)
    if child is None:
        return
    report = _watch(child, woken, rest, _now() + given["alive"])
    _end_everything()
    os.write(REPORT, json.dumps({"exit": report}).encode() + b"\n")


def _first_line() -> tuple[dict, bytes]:  # type: ignore[type-arg]
    received = b""
    while b"\n" not in received:
        more = os.read(CONTROL, 65536)
        if not more:
            os._exit(0)  # nobody is there to start anything for
        received += more
    line, _, rest = received.partition(b"\n")
    return json.loads(line), rest


def _start(libc: ctypes.CDLL, given: dict) -> int | None:  # type: ignore[type-arg]
    broken, breaks = os.pipe2(os.O_CLOEXEC)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(127)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(INPUT, 0)
            os.close(INPUT)
            if given["cwd"]:
                os.chdir(given["cwd"])
            os.execvpe(given["command"][0], given["command"], given["environment"])  # noqa: S606
        except OSError as error:
            os.write(breaks, f"{error.strerror}".encode())
        except ValueError as error:
            os.write(breaks, str(error).encode())
        finally:
            os._exit(127)
    os.close(breaks)
    os.close(INPUT)
    os.close(1)  # so that whoever reads sees the end when the command's processes are gone
    os.close(2)
    problem = b""
    while piece := os.read(broken, 4096):
        problem += piece
    os.close(broken)
    if problem:
        os.waitpid(child, 0)
        os.write(REPORT, json.dumps({"error": problem.decode(errors="replace")}).encode() + b"\n")
        return None
    return child


def _watch(child: int, woken: int, rest: bytes, alive_until: float) -> int:
    """The command's exit code, once it has ended by itself or was ended."""
    kill_at: float | None = None
    while True:
        code = _reaped(child)
        if code is not None:
            return code
        end = alive_until if kill_at is None else min(alive_until, kill_at)
        if _now() >= end:
            _signal_all(child, signal.SIGKILL)
            end = _now() + 0.2
        ready, _, _ = select.select([CONTROL, woken], [], [], max(0.0, end - _now()))
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
        if CONTROL in ready:
            more = os.read(CONTROL, 4096)
            if not more:  # the runner is gone
                alive_until = 0.0
                continue
            rest += more
        *lines, rest = rest.split(b"\n")
        for line in lines:
            word, _, seconds = line.partition(b" ")
            if word == b"alive":
                alive_until = _now() + float(seconds)
            elif word == b"stop" and kill_at is None:
                kill_at = _now() + float(seconds)
                _signal_all(child, signal.SIGTERM)


def _reaped(child: int) -> int | None:
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = os.waitstatus_to_exitcode(status)


def _signal_all(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number)
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _end_everything() -> None:
    """Kill what the command left behind; it comes to us, because we are its reaper."""
    end = _now() + 2.0
    while _now() < end:
        left = _descendants(os.getpid())
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select([], [], [], 0.005)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


if __name__ == "__main__":
    main()
