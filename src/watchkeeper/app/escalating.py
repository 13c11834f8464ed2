"""Pages people on call, for the role ``work``: looks at the alerts, decides, and writes what it means.

Always true: what one look decided is one transaction, so that a process that dies at any statement leaves
nothing behind or all of it; a look that finds nothing to do writes nothing; what cannot be written is decided
again at the next look (tests/app/test_escalating.py, test_escalating_crashes.py).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from watchkeeper.monitoring.acknowledgements import take_back
from watchkeeper.oncall import paging
from watchkeeper.oncall.accounts import CLAUSE, Account
from watchkeeper.oncall.escalation import Escalation, Event, Page, Policy, decide
from watchkeeper.oncall.overrides import standing
from watchkeeper.oncall.rota import Override
from watchkeeper.oncall.steps import Audience, Step, audience, steps
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TROUBLE_SECONDS = 5.0
KEEP_ENDED = timedelta(days=7)


class Escalating:
    """Escalates the pages of one store. Several of them, in any number of processes, may share it."""

    def __init__(self, store: Store, clock: Clock, runbook: Runbook) -> None:
        self._store = store
        self._clock = clock
        self._runbook = runbook

    def use(self, runbook: Runbook) -> None:
        """The runbook as it was read again; the next look goes by it."""
        self._runbook = runbook

    def run(self, stop: threading.Event) -> None:
        """Look once a second until ``stop`` is set."""
        while not stop.is_set():
            wait = LOOK_SECONDS
            try:
                self.look()
            except StoreError as error:
                log.error("pages are not escalated for now: %s", error)
                wait = TROUBLE_SECONDS
            except Exception:
                # A defect must not end the thread: nobody would be paged any more. It is logged whole.
                log.exception("pages are not escalated for now, because of a defect of Watchkeeper")
                wait = TROUBLE_SECONDS
            stop.wait(wait)

    def look(self) -> int:
        """Decide about every page, and write what that means; how many escalations it changed."""
        runbook, now, changed = self._runbook, self._clock.now(), 0
        with self._store.read() as conn:
            wanted = list(_unsettled(conn, runbook, now))
            old = paging.ended_before(conn, now - KEEP_ENDED)
        for key in wanted:
            try:
                changed += self._settle(key, runbook)
            except StoreError:
                raise
            except Exception:
                # A defect met in one page must not keep the others from reaching anybody.
                log.exception("PAGE %s is not escalated, because of a defect of Watchkeeper", key)
        if old:
            with self._store.write() as conn:
                paging.prune(conn, now - KEEP_ENDED)
        return changed

    def _settle(self, key: str, runbook: Runbook) -> bool:
        """Write what one page means now, in one transaction; whether that is anything."""
        with self._store.write() as conn:
            now, known = self._clock.now(), paging.load(conn, key)
            for page in paging.pages(conn, known, key):
                before = known.get(key)
                after, events = _decide(conn, before, page, runbook, now)
                if after is None or (after == before and not events):
                    continue
                about = paging.about(conn, key)
                paging.save(conn, after, about)
                Account(conn, now, runbook, after, about, take_back).write(events)
                return True
        return False

    def notes(self) -> list[str]:
        """Which pages nobody is paged for, and why, in sentences."""
        with self._store.read() as conn:
            return [f"PAGE {summary}: {problem}" for summary, problem in paging.problems(conn)]


def _unsettled(conn: Connection, runbook: Runbook, now: datetime) -> Iterator[str]:
    """The pages of which there is something to write."""
    known = paging.load(conn)
    for page in paging.pages(conn, known):
        before = known.get(page.dedup_key)
        try:
            after, events = _decide(conn, before, page, runbook, now)
        except StoreError:
            raise
        except Exception:
            # As in look(): the other pages are decided all the same.
            log.exception("PAGE %s cannot be decided, because of a defect of Watchkeeper", page.dedup_key)
            continue
        if after != before or events:
            yield page.dedup_key


def _decide(
    conn: Connection, before: Escalation | None, page: Page, runbook: Runbook, now: datetime
) -> tuple[Escalation | None, tuple[Event, ...]]:
    if before is None and escalating_rota(runbook, None) is None and runbook.incidents is None:
        return None, ()  # there is neither anybody to page nor a deadline to judge
    return decide(before, page, _policy(conn, runbook, before.rota if before else None, now), now)


def escalating_rota(runbook: Runbook, begun: str | None) -> Rota | None:
    """The rota that pages: ``begun``, if the runbook has it still, else that of incidents, else the default
    of on call, else the first."""
    incidents, oncall = runbook.incidents, runbook.oncall
    wanted = (begun, incidents.rota if incidents else None, oncall.default)
    found = (oncall.rota(name) for name in wanted if name is not None)
    return next((rota for rota in found if rota is not None), next(iter(oncall.rotas), None))


def _policy(conn: Connection, runbook: Runbook, begun: str | None, now: datetime) -> Policy:
    rota = escalating_rota(runbook, begun)
    acknowledge = runbook.incidents.deadlines.acknowledge if runbook.incidents else None
    waived = any(waiver.clause == CLAUSE and waiver.active(now.date()) for waiver in runbook.waivers)
    return Policy(
        rota=None if rota is None else rota.id,
        steps=() if rota is None else steps(rota, acknowledge),
        repeat=0 if rota is None else rota.repeat,
        acknowledge=acknowledge,
        lasts=runbook.oncall.acknowledgement_lasts,
        audience=_nobody if rota is None else partial(_audience, conn, runbook, rota, now),
        waived=waived,
    )


def _nobody(_: Step) -> Audience:
    return Audience((), ())


def _audience(conn: Connection, runbook: Runbook, rota: Rota, now: datetime, step: Step) -> Audience:
    def overrides(rota_id: str) -> list[Override]:
        return standing(conn, runbook, rota_id, now)

    return audience(step, runbook, rota, overrides, now)
