"""Contacts, and the rotas that say which of them is on call.

A rota is computed from this text alone: layers of participants that hand over at a fixed local time, and
overrides for the exceptions.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Id, OneOrMore, Part, Several, Text
from watchkeeper.runbook.models.calendar import TimeOfDay, TimeZone, Weekday
from watchkeeper.runbook.models.hours import Hours
from watchkeeper.runbook.models.quantities import Duration, Period
from watchkeeper.runbook.models.references import ContactRef, ReceiverRef, RotaRef

_YEARS = range(1970, 2200)  # what any time zone can be computed in, and nobody plans beyond
_CALENDAR_UNIT = re.compile(r"\d(?:mo|y)")


def _as_moment(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is not None:
        if value.year in _YEARS:
            return value
        raise PydanticCustomError("moment", "outside the years {years}", {"years": "1970 to 2199"})
    raise PydanticCustomError(
        "moment", "not a moment with its offset; write it like 2026-03-31T09:00:00+02:00"
    )


Moment = Annotated[datetime, BeforeValidator(_as_moment)]
"""An instant with its offset from UTC."""


class Contact(Part):
    """A person, and the ways to reach them."""

    id: Id
    name: Text
    role: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    slack: Text | None = None
    receivers: Several[ReceiverRef] = ()
    timezone: TimeZone = "UTC"

    @property
    def methods(self) -> tuple[str, ...]:
        """The ways to reach this person."""
        direct = tuple(name for name in ("email", "phone", "slack") if getattr(self, name))
        return direct + tuple(self.receivers)


class Handover(Part):
    """When the watch passes on."""

    every: Period = Period("weekly")
    weekday: Weekday = "monday"
    at: TimeOfDay = "09:00"

    @property
    def by_weekday(self) -> bool:
        """Whether turns are whole weeks: only then does ``weekday`` say when they pass on."""
        return not _CALENDAR_UNIT.search(self.every.text) and self.every % timedelta(weeks=1) == timedelta(0)

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.every < timedelta(hours=1):
            raise PydanticCustomError("handover", "a turn lasts at least an hour; write daily, weekly or 12h")
        return self


class RotaLayer(Part):
    """People who take turns. A later layer stands over an earlier one where it has somebody."""

    id: Id
    participants: Several[ContactRef] = ()
    handover: Handover = Handover()
    start: Moment | None = None
    """When the first participant's turn begins; turns are counted from here."""
    hours: Several[Hours] = ()
    """Restricts the layer to hours such as ``mon-fri 09:00-17:00``; empty means always."""


class Override(Part):
    """One person instead of the rota, for a while."""

    contact: ContactRef
    start: Moment
    end: Moment
    reason: Text | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end <= self.start:
            raise PydanticCustomError("override", "an override must end after it starts")
        return self


class EscalationStep(Part):
    """Whom to tell, and how long to wait for an answer before the next step."""

    notify: OneOrMore[Text] = Field(min_length=1)
    """``oncall`` for whoever has the watch, ``next`` for who takes over from them, ``everybody`` of the rota,
    a contact's id, or ``rota:<id>`` for who has the watch of that one."""
    wait: Duration = Duration("5m")


class Rota(Part):
    """Who is on call, and what happens when nobody answers."""

    id: Id
    title: Text
    timezone: TimeZone = "UTC"
    layers: Several[RotaLayer] = ()
    overrides: Several[Override] = ()
    escalation: Several[EscalationStep] = ()
    """Empty: whoever has the watch, then the next of the rota, then everybody, each
    ``incidents.deadlines.acknowledge`` after the one before."""
    repeat: Annotated[int, Field(ge=0, le=20)] = 2
    """How many times the escalation starts again from its first step."""


class OnCall(Part):
    """The oncall section."""

    default: RotaRef | None = None
    acknowledgement_lasts: Duration = Duration("1h")
    """A page that still fires so long after it was acknowledged is forgotten, and pages again."""
    rotas: Several[Rota] = ()

    @model_validator(mode="after")
    def _lasting(self) -> Self:
        if self.acknowledgement_lasts < timedelta(minutes=1):
            raise PydanticCustomError(
                "acknowledgement", "an acknowledgement lasts at least a minute; write 1h"
            )
        return self

    def rota(self, rota_id: str) -> Rota | None:
        """The rota of that id, if there is one."""
        return next((rota for rota in self.rotas if rota.id == rota_id), None)
