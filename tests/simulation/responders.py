"""What people do with incidents: set the severity or forget to, post updates or fall silent, resolve, close.

Always true: each act is one transaction of the console, through the functions that the console calls; what
the product refuses (signals not at baseline, a document with gaps) is tried again later, as people do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from tests.simulation.deployment import Site
from tests.simulation.people import TRIES, People
from tests.simulation.policy import PEOPLE
from watchkeeper.incidents import service
from watchkeeper.incidents.models import Author, IncidentError, Status
from watchkeeper.playbooks.answers import answer
from watchkeeper.playbooks.starting import start
from watchkeeper.store.database import Store

MINUTE, HOUR = 60.0, 3600.0
MOST_UPDATES = 10
Act = Callable[[Connection, datetime, Author], object]


class Responders:
    """Everybody who works on incidents. They see at the console what was opened (:meth:`opened`)."""

    def __init__(
        self, site: Site, chance: random.Random, people: People, started: Callable[[], object]
    ) -> None:
        self._started = started
        self._site = site
        self._chance = chance
        self._people = people
        self._round: dict[int, int] = {}
        self._said: dict[int, int] = {}
        self.refused = 0

    def opened(self, number: int) -> None:
        """An incident was opened, or is open again."""
        mine = self._round[number] = self._round.get(number, 0) + 1
        self._later(1, 20, lambda: self._triage(number, mine))
        self._later(15, 90, lambda: self._resolve(number, mine))

        if self._chance.random() < 0.6:
            self._later(1, 15, lambda: self._start(number))

    def asked(self, run: str) -> None:
        """A run asks whether it is well."""
        self._later(
            1,
            60,
            lambda: self._do(
                lambda conn, now, by: answer(conn, now, run, "check", "confirm", by.actor, "it is"),
                self._started,
            ),
        )

    def _start(self, number: int) -> None:
        runbook = self._site.runbook
        self._do(
            lambda conn, now, by: start(conn, now, runbook, "mend", {}, by.actor, f"incident:{number}"),
            self._started,
        )

    def _triage(self, number: int, mine: int) -> None:
        severity = self._chance.choices(("SEV-1", "SEV-2", "SEV-3"), (1, 2, 3))[0]
        if self._chance.random() < 0.85:  # else nobody thinks of it
            self._do(
                lambda conn, now, by: service.set_severity(
                    conn, now, self._site.runbook, number, by, severity
                )
            )
        if severity != "SEV-3":
            self._later(2, 14, lambda: self._update(number, mine))

    def _update(self, number: int, mine: int) -> None:
        if self._round[number] != mine:
            return
        self._said[number] = self._said.get(number, 0) + 1
        if self._said[number] > MOST_UPDATES:  # it drags on: they call it small, and speak of it no more
            self._do(
                lambda conn, now, by: service.set_severity(conn, now, self._site.runbook, number, by, "SEV-3")
            )
            return
        status = self._chance.choice((Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING))
        self._do(
            lambda conn, now, by: service.post_update(
                conn, now, self._site.runbook, number, by, status=status, impact="some requests fail"
            )
        )
        forgets = self._chance.random() < 0.2
        self._later(*((16, 50) if forgets else (5, 14)), lambda: self._update(number, mine))

    def _resolve(self, number: int, mine: int) -> None:
        if self._round[number] != mine or self._people.asleep:
            return

        def done() -> None:
            self._round[number] = mine + 1  # no update any more
            if self._chance.random() < 0.05:
                self._later(5, 300, lambda: self._reopen(number))
            else:
                self._later(
                    60, 20 * 60 if self._chance.random() < 0.85 else 40 * 60, lambda: self._close(number)
                )

        said = lambda conn, now, by: service.resolve(conn, now, self._site.runbook, number, by)  # noqa: E731
        self._do(said, done, lambda: self._later(5, 40, lambda: self._resolve(number, mine)))

    def _reopen(self, number: int) -> None:
        self._do(
            lambda conn, now, by: service.reopen(conn, now, self._site.runbook, number, by, "it is not over")
        )

    def _close(self, number: int) -> None:
        runbook = self._site.runbook

        def act(conn: Connection, now: datetime, by: Author) -> None:
            service.set_severity(conn, now, runbook, number, by, "SEV-3")
            service.describe(conn, now, runbook, number, by, impact="some requests failed")
            service.write_section(conn, now, runbook, number, by, "root cause", "a disk was full")
            service.close(conn, now, runbook, number, by)

        self._do(act)

    def _do(
        self,
        act: Act,
        done: Callable[[], object] = lambda: None,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        if self._people.asleep:
            return
        by = Author.person(self._chance.choice(PEOPLE))
        said_no = False

        def change(store: Store) -> None:
            nonlocal said_no
            try:
                with store.write() as conn:
                    act(conn, self._site.clock.now(), by)
            except IncidentError:
                said_no = True

        def told() -> None:
            if said_no:
                self.refused += 1
                refused()
            else:
                done()

        self._people.request(change, TRIES, told)

    def _later(self, fewest: float, most: float, act: Callable[[], None]) -> None:
        """In so many minutes, short ones more often."""
        seconds = MINUTE * fewest * (most / fewest) ** self._chance.random()
        self._site.timeline.after(seconds, act)
