"""People, their clocks, and the times that they type into forms.

Always true: a time in a form is read on the clocks that the form names, or with the offset that it brings;
what cannot be used is refused with a sentence, never guessed at (tests/console/test_oncall.py,
test_silences.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path

from watchkeeper.access.models import Identity
from watchkeeper.console.parameters import LARGEST_ID
from watchkeeper.console.picture import Picture
from watchkeeper.oncall.overrides import OnCallError
from watchkeeper.oncall.wording import read_moment
from watchkeeper.runbook.models.people import Contact

RowNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
"""A number in an address that names a row of the store."""


class FormError(ValueError):
    """Something in a form cannot be used; the message says what, for whoever typed it."""


def own_contact(picture: Picture, identity: Identity) -> Contact | None:
    """The contact in the runbook that ``identity`` is: the one whose id is the username."""
    if picture.policy is None or identity.kind != "person":
        return None
    return picture.policy.runbook.contact(identity.name)


def zone_of(picture: Picture, identity: Identity) -> str:
    """The clocks that somebody thinks in: those of their contact, else of the default rota, else UTC."""
    contact = own_contact(picture, identity)
    if contact is not None:
        return contact.timezone
    return picture.watch.rota.timezone if picture.watch is not None else "UTC"


def moment(text: str, zone: str) -> datetime:
    """What was typed into a field for a time, in UTC. Raises :class:`FormError`."""
    try:
        return read_moment(text, zone)
    except (OnCallError, OverflowError):
        raise FormError(
            f"{text[:40]!r} is not a time; write it like 2026-11-27 18:00 (on the clocks of {zone}), "
            "between the years 2000 and 2199"
        ) from None


def sentence(text: str) -> str:
    """``text`` as a sentence: a capital letter and a full stop."""
    said = text[:1].upper() + text[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."
