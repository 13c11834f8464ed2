"""``python.call``: a function of an installed package, in a process of its own.

Always true: the function cannot hang, crash or change this process; what it returns is plain JSON or the step
fails (tests/playbooks/providers/test_python_call.py).
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from watchkeeper.playbooks.ports import Context, Outcome, StepFailed
from watchkeeper.playbooks.providers import guarded

KEYS = ("call", "args", "environment", "inherit")
CHILD = Path(__file__).with_name("call_child.py")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class PythonCall:
    """Carries out ``python.call``."""

    def run(self, context: Context) -> Outcome:
        """Call ``call`` (``module:function``) with ``args``; a mapping that it returns is the outputs."""
        context.only(*KEYS)
        target = context.text("call")
        if not _TARGET.fullmatch(target):
            raise StepFailed(f"call of `with` is {target!r}; write package.module:function")
        args = context.with_.get("args", {})
        if not isinstance(args, dict):
            raise StepFailed("args of `with` maps the names of arguments to values")
        more = context.with_.get("environment", {})
        inherit = context.with_.get("inherit", [])
        if not isinstance(more, dict) or not isinstance(inherit, list):
            raise StepFailed("environment of `with` is a mapping, inherit a list of names")
        with tempfile.TemporaryDirectory(prefix="watchkeeper-call-") as directory:
            result = Path(directory) / "result.json"
            ended = guarded.run(
                context,
                [sys.executable, "-P", str(CHILD), target, str(result)],
                guarded.environment(
                    context,
                    {str(name): str(value) for name, value in more.items()},
                    ["PYTHONPATH", *(str(name) for name in inherit)],
                ),
                cwd=context.folder,
                stdin=json.dumps(args).encode(),
            )
            printed = {"stdout": ended.stdout, "stderr": ended.stderr}
            if ended.why is not None:
                raise StepFailed(f"{target}: {ended.why}", printed, unsure=True)
            if ended.code != 0:
                lines = ended.stderr.strip().splitlines() or [f"exit code {ended.code}"]
                raise StepFailed(f"{target} failed: {lines[-1][:500]}", printed, unsure=True)
            returned = json.loads(result.read_bytes())
        outputs = returned if isinstance(returned, dict) else {"result": returned}
        return Outcome(
            {**outputs, **{name: text for name, text in printed.items() if text}}, f"{target} returned"
        )
