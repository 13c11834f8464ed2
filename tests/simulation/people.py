"""The people of a simulated deployment: they take pages or sleep through them, silence alerts, swap watches.

Always true: what a person does is a transaction of the console's process, or a webhook that the pager sends
until somebody takes it in; a person whose request failed tries again for a while, and knows nothing else of
the deployment than what reached a telephone, a pager or the console (tests/simulation/test_people.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from tests.simulation.deployment import Site, Web, Work
from tests.simulation.network import Arrival
from tests.simulation.policy import ENVIRON, PEOPLE, SERVICES, WEBHOOK_SECRET
from tests.simulation.timeline import moments
from watchkeeper.app.wire import RefusedError
from watchkeeper.monitoring import silencing
from watchkeeper.monitoring.acknowledgements import acknowledge
from watchkeeper.monitoring.silences import Wanted as WantedSilence
from watchkeeper.monitoring.silences import matcher
from watchkeeper.oncall import overrides
from watchkeeper.store.clock import from_us
from watchkeeper.store.database import Store
from watchkeeper.store.models import alerts

SILENCES, OVERRIDES = 30, 12
"""In a quarter."""
TRIES = 30


class People:
    """Everybody who answers. ``silenced`` is called when a silence was made or ended."""

    def __init__(
        self, site: Site, chance: random.Random, web: Web, work: Work, silenced: Callable[[], None]
    ) -> None:
        self._site = site
        self._chance = chance
        self._web = web
        self._work = work
        self._silenced = silenced
        self._thinking: set[str] = set()
        self._resolved: set[str] = set()
        self._events = 0
        self.acknowledged = 0
        self.silences = 0
        self.asleep = False
        """Whether nobody does anything any more."""

    def begin(self, until: float, quarter: float) -> None:
        """Put what people do by themselves into the timeline."""
        for rate, act in ((SILENCES, self._silence), (OVERRIDES, self._override)):
            for when in moments(random.Random(self._chance.random()), rate / quarter, until):
                self._site.timeline.at(when, act)

    # -- pages ---------------------------------------------------------------------------------

    def heard(self, target: str, arrival: Arrival) -> None:
        """Something arrived at the pager or at a telephone."""
        if arrival.kind == "resolve" and target == "pager":
            self._resolved.add(arrival.dedup_key)
        if arrival.kind != "trigger" or not arrival.page or self.asleep:
            return
        key = arrival.dedup_key.partition("/to/")[0]
        if key in self._thinking or self._chance.random() < 0.25:
            return
        self._thinking.add(key)
        seconds = 20.0 * 120.0 ** self._chance.random()
        person = self._chance.choice(PEOPLE) if target == "pager" else target.removesuffix("-phone")
        if target == "pager" and self._chance.random() < 0.7:
            self._site.timeline.after(seconds, lambda: self._press(key, person))
        else:
            self._site.timeline.after(seconds, lambda: self._take(key, person, TRIES))

    def _take(self, key: str, person: str, tries: int) -> None:
        """Acknowledge at the console, which tells what became of it."""

        def act(store: Store) -> None:
            with store.write() as conn:
                mine = select(alerts.c.fingerprint).where(
                    alerts.c.group_key == key, alerts.c.state == "firing"
                )
                found = sorted(conn.execute(mine).scalars())
                if found:
                    acknowledge(conn, self._site.clock.now(), found, person, "on it")

        self._thinking.discard(key)
        self.request(act, tries, self._acknowledged)

    def _acknowledged(self) -> None:
        self.acknowledged += 1

    def _press(self, key: str, person: str) -> None:
        """Acknowledge at the pager, which sends a webhook; sometimes twice, late, or never."""
        self._thinking.discard(key)
        if key in self._resolved:
            return
        self._event("acknowledged", key, person)
        draw = self._chance.random()
        if draw < 0.06:
            self._site.timeline.after(
                self._chance.uniform(60, 3600), lambda: self._event("unacknowledged", key, person)
            )
        elif draw < 0.10:
            self._site.timeline.after(
                self._chance.uniform(60, 3600), lambda: self._event("resolved", key, person)
            )

    def _event(self, happened: str, key: str, person: str) -> None:
        self._events += 1
        true_now = self._true_time()
        event = {
            "id": f"E{self._events}",
            "event_type": f"incident.{happened}",
            "occurred_at": true_now.isoformat(),
            "agent": {"summary": person.capitalize()},
            "data": {"id": f"P{self._events}", "incident_key": key, "title": key},
        }
        body = json.dumps({"event": event}).encode()
        draw = self._chance.random()
        if draw < 0.05:
            self._site.faults.counts["webhooks lost"] += 1
            return
        delay = self._chance.uniform(0.1, 3.0)
        if draw < 0.12:
            self._site.faults.counts["webhooks delayed"] += 1
            delay = self._chance.uniform(30, 900)
        self._site.timeline.after(delay, lambda: self._deliver(body, TRIES))
        if 0.12 <= draw < 0.20:
            self._site.faults.counts["webhooks doubled"] += 1
            self._site.timeline.after(delay + self._chance.uniform(0, 120), lambda: self._deliver(body, 1))

    def _deliver(self, body: bytes, tries: int) -> None:
        secret = ENVIRON[WEBHOOK_SECRET].encode()
        signature = "v1=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        taken = False

        def act() -> None:
            nonlocal taken
            try:
                self._work.inbound._take_in("pager", signature, body)
            except RefusedError as error:
                wrong_clock = abs(self._site.clock.now() - self._true_time()) > timedelta(minutes=1)
                if error.kind != "unavailable" and not wrong_clock:
                    raise AssertionError(f"a genuine webhook is refused: {error}") from error
                return
            taken = True

        if self._work.run(act) and taken:
            self.acknowledged += 1
            self._work.told()
        elif tries > 1:  # the pager sends again what was not taken in
            self._site.timeline.after(self._chance.uniform(10, 60), lambda: self._deliver(body, tries - 1))

    # -- silences and overrides ----------------------------------------------------------------

    def _silence(self) -> None:
        if self.asleep:
            return
        service, person = self._chance.choice(SERVICES), self._chance.choice(PEOPLE)
        seconds = 900.0 * 100.0 ** self._chance.random()
        begins = self._chance.choice((0.0, 0.0, self._chance.uniform(60, 7200)))
        early = self._chance.random() < 0.3
        made: list[int] = []

        def act(store: Store) -> None:
            now = self._site.clock.now()
            start = now + timedelta(seconds=begins)
            wanted = WantedSilence(
                (matcher(f"service={service}"),), start, start + timedelta(seconds=seconds), person, "work"
            )
            with store.write() as conn:
                number = silencing.create(
                    conn, now, wanted, person, self._site.runbook.monitoring.silences
                ).id
            made.append(number)

        def done() -> None:
            self.silences += 1
            self._silenced()
            if early and made:
                self._site.timeline.after(
                    begins + seconds * self._chance.random(), lambda: self._end(made[0])
                )

        self.request(act, TRIES, done)

    def _end(self, number: int) -> None:
        def act(store: Store) -> None:
            with store.write() as conn:
                known = silencing.get(conn, number)
                now = self._site.clock.now()
                if known is not None and known.ended_at is None and known.state(now) != "over":
                    silencing.end(conn, now, number, "ada")

        self.request(act, TRIES, self._silenced)

    def _override(self) -> None:
        if self.asleep:
            return
        person, hours = self._chance.choice(PEOPLE), self._chance.randint(1, 72)

        def act(store: Store) -> None:
            now = self._site.clock.now()
            wanted = overrides.Wanted("platform", person, now, now + timedelta(hours=hours), "swap")
            with store.write() as conn:
                overrides.create(conn, now, self._site.runbook, wanted, f"person:{person}")

        self.request(act, TRIES, lambda: None)

    def request(self, act: Callable[[Store], object], tries: int, done: Callable[[], None]) -> None:
        """Ask the console; again a moment later where it did not answer."""
        if self._web.change(act):
            done()
            self._work.told()
        elif tries > 1:
            wait = self._chance.uniform(5, 60)
            self._site.timeline.after(wait, lambda: self.request(act, tries - 1, done))

    def _true_time(self) -> datetime:
        """What clocks show that nobody has set."""
        return from_us(self._site.began_us + round(self._site.timeline.now * 1e6))
