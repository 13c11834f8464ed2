"""However the demo ends, it leaves no process, no directory and no socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.running import Demo, cli, eventually, needs_packages, parents

pytestmark = [needs_packages(), pytest.mark.timeout(120)]


@pytest.fixture
def demo() -> Iterator[Demo]:
    running = Demo()
    try:
        yield running
    finally:
        running.close()


def leftovers(demo: Demo, pids: set[int], sockets: list[Path]) -> list[str]:
    alive = parents().keys() & pids
    paths = [path for path in (demo.directory, *sockets) if path.exists()]
    return [*(f"process {pid}" for pid in alive), *(str(path) for path in paths)]


def sockets_of(demo: Demo) -> list[Path]:
    ports = {str(port) for cluster in demo.settings.clusters for port in cluster.grpc}
    return [path for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stem.rpartition("-")[2] in ports]


def test_nothing_is_left_after_ctrl_c_nor_after_kill_9(demo: Demo) -> None:
    """Two demos side by side, one for each end: neither takes anything of the other with it."""
    killed = Demo()
    try:
        for each in (demo, killed):
            each.wait_ready()
            for fault in ("database", "latency", "jobs"):  # what is held open must not hold the end up
                each.ask("POST", "/break", {"name": fault})
        traces = {each: (each.family_pids(), sockets_of(each)) for each in (demo, killed)}
        for pids, sockets in traces.values():
            assert len(pids) >= 15
            assert len(sockets) == 8

        killed.process.kill()
        killed.process.wait(5)
        eventually(
            lambda: not leftovers(killed, *traces[killed]), 15, lambda: leftovers(killed, *traces[killed])
        )
        assert len(leftovers(demo, *traces[demo])) == len(traces[demo][0]) + len(traces[demo][1]) + 1

        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(15) == 0
        eventually(lambda: not leftovers(demo, *traces[demo]), 1, lambda: leftovers(demo, *traces[demo]))
        assert demo.said().rstrip().endswith("stopped; nothing is left")
    finally:
        killed.close()


def test_nothing_is_left_when_it_is_interrupted_while_it_starts(demo: Demo) -> None:
    eventually(lambda: "answers on port" in demo.said() or "is up on port" in demo.said(), 30, demo.said)
    pids = demo.family_pids()
    assert len(pids) > 3
    demo.process.send_signal(signal.SIGTERM)
    demo.process.wait(20)
    eventually(lambda: not leftovers(demo, pids, []), 10, lambda: leftovers(demo, pids, []))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_directory_that_the_database_cannot_reach_is_refused_and_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    refused = cli("start", "--platform-only", directory=tmp_path / "demo")
    assert refused.returncode == 1
    assert f"cannot enter {tmp_path}" in refused.stderr
    assert not (tmp_path / "demo").exists()


def test_a_taken_address_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = f"127.0.0.1:{server.getsockname()[1]}"
        refused = cli("start", "--no-top", "--listen", listen, directory=tmp_path / "demo")
    assert refused.returncode == 1
    assert f"cannot listen on {listen}" in refused.stderr
    assert not (tmp_path / "demo").exists()


def test_without_a_demo_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    for command in (["break", "api"], ["mend"], ["status"]):
        answer: subprocess.CompletedProcess[str] = cli(*command, directory=tmp_path / "none")
        assert answer.returncode == 1
        assert "watchkeeper demo start" in answer.stderr
        assert "Traceback" not in answer.stderr
