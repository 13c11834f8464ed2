"""What every page's frame needs and the home page is made of: one overview, shared by all who look at once.

Always true: however many people look, the role ``watch`` is asked at most once a second; where it does not
answer the picture says so and shows nothing as met that nobody watches (tests/console/test_picture.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from watchkeeper.app.wire import WireError
from watchkeeper.console.policy import AskPolicy, NoPolicyError, Policy
from watchkeeper.console.roles import Roles
from watchkeeper.incidents import lifecycle, reading, records
from watchkeeper.incidents.models import Countdown, Incident
from watchkeeper.oncall.overrides import standing
from watchkeeper.oncall.report import Watch, watch
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.status import ClauseStatus, clause_statuses, counts
from watchkeeper.store import journal
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.evidence import latest_verdicts
from watchkeeper.store.models import alerts

FRESH_SECONDS = 1.0
ASK_SECONDS = 5.0
BURNING = 20
"""Of so many live incidents, the worst ones, the clocks are looked at."""


@dataclass(frozen=True, slots=True)
class Burning:
    """A live incident, the clock of it that runs out next, and the fingerprints of its alerts that fire."""

    incident: Incident
    clock: Countdown | None
    firing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment. ``overview`` is what the role ``watch`` said (see ``app/answers.py``), empty
    where it did not; ``problems`` are sentences for a banner; ``seq`` the journal's newest entry."""

    at: datetime
    policy: Policy | None
    overview: dict[str, Any]
    statuses: tuple[ClauseStatus, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    watches: tuple[Watch, ...] = ()
    problems: tuple[str, ...] = ()
    seq: int = 0
    incidents: tuple[Burning, ...] = ()
    """The live ones, the worst first."""

    @property
    def platform(self) -> str:
        """The platform's name; ours while no runbook is in force."""
        return self.policy.runbook.platform if self.policy else "Watchkeeper"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts."""
        found: list[dict[str, Any]] = self.overview.get("alerts", [])
        return found

    @property
    def firing_pages(self) -> list[dict[str, Any]]:
        """The pages that burn: firing, and not spoken for by another alert or a silence."""
        return [
            alert
            for alert in self.alerts
            if alert["state"] == "firing" and alert["severity"] == "page" and not alert["inhibited_by"]
        ]

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return sum(1 for alert in self.alerts if alert["state"] == "firing")

    def incident_of(self, fingerprint: str) -> Burning | None:
        """The live incident that a firing alert belongs to."""
        return next((one for one in self.incidents if fingerprint in one.firing), None)

    @property
    def quiet_incidents(self) -> tuple[Burning, ...]:
        """Live incidents of which no page burns now: no banner of an alert leads to them."""
        burning = {alert["fingerprint"] for alert in self.firing_pages}
        return tuple(one for one in self.incidents if not one.firing & burning)

    @property
    def watch(self) -> Watch | None:
        """The default rota's watch: who is on call."""
        if not self.watches:
            return None
        default = self.policy.runbook.oncall.default if self.policy else None
        return next((one for one in self.watches if one.rota.id == default), self.watches[0])


class Pictures:
    """Makes pictures, one for all who ask within a second."""

    def __init__(self, store: Store, roles: Roles, policy: AskPolicy, clock: Clock) -> None:
        self._store = store
        self._roles = roles
        self._policy = policy
        self._clock = clock
        self._made = -FRESH_SECONDS
        self._picture: Picture | None = None
        self._making: asyncio.Task[Picture] | None = None

    async def now(self) -> Picture:
        """A picture at most a second old."""
        if self._picture is not None and self._clock.monotonic() - self._made < FRESH_SECONDS:
            return self._picture
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
        return await asyncio.shield(self._making)

    def outdated(self) -> None:
        """Something was changed here: the next who looks sees it, also while a picture is being made."""
        self._made = -FRESH_SECONDS
        self._making = None

    async def _make(self) -> Picture:
        begun = self._clock.monotonic()
        overview: dict[str, Any] = {}
        problems: list[str] = []
        try:
            overview = json.loads(await self._roles.watch("overview", {}, ASK_SECONDS))
        except WireError as error:
            problems.append(f"Nothing is being watched right now: {error}.")
        picture = await run_in_threadpool(self._read, overview, problems)
        if self._making is asyncio.current_task():  # else something was changed since it was begun
            self._picture, self._made = picture, begun
        return picture

    def _read(self, overview: dict[str, Any], problems: list[str]) -> Picture:
        now = self._clock.now()
        for alert in overview.get("alerts", ()):
            alert["acked_by"] = None  # as far as we know, also where the store cannot say
        try:
            policy = self._policy()
        except NoPolicyError as error:
            return Picture(now, None, overview, problems=(*problems, f"{str(error).capitalize()}."))
        if overview.get("halted"):
            problems.append(f"Rules are not evaluated: {overview['halted']}")
        said = overview.get("runbook", {}).get("problem")
        if said:
            line = str(said).splitlines()[0]
            problems.append(f"The runbook on disk is broken; the one loaded before runs on: {line}")
        try:
            with self._store.read() as conn:
                statuses = tuple(clause_statuses(policy.clauses, latest_verdicts(conn), now))
                watches = tuple(
                    watch(rota, standing(conn, policy.runbook, rota.id, now), now)
                    for rota in policy.runbook.oncall.rotas
                )
                seq = journal.head(conn).seq
                _add_acknowledgements(conn, overview.get("alerts", ()))
                live = _incidents(conn, policy.runbook)
        except StoreError as error:
            return Picture(now, policy, overview, problems=(*problems, f"The store cannot be read: {error}"))
        found = counts(statuses)
        return Picture(now, policy, overview, statuses, found, watches, tuple(problems), seq, live)


def _incidents(conn: Connection, runbook: Runbook) -> tuple[Burning, ...]:
    """The live incidents with their clocks."""
    if runbook.incidents is None:
        return ()
    found = []
    for position, one in enumerate(reading.live(conn)):
        joined = records.joined(conn, one.id) if position < BURNING else ()
        clocks = reading.countdowns(conn, runbook, one, joined) if position < BURNING else ()
        firing = frozenset(alert.fingerprint for alert in joined if alert.resolved_at is None)
        found.append(Burning(one, lifecycle.next_clock(clocks), firing))
    return tuple(found)


def _add_acknowledgements(conn: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Say of each alert who has it; that is the store's to know."""
    query = select(alerts.c.fingerprint, alerts.c.acked_by).where(alerts.c.acked_at.is_not(None))
    known = {row.fingerprint: row.acked_by for row in conn.execute(query)}
    for alert in rows:
        alert["acked_by"] = known.get(alert["fingerprint"])
