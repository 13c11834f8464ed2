"""An incident in words and states for its pages: what is next, and how far the response is. Pure.

Always true: exactly one step of the response is the one that it is in, until it is over
(tests/console/test_incident_words.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from watchkeeper.console.rendering import about
from watchkeeper.incidents.models import Action, Incident, Stage, State, TimelineEntry

ACTIONS: Mapping[Action, str] = {
    Action.ACKNOWLEDGE: "acknowledge it",
    Action.SET_SEVERITY: "set the severity",
    Action.POST_UPDATE: "post an update",
    Action.MITIGATE: "mitigate what customers feel",
    Action.RESOLVE: "resolve it",
    Action.DOCUMENT: "complete the document",
    Action.CLOSE: "close it",
}
RECEIPTS = {
    "pending": "on its way",
    "delivered": "delivered",
    "dead": "given up",
    "superseded": "a newer one took its place",
    "unknown": "no longer known",
}
_STAGES = (
    (Stage.DETECT, "Detect"), (Stage.TRIAGE, "Triage"), (Stage.STABILISE, "Stabilize"),
    (Stage.COMMUNICATE, "Communicate"), (Stage.RESOLVE, "Resolve"), (Stage.DOCUMENT, "Document"),
)  # fmt: skip


def stages(stage: Stage, incident: Incident, told: bool) -> list[tuple[str, str, str]]:
    """Each step of the response with its word and how it stands: ``done``, ``now`` or ``later``.

    ``told``: an update was posted, so that communicating has begun wherever else the response is.
    """
    order = [one for one, _ in _STAGES]
    here = order.index(stage)
    over = incident.state in (State.CLOSED, State.MERGED)
    found = []
    for position, (one, word) in enumerate(_STAGES):
        if over or position < here or (one is Stage.COMMUNICATE and told and position != here):
            standing = "done"
        else:
            standing = "now" if position == here else "later"
        if one is Stage.COMMUNICATE and position < here and not told and not over:
            standing = "later"
        found.append((one.value, word, standing))
    return found


def tone(incident: Incident) -> str:
    """The colour of its first lines: it burns, it smoulders, it is over."""
    if incident.state is State.OPEN:
        return "page"
    return "warn" if incident.state is State.MITIGATED else "calm"


def said(entry: TimelineEntry) -> str:
    """What an entry says, without the name that stands before it already."""
    for begin in (f"{entry.who}: ", f"{entry.who} "):
        if entry.summary.startswith(begin):
            return entry.summary.removeprefix(begin)
    return entry.summary


def distance(at: datetime, begin: datetime) -> str:
    """How far from the begin of an incident: ``12 min before``, ``3 min after it began``."""
    seconds = (begin - at).total_seconds()
    if abs(seconds) < 1:
        return "as it began"
    return f"{about(seconds)} before" if seconds > 0 else f"{about(-seconds)} after it began"
