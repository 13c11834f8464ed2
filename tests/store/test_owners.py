"""Names of processes, and knowing when one is gone."""

from __future__ import annotations

import subprocess
import sys

from watchkeeper.store.owners import is_gone, this_process

PROGRAM = """
import sys
from watchkeeper.store.owners import this_process
print(this_process(), flush=True)
sys.stdin.read()
"""


def test_a_running_process_is_not_gone_and_an_ended_one_is() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert name != this_process()
        assert not is_gone(name)
        child.kill()
        child.wait(10)
        assert is_gone(name)


def test_this_process_is_not_gone() -> None:
    assert not is_gone(this_process())
    assert this_process() == this_process()


def test_a_process_with_a_reused_number_is_another_process() -> None:
    head, _, started = this_process().rpartition("/")
    assert is_gone(f"{head}/{int(started) + 1}")


def test_a_process_from_before_the_last_boot_is_gone() -> None:
    host, _, rest = this_process().partition("/")
    _, _, rest = rest.partition("/")
    assert is_gone(f"{host}/00000000-0000-0000-0000-000000000000/{rest}")


def test_of_another_machine_container_or_format_nothing_is_known() -> None:
    _, _, rest = this_process().partition("/")
    assert not is_gone(f"elsewhere/{rest}")
    host, boot, _, pid, started = this_process().split("/")
    assert not is_gone(f"{host}/{boot}/[1]/{pid}/{int(started) + 1}")
    assert not is_gone("somebody")
