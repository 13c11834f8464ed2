"""``process.run``: a program, without a shell.

Always true: exit code 0 unless ``expect`` says another; at the time-out everything that came from the program
is ended; it sees of our environment what :data:`~watchkeeper.playbooks.providers.guarded.PASSED_ON` names and
the step asks for, nothing else (tests/playbooks/providers/test_process.py).
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from watchkeeper.playbooks.outputs import parsed
from watchkeeper.playbooks.ports import Context, Happened, Outcome, StepFailed
from watchkeeper.playbooks.providers import guarded

KEYS = ("command", "cwd", "environment", "inherit", "stdin", "grace", "check")
_LAST_WORDS = 300


class RunProcess:
    """Carries out ``process.run``."""

    def run(self, context: Context) -> Outcome:
        """Run ``command``; its outputs are ``exit_code``, ``stdout``, ``stderr`` and what JSON it printed."""
        context.only(*KEYS)
        command = _command(context.with_.get("command"), "command")
        return outcome(context, command[0], _run(context, command))

    def check(self, context: Context) -> tuple[Happened, str]:
        """Run the command ``check``: exit code 0 means it happened, 1 that it did not, others neither."""
        if "check" not in context.with_:
            return "unknown", "the step has no `check`"
        ended = _run(context, _command(context.with_["check"], "check"))
        if ended.why is not None:
            return "unknown", ended.why
        found: Mapping[int, Happened] = {0: "happened", 1: "did not happen"}
        return found.get(ended.code, "unknown"), f"its check ended with exit code {ended.code}"


def outcome(context: Context, name: str, ended: guarded.Ended) -> Outcome:
    """What became of a program, as that of its step. Raises :class:`StepFailed`."""
    told = {} if ended.cut else parsed(ended.stdout)
    outputs = {**told, "exit_code": ended.code, "stdout": ended.stdout, "stderr": ended.stderr}
    if ended.why is not None:
        raise StepFailed(f"{name}: {ended.why}", outputs, unsure=True)
    if ended.code != 0 and "exit_code" not in (context.expect or {}):
        raise StepFailed(f"{name} {_how(ended.code)}{_last_words(ended)}", outputs, unsure=True)
    return Outcome(outputs, _first_line(ended.stdout) or f"{name} {_how(ended.code)}")


def _run(context: Context, command: list[str]) -> guarded.Ended:
    stdin = context.with_.get("stdin", "")
    if not isinstance(stdin, str):
        raise StepFailed("stdin of `with` is a text")
    cwd = context.with_.get("cwd")
    if cwd is not None and not isinstance(cwd, str):
        raise StepFailed("cwd of `with` is a path")
    return guarded.run(
        context,
        command,
        guarded.environment(context, _variables(context), _names(context.with_.get("inherit", []))),
        cwd=context.folder if cwd is None else context.folder / cwd,
        stdin=stdin.encode(),
        grace_seconds=context.duration("grace", "5s"),
    )


def _command(given: Any, key: str) -> list[str]:
    if isinstance(given, str):
        raise StepFailed(f"{key} of `with` is a list of words, [kubectl, get, pods]; there is no shell")
    if not isinstance(given, list) or not given or not all(_is_word(word) for word in given):
        raise StepFailed(f"{key} of `with` is a list of words, [kubectl, get, pods]")
    if any("\0" in str(word) for word in given):
        raise StepFailed(f"{key} of `with` holds a NUL character, which no program can be given")
    return [str(word) for word in given]


def _variables(context: Context) -> dict[str, str]:
    given = context.with_.get("environment", {})
    if not isinstance(given, Mapping) or not all(_is_word(value) for value in given.values()):
        raise StepFailed("environment of `with` maps names to texts or the places of secrets")
    return {str(name): str(value) for name, value in given.items()}


def _names(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise StepFailed("inherit of `with` is a list of names of environment variables")
    return given


def _is_word(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _last_words(ended: guarded.Ended) -> str:
    lines = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
    return f": {lines[-1][:_LAST_WORDS]}" if lines else ""


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line[:_LAST_WORDS] if line[:1] not in ("{", "[") else ""
