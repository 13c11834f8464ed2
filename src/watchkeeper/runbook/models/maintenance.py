"""Maintenance windows: times that come again, in which alerts that match tell nobody.

A window is policy, so it stands in the runbook; one that comes once is a silence planned ahead.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.matchers import matcher_parts, selector
from watchkeeper.runbook.models.base import Id, OneOrMore, Part, Text
from watchkeeper.runbook.models.calendar import TimeOfDay, TimeZone, Weekday
from watchkeeper.runbook.models.quantities import Duration
from watchkeeper.runbook.models.references import Known

Recurrence = Literal["daily", "weekly", "monthly"]
_SHORTEST = {"daily": timedelta(days=1), "weekly": timedelta(days=7), "monthly": timedelta(days=28)}
_NTH = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def _check_matcher(value: str) -> str:
    try:
        matcher_parts(value)
    except ValueError as error:
        raise PydanticCustomError("matcher", "{reason}", {"reason": str(error)}) from None
    return value


MatcherText = Annotated[str, AfterValidator(_check_matcher)]
"""``service=api``, ``env!=prod``, ``region=~eu-.*`` or ``job!~test.*``."""


class MaintenanceWindow(Part):
    """While it is open, alerts that match all of ``match`` fire, are shown and journaled, and tell nobody.

    It opens at a time on the wall clock of its zone and is as long as it says, also when the clocks change.
    """

    id: Id
    title: Text
    match: OneOrMore[MatcherText] = Field(min_length=1)
    """All must hold; at least one must name a label that an alert has to have."""
    every: Recurrence = "weekly"
    weekday: Weekday | None = None
    """The day of a weekly window."""
    day: Annotated[int, Field(ge=1, le=31)] | None = None
    """The day of a monthly window; a month that lacks it opens on its last."""
    at: TimeOfDay
    for_: Duration = Field(alias="for")
    """How long it is open."""
    timezone: TimeZone = "UTC"
    reason: Text | None = None

    @model_validator(mode="after")
    def _sound(self, info: ValidationInfo) -> Self:
        for key, every in (("weekday", "weekly"), ("day", "monthly")):
            if (getattr(self, key) is not None) != (self.every == every):
                said = (
                    f"a {self.every} window has no `{key}`"
                    if self.every != every
                    else f"a {every} window needs its `{key}`"
                )
                raise PydanticCustomError("maintenance", "{said}", {"said": said})
        if self.for_ <= timedelta(0):
            raise PydanticCustomError("maintenance", "a window that is never open: `for` is zero")
        if self.for_ >= _SHORTEST[self.every]:
            raise PydanticCustomError(
                "maintenance",
                "a {every} window of {length} is always open: nobody would ever be told; make it shorter",
                {"every": self.every, "length": self.for_.words},
            )
        known = info.context
        if isinstance(known, Known) and known.check_expr is not None:
            problem = known.check_expr(selector(self.match))
            if problem is not None:
                raise PydanticCustomError(
                    "maintenance", "these matchers cannot be used: {reason}", {"reason": problem.message}
                )
        return self

    @property
    def when(self) -> str:
        """``every Sunday at 02:00 (Europe/Berlin) for 2 hours``."""
        day = "day"
        if self.weekday is not None:
            day = self.weekday.capitalize()
        elif self.day is not None:
            day = f"month on the {self.day}{_NTH.get(self.day, 'th')}"
        return f"every {day} at {self.at} ({self.timezone}) for {self.for_.words}"

    @property
    def hides_pages(self) -> bool:
        """Whether a page can match: no matcher wants another severity."""
        for text in self.match:
            name, op, value = matcher_parts(text)
            if name == "severity" and ((op == "=" and value != "page") or (op == "!=" and value == "page")):
                return False
        return True
