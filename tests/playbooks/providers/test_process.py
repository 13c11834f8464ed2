"""Programs: what they are given, what they say, and that nothing of them is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.providers.contexts import context
from watchkeeper.playbooks.ports import StepFailed
from watchkeeper.playbooks.providers.process import RunProcess


def _python(code: str, *words: str, **more: Any) -> dict[str, Any]:
    return {"command": [sys.executable, "-c", code, *words], **more}


FAMILY = """
import os, subprocess, sys, time
# A child in a session of its own, which ignores SIGTERM and has a child itself.
child = subprocess.Popen([sys.executable, "-c", '''
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
open(sys.argv[1] + "/grandchild", "w").write(str(grandchild.pid))
open(sys.argv[1] + "/child", "w").write(str(os.getpid()))
time.sleep(300)
''', sys.argv[1]], start_new_session=True)
while not os.path.exists(sys.argv[1] + "/child"): time.sleep(0.01)
open(sys.argv[1] + "/parent", "w").write(str(os.getpid()))
"""


def _family(directory: Path) -> list[int]:
    deadline = time.monotonic() + 10
    while not (directory / "parent").exists() or not (directory / "parent").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int((directory / name).read_text()) for name in ("parent", "child", "grandchild")]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def _gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(_lives(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_its_output_and_the_json_in_it_are_the_outputs() -> None:
    outcome = RunProcess().run(context(_python("import json; print(json.dumps({'lag': 3}))")))
    assert (outcome.outputs["lag"], outcome.outputs["exit_code"]) == (3, 0)
    assert outcome.outputs["stdout"] == '{"lag": 3}\n'
    outcome = RunProcess().run(context(_python("print('two pods'); print('more')")))
    assert outcome.summary == "two pods"


def test_an_exit_code_other_than_zero_fails_unless_it_is_expected() -> None:
    code = "import sys; print('no such pod', file=sys.stderr); sys.exit(3)"
    with pytest.raises(StepFailed, match="ended with exit code 3: no such pod") as caught:
        RunProcess().run(context(_python(code)))
    assert caught.value.outputs["exit_code"] == 3
    assert caught.value.unsure  # it may have done half of it
    assert RunProcess().run(context(_python(code), expect={"exit_code": 3})).outputs["exit_code"] == 3


def test_there_is_no_shell_and_what_is_not_there_is_said() -> None:
    outcome = RunProcess().run(context({"command": ["echo", "$HOME; *", 3]}))
    assert outcome.outputs["stdout"] == "$HOME; * 3\n"
    for wrong in ("echo hello", [], [None], None):
        with pytest.raises(StepFailed, match="a list of words"):
            RunProcess().run(context({"command": wrong}))
    with pytest.raises(StepFailed, match="cannot be started: No such file or directory"):
        RunProcess().run(context({"command": ["/no/such/program"]}))
    with pytest.raises(StepFailed, match="unknown key 'comand'"):
        RunProcess().run(context({"comand": ["true"]}))


def test_it_sees_little_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "hunter2")
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    with_ = _python("import os, json; print(json.dumps(dict(os.environ)))", inherit=["KUBECONFIG"])
    seen = RunProcess().run(context({**with_, "environment": {"PGPASSWORD": "p"}})).outputs
    assert "SECRET_OF_OURS" not in seen
    assert (seen["KUBECONFIG"], seen["PGPASSWORD"]) == ("/etc/kube", "p")
    assert (seen["WATCHKEEPER_RUN"], seen["WATCHKEEPER_IDEMPOTENCY_KEY"]) == ("r1", "r1/s")


def test_it_is_given_standard_input_a_directory_and_no_other_descriptor(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdin.read(), os.getcwd(), sorted(os.listdir('/proc/self/fd')))"
    outcome = RunProcess().run(context(_python(code, stdin="hello"), folder=tmp_path))
    assert outcome.outputs["stdout"] == f"hello {tmp_path} ['0', '1', '2', '3']\n"  # 3 reads the directory


def test_a_flood_of_output_is_kept_within_bounds() -> None:
    outcome = RunProcess().run(context(_python("print('x' * 30_000_000); print('the end')")))
    assert len(outcome.outputs["stdout"]) < 200_000
    assert outcome.outputs["stdout"].endswith("the end\n")


@pytest.mark.parametrize("ending", ["", "time.sleep(300)"])
def test_at_its_end_and_at_the_time_out_nothing_of_it_is_left(tmp_path: Path, ending: str) -> None:
    with_ = _python(FAMILY + ending, str(tmp_path), grace="200ms")
    if ending:
        with pytest.raises(StepFailed, match="did not end within 2 s") as caught:
            RunProcess().run(context(with_, timeout=2))
        assert caught.value.unsure
    else:
        RunProcess().run(context(with_))
    assert _gone_within(_family(tmp_path), 1)


def test_a_program_may_tidy_up_when_it_is_told_to_end() -> None:
    code = """
import signal, sys, time
def end(*_): print("tidied", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True); time.sleep(300)
"""
    with pytest.raises(StepFailed) as caught:
        RunProcess().run(context(_python(code), timeout=1))
    assert caught.value.outputs["stdout"] == "up\ntidied\n"


def test_a_step_that_is_stopped_ends_its_program_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StepFailed, match="it was stopped"):
        RunProcess().run(
            context(_python(FAMILY + "time.sleep(300)", str(tmp_path), grace="200ms"), stop=stop)
        )
    assert time.monotonic() - began < 4
    assert _gone_within(_family(tmp_path), 1)


WORKER = """
import sys
from tests.playbooks.providers.contexts import context
from watchkeeper.playbooks.providers.process import RunProcess
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
RunProcess().run(context({"command": command}, lease=float(sys.argv[3])))
"""


def _worker(directory: Path, lease: float) -> subprocess.Popen[bytes]:
    code = FAMILY + "time.sleep(300)"
    return subprocess.Popen([sys.executable, "-c", WORKER, code, str(directory), str(lease)])


def test_when_the_runner_is_killed_so_is_all_that_it_had_started(tmp_path: Path) -> None:
    worker = _worker(tmp_path, 20)
    family = _family(tmp_path)
    worker.kill()
    worker.wait()
    assert _gone_within(family, 1)


def test_when_the_runner_hangs_its_program_does_not_outlive_the_lease(tmp_path: Path) -> None:
    worker = _worker(tmp_path, 4)
    family = _family(tmp_path)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        assert _gone_within(family, 4)
    finally:
        worker.kill()
        worker.wait()


def test_a_check_says_by_its_exit_code_whether_it_happened() -> None:
    found = [
        RunProcess().check(context({"command": ["true"], "check": ["sh", "-c", f"exit {code}"]}))[0]
        for code in (0, 1, 2)
    ]
    assert found == ["happened", "did not happen", "unknown"]
    assert RunProcess().check(context({"command": ["true"]})) == ("unknown", "the step has no `check`")
