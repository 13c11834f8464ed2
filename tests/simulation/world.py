"""One simulated deployment for one seed: the product's own code, everything around it made up, time included.

Always true: all chance comes from the seed, by a stream of its own for each part of the world, so that a
seed is the same story every time, in every process (tests/simulation/test_simulation.py); faults end before
the story does, and what they delayed is then done: the auditor looks at what is left over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.simulation.deadlines import IncidentAuditor
from tests.simulation.deployment import Site, Watch, Web, Work
from tests.simulation.faults import Faults, Point, Trouble
from tests.simulation.invariants import Auditor
from tests.simulation.network import Arrival, Mood, Network
from tests.simulation.people import People
from tests.simulation.platform import DAY, QUARTER, Platform, ScriptedSource
from tests.simulation.policy import ENVIRON
from tests.simulation.responders import Responders
from tests.simulation.runs import Outside, RunAuditor, SimulatedVerb, in_this_thread
from tests.simulation.timeline import Timeline, moments
from watchkeeper.monitoring.evaluation import Decision
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import FILE_NAME, open_store

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
CRASHES, MOODS, TROUBLES, JUMPS = 360, 130, 30, 30
"""So many in a quarter."""
SETTLING = 6 * 3600.0
"""After the last fault, until nothing may be left over."""
VERDICTS = ("escalation.deadline", "deadline.met", "deadline.missed", "deadline.waived")


@dataclass
class Report:
    """What one run was, and whether everything held."""

    seed: int
    days: float
    head: str = ""
    entries: int = 0
    events: int = 0
    evaluations: int = 0
    alerts: int = 0
    pages: int = 0
    acknowledgements: int = 0
    silences: int = 0
    notifications: int = 0
    incidents: int = 0
    runs: int = 0
    verdicts: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class World:
    """Everything of one run. ``tell`` hears its story, line by line; without ``faulty`` nothing goes wrong.

    With ``until_broken`` it ends with the first invariant that is.
    ``work`` and ``watch`` may be other classes, for tests that break a part of the product.
    """

    def __init__(
        self,
        seed: int,
        directory: Path,
        *,
        faulty: bool = True,
        every_slot: bool = False,
        tell: Callable[[str], None] | None = None,
        work: type[Work] = Work,
        watch: type[Watch] = Watch,
        until_broken: bool = False,
    ) -> None:
        self.seed = seed
        self.faulty = faulty
        self._until_broken = until_broken
        self.clock = ManualClock(START)
        self.timeline = Timeline(self.clock)
        self.faults = Faults()
        self._chance = self.stream("faults")
        self._skew = 0.0
        self._commits = -1
        self._defects: list[str] = []
        self._quiet: set[str] = set()
        self.site = Site(
            directory, self.clock, self.timeline, self.faults, self.stream("site"), every_slot=every_slot
        )
        if tell is not None:
            self.site.story = lambda what: tell(f"{self.site.moment()}  {what}")
        open_store(directory, self.clock).close()
        self.reader = sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True, isolation_level=None)
        self.platform = Platform(self.timeline, self.stream("platform"), self._changed)
        self.source = ScriptedSource(self.platform, self.timeline)
        self.network = Network(self.timeline, self.stream("network"), self.faults, self._heard)
        self.network.calm = not faulty
        self.watch = watch(self.site, self.source, self._evaluated)
        self.work = work(self.site, self.network)
        self.work.reader = self.reader
        self.outside, pace = Outside(), self.stream("runs")
        self.work.verb = SimulatedVerb(self.site, self.outside, lambda: pace.uniform(0.2, 8.0), "work")
        self.web = Web(self.site)
        self.site.processes += [self.watch, self.work, self.web]
        self.people = People(self.site, self.stream("people"), self.web, self.work, self.watch.changed)
        for process in self.site.processes:
            process.start()
        self.auditor = Auditor(self.site, self.reader, self.platform, self.source, self.network)
        self.incidents = IncidentAuditor(self.site, self.reader, self.auditor)
        self.runs = RunAuditor(self.auditor, self.outside)
        self.responders = Responders(
            self.site, self.stream("responders"), self.people, lambda: self.work.running.after(0.0)
        )
        self.auditor.listeners.append(self._entry)
        self.timeline.observe = self._observe

    def stream(self, name: str) -> random.Random:
        """Chance of its own for one part of the world: more of one changes no other."""
        return random.Random(f"{self.seed}/{name}")

    # -- the run -------------------------------------------------------------------------------

    def run(self, days: float, settling: float = SETTLING) -> Report:
        """Let ``days`` pass, then ``settling`` seconds in which nothing goes wrong, and judge."""
        until = days * DAY
        with self._surroundings():
            self.platform.begin(until)
            self.people.begin(until, QUARTER)
            if self.faulty:
                self._plan(until)
            self.timeline.run_until(until)
            self._calm()
            self.timeline.run_until(self.timeline.now + settling)
            if not self.timeline.ended:
                self.auditor.finish()
                self.runs.finish()
        for process in self.site.processes:
            process.stop()
        self._verify()
        self.reader.close()
        return self._report(days)

    def _calm(self) -> None:
        self.site.tell("from here on nothing goes wrong")
        self.faults.disarm()
        self.faults.end_trouble()
        self.network.calm = True
        self.people.asleep = True
        self._jump(-self._skew)
        self.platform.mend()
        self.site.wake()

    def _verify(self) -> None:
        with open_store(self.site.directory, self.clock) as store, store.read() as conn:
            found = journal.verify(conn)
        if not found.intact or found.head != self.auditor.head:
            self.auditor.violated(f"the journal does not verify: {found}")

    def _report(self, days: float) -> Report:
        kinds = self.auditor.kinds
        pages = sum(
            1
            for name, target in self.network.targets.items()
            for arrival in target.arrivals
            if name == "pager" and arrival.kind == "trigger"
        )
        return Report(
            self.seed,
            days,
            head=self.auditor.head,
            entries=self.auditor.entries,
            events=self.timeline.events,
            evaluations=self.watch.evaluations,
            alerts=kinds["alert.firing"],
            pages=pages,
            acknowledgements=self.people.acknowledged,
            silences=self.people.silences,
            notifications=kinds["notification.delivered"],
            incidents=kinds["incident.opened"],
            runs=kinds["run.started"],
            verdicts=sum(kinds[kind] for kind in VERDICTS),
            kinds=kinds,
            faults=self.faults.counts,
            violations=[*self.auditor.violations, *self._defects],
        )

    # -- what is told to whom ------------------------------------------------------------------

    def _changed(self) -> None:
        if hasattr(self, "watch"):
            self.watch.changed()

    def _evaluated(self, decision: Decision) -> None:
        if hasattr(self, "auditor"):
            self._observe()
            self.auditor.evaluated()
        quiet = set(decision.quiet)
        self.work.told(look=bool(decision.transitions or decision.sends or quiet != self._quiet))
        self._quiet = quiet

    def _entry(self, kind: str, subject: str, _facts: object, _evidence: object) -> None:
        if kind in ("incident.opened", "incident.reopened"):
            self.responders.opened(int(subject.removeprefix("incident:")))
        elif kind == "run.step_asked":
            self.responders.asked(subject.removeprefix("run:"))

    def _heard(self, target: str, arrival: Arrival) -> None:
        late = " late" if arrival.late else ""
        self.site.tell(f"{target} hears{late}: {arrival.kind} {arrival.dedup_key}")
        self.auditor.heard(target, arrival)
        self.people.heard(target, arrival)

    def _observe(self) -> None:
        if self.faults.commits != self._commits:
            self._commits = self.faults.commits
            self.auditor.committed()
            self.incidents.committed()
        if self._until_broken and self.auditor.violations:
            self.timeline.ended = True

    # -- what goes wrong -----------------------------------------------------------------------

    def _plan(self, until: float) -> None:
        chance = self._chance
        for rate, act in (
            (CRASHES, self._crash),
            (MOODS, self._mood),
            (TROUBLES, self._trouble),
            (JUMPS, self._clock_is_set),
        ):
            for when in moments(random.Random(chance.random()), rate / QUARTER, until):
                self.timeline.at(when, act)

    def _crash(self) -> None:
        chance = self._chance
        if self.network.calm:
            return
        process = chance.choices(("watch", "work", "web"), (3, 6, 1))[0]
        points = [point for point in Point if process == "work" or "send" not in point]
        self.faults.arm(process, chance.choice(points), chance.randint(1, 40))

    def _mood(self) -> None:
        chance = self._chance
        target = chance.choice(list(self.network.targets.values()))
        mood = chance.choice([mood for mood in Mood if mood is not Mood.WELL])
        seconds = 30.0 * 500.0 ** chance.random()
        target.mood = mood
        self.faults.counts[f"target {mood}"] += 1
        self.site.tell(f"{target.name} {mood} for {seconds:.0f} s")

        def end() -> None:
            if target.mood is mood:
                target.mood, target.troubled_at = Mood.WELL, self.timeline.now

        self.timeline.after(seconds, end)

    def _trouble(self) -> None:
        if self.faults.trouble is not None or self.network.calm:
            return
        trouble = self._chance.choice(list(Trouble))
        seconds = 5.0 * 200.0 ** self._chance.random()
        self.site.tell(f"{trouble} for {seconds:.0f} s")
        self.faults.begin_trouble(trouble, self.site.directory)

        def end() -> None:
            if self.faults.trouble is not None:
                self.faults.end_trouble()
                self.site.disturbed["store"] = self.timeline.now

        self.timeline.after(seconds, end)

    def _clock_is_set(self) -> None:
        chance = self._chance
        seconds = chance.choice((-1, 1)) * chance.choice(
            (chance.uniform(1, 25), chance.uniform(40, 600), chance.uniform(3600, 6 * 3600))
        )
        if abs(self._skew + seconds) > 8 * 3600:
            seconds = -seconds
        self.faults.counts["clock forth" if seconds > 0 else "clock back"] += 1
        self._jump(seconds)
        if chance.random() < 0.7:
            self.timeline.after(60.0 * 500.0 ** chance.random(), lambda: self._jump(-self._skew))

    def _jump(self, seconds: float) -> None:
        if not seconds:
            return
        self._skew += seconds
        self.clock.jump(seconds)
        self.site.tell(f"the clock is set by {seconds:+.0f} s")
        self.site.disturbed["clock"] = self.timeline.now
        self.site.wake()
        self.watch.evaluating.after(0.5)  # it naps for a second at most, whatever the wall clock says

    # -- around it -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        """The environment that secrets are read from, whom processes know to be gone, and the log."""
        logger = logging.getLogger("watchkeeper")
        propagated, handler = logger.propagate, _Defects(self._defects)
        logger.addHandler(handler)
        logger.propagate = False
        try:
            with pytest.MonkeyPatch.context() as patched:
                for name, value in ENVIRON.items():
                    patched.setenv(name, value)
                patched.setattr("watchkeeper.playbooks.carrying_out._in_time", in_this_thread)
                patched.setattr("watchkeeper.notify.delivery.is_gone", self.site.gone.__contains__)
                yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagated
            self.faults.end_trouble()


class _Defects(logging.Handler):
    """Whatever is logged with a traceback is a defect of the product that a guard of its own has caught."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found
        self._format = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and len(self._found) < 5:
            self._found.append(f"a defect: {self._format.format(record)}")


def simulate(
    seed: int,
    days: float,
    *,
    faulty: bool = True,
    every_slot: bool = False,
    tell: Callable[[str], None] | None = None,
    work: type[Work] = Work,
    watch: type[Watch] = Watch,
    settling: float = SETTLING,
    until_broken: bool = False,
) -> Report:
    """Run one world in a directory of its own, in memory where the machine has room for it."""
    memory = Path("/dev/shm")
    place = str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="watchkeeper-simulation-", dir=place) as name:
        world = World(
            seed,
            Path(name),
            faulty=faulty,
            every_slot=every_slot,
            tell=tell,
            work=work,
            watch=watch,
            until_broken=until_broken,
        )
        return world.run(days, settling)
