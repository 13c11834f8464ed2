"""The processes of a simulated deployment, made of the product's own parts, and how they die and begin anew.

Always true: a process that dies loses every object it had and begins anew from the store alone; what it does,
it does through the functions that the real role calls; nothing of one process is seen by another except
through the store and the network (tests/simulation/test_deployment.py).

What is left out of the real roles: their sockets, signals and threads. Threads meet here only where one of
them waits for an answer of the network: whatever else is due meanwhile runs then. And nobody polls: a look
that would find nothing is not taken, see :meth:`Watch.next_evaluation`, :meth:`Work.next_look` and
:meth:`Work.next_delivery`. A test holds that an hour's polling at full rate changes nothing.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.simulation.faults import Crash, Faults
from tests.simulation.network import Line, Network
from tests.simulation.policy import ENVIRON, simulated
from tests.simulation.timeline import Act, Activity, Patience, Timeline
from watchkeeper.app.escalating import Escalating
from watchkeeper.app.inbound import InboundAnswers
from watchkeeper.app.responding import Responding
from watchkeeper.monitoring.alerts import RESOLVED_RETENTION, AlertState
from watchkeeper.monitoring.evaluation import Decision
from watchkeeper.monitoring.maintenance import next_opening, opening_at
from watchkeeper.monitoring.missing import FORGET_AFTER
from watchkeeper.monitoring.rules import Schedule, aligned
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.monitoring.source import Source
from watchkeeper.notify.delivery import TROUBLE_SECONDS, Deliverer
from watchkeeper.notify.lane import Attempt, Lane
from watchkeeper.notify.receivers import build_receivers
from watchkeeper.playbooks.leases import Watched
from watchkeeper.playbooks.runner import Runner
from watchkeeper.store.clock import ManualClock, to_us
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)
T = TypeVar("T")

RESTART_SECONDS = (1.0, 20.0)
IDLE_SECONDS = 6 * 3600.0
"""So often everything is looked at that has no reason to be."""
BUSY_SECONDS = 65.0
"""For so long after a change every evaluation is held."""


class Process:
    """One process of the deployment. What it is made of is built by :meth:`build`."""

    name = ""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.generation = 0
        self.up = False
        self.store: Store
        self._activities: list[Activity] = []

    def build(self) -> None:
        """Make everything anew, from the store."""

    def begun(self) -> None:
        """Look at everything, as a process does that has just begun."""
        for activity in self._activities:
            activity.after(0.0)

    def roused(self) -> None:
        """Something happened elsewhere: look at what it may have changed."""
        self.begun()

    def activity(self, act: Act) -> Activity:
        """Something that this process does while it is up."""
        made = Activity(self.site.timeline, partial(self.run, act))
        self._activities.append(made)
        return made

    def start(self) -> None:
        """Begin, or try to: a process that cannot read its store begins again in a moment."""
        try:
            self.store = self.site.faults.open(self.site.directory, self.site.clock, self.name)
            self.build()
        except (Crash, StoreError):
            self._end()
            return
        self.up = True
        self.begun()

    def run(self, act: Act) -> bool:
        """Do ``act`` in this process, which may die of it; whether it lived to tell."""
        if not self.up:
            return False
        mine = self.generation
        try:
            act()
        except Crash as crash:
            if crash.process != self.name:
                raise
            if self.generation == mine:
                self.die()
            return False
        return True

    def die(self) -> None:
        """End now, as by ``kill -9``."""
        self.site.disturbed[self.name] = self.site.timeline.now
        self.site.tell(f"{self.name} dies")
        self.up = False
        self._end()
        self.site.wake()  # it may have committed something before, which others find when they look

    def stop(self) -> None:
        """Close the store for good."""
        if self.up:
            self.up = False
            self.store.close()

    def alive(self, generation: int) -> None:
        """Raise :class:`Crash` where the process of that generation has died meanwhile."""
        if self.generation != generation:
            raise Crash(self.name)

    def _end(self) -> None:
        self.generation += 1
        if hasattr(self, "store"):
            self.store.close()
        self.site.timeline.after(self.site.chance.uniform(*RESTART_SECONDS), self.start)


class Site:
    """What the processes share: directory, clock, timeline, network, faults; and who hears of a change."""

    def __init__(
        self,
        directory: Path,
        clock: ManualClock,
        timeline: Timeline,
        faults: Faults,
        chance: random.Random,
        *,
        every_slot: bool = False,
    ) -> None:
        self.directory = directory
        self.clock = clock
        self.timeline = timeline
        self.faults = faults
        self.chance = chance
        self.every_slot = every_slot
        self.runbook = simulated().runbook
        self.disturbed: dict[str, float] = {}
        """When something last went wrong, by what it was."""
        self.gone: set[str] = set()
        """The owners of claims that are known to have died."""
        self.story: Callable[[str], None] = lambda _: None
        self.processes: list[Process] = []
        self.began_us = to_us(clock.now())

    def moment(self) -> str:
        """Day and time since the beginning, and what the wall clock shows."""
        seconds = int(self.timeline.now)
        day, rest = divmod(seconds, 86_400)
        time = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        return f"day {day:2} {time} ({self.clock.now():%m-%d %H:%M:%S})"

    def tell(self, what: str) -> None:
        """Something for the story."""
        self.story(what)

    def wake(self) -> None:
        """Something happened that everybody who is up may have to act on."""
        for process in self.processes:
            if process.up:
                process.roused()


class Watch(Process):
    """The role ``watch``: evaluates the rules."""

    name = "watch"

    def __init__(self, site: Site, source: Source, evaluated: Callable[[Decision], None]) -> None:
        super().__init__(site)
        self._source = source
        self._evaluated = evaluated
        self._announced = False
        self.evaluating = self.activity(self.evaluate)
        self.changed_at = 0.0
        self.evaluations = 0
        self.recorded_at = 0.0
        """When an evaluation was last recorded."""

    def build(self) -> None:
        """As :class:`watchkeeper.app.evaluating.Evaluating` does."""
        self.service = MonitoringService(
            self.store, self.site.clock, self._source, simulated(), external_url="http://wk.example"
        )
        self._schedule = Schedule(self.site.clock, self.service.interval)
        self._announced = False
        self.changed_at = self.site.timeline.now

    def roused(self) -> None:
        self.changed()

    def changed(self) -> None:
        """Something changed that rules may see: evaluate every slot for a while, beginning with the next."""
        self.changed_at = self.site.timeline.now
        now, interval = self.site.clock.now(), self.site.runbook.metrics.evaluation_interval
        self.evaluating.after((aligned(now, interval) + interval - now).total_seconds())

    def evaluate(self) -> None:
        """Hold the evaluation that is due, if one is."""
        wait = self._schedule.wait_seconds()
        if wait > 0:
            self.evaluating.after(wait + 0.001)
            return
        if not self._announced:
            try:
                self.service.announce()
                self._announced = True
            except StoreError as error:
                log.info("%s", error)
        decision = finished(self.service.evaluate(self._schedule.take()))
        self.evaluations += 1
        if decision is None:
            self.changed_at = self.site.disturbed["watch"] = self.site.timeline.now
        else:
            self.recorded_at = self.site.timeline.now
            self._evaluated(decision)
        self.evaluating.after(self.next_evaluation(decision))

    def next_evaluation(self, decision: Decision | None) -> float:
        """In how many seconds an evaluation can decide anything new.

        Every slot for :data:`BUSY_SECONDS` after a change (of a signal, a silence, a clock, a restart), then
        at the next moment at which time alone decides: a ``for``, a ``keep_firing_for``, a group's wait,
        interval or repeat is over, a resolved alert or a silent element is forgotten, missing data begins to
        mean something, a silence or a maintenance window begins or ends. The evaluations between are left
        out: nothing that they are answered has changed, and by the monotonic clock the time between counts
        as watched.
        """
        interval = self.service.interval.total_seconds()
        since = self.site.timeline.now - self.changed_at
        if self.site.every_slot or decision is None or since < BUSY_SECONDS:
            return interval / 2
        now = self.site.clock.now()
        edges = [*self._alert_edges(decision), *self._group_edges(decision), *self._quiet_edges(now)]
        ahead = [(edge - now).total_seconds() for edge in edges if edge + 2 * self.service.interval > now]
        return max(interval / 2, min([IDLE_SECONDS, *ahead]))

    def _alert_edges(self, decision: Decision) -> Iterator[datetime]:
        for name, alerts in decision.state.alerts.items():
            rule = self.service.compiled.rule(name)
            for alert in alerts.values():
                if alert.state is AlertState.PENDING:
                    yield alert.active_at + (rule.hold if rule else self.service.policy.failure_hold)
                if alert.keep_firing_since is not None and rule is not None:
                    yield alert.keep_firing_since + rule.keep_firing_for
                if alert.resolved_at is not None:
                    yield alert.resolved_at + RESOLVED_RETENTION
        for name, known in decision.state.presence.items():
            for gone in known.missing().values():
                yield gone + self.service.policy.patience[name]
                yield gone + FORGET_AFTER

    def _group_edges(self, decision: Decision) -> Iterator[datetime]:
        notifications = self.site.runbook.notifications
        groupings = [notifications.grouping, *(one.grouping for one in notifications.routes if one.grouping)]
        for group in decision.state.groups.values():
            if group.sent_at is None:
                yield from (group.opened_at + one.wait for one in groupings)
            else:
                yield from (group.sent_at + one.interval for one in groupings)
                yield group.sent_at + notifications.repeat_interval

    def _quiet_edges(self, now: datetime) -> list[datetime]:
        edges: list[datetime] = []
        assert self.service.seen is not None
        for silence in self.service.seen.silences:
            edges += [
                silence.starts_at,
                silence.until - self.site.runbook.monitoring.silences.remind,
                silence.until,
            ]
        for window in self.site.runbook.monitoring.maintenance:
            opening = opening_at(window, now) or next_opening(window, now)
            if opening is not None:
                edges += [opening.start, opening.end]
        return edges


class _InlineLane(Lane):
    """Sends one after the other in the thread that began them: what runs beside them, the timeline runs."""

    def send(self, act: Callable[[int], Attempt], *, alone: bool) -> None:
        super().send(act, alone=True)


class Work(Process):
    """The role ``work``: delivers, escalates, and takes in what the pager sends back."""

    name = "work"

    def __init__(self, site: Site, network: Network) -> None:
        super().__init__(site)
        self._network = network
        self._owner = ""
        self._sending: set[str] = set()
        self.looking = self.activity(self._look)
        self.responding_to = self.activity(self._respond)
        self.running = self.activity(self._run_playbooks)
        self.beating = self.activity(self._beat)
        self.verb: Any = None
        """What carries steps of playbooks out; the world sets it."""
        self.housekeeping = self.activity(self._housekeep)
        lines = site.runbook.notifications.receivers
        self.delivering = {line.id: self.activity(partial(self._deliver, line.id)) for line in lines}

    def build(self) -> None:
        """As :class:`watchkeeper.app.work.Work` does."""
        site = self.site
        runbook, generation = site.runbook, self.generation
        if (
            self._owner and site.chance.random() < 0.7
        ):  # else it died with its machine: only its lease says so
            site.gone.add(self._owner)
        self._owner = f"simulated-{generation}"
        self._sending = set()
        self.receivers, _ = build_receivers(
            runbook.notifications.receivers,
            Line(self._network, site.faults, self.name, partial(self.alive, generation)),
            ENVIRON,
            platform=runbook.platform,
            client_url="http://wk.example",
        )
        self.deliverer = Deliverer(
            self.store,
            self.receivers.values(),
            site.clock,
            owner=self._owner,
            chance=random.Random(site.chance.random()),
        )
        self.deliverer._lanes.update((name, _InlineLane()) for name in self.receivers)
        self.escalating = Escalating(self.store, site.clock, runbook)
        self.responding = Responding(self.store, site.clock, runbook)
        self.inbound = InboundAnswers(self.store, site.clock, runbook)
        self.runner = Runner(self.store, site.clock, {"process.run": self.verb}, environ=ENVIRON)
        self.runner._owner = self._owner
        self.runner._watched = Watched(site.gone.__contains__)
        self.runner._stop = Patience(site.timeline)
        self.verb.alive = partial(self.alive, generation)

    def told(self, *, look: bool = True) -> None:
        """Something was committed that may have to be sent and, with ``look``, escalated."""
        if look:
            self.looking.after(1.0)
            self.responding_to.after(1.0)
        for (name,) in self.rows("SELECT DISTINCT receiver FROM outbox WHERE state = 'pending'"):
            self.delivering[name].after(0.5)

    # -- escalation ----------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            changed = self.escalating.look()
        except StoreError as error:
            log.info("%s", error)
            self.site.disturbed["work"] = self.site.timeline.now
            self.looking.after(TROUBLE_SECONDS)
            return
        if changed:
            self.told()
        self.looking.after(self.next_look())

    def next_look(self) -> float:
        """In how many seconds a look can find something, if nothing is committed before."""
        now = to_us(self.site.clock.now())
        times: list[int] = []
        acknowledge = self.site.runbook.incidents
        assert acknowledge is not None
        deadline = acknowledge.deadlines.acknowledge // timedelta(microseconds=1)
        query = "SELECT due_at, paged_at, verdict FROM escalations WHERE state != 'ended'"
        for due_at, paged_at, verdict in self.rows(query):
            times += [due_at] if due_at is not None else []
            times += [paged_at + deadline] if verdict is None else []
        waits = [(when - now) / 1e6 for when in times]
        return max(1.0, min([10.0 if self.site.every_slot else IDLE_SECONDS, *waits]))

    # -- incidents -----------------------------------------------------------------------------

    def _respond(self) -> None:
        try:
            changed = self.responding.look()
        except StoreError as error:
            log.info("%s", error)
            self.site.disturbed["work"] = self.site.timeline.now
            self.responding_to.after(TROUBLE_SECONDS)
            return
        if changed:
            self.told()
        self.responding_to.after(self.next_response())

    def next_response(self) -> float:
        """In how many seconds a deadline is to be looked at, if nothing is committed before."""
        now = to_us(self.site.clock.now())
        ((when,),) = self.rows("SELECT min(look_at) FROM deadlines WHERE look_at IS NOT NULL")
        wait = IDLE_SECONDS if when is None else (when - now) / 1e6
        return float(max(1.0, min(10.0 if self.site.every_slot else IDLE_SECONDS, wait)))

    # -- playbooks -----------------------------------------------------------------------------

    def _run_playbooks(self) -> None:
        self.beating.after(5.0)
        try:
            self.runner.look()
        except StoreError as error:
            log.info("%s", error)
            self.running.after(TROUBLE_SECONDS)
            return
        query = "SELECT state, due_at FROM runs WHERE state IN ('active', 'waiting') AND due_at IS NOT NULL"
        now = to_us(self.site.clock.now())
        waits = [1.0 if state == "active" else (due - now) / 1e6 for state, due in self.rows(query)]
        if waits:
            self.running.after(max(1.0, min([60.0, *waits])))

    def _beat(self) -> None:
        try:
            self.runner.beat()
        except StoreError as error:
            log.info("%s", error)
        if self.runner._held:
            self.beating.after(5.0)

    # -- delivery ------------------------------------------------------------------------------

    def _deliver(self, name: str) -> None:
        if name in self._sending:  # its thread waits for an answer
            return
        sending = self._sending
        sending.add(name)
        try:
            drain = partial(self.deliverer._drain, self.receivers[name], sys.maxsize)
            done = self.deliverer._guarded(drain, f"receiver {name} is not told for now")
        finally:
            sending.discard(name)
        if done is None:
            self.site.disturbed["work"] = self.site.timeline.now
            self.delivering[name].after(TROUBLE_SECONDS)
            return
        wait = self.next_delivery(name)
        if wait is not None:
            self.delivering[name].after(wait)
            self.housekeeping.after(60.0)

    def next_delivery(self, name: str) -> float | None:
        """In how many seconds something can be due for a receiver; None where nothing waits."""
        now = to_us(self.site.clock.now())
        query = (
            "SELECT min(max(due_at, coalesce(claim_expires_at, 0))), "
            "(SELECT blocked_until FROM receiver_state WHERE receiver = ?1) "
            "FROM outbox AS head WHERE receiver = ?1 AND state = 'pending' AND NOT EXISTS "
            "(SELECT 1 FROM outbox AS earlier WHERE earlier.receiver = ?1 AND earlier.state = 'pending' "
            "AND earlier.order_key = head.order_key AND earlier.id < head.id)"
        )
        ((due, blocked),) = self.rows(query, name)
        if due is None:
            return None
        return float(min(600.0, max(0.5, (max(due, blocked or 0) - now) / 1e6)))

    def _housekeep(self) -> None:
        self.deliverer._guarded(self.deliverer.housekeep, "the outbox cannot be looked after")
        self.housekeeping.after(IDLE_SECONDS)

    def rows(self, query: str, *given: object) -> list[Any]:
        """Rows of the store, read past the product and past every fault."""
        return list(self.reader.execute(query, given))

    reader: sqlite3.Connection
    """A connection that only reads; the world opens it."""


class Web(Process):
    """The role ``web``: what people do through the console is one transaction of it."""

    name = "web"

    def change(self, act: Callable[[Store], object]) -> bool:
        """Do it; False where the process was not there, died, or could not write: somebody tries again."""
        try:
            return self.run(lambda: self._do(act))
        except StoreError as error:
            log.info("%s", error)
            return False

    def _do(self, act: Callable[[Store], object]) -> None:
        act(self.store)


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("something waits in a world where nothing takes time by itself")
