"""Who has a rota's watch now and who is next, for the command line, the console and programs.

Always true here: nothing is left out for being empty; a person is given with every way to reach them, and a
gap as a gap (tests/oncall/test_report.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchkeeper.oncall.rota import Override, Shift, next_shift, on_call
from watchkeeper.oncall.verification import Verified
from watchkeeper.runbook.models.people import Contact, Rota
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import ways
from watchkeeper.store.canonical import rfc3339


@dataclass(frozen=True, slots=True)
class Watch:
    """A rota at one moment: the shift that the moment lies in, and the one after it."""

    rota: Rota
    current: Shift
    following: Shift

    def to_json(self, runbook: Runbook, verified: Verified) -> dict[str, object]:
        """For programs, under stable names; times are RFC 3339 in UTC."""
        return {
            "rota": self.rota.id,
            "title": self.rota.title,
            "timezone": self.rota.timezone,
            **shift_json(self.current, runbook, verified),
            "next": shift_json(self.following, runbook, verified),
        }


def watch(rota: Rota, overrides: Sequence[Override], now: datetime) -> Watch:
    """Who has the watch at ``now``, and who takes over."""
    current = on_call(rota, overrides, now)
    return Watch(rota, current, next_shift(rota, overrides, current))


def shift_json(shift: Shift, runbook: Runbook, verified: Verified | None = None) -> dict[str, object]:
    """A shift for programs. ``contact`` is null where nobody is on call, and where an end is null there is
    none within two years. With ``verified`` a contact has the ways that page them."""
    contact = None if shift.contact is None else runbook.contact(shift.contact)
    made: dict[str, Any] | None = None
    if shift.override is not None:
        made = {"id": shift.override.id, "reason": shift.override.reason}
    person: dict[str, object] | None = None
    if contact is not None:
        person = {"id": contact.id, "name": contact.name, **reach(contact)}
        if verified is not None:
            person["ways"] = [
                {"way": name, "verified_at": None if at is None else rfc3339(at)}
                for name, at in ways_of(contact, runbook, verified)
            ]
    return {
        "contact": person,
        "start": None if shift.endless else rfc3339(shift.start),
        "end": None if shift.endless else rfc3339(shift.end),
        "layer": shift.layer,
        "override": made,
    }


def reach(contact: Contact) -> dict[str, object]:
    """Every way to reach somebody: their addresses, and the receivers that page them."""
    direct: dict[str, object] = {
        name: value for name in ("phone", "email", "slack") if (value := getattr(contact, name)) is not None
    }
    return {**direct, "receivers": list(contact.receivers)} if contact.receivers else direct


def ways_of(contact: Contact, runbook: Runbook, verified: Verified) -> list[tuple[str, datetime | None]]:
    """The ways that page ``contact``, each with when it was verified last; None: never."""
    return [(way.name, verified.get((contact.id, way.name))) for way in ways(runbook, contact)]


def name_of(shift: Shift, runbook: Runbook) -> str:
    """The person's name, or ``NOBODY``."""
    contact = None if shift.contact is None else runbook.contact(shift.contact)
    return "NOBODY" if contact is None else contact.name
