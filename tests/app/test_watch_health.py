"""Ready means that pages can be relied on; every reason against it is a sentence, everything else a note."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from watchkeeper.app import inforce
from watchkeeper.app.evaluating import Evaluating
from watchkeeper.app.liveness import Liveness
from watchkeeper.app.metrics import new_registry
from watchkeeper.app.settings import Settings
from watchkeeper.app.watch_health import GRACE_SECONDS, LATE_EVALUATIONS, WatchHealth
from watchkeeper.monitoring.evaluation import Observation
from watchkeeper.monitoring.fetch import Fetcher
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.scrape import Scraper
from watchkeeper.store.clock import ManualClock, SystemClock
from watchkeeper.store.database import open_store

PATIENCE = LATE_EVALUATIONS * 1.0 + GRACE_SECONDS


class Watched:
    """A role that never really runs, on a clock that only moves when told."""

    def __init__(self, settings: Settings) -> None:
        self.clock = ManualClock(SystemClock().now())
        self.store = open_store(settings.data, self.clock)
        self.samples = SampleStore.open(settings.data / "samples", clock=self.clock)
        chosen = inforce.choose(settings)
        self.evaluating = Evaluating(
            settings,
            self.clock,
            self.store,
            self.samples,
            chosen,
            Liveness(self.clock),
            reloaded=lambda _: None,
            ended=lambda: None,
        )
        scraper = Scraper(self.samples, cast(Fetcher, None), self.clock)
        self.health = WatchHealth(self.evaluating, scraper, self.samples, self.clock, new_registry())

    def recorded(self) -> None:
        self.evaluating.recorded_at = self.clock.monotonic()

    def families(self) -> dict[str, Any]:
        answer = asyncio.run(self.health.handlers()["metrics"]({}))
        return {family["name"]: family for family in json.loads(answer)}


@pytest.fixture
def watched(settings: Settings) -> Iterator[Watched]:
    made = Watched(settings)
    yield made
    made.samples.close()
    made.store.close()


def test_before_the_first_evaluation_it_is_not_ready(watched: Watched) -> None:
    assert watched.health.problems() == ["no rule was evaluated yet"]
    assert watched.health.halted() is None


def test_after_an_evaluation_it_is(watched: Watched) -> None:
    watched.recorded()
    assert watched.health.problems() == []
    document = json.loads(asyncio.run(watched.health.handlers()["ready"]({})))
    assert document == {"problems": [], "notes": []}


@pytest.mark.parametrize("begun", [True, False])
def test_when_evaluations_stop_it_says_since_when_also_if_nobody_asked_before(
    watched: Watched, begun: bool
) -> None:
    if begun:
        watched.recorded()
    watched.clock.advance(PATIENCE)
    assert watched.health.halted() is None
    watched.clock.advance(1000)
    (problem,) = watched.health.problems()
    assert problem == f"no evaluation of the rules was recorded for {PATIENCE + 1000:.0f} s; the log says why"


def test_a_step_of_the_wall_clock_is_no_delay(watched: Watched) -> None:
    watched.recorded()
    watched.clock.jump(7200)
    assert watched.health.problems() == []


def test_metrics_that_cannot_be_reached_are_a_problem(watched: Watched) -> None:
    watched.recorded()
    watched.evaluating.service.seen = Observation(
        watched.clock.now(), unreachable="the metrics at x cannot be queried"
    )
    assert watched.health.problems() == ["no rule can be evaluated: the metrics at x cannot be queried"]


def test_a_refused_runbook_is_a_note_and_a_metric(watched: Watched) -> None:
    watched.recorded()
    assert watched.families()["watchkeeper_runbook_refused"]["samples"][0][2] == 0
    watched.evaluating.problem = "runbook.yaml:3:1: unknown key\n  more"
    assert watched.health.problems() == []
    (note,) = watched.health.notes()
    assert note.endswith("the one before it is in force: runbook.yaml:3:1: unknown key")
    assert watched.families()["watchkeeper_runbook_refused"]["samples"][0][2] == 1


def test_the_roles_metrics_are_all_of_known_kinds_and_named_as_is_customary(watched: Watched) -> None:
    families = watched.families()
    ours = {name: family for name, family in families.items() if name.startswith("watchkeeper_")}
    assert len(ours) > 12
    for name, family in ours.items():
        assert family["type"] in ("counter", "gauge")
        assert family["help"].endswith(".")
        assert not name.endswith("_total"), "the format adds that"
    assert "process_cpu_seconds" in families
