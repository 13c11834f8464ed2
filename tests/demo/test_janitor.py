"""The janitor ends and removes what it was told of, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.demo.running import eventually
from watchkeeper.demo import janitor
from watchkeeper.demo.janitor import start_time


def sleeper() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    return subprocess.Popen(command, process_group=0)


def run(*lines: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    command = [sys.executable, "-I", "-S", janitor.__file__]
    subprocess.run(command, input=text.encode(), timeout=20, check=True)


def test_groups_end_and_files_and_directories_go(tmp_path: Path) -> None:
    child = sleeper()
    (tmp_path / "demo" / "deep").mkdir(parents=True)
    (tmp_path / "demo" / "deep" / "file").touch()
    (tmp_path / "socket").touch()
    eventually(lambda: bool(start_time(child.pid)), 5)
    run(
        f"group {child.pid} {start_time(child.pid)}",
        f"file {tmp_path / 'socket'}",
        f"directory {tmp_path / 'demo'}",
        f"directory {tmp_path / 'never-made'}",
    )
    assert child.wait(5) != 0
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_was_given_to_a_stranger_is_not_killed() -> None:
    stranger = sleeper()
    try:
        eventually(lambda: bool(start_time(stranger.pid)), 5)
        run(f"group {stranger.pid} 1")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_group_outlives_its_leader_and_still_ends() -> None:
    script = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']).pid)"
    )
    leader = subprocess.Popen([sys.executable, "-S", "-c", script], process_group=0, stdout=subprocess.PIPE)
    assert leader.stdout is not None
    orphan = int(leader.stdout.readline())
    began = start_time(leader.pid)
    leader.wait(5)
    leader.stdout.close()
    run(f"group {leader.pid} {began or 1}")
    eventually(lambda: not start_time(orphan), 5)
