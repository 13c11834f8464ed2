"""What an escalation leaves behind: journal entries, evidence, and what those who were paged are told.

Always true here: whatever :func:`watchkeeper.oncall.escalation.decide` says that happened has its entry, with
the alert that it is about as subject; the clause on acknowledging has one verdict for each page
(tests/app/test_escalating.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.notify.models import Kind, Notification
from watchkeeper.oncall import paging
from watchkeeper.oncall.escalation import (
    Acknowledged,
    Ended,
    Escalation,
    Event,
    Exhausted,
    Forgotten,
    Judged,
    NobodyReached,
    Paged,
    Reopened,
)
from watchkeeper.oncall.steps import Recipient
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal

log = logging.getLogger(__name__)

ACTOR = "component:oncall"
CLAUSE = "incidents.acknowledge"
PAGED, DEADLINE = "escalation.paged", "escalation.deadline"
ACKNOWLEDGED, REOPENED = "escalation.acknowledged", "escalation.reopened"
NOBODY_REACHED, EXHAUSTED, ENDED = "escalation.nobody_reached", "escalation.exhausted", "escalation.ended"

TakeBack = Callable[[Connection, datetime, str, str], None]
"""Takes the acknowledgement of a page (its dedup key) back; the text says why."""


class Account:
    """Writes what happened to one escalation, in the caller's transaction."""

    def __init__(
        self,
        conn: Connection,
        now: datetime,
        runbook: Runbook,
        after: Escalation,
        about: Notification,
        take_back: TakeBack,
    ) -> None:
        self._conn = conn
        self._now = now
        self._runbook = runbook
        self._after = after
        self._about = about
        self._take_back = take_back
        self._routes_heard = False

    def write(self, events: Iterable[Event]) -> None:
        """Journal ``events``, and tell those whom they concern."""
        for event in events:
            match event:
                case Paged():
                    self._paged(event)
                case Judged():
                    self._judged(event)
                case Acknowledged(by):
                    self._append(ACKNOWLEDGED, f"{by} has it: nobody else is paged", {"by": by})
                    self._tell(self._after.told, Kind.ACKNOWLEDGE, f"acknowledged by {by}")
                case Reopened():
                    self._append(REOPENED, "it is not acknowledged any more: the escalation begins again")
                case Forgotten(by):
                    lasts = self._runbook.oncall.acknowledgement_lasts.words
                    why = f"{by} acknowledged it {lasts} ago and it still fires"
                    self._take_back(self._conn, self._now, self._after.dedup_key, why)
                    self._routes_heard = True
                case NobodyReached(contacts):
                    problem = self._after.problem or ""
                    log.error("PAGE %s: %s", self._about.summary, problem)
                    self._append(NOBODY_REACHED, problem, {"contacts": list(contacts)})
                case Exhausted():
                    log.error("PAGE %s: nobody answers, the escalation has ended", self._about.summary)
                    self._append(EXHAUSTED, "nobody answered; nobody else is paged by the escalation")
                case Ended():
                    self._append(ENDED, "it does not fire any more")
                    told = [one for one in self._after.told if one.to is not None or self._wants_end(one)]
                    self._tell(told, Kind.RESOLVE, "")

    def _wants_end(self, one: Recipient) -> bool:
        receiver = self._runbook.notifications.receiver(one.receiver)
        return receiver is not None and receiver.send_resolved

    def _paged(self, event: Paged) -> None:
        found = event.audience
        names = ", ".join(self._name(who) for who in found.contacts if who not in found.unreachable)
        where = f"step {event.step} of {event.steps}" + (f", round {event.round + 1}" if event.round else "")
        gaps = "".join(f"; NOBODY is on call in {rota}" for rota in found.unattended)
        lost = f"; no way leads to {', '.join(found.unreachable)}" if found.unreachable else ""
        facts = {
            "rota": self._after.rota,
            "step": event.step,
            "round": event.round + 1,
            "contacts": list(found.contacts),
            "ways": [[one.contact, one.receiver, one.to] for one in found.recipients],
            "unreachable": list(found.unreachable),
            "nobody_on_call": list(found.unattended),
        }
        self._append(PAGED, f"{names} paged: {where}{gaps}{lost}", facts)
        if found.unreachable:
            log.error("no receiver of the runbook leads to %s", ", ".join(found.unreachable))
        rota = self._runbook.oncall.rota(self._after.rota or "")
        note = f"paged as {where} of the escalation of {rota.title if rota else 'on call'}{gaps}; "
        note += f"take it with: watchkeeper alerts ack {self._about.alertname}"
        self._tell(found.recipients, Kind.TRIGGER, note, unless_told=event.first or self._routes_heard)

    def _judged(self, event: Judged) -> None:
        took = f"after {event.seconds:.0f} s"
        words = f"acknowledged {took}" if event.answered else f"not acknowledged {took}"
        if self._after.problem:
            words += f"; {self._after.problem}"
        facts = {"verdict": event.verdict, "seconds": round(event.seconds, 1), "problem": self._after.problem}
        cited = [(CLAUSE, event.verdict)]
        self._append(DEADLINE, words, facts, cited)

    def _tell(
        self, recipients: Iterable[Recipient], kind: Kind, note: str, *, unless_told: bool = False
    ) -> None:
        known = {receiver.id for receiver in self._runbook.notifications.receivers}
        there = [one for one in recipients if one.receiver in known]
        paging.tell(self._conn, self._now, there, self._about, kind, note, unless_told=unless_told)

    def _name(self, who: str) -> str:
        contact = self._runbook.contact(who)
        return who if contact is None else contact.name

    def _append(
        self,
        kind: str,
        said: str,
        facts: dict[str, Any] | None = None,
        evidence: Iterable[tuple[str, str]] = (),
    ) -> None:
        summary = f"{self._about.summary}: {said}"
        document = {"summary": summary, "dedup_key": self._after.dedup_key, **(facts or {})}
        journal.append(self._conn, self._now, kind, ACTOR, self._about.subject, document, tuple(evidence))
