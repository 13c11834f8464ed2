"""The clocks of an incident in words and colours. Pure.

Always true: a clock has the state that the script in the browser will give it, from the same three times
(tests/console/test_incident_words.py, tests/browser/test_incidents.py).
"""

from __future__ import annotations

from datetime import datetime

from watchkeeper.incidents.models import Countdown

CLOCKS = {
    "incidents.acknowledge": "Acknowledge",
    "incidents.triage": "Set the severity",
    "incidents.update": "Post the next update",
    "incidents.communicate": "Tell the stakeholders",
    "incidents.document": "Close the document",
}


def clock_state(clock: Countdown, now: datetime) -> str:
    """``ok``, ``warn`` (80 % of the time is gone) or ``missed``."""
    if now >= clock.due_at:
        return "missed"
    return "warn" if now >= clock.warn_at else "ok"


def clock_words(clock: Countdown) -> str:
    """What a clock asks for: ``Post the next update``."""
    return CLOCKS.get(clock.clause) or clock.title
