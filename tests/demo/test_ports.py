"""The demo's ports: two demos that start at the same moment are never given the same ones."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from watchkeeper.demo import children
from watchkeeper.demo.errors import DemoError

OTHER = """
import sys
from watchkeeper.demo import children
children._PORTS = (18000, 18200)
print(*children.free_ports(27), flush=True)
sys.stdin.read()
"""


def test_a_block_of_ports_is_one_processes_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_PORTS", (18000, 18200))
    monkeypatch.setattr(children, "_reservations", [])
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = set(map(int, other.stdout.readline().split()))
        ours = set(children.free_ports(27))
        assert len(theirs) == len(ours) == 27
        assert not theirs & ours
        with pytest.raises(DemoError, match="not 27 free ports"):
            children.free_ports(27)
        other.kill()
        other.wait(10)
        assert len(children.free_ports(27)) == 27
    for reservation in children._reservations:
        reservation.close()


def test_a_port_on_which_somebody_listens_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_PORTS", (18300, 18400))
    monkeypatch.setattr(children, "_reservations", [])
    with socket.create_server(("127.0.0.1", 18303)):
        assert 18303 not in children.free_ports(27)
    for reservation in children._reservations:
        reservation.close()
