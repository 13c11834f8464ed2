"""The platform that is watched: services whose signals follow a seeded script, and the answers to rules.

Always true: what a signal is at a moment is the script's alone; the source answers with it, and notes when it
was asked, so that whoever checks can say what the rules could have known (tests/simulation/test_platform.py).

The source stands in place of scraping, sample store and PromQL engine: it answers the queries of the
compiled rules (a metric, or a metric above a figure) with vectors. From there on everything is the product.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from tests.simulation.policy import SERVICES
from tests.simulation.timeline import Timeline, moments
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.source import Answer, Failure, SourceError

Key = tuple[str, str]
"""A metric and a service."""

WELL = {"errors": 1.0, "latency": 0.5, "saturation": 40.0, "heartbeat": 1.0, "shown": 7.0}
BAD = {"errors": 9.0, "latency": 4.0, "saturation": 97.0, "heartbeat": None, "shown": 7.0}
WORSE_THAN_WELL = {"errors": 4.5, "latency": 1.9, "saturation": 89.0, "heartbeat": 1.0, "shown": 8.0}
STORES = ("db", "queue", "search")
DAY = 86_400.0
QUARTER = 90 * DAY
EPISODES = 260
"""So often in a quarter something happens to one signal of one service."""
STORMS, BLACKOUTS, BROKEN = 5, 8, 5
KEPT = 3 * DAY


class Platform:
    """Signals, and what is scripted to happen to them. ``changed`` is called after each change."""

    def __init__(self, timeline: Timeline, chance: random.Random, changed: Callable[[], None]) -> None:
        self._timeline = timeline
        self._chance = chance
        self._changed = changed
        self.values: dict[Key, float | None] = {
            (metric, service): value
            for metric, value in WELL.items()
            for service in (STORES if metric == "saturation" else SERVICES)
        }
        self.history: dict[Key, list[tuple[float, float | None]]] = {
            key: [(0.0, value)] for key, value in self.values.items()
        }
        self.unreachable: str | None = None
        self.broken: str | None = None
        """The metric whose queries fail."""
        self.version = 0
        self.episodes = 0
        self._owner: dict[Key, int] = {}

    def begin(self, until: float) -> None:
        """Put the script up to ``until`` into the timeline."""
        for rate, act in (
            (EPISODES, self._episode),
            (STORMS, self._storm),
            (BLACKOUTS, self._blackout),
            (BROKEN, self._break),
        ):
            for when in moments(random.Random(self._chance.random()), rate / QUARTER, until):
                self._timeline.at(when, act)

    def mend(self) -> None:
        """Everything is well from now on."""
        self._owner = dict.fromkeys(self.values, -1)
        self.unreachable = self.broken = None
        for key in self.values:
            self._set(key, WELL[key[0]])
        self._notice()

    # -- what happens --------------------------------------------------------------------------

    def _episode(self) -> None:
        key = self._chance.choice(sorted(key for key in self.values if key[0] != "shown"))
        draw = self._chance.random()
        if draw < 0.40:
            self._run(key, [(BAD[key[0]], self._duration(180, 6 * 3600))])
        elif draw < 0.55:
            self._run(key, [(WORSE_THAN_WELL[key[0]], self._duration(120, 3 * 3600))])
        elif draw < 0.70:  # flapping
            turns = self._chance.randint(3, 8)
            self._run(
                key,
                [
                    (BAD[key[0]] if turn % 2 == 0 else WELL[key[0]], self._chance.uniform(20, 240))
                    for turn in range(2 * turns - 1)
                ],
            )
        elif draw < 0.80:  # bad, then silent, then perhaps bad again
            again = BAD[key[0]] if self._chance.random() < 0.5 else WELL[key[0]]
            self._run(
                key,
                [
                    (BAD[key[0]], self._duration(120, 3600)),
                    (None, self._duration(30, 3600)),
                    (again, self._duration(60, 1800)),
                ],
            )
        elif draw < 0.97:
            self._run(key, [(None, self._duration(30, 2 * 3600))])
        else:  # retired for more than a day
            self._run(key, [(None, self._duration(DAY, 2 * DAY))])

    def _storm(self) -> None:
        metric = self._chance.choice(("errors", "latency", "heartbeat"))
        hit = self._chance.sample(SERVICES, self._chance.randint(4, len(SERVICES)))
        for service in hit:
            self._run((metric, service), [(BAD[metric], self._duration(300, 7200))])

    def _blackout(self) -> None:
        self._condition("unreachable", "the metrics cannot be reached", self._duration(20, 1800))

    def _break(self) -> None:
        metric = self._chance.choice(("errors", "latency", "saturation", "heartbeat"))
        self._condition("broken", metric, self._duration(20, 3600))

    def _condition(self, name: str, value: str, seconds: float) -> None:
        if getattr(self, name) is not None:
            return

        def end() -> None:
            if getattr(self, name) is not None:
                setattr(self, name, None)
                self._notice()

        setattr(self, name, value)
        self._timeline.after(seconds, end)
        self._notice()

    def _duration(self, shortest: float, longest: float) -> float:
        """Short ones are many, long ones few."""
        return float(shortest * (longest / shortest) ** self._chance.random())

    def _run(self, key: Key, parts: Sequence[tuple[float | None, float]]) -> None:
        self.episodes += 1
        mine = self._owner[key] = self._owner.get(key, 0) + 1
        when = self._timeline.now
        for value, seconds in parts:
            self._timeline.at(when, lambda value=value: self._become(key, mine, value))  # type: ignore[misc]
            when += seconds
        self._timeline.at(when, lambda: self._become(key, mine, WELL[key[0]]))

    def _become(self, key: Key, mine: int, value: float | None) -> None:
        if self._owner.get(key) == mine and self.values[key] != value:
            self._set(key, value)
            self._notice()

    def _set(self, key: Key, value: float | None) -> None:
        now, past = self._timeline.now, self.history[key]
        self.values[key] = value
        past.append((now, value))
        while len(past) > 1 and past[1][0] < now - KEPT:
            del past[0]

    def _notice(self) -> None:
        self.version += 1
        self._changed()

    # -- what was -----------------------------------------------------------------------------

    def at(self, key: Key, when: float) -> float | None:
        """What the signal was at ``when``."""
        found = None
        for since, value in self.history[key]:
            if since > when:
                break
            found = value
        return found

    def since(self, key: Key, holds: Callable[[float | None], bool]) -> float | None:
        """Since when the signal is so that ``holds``, without a break; None where it is not so now."""
        since = None
        for when, value in reversed(self.history[key]):
            if not holds(value):
                break
            since = when
        return since


class ScriptedSource:
    """What the rules are answered. The port is :class:`watchkeeper.monitoring.source.Source`."""

    failure_hold = timedelta(minutes=2)

    def __init__(self, platform: Platform, timeline: Timeline) -> None:
        self._platform = platform
        self._timeline = timeline
        self._labels: dict[Key, Labels] = {
            (metric, service): label_set(
                [("__name__", metric), ("env", "prod"), ("region", "eu"), ("service", service)]
            )
            for metric, service in platform.values
        }
        self._answers: dict[str, Answer] = {}
        self._version = -1
        self.asked: list[tuple[float, bool, str | None]] = []
        """When it was asked; whether it answered; the metric that failed."""

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As the port says: what is so at this moment, whatever the wall clock says that it is."""
        platform = self._platform
        self.asked.append((self._timeline.now, platform.unreachable is None, platform.broken))
        if len(self.asked) > 20_000:
            del self.asked[:10_000]
        if platform.unreachable is not None:
            raise SourceError(platform.unreachable)
        if self._version != platform.version:
            self._answers, self._version = {}, platform.version
        return [self._answer(query) for query in queries]

    def _answer(self, query: str) -> Answer:
        found = self._answers.get(query)
        if found is None:
            found = self._answers[query] = self._vector(query)
        return found

    def _vector(self, query: str) -> Answer:
        wanted, _, line = query.partition(" > ")
        if wanted == self._platform.broken:
            return Failure(f"{wanted} cannot be evaluated")
        return {
            self._labels[key]: value
            for key, value in self._platform.values.items()
            if key[0] == wanted and value is not None and (not line or value > float(line))
        }
