"""The step verbs of those who respond: what changed lately, and what is said of an incident.

Always true: what these verbs write is written with the record of their step or not at all
(tests/app/test_response_verbs.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.incidents import reading, updates
from watchkeeper.incidents.models import Author, Incident, IncidentError, State, Status
from watchkeeper.launches.changes import changes_recent
from watchkeeper.playbooks.ports import Atomic, Context, Outcome, Provider, StepFailed
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.database import Store

MOST_HOURS = 24 * 31
_PREFIX = "incident:"


def response_verbs(store: Store | None, runbook: Runbook) -> Mapping[str, Provider]:
    """By verb. ``store`` is None where nothing is carried out but only listed."""
    return {"changes.recent": ChangesRecent(store), "incident.update": IncidentUpdate(store, runbook)}


class ChangesRecent:
    """``changes.recent``: what changed in the last ``hours``, of ``service`` and ``env`` where given."""

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def run(self, context: Context) -> Outcome:
        context.only("hours", "service", "env")
        hours = context.with_.get("hours", 24)
        if isinstance(hours, bool) or not isinstance(hours, (int, float)) or not 0 < hours <= MOST_HOURS:
            raise StepFailed(f"hours of `with` is a number above 0 and at most {MOST_HOURS}")
        place = {name: context.text(name) for name in ("service", "env") if name in context.with_}
        with _opened(self._store).read() as conn:
            found = changes_recent(conn, context.clock.now(), hours, place.get("service"), place.get("env"))
        of = f" of {place['service']}" if "service" in place else ""
        if not found:
            return Outcome({"count": 0, "changes": []}, f"nothing{of} changed in the last {hours:g} h")
        newest = found[0]
        nearest = f"{newest['kind']} {newest['title']}, {newest['minutes_ago']} min ago"
        return Outcome({"count": len(found), "changes": found}, f"{len(found)}{of}; nearest: {nearest}")


class IncidentUpdate(Atomic):
    """``incident.update``: an update to the incident that the run is for, to ``audience`` or to all of them.

    ``status``, ``impact`` and ``eta`` are the incident's own where they are not given; ``note`` is for
    engineers.
    """

    def __init__(self, store: Store | None, runbook: Runbook) -> None:
        self._store = store
        self._runbook = runbook

    def run(self, context: Context) -> Outcome:
        context.only("audience", "status", "impact", "eta", "note")
        number = _number(context.subject)
        with _opened(self._store).read() as conn:
            try:
                incident = reading.one(conn, number)
            except IncidentError as error:
                raise StepFailed(str(error)) from None
        status, impact = self._status(context, incident), context.text("impact", incident.impact or None)
        to = self._audiences(context)
        by = Author(f"playbook {context.playbook}", "component:playbooks")

        def write(conn: Connection, at: datetime) -> None:
            updates.post_update(
                conn,
                at,
                self._runbook,
                number,
                by,
                status=status,
                impact=impact,
                eta=str(context.with_.get("eta", incident.eta)),
                note=str(context.with_.get("note", "")),
                to=to,
            )

        told = ", ".join(to) if to else "everybody"
        return Outcome({"incident": number, "status": status.value}, f"incident {number}: told {told}", write)

    def _status(self, context: Context, incident: Incident) -> Status:
        if incident.state in (State.CLOSED, State.MERGED):
            raise StepFailed(f"incident {incident.id} is {incident.state.value}; nothing was said")
        if not context.with_.get("impact") and not incident.impact:
            raise StepFailed(
                f"nobody has said what customers feel of incident {incident.id}: "
                "say it on its page, or as impact of `with`"
            )
        given = context.text("status", incident.status.value)
        if given not in {one.value for one in Status}:
            raise StepFailed(f"there is no status {given!r}; use {', '.join(one.value for one in Status)}")
        return Status(given)

    def _audiences(self, context: Context) -> tuple[str, ...] | None:
        if "audience" not in context.with_:
            return None
        wanted = context.text("audience")
        incidents = self._runbook.incidents
        known = [one.id for one in incidents.audiences] if incidents else []
        if wanted not in known:
            raise StepFailed(f"there is no audience {wanted!r}; the runbook has {', '.join(known) or 'none'}")
        return (wanted,)


def _number(subject: str | None) -> int:
    if subject is not None and subject.startswith(_PREFIX) and subject.removeprefix(_PREFIX).isdecimal():
        return int(subject.removeprefix(_PREFIX))
    raise StepFailed("the run is for no incident; start it from an incident's page, or with --for incident:N")


def _opened(store: Store | None) -> Store:
    assert store is not None, "nothing is carried out where verbs are only listed"
    return store
