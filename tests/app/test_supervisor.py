"""Roles are started again when they end, more slowly when they keep ending, and die with their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from watchkeeper.app.supervisor import Supervisor, describe_exit
from watchkeeper.store.clock import SystemClock

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
FAILING = [sys.executable, "-c", "raise SystemExit(3)"]


class _FastClock(SystemClock):
    """Real waiting, but the supervisor's seconds pass by themselves."""

    offset = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.offset


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return stat.split()[0] != "Z"


def _gone(supervisor: Supervisor, role: str) -> bool:
    supervisor.tick()
    return role not in supervisor.pids()


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_a_killed_role_is_started_again() -> None:
    clock = _FastClock()
    supervisor = Supervisor({"watch": SLEEPER, "web": SLEEPER}, clock)
    try:
        supervisor.tick()
        first = supervisor.pids()
        os.kill(first["watch"], signal.SIGKILL)
        _until(lambda: _gone(supervisor, "watch"))
        supervisor.tick()
        assert "watch" not in supervisor.pids(), "not before its delay"
        clock.offset += 1
        supervisor.tick()
        second = supervisor.pids()
        assert second["web"] == first["web"]
        assert second["watch"] != first["watch"]
    finally:
        supervisor.stop()
    assert not any(map(_alive, {*first.values(), *second.values()}))


def test_a_role_that_keeps_dying_is_started_ever_more_slowly() -> None:
    clock = _FastClock()
    supervisor = Supervisor({"watch": FAILING}, clock)
    delays = []
    for _ in range(9):
        supervisor.tick()
        assert supervisor.pids(), "due, so started"
        _until(lambda: _gone(supervisor, "watch"))
        delay = 0.0
        while not supervisor.pids():
            clock.offset += 0.25
            delay += 0.25
            supervisor.tick()
        delays.append(delay)
        _until(lambda: _gone(supervisor, "watch"))
        clock.offset += 31
    assert delays[0] <= 1
    assert delays == sorted(delays)
    assert 29 <= delays[-1] <= 31


def test_roles_die_with_a_killed_supervisor() -> None:
    program = textwrap.dedent(
        """
        import sys
        from watchkeeper.app.supervisor import Supervisor
        from watchkeeper.store.clock import SystemClock
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        supervisor = Supervisor({"watch": sleeper}, SystemClock())
        supervisor.tick()
        print(supervisor.pids()["watch"], flush=True)
        supervisor.run()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _until(lambda: not _alive(child))


def test_sigterm_ends_every_role_and_returns() -> None:
    program = textwrap.dedent(
        """
        import sys
        from watchkeeper.app.supervisor import Supervisor
        from watchkeeper.store.clock import SystemClock
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(60)"
        supervisor = Supervisor({"watch": [sys.executable, "-c", stubborn]}, SystemClock())
        supervisor.tick()
        print(supervisor.pids()["watch"], flush=True)
        supervisor.run()
        print("done", flush=True)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.terminate()
    assert parent.wait(15) == 0
    assert parent.stdout.read().strip() == "done"
    parent.stdout.close()
    assert not _alive(child)


def test_exit_statuses_are_said_in_words() -> None:
    assert describe_exit(1) == "exit code 1"
    assert describe_exit(-9) == "killed by SIGKILL"


def test_a_role_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = _FastClock()
    supervisor = Supervisor({"watch": ["/no/such/interpreter"], "web": SLEEPER}, clock)
    try:
        supervisor.tick()
        assert list(supervisor.pids()) == ["web"]
        assert "the role watch could not be started" in caplog.text
        supervisor.tick()
        assert caplog.text.count("could not be started") == 1
        clock.offset += 1
        supervisor.tick()
        assert caplog.text.count("could not be started") == 2
    finally:
        supervisor.stop()


def test_a_reload_reaches_a_role_that_was_still_starting_and_does_not_end_it() -> None:
    starting = textwrap.dedent(
        """
        import asyncio, time
        from watchkeeper.app import signals
        print("starting", flush=True)
        time.sleep(1)  # the signal comes now, and its handler is not there yet
        async def main():
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            signals.obey(loop, end=ended.set, reload=lambda: print("reloaded", flush=True))
            await asyncio.wait_for(ended.wait(), 20)
        asyncio.run(main())
        """
    )
    program = textwrap.dedent(
        f"""
        import sys
        from watchkeeper.app.supervisor import Supervisor
        from watchkeeper.store.clock import SystemClock
        Supervisor({{"watch": [sys.executable, "-c", {starting!r}]}}, SystemClock()).run()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        assert parent.stdout.readline() == "starting\n"
        parent.send_signal(signal.SIGHUP)
        assert parent.stdout.readline() == "reloaded\n"
        parent.terminate()
        assert parent.wait(10) == 0
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_role_that_hangs_does_not_outlive_a_killed_supervisor() -> None:
    deaf = textwrap.dedent(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(60)
        """
    )
    program = textwrap.dedent(
        f"""
        import sys
        from watchkeeper.app.supervisor import Supervisor
        from watchkeeper.store.clock import SystemClock
        supervisor = Supervisor({{"watch": [sys.executable, "-c", {deaf!r}]}}, SystemClock())
        supervisor.tick()
        print(supervisor.pids()["watch"], flush=True)
        supervisor.run()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    (child,) = (int(line) for line in lines if line != "deaf")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _until(lambda: not _alive(child))
