"""Responds, for the role ``work``: alerts open and join incidents, deadlines run out.

Always true: what some entries of the journal, some alerts or one deadline mean is one transaction, together
with the cursor that says how far the journal was read, so that a process that dies at any statement leaves
nothing behind or all of it; what is heard twice changes nothing the second time; a look that finds nothing to
do writes nothing (tests/app/test_responding.py, test_responding_crashes.py).

An alert is found twice over: in the journal, so that one which fired and ended while nobody looked still has
its incident, and among those that fire, so that one whose silence has ended has it too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, update

from watchkeeper.app.escalating import escalating_rota
from watchkeeper.incidents import alerting, clocks, records, reminding
from watchkeeper.incidents.joining import Firing
from watchkeeper.incidents.reminding import People
from watchkeeper.monitoring import acknowledgements
from watchkeeper.oncall.overrides import standing
from watchkeeper.oncall.rota import on_call
from watchkeeper.oncall.steps import next_person
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import deadlines, journal
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.models import section_state

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_SECONDS = 1.0
TROUBLE_SECONDS = 5.0
WARNINGS_SECONDS = 10.0
CLOCK_STEP = timedelta(minutes=1)
BATCH = 50
"""So many entries or alerts are one transaction: a storm is taken in soon, and nobody waits long for it."""
_SECTION, _CURSOR = "incidents", "journal"


class Responding:
    """Responds to the alerts of one store. Several of them, in any number of processes, may share it."""

    def __init__(self, store: Store, clock: Clock, runbook: Runbook) -> None:
        self._store = store
        self._clock = clock
        self._runbook = runbook
        self._read_to = 0
        self._looked: tuple[datetime, float] | None = None
        self._warnings_at = 0.0

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
                log.error("incidents are not kept for now: %s", error)
                wait = TROUBLE_SECONDS
            except Exception:
                # A defect must not end the thread: no deadline would run out any more. It is logged whole.
                log.exception("incidents are not kept for now, because of a defect of Watchkeeper")
                wait = TROUBLE_SECONDS
            stop.wait(wait)

    def look(self) -> int:
        """Take in what happened since the last look, and judge the deadlines; how much that changed."""
        runbook, changed = self._runbook, 0
        self._mind_the_clock()
        try:
            changed = self._alerts(runbook)
        except StoreError:
            raise
        except Exception:
            # A defect met in an alert must not keep the deadlines from being judged.
            log.exception("alerts have no incidents for now, because of a defect of Watchkeeper")
        return changed + self._tick(runbook)

    def _alerts(self, runbook: Runbook) -> int:
        if runbook.incidents is not None:
            return self._join(runbook, self._follow(runbook))
        with self._store.read() as conn:
            kept = _cursor(conn)
        if kept is not None:  # what happens until the runbook has the section again is nobody's incident
            with self._store.write() as conn:
                conn.execute(delete(section_state).where(*_MINE))
        return 0

    def _mind_the_clock(self) -> None:
        """A clock that was set forward has not used anybody's time."""
        now, ticks = self._clock.now(), self._clock.monotonic()
        if self._looked is not None:
            step = (now - self._looked[0]) - timedelta(seconds=ticks - self._looked[1])
            if step > CLOCK_STEP:
                with self._store.write() as conn:
                    deadlines.lock(conn)
                    deadlines.passed_over(conn, now, step)
        self._looked = (now, ticks)

    def _follow(self, runbook: Runbook) -> int:
        """Read the journal on from where it was read to."""
        changed = 0
        with self._store.read() as conn:
            kept, head = _cursor(conn), journal.head(conn).seq
        if kept is None:  # the first time: what fires now is found among the alerts
            with self._store.write() as conn:
                _keep_cursor(conn, head)
            self._read_to = head
            return 0
        self._read_to = max(kept, self._read_to)
        while True:
            with self._store.read() as conn:
                entries = journal.tail(conn, self._read_to, BATCH, alerting.FOLLOWED)
                means = self._means(conn, runbook, entries)
            if means:
                changed += self._each(entries, partial(self._hear, runbook), "entries of the journal")
            elif entries:  # what meant nothing when it happened must not mean something after a restart
                with self._store.write() as conn:
                    _keep_cursor(conn, entries[-1].seq)
            if len(entries) < BATCH:
                self._read_to = max(self._read_to, head)
                return changed
            self._read_to = entries[-1].seq

    def _means(self, conn: Connection, runbook: Runbook, entries: Sequence[journal.Entry]) -> bool:
        try:
            return any(alerting.concerns(conn, runbook, entry) for entry in entries)
        except StoreError:
            raise
        except Exception:
            # A defect met in one entry is met again, and passed over, where each is heard by itself.
            log.exception("an entry of the journal cannot be read, because of a defect of Watchkeeper")
            return True

    def _hear(self, runbook: Runbook, conn: Connection, entry: journal.Entry) -> bool:
        meant = alerting.hear(conn, self._clock.now(), runbook, entry)
        _keep_cursor(conn, entry.seq)
        return meant

    def _each(self, found: Sequence[T], act: Callable[[Connection, T], bool], what: str) -> int:
        """Do it for all of them in one transaction; where that fails, each in its own, so that a defect met
        in one keeps none of the others from its incident."""
        try:
            with self._store.write() as conn:
                records.lock_alerts(conn)
                return sum(act(conn, one) for one in found)
        except StoreError:
            raise
        except Exception:
            if len(found) == 1:
                log.exception(
                    "%s: one is passed over, because of a defect of Watchkeeper: %s", what, found[0]
                )
                return 0
        return sum(self._each([one], act, what) for one in found)

    def _join(self, runbook: Runbook, changed: int) -> int:
        """The alerts that fire and belong to no incident. ``changed``: something did in this look already."""
        with self._store.read() as conn:
            wanted = alerting.unjoined_pages(conn)
        changed += self._take_in(runbook, wanted)
        ticks = self._clock.monotonic()
        if changed or ticks >= self._warnings_at:  # there may be thousands, and few of them join anything
            self._warnings_at = ticks + WARNINGS_SECONDS
            with self._store.read() as conn:
                wanted = [
                    one
                    for one in alerting.unjoined_warnings(conn)
                    if alerting.decision(conn, runbook, one) is not None
                ]
            changed += self._take_in(runbook, wanted)
        return changed

    def _take_in(self, runbook: Runbook, wanted: Sequence[Firing]) -> int:
        def take(conn: Connection, alert: Firing) -> bool:
            return alerting.take_in(conn, self._clock.now(), runbook, alert) is not None

        parts = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
        return sum(self._each(part, take, "alerts") for part in parts)

    def _tick(self, runbook: Runbook) -> int:
        """The deadlines of all sections."""
        now, changed = self._clock.now(), 0
        with self._store.read() as conn:
            waiting = [one.id for one in deadlines.due(conn, now)]
        for number in waiting:
            try:
                changed += self._settle(number, runbook)
            except StoreError:
                raise
            except Exception:
                # A defect met in one deadline must not keep the others from being judged.
                log.exception("deadline %s is not judged, because of a defect of Watchkeeper", number)
        return changed

    def _settle(self, number: int, runbook: Runbook) -> int:
        now = self._clock.now()
        waived = clocks.waivers(runbook, now)
        with self._store.write() as conn:
            deadlines.lock(conn)
            happened = deadlines.look_at(conn, now, deadlines.load(conn, number), waived)
            for deadline, event in happened:
                if runbook.incidents is not None:
                    reminding.hear(conn, now, runbook, deadline, event, people(conn, runbook, now))
        return len(happened)


def people(conn: Connection, runbook: Runbook, now: datetime) -> People:
    """Who has the watch for incidents, and who is next."""
    rota = escalating_rota(runbook, None)
    if rota is None:
        return People()
    overrides = standing(conn, runbook, rota.id, now)
    watch, following = on_call(rota, overrides, now).contact, next_person(rota, overrides, now)
    return People((watch,) if watch else (), (following,) if following else ())


def acknowledge_alerts(
    conn: Connection, now: datetime, fingerprints: Sequence[str], name: str, note: str, actor: str
) -> object:
    """What :func:`watchkeeper.incidents.service.acknowledge` asks for."""
    return acknowledgements.acknowledge(conn, now, fingerprints, name, note, actor=actor)


def _cursor(conn: Connection) -> int | None:
    document = conn.execute(select(section_state.c.document).where(*_MINE)).scalar()
    return None if document is None else int(document["seq"])


def _keep_cursor(conn: Connection, seq: int) -> None:
    document = {"seq": seq}
    if not conn.execute(update(section_state).where(*_MINE).values(document=document)).rowcount:
        conn.execute(insert(section_state).values(section=_SECTION, name=_CURSOR, document=document))


_MINE = (section_state.c.section == _SECTION, section_state.c.name == _CURSOR)
