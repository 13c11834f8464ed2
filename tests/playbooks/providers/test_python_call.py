"""Functions of packages, called in a process of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.playbooks.providers.contexts import context
from watchkeeper.playbooks.ports import StepFailed
from watchkeeper.playbooks.providers.python_call import PythonCall

MODULE = """
import os, time
def add(a, b): print("adding"); return {"sum": a + b, "pid": os.getpid()}
def word(): return "x"
def breaks(): raise ValueError("no such thing")
def leaves(): os._exit(3)
def hangs(): time.sleep(300)
def odd(): return object()
class C:
    @staticmethod
    def f(): return 1
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_steps.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_what_it_returns_is_the_outputs() -> None:
    outputs = PythonCall().run(context({"call": "my_steps:add", "args": {"a": 1, "b": 2}})).outputs
    assert (outputs["sum"], outputs["stdout"]) == (3, "adding\n")
    assert outputs["pid"] != os.getpid()
    assert PythonCall().run(context({"call": "my_steps:word"})).outputs == {"result": "x"}
    assert PythonCall().run(context({"call": "my_steps:C.f"})).outputs == {"result": 1}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("my_steps:breaks", "my_steps:breaks failed: ValueError: no such thing"),
        ("my_steps:leaves", "my_steps:leaves failed: exit code 3"),
        ("my_steps:odd", "failed: TypeError: Object of type object is not JSON"),
        ("my_steps:nope", "failed: AttributeError"),
        ("no_such_module:f", "failed: ModuleNotFoundError: No module named 'no_such_module'"),
        ("my_steps", r"write package.module:function"),
        ("my_steps:f(); import os", r"write package.module:function"),
    ],
)
def test_what_goes_wrong_is_said(call: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        PythonCall().run(context({"call": call}))


def test_one_that_hangs_is_ended() -> None:
    with pytest.raises(StepFailed, match="did not end within 1 s"):
        PythonCall().run(context({"call": "my_steps:hangs"}, timeout=1))
