"""Playbooks: ordered steps, one format for alert actions, restores, failovers and drills.

A step is exactly one of ``action`` (changes something), ``probe`` (measures, and says what it expects),
``manual`` (a person confirms) and ``wait`` (until a condition, with an end).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Id, OneOrMore, Part, Sentence, Several, Text
from watchkeeper.runbook.models.quantities import Duration
from watchkeeper.runbook.models.references import Verb

StepKind = Literal["action", "probe", "manual", "wait"]
STEP_KINDS: tuple[StepKind, ...] = ("action", "probe", "manual", "wait")
OnDoubt = Literal["retry", "probe", "ask"]
OnFailure = Literal["stop", "continue", "abort", "ask"]


class Undo(Part):
    """What takes a step back when the run is aborted."""

    action: Verb
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")


def _as_undo(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


class Step(Part):
    """One step. ``on_doubt`` says what to do when a crash left it unknown whether the step happened."""

    id: Id
    title: Text | None = None
    action: Verb | None = None
    probe: Verb | None = None
    manual: Text | None = None
    wait: Verb | None = None
    needs: OneOrMore[Id] = ()
    """Earlier steps that must have succeeded; where one has not, this step is skipped, never run."""
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    expect: dict[str, Any] | None = None
    timeout: Duration | None = None
    undo: Annotated[Undo | None, BeforeValidator(_as_undo)] = None
    on_doubt: OnDoubt | None = None
    on_failure: OnFailure = "stop"
    role: Text | None = None
    deadline: Duration | None = None
    four_eyes: bool = False
    idempotency: Text | None = None
    """A stable key for the outside world; by default the run's and the step's ids."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in STEP_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = "has none" if not given else f"has {len(given)}: {', '.join(given)}"
            raise PydanticCustomError(
                "step_kind",
                "a step is exactly one of action, probe, manual, wait; this one {found}",
                {"found": found},
            )
        if self.probe is not None and not self.expect:
            raise PydanticCustomError(
                "probe_expect",
                "a probe must say what it expects, for example {example}",
                {"example": "expect: {errors: 0}"},
            )
        if self.wait is not None and self.timeout is None:
            raise PydanticCustomError(
                "wait_timeout", "a wait must end: give it a timeout, for example timeout: 15m"
            )
        if self.four_eyes and self.manual is None:
            raise PydanticCustomError("four_eyes", "four_eyes needs people: it belongs to a manual step")
        return self

    @property
    def kind(self) -> StepKind:
        """Which of the four this step is."""
        return next(kind for kind in STEP_KINDS if getattr(self, kind) is not None)

    @property
    def verb(self) -> str | None:
        """The step verb; a manual step has none."""
        return self.action or self.probe or self.wait

    @property
    def doubt(self) -> OnDoubt:
        """What is done when it is unknown whether the step happened (actions ask, measuring is repeated)."""
        return self.on_doubt or ("retry" if self.kind in ("probe", "wait") else "ask")

    @property
    def words(self) -> str:
        """The step as a line for people."""
        return self.title or self.manual or f"{self.kind}: {self.verb}"


class Line(Part):
    """One line of the playbook as people read it, and the steps that carry it out."""

    says: Sentence
    steps: Several[Id] = ()


class Input(Part):
    """Something that a run is started with."""

    title: Text
    required: bool = True
    default: str | int | float | bool | None = None


class Playbook(Part):
    """An ordered list of steps."""

    title: Text
    summary: Sentence | None = None
    outline: Several[Line] = ()
    inputs: dict[Id, Input] = Field(default_factory=dict)
    steps: Several[Step] = Field(min_length=1)

    def step(self, step_id: str) -> Step | None:
        """The step of that id, if there is one."""
        return next((step for step in self.steps if step.id == step_id), None)
