"""Carrying out one move: secrets in, the provider's work, secrets out, and what was expected.

Always true: whatever a provider does, a result comes back, at the latest ``GRACE_SECONDS`` after the step's
time-out; nothing in the result holds a secret that the step was given; an effect is asked for only with a
success (tests/playbooks/test_carrying_out.py).
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchkeeper.playbooks.decide import Begin, Check, Look
from watchkeeper.playbooks.expectations import unmet
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.outputs import bounded
from watchkeeper.playbooks.ports import Checking, Context, Outcome, Provider, StepFailed
from watchkeeper.playbooks.progress import Checked, Failed, NotYet, Result, Succeeded
from watchkeeper.playbooks.secrets import Revealed
from watchkeeper.playbooks.turn import Effect, Task
from watchkeeper.store.clock import Clock

log = logging.getLogger(__name__)

GRACE_SECONDS = 15.0
"""So long after its time-out, or after it was told to stop, a provider is waited for."""
LOOK_SECONDS = 30.0
"""One look at a condition, and one check, end within this."""
_LONGEST_ERROR = 2000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a provider may know of where it runs."""

    environ: Mapping[str, str]
    folder: Path
    clock: Clock
    stopped: Callable[[], bool]
    lease_left: Callable[[], float]


def carry_out(task: Task, provider: Provider, around: Surroundings) -> tuple[Result, Effect | None]:
    """The result of ``task``, and what is to be written with it."""
    target = task.move.target
    given = {"with": dict(task.move.work.with_), "expect": task.move.work.expect}
    try:
        revealed = Revealed(given, around.environ, around.folder)
    except PlaybookError as error:
        if isinstance(task.move, Check):
            return Checked(target, "unknown", str(error)), None
        if isinstance(task.move, Look):
            return NotYet(target, str(error)), None
        return Failed(target, str(error)), None
    context = _context(task, revealed, around)
    call = _check if isinstance(task.move, Check) else _run
    found = _in_time(lambda: call(task, provider, context), context, around)
    if found is None:
        seconds = f"{context.timeout_seconds:g} s, nor {GRACE_SECONDS:g} s after being told to"
        found = StepFailed(f"it did not end within {seconds}", unsure=True)
    return _result(task, found, revealed)


def _context(task: Task, revealed: Revealed, around: Surroundings) -> Context:
    run, work = task.run, task.move.work
    seconds = work.timeout.total_seconds()
    if not isinstance(task.move, Begin):
        seconds = min(seconds, LOOK_SECONDS)
    return Context(
        run=run.id,
        playbook=run.name,
        step=task.move.target.step,
        subject=run.subject,
        inputs=run.inputs,
        started_at=run.started_at,
        with_=revealed.value["with"],
        expect=revealed.value["expect"],
        key=work.key,
        attempt=run.record(task.move.target).attempts,
        timeout_seconds=seconds,
        folder=around.folder,
        clock=around.clock,
        deadline=around.clock.monotonic() + seconds,
        stopped=around.stopped,
        lease_left=around.lease_left,
        hide=revealed.hide,
    )


def _run(task: Task, provider: Provider, context: Context) -> Outcome | StepFailed:
    outcome = provider.run(context)
    problems = unmet(context.expect or {}, outcome.outputs)
    if problems:
        acted = task.run.spec(task.move.target).kind == "action"
        return StepFailed("; ".join(problems), outcome.outputs, unsure=acted)
    return outcome


def _check(task: Task, provider: Provider, context: Context) -> Any:
    assert isinstance(provider, Checking)
    return provider.check(context)


def _in_time(call: Callable[[], Any], context: Context, around: Surroundings) -> Any:
    """What ``call`` returns or raises, None where it neither ends nor can be ended."""
    box: list[Any] = []
    ended = threading.Event()

    def work() -> None:
        try:
            box.append(call())
        except PlaybookError as error:
            box.append(error)
        except Exception as error:  # noqa: BLE001 - the failure of the step, told to people
            # Whatever a provider raises is the step's failure, never the runner's. Its words may hold a
            # secret, so they are logged only where they can be masked: by whoever reads the result.
            box.append(_Defect(error, traceback.format_exc()))
        finally:
            ended.set()

    thread = threading.Thread(target=work, name=f"step {context.run}/{context.step}", daemon=True)
    thread.start()
    told: float | None = None
    while not ended.wait(0.5):
        now = around.clock.monotonic()
        if told is None and (context.cancelled or context.remaining() <= 0):
            told = now
        if told is not None and now - told > GRACE_SECONDS:
            return None
    return box[0] if box else StepFailed("what carries it out ended without a word", unsure=True)


@dataclass(frozen=True, slots=True)
class _Defect:
    error: Exception
    trace: str


def _result(task: Task, found: Any, revealed: Revealed) -> tuple[Result, Effect | None]:
    target = task.move.target
    if isinstance(found, _Defect):
        log.error("step %s of run %s met a defect: %s", target, task.run.id, revealed.masked(found.trace))
        found = StepFailed(
            f"a defect of what carries it out ({type(found.error).__name__}: {found.error})", unsure=True
        )
    if isinstance(task.move, Check):
        if isinstance(found, PlaybookError):
            return Checked(target, "unknown", revealed.masked(str(found))[:_LONGEST_ERROR]), None
        said, words = found
        return Checked(target, said, revealed.masked(words)[:_LONGEST_ERROR]), None
    if isinstance(found, PlaybookError):
        words = revealed.masked(str(found))[:_LONGEST_ERROR]
        if isinstance(task.move, Look):
            return NotYet(target, words), None
        outputs = bounded(revealed.masked(dict(getattr(found, "outputs", {}))))
        return Failed(target, words, outputs, unsure=getattr(found, "unsure", False)), None
    assert isinstance(found, Outcome)
    outputs = bounded(revealed.masked(dict(found.outputs)))
    return Succeeded(target, outputs, revealed.masked(found.summary)[:_LONGEST_ERROR]), found.write
