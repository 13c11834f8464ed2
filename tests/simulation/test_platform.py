"""The script decides what the signals are, and the source answers with that and notes when."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from tests.simulation.deployment import finished
from tests.simulation.platform import DAY, QUARTER, WELL, Platform, ScriptedSource
from tests.simulation.timeline import Timeline
from watchkeeper.monitoring.source import Failure, SourceError
from watchkeeper.store.clock import ManualClock


def _platform(seed: int = 5) -> tuple[Platform, Timeline]:
    timeline = Timeline(ManualClock(datetime(2026, 1, 5, tzinfo=UTC)))
    return Platform(timeline, random.Random(seed), lambda: None), timeline


def test_a_quarter_has_hundreds_of_episodes_and_is_the_same_for_the_same_seed() -> None:
    stories = []
    for _ in range(2):
        platform, timeline = _platform()
        platform.begin(QUARTER)
        timeline.run_until(QUARTER + DAY)
        assert platform.episodes > 200
        stories.append(platform.history)
    assert stories[0] == stories[1]


def test_it_is_known_what_a_signal_was_and_since_when_it_is_so() -> None:
    platform, timeline = _platform()
    key = ("errors", "api")
    platform._run(key, [(9.0, 60.0), (None, 30.0)])
    timeline.run_until(75.0)
    assert [platform.at(key, when) for when in (0.0, 59.0, 60.0, 75.0)] == [9.0, 9.0, None, None]
    assert platform.since(key, lambda value: value is None) == 60.0
    timeline.run_until(100.0)
    assert platform.values[key] == WELL["errors"]
    assert platform.since(key, lambda value: value is None) is None


def test_the_source_answers_a_metric_and_a_metric_above_a_figure() -> None:
    platform, timeline = _platform()
    source = ScriptedSource(platform, timeline)
    platform._run(("errors", "api"), [(9.0, 60.0)])
    timeline.run_until(1.0)
    all_of_it, above = finished(source.evaluate(["errors", "errors > 5"], 0))
    assert not isinstance(all_of_it, Failure)
    assert not isinstance(above, Failure)
    assert len(all_of_it) == 8
    assert [dict(labels)["service"] for labels in above] == ["api"]
    assert source.asked == [(1.0, True, None)]


def test_the_source_fails_as_the_script_says() -> None:
    platform, timeline = _platform()
    source = ScriptedSource(platform, timeline)
    platform.broken = "errors"
    broken, well = finished(source.evaluate(["errors > 5", "latency > 2"], 0))
    assert isinstance(broken, Failure)
    assert not isinstance(well, Failure)
    platform.unreachable = "gone"
    with pytest.raises(SourceError):
        finished(source.evaluate(["errors"], 0))
