"""The port between the runner and whatever carries a step out.

A provider is called in a thread of its own with everything it may know. It must end within
``context.remaining()`` seconds, and soon once ``context.cancelled`` is true; the runner does not wait for one
that does neither. It may be called twice for one step, with the same ``key``: after a crash, or when a person
asks for it. Only a provider that says ``atomic`` may leave its effect to :attr:`Outcome.write`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from sqlalchemy import Connection

from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.runbook.models.quantities import BadQuantityError, Duration
from watchkeeper.store.clock import Clock

Happened = Literal["happened", "did not happen", "unknown"]


class StepFailed(PlaybookError):  # noqa: N818 - what became of a step, said as people say it
    """The step did not succeed; the message is a sentence for people. Secrets in it are masked.

    ``unsure``: something of it may have happened, so an abort takes it back. Without it, nothing has.
    """

    def __init__(
        self, message: str, outputs: Mapping[str, Any] | None = None, *, unsure: bool = False
    ) -> None:
        super().__init__(message)
        self.outputs = outputs or {}
        self.unsure = unsure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step. ``write`` is called in the transaction that records its end."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    write: Callable[[Connection, datetime], None] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a provider is given.

    ``with_`` is the step's ``with``, filled, with the values of its secrets; ``expect`` what is compared
    afterwards by the runner. ``key`` is the same for every attempt at this step and for no other step.
    ``lease_left`` are the seconds for which this process surely still holds the run.
    """

    run: str
    playbook: str
    step: str
    subject: str | None
    inputs: Mapping[str, Any]
    started_at: datetime
    with_: Mapping[str, Any]
    expect: Mapping[str, Any] | None
    key: str
    attempt: int
    timeout_seconds: float
    folder: Path
    clock: Clock
    deadline: float
    stopped: Callable[[], bool]
    lease_left: Callable[[], float]
    hide: Callable[[str], None] = lambda _: None

    @property
    def cancelled(self) -> bool:
        """Whether the step is to stop: the run is aborted, or not this process' any more."""
        return self.stopped()

    def remaining(self) -> float:
        """Seconds until the step's time-out; never below zero."""
        return max(0.0, self.deadline - self.clock.monotonic())

    def only(self, *known: str) -> None:
        """Raises :class:`StepFailed` for a key of ``with`` that the provider does not know."""
        for name in self.with_:
            if name not in known:
                raise StepFailed(f"`with` has an unknown key {name!r}; it takes {', '.join(known)}")

    def text(self, name: str, default: str | None = None) -> str:
        """A text of ``with``. Raises :class:`StepFailed` where it is missing or none."""
        found = self.with_.get(name, default)
        if not isinstance(found, str) or not found:
            raise StepFailed(f"`with` needs {name}, a text" + ("" if found is None else "; it is none"))
        return found

    def duration(self, name: str, default: str) -> float:
        """A duration of ``with`` in seconds. Raises :class:`StepFailed` for what is none."""
        try:
            return Duration(self.with_.get(name, default)).total_seconds()
        except BadQuantityError as error:
            raise StepFailed(f"{name} of `with`: {error}") from None


class Provider(Protocol):
    """Carries out one verb."""

    def run(self, context: Context) -> Outcome:
        """Do it. Raises :class:`StepFailed`."""


@runtime_checkable
class Checking(Protocol):
    """A provider that can find out afterwards whether a step happened (``on_doubt: probe``)."""

    def check(self, context: Context) -> tuple[Happened, str]:
        """Whether it happened, and a sentence on how that is known. Raises :class:`StepFailed`: unknown."""


class Atomic:
    """For a provider whose whole effect is its :attr:`Outcome.write`: without a record, nothing happened."""

    atomic = True
