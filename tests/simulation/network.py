"""The network, and those who are told over it: a pager, a chat and three telephones, all of which can fail.

Always true: what a target has taken in is written down in the order in which it took it; a request whose
answer got lost may have arrived, or arrive later, as on a real network; what arrives after its sender gave
up is marked as late, since no sender can do anything about its order (tests/simulation/test_network.py).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from tests.simulation.faults import Faults, Point
from tests.simulation.timeline import Timeline
from watchkeeper.notify.transport import Response, TransportError

REACHABLE = {
    "pager.example": "pager",
    "chat.example": "chat",
    "ada.example": "ada-phone",
    "ben.example": "ben-phone",
    "cleo.example": "cleo-phone",
}


class Mood(StrEnum):
    """How a target is."""

    WELL = "well"
    FLAKY = "fails often"
    DOWN = "is down"
    SLOW = "is slow"
    BUSY = "asks for time"
    LOSSY = "loses answers"


_FAILS = {Mood.WELL: 0.01, Mood.FLAKY: 0.5, Mood.DOWN: 1.0, Mood.SLOW: 0.1, Mood.BUSY: 0.7, Mood.LOSSY: 0.6}


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that a target took in. ``late``: its sender had given up."""

    at: float
    kind: str
    dedup_key: str
    key: str
    page: bool
    late: bool


@dataclass
class Target:
    """One that is told."""

    name: str
    mood: Mood = Mood.WELL
    arrivals: list[Arrival] = field(default_factory=list)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each kind was taken in, by ``dedup_key`` and kind (by nothing, where a target has no key)."""
    troubled_at: float = -1e9
    """When it failed last."""


Heard = Callable[[str, Arrival], None]


class Network:
    """All targets. ``heard`` is called with whatever arrives."""

    def __init__(self, timeline: Timeline, chance: random.Random, faults: Faults, heard: Heard) -> None:
        self._timeline = timeline
        self._chance = chance
        self._faults = faults
        self._heard = heard
        self.targets = {name: Target(name) for name in REACHABLE.values()}
        self.requests = 0
        self.calm = False
        """Whether nothing fails any more, whatever the moods."""

    def exchange(self, target: Target, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        """One request and what comes of it. Raises TransportError."""
        self.requests += 1
        mood = Mood.WELL if self.calm else target.mood
        fails = not self.calm and self._chance.random() < _FAILS[mood]
        if not fails:
            slow = mood is Mood.SLOW
            self._wait(self._chance.uniform(timeout / 3, timeout * 0.95) if slow else self._quick())
            self._arrive(target, headers, body, late=False)
            return _accepted(target)
        target.troubled_at = self._timeline.now
        return self._fail(target, mood, headers, body, timeout)

    def _fail(
        self, target: Target, mood: Mood, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        draw = self._chance.random()
        if mood is Mood.BUSY:
            self._count("answers 429")
            self._wait(self._quick())
            return Response(429, {"retry-after": str(self._chance.randint(1, 90))})
        if mood is Mood.LOSSY or draw < 0.15:
            self._count("answers lost")
            self._arrive(target, headers, body, late=False)
            self._wait(timeout)
            raise TransportError("no answer came in time")
        if draw < 0.25 or mood is Mood.SLOW:
            self._count("requests delayed")
            self._wait(timeout)
            self._timeline.after(
                self._chance.uniform(1, 600), lambda: self._arrive(target, headers, body, late=True)
            )
            raise TransportError("no answer came in time")
        if draw < 0.45:
            self._count("requests lost")
            self._wait(timeout)
            raise TransportError("no answer came in time")
        if draw < 0.65:
            self._count("connections refused")
            raise TransportError("connection refused")
        self._count("answers 5xx")
        self._wait(self._quick())
        return Response(self._chance.choice((500, 502, 503)), {}, b"no")

    def _count(self, kind: str) -> None:
        self._faults.counts[kind] += 1

    def _quick(self) -> float:
        return self._chance.uniform(0.02, 0.4)

    def _wait(self, seconds: float) -> None:
        self._timeline.run_until(self._timeline.now + seconds)

    def _arrive(self, target: Target, headers: Mapping[str, str], body: bytes, *, late: bool) -> None:
        document = json.loads(body)
        if target.name == "pager":
            payload = document.get("payload", {})
            kind, dedup_key, key = document["event_action"], document["dedup_key"], ""
            page = payload.get("severity") == "critical"
        elif target.name == "chat":
            kind, dedup_key, key, page = "message", "", "", False
        else:
            data = document["data"]
            kind, dedup_key, key = data["kind"], data["dedup_key"], headers["Idempotency-Key"]
            page = data["severity"] == "page"
        arrival = Arrival(self._timeline.now, kind, dedup_key, key, page, late)
        target.arrivals.append(arrival)
        target.taken[(dedup_key, kind)] += 1
        self._heard(target.name, arrival)


class Line:
    """The way of one process to the network: it may die before a request and after it. A ``Transport``.

    ``alive`` raises where the process died while it waited for the answer.
    """

    def __init__(self, network: Network, faults: Faults, process: str, alive: Callable[[], None]) -> None:
        self._network = network
        self._faults = faults
        self._process = process
        self._alive = alive

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        """See :class:`watchkeeper.notify.transport.Transport`."""
        target = self._network.targets[REACHABLE[urlsplit(url).hostname or ""]]
        self._faults.reach(self._process, Point.BEFORE_SEND)
        try:
            return self._network.exchange(target, headers, body, timeout)
        finally:
            self._alive()
            self._faults.reach(self._process, Point.AFTER_SEND)


def _accepted(target: Target) -> Response:
    if target.name == "pager":
        return Response(202, {}, b'{"status": "success"}')
    return Response(200, {}, b"ok")
