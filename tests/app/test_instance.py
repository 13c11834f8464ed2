"""One ``serve`` per data directory and address; a lock that nobody holds any more is no obstacle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.conftest import replaced
from tests.app.serving import free_port
from watchkeeper.app.instance import FILE_NAME, PATIENCE_SECONDS, bind, check_address, sole_instance
from watchkeeper.app.settings import Settings, SettingsError
from watchkeeper.store.clock import SystemClock

HOLDER = """
import sys, time
from pathlib import Path
from watchkeeper.app.instance import sole_instance
from watchkeeper.store.clock import SystemClock
with sole_instance(Path(sys.argv[1]), SystemClock()):
    print("held", flush=True)
    time.sleep(60)
"""


class _Impatient(SystemClock):
    """What is waited for has passed at once."""

    waited = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.waited

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


def test_a_directory_that_another_process_holds_is_refused_by_its_number_until_that_is_killed(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        clock = _Impatient()
        with (
            pytest.raises(SettingsError, match=f"process {holder.pid}") as refused,
            sole_instance(tmp_path, clock),
        ):
            pass
        assert "--data" in str(refused.value)
        assert clock.waited >= PATIENCE_SECONDS, "one that is just ending is waited for"
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with sole_instance(tmp_path, SystemClock()):
        assert (tmp_path / FILE_NAME).read_text() == f"{os.getpid()}\n"
    with sole_instance(tmp_path, SystemClock()):
        pass


def test_a_lock_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match=r"serve\.lock cannot be opened: No such file or directory"),
        sole_instance(tmp_path / "gone", SystemClock()),
    ):
        pass


def test_an_address_that_is_taken_is_refused_and_one_that_was_let_go_of_is_not(settings: Settings) -> None:
    wanted = replaced(settings, port=free_port())
    taken = bind(wanted)
    with pytest.raises(SettingsError, match=f"127.0.0.1:{wanted.port}: Address already in use; --listen"):
        check_address(wanted, _Impatient())
    client = socket.create_connection(("127.0.0.1", wanted.port))
    taken.accept()[0].close()  # leaves the port in TIME_WAIT, as a server that ended does
    taken.close()
    client.close()
    check_address(wanted, SystemClock())


def test_an_address_that_is_not_ours_is_refused(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 203\.0\.113\.1"):
        check_address(replaced(settings, host="203.0.113.1"), _Impatient())
