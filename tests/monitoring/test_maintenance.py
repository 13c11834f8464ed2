"""Maintenance windows: on the wall clock, quiet as under a silence, in the journal once each way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.stage import START, Stage, load_text
from tests.monitoring.test_service import PAGE, nodes_offline
from watchkeeper.monitoring.maintenance import next_opening, opening_at
from watchkeeper.runbook.loading import LoadedRunbook, default_text
from watchkeeper.runbook.models.maintenance import MaintenanceWindow

WINDOW: dict[str, Any] = {
    "id": "vacuum", "title": "Vacuum", "match": ["service=shop"], "weekday": "sunday", "at": "02:00",
    "for": "2h", "timezone": "Europe/Berlin", "reason": "tables are rewritten",
}  # fmt: skip


def window(**change: Any) -> MaintenanceWindow:
    given_ = {**WINDOW, **change}
    return MaintenanceWindow.model_validate(
        {key: value for key, value in given_.items() if value is not None}
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "opens", "closes"),
    [
        ("2026-03-22 01:00", "2026-03-22 01:00", "2026-03-22 03:00"),  # winter: 02:00 is 01:00 UTC
        ("2026-03-22 02:59", "2026-03-22 01:00", "2026-03-22 03:00"),
        ("2026-03-22 03:00", None, None),
        ("2026-03-22 00:59", None, None),
        ("2026-03-29 01:30", "2026-03-29 01:00", "2026-03-29 03:00"),  # 02:00 is skipped: it is 03:00
        ("2026-04-05 00:00", "2026-04-05 00:00", "2026-04-05 02:00"),  # summer
        ("2026-10-25 00:30", "2026-10-25 00:00", "2026-10-25 02:00"),  # 02:00 comes twice: the first
        ("2026-10-25 02:00", None, None),
        ("2026-03-23 01:30", None, None),  # a Monday
    ],
)
def test_a_weekly_window_opens_at_its_time_on_the_wall_clock(
    moment: str, opens: str | None, closes: str | None
) -> None:
    found = opening_at(window(), utc(moment))
    if opens is None or closes is None:
        assert found is None
    else:
        assert found is not None
        assert (found.start, found.end) == (utc(opens), utc(closes))


def test_a_month_that_lacks_the_day_opens_on_its_last() -> None:
    monthly = window(every="monthly", weekday=None, day=31, timezone="UTC")
    now, found = utc("2026-01-01 00:00"), []
    for _ in range(5):
        following = next_opening(monthly, now)
        assert following is not None
        found.append(f"{following.start:%m-%d %H:%M}")
        now = following.start
    assert found == ["01-31 02:00", "02-28 02:00", "03-31 02:00", "04-30 02:00", "05-31 02:00"]


def test_a_window_may_last_past_midnight_and_over_days() -> None:
    long = window(at="22:00", **{"for": "3d"}, timezone="UTC")
    found = opening_at(long, utc("2026-03-25 21:59"))
    assert found is not None
    assert found.until == "Wed 25 Mar 22:00 UTC"
    assert opening_at(long, utc("2026-03-25 22:00")) is None
    assert window().when == "every Sunday at 02:00 (Europe/Berlin) for 2 hours"


WINDOWS = st.builds(
    window,
    every=st.just("daily"),
    weekday=st.none(),
    at=st.sampled_from(["00:00", "01:30", "02:00", "02:30", "12:00", "23:59"]),
    timezone=st.sampled_from(
        ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]
    ),
    **{"for": st.sampled_from(["1m", "2h", "12h", "23h"])},
)


@given(WINDOWS, st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))
def test_what_is_next_opens_and_is_open_exactly_as_long_as_it_says(
    one: MaintenanceWindow, now: datetime
) -> None:
    following = next_opening(one, now)
    assert following is not None
    assert following.start > now
    assert following.start - now <= timedelta(hours=26)
    assert following.end - following.start == timedelta(seconds=one.for_.total_seconds())
    opened = opening_at(one, following.start)
    assert opened is not None
    assert opened.start == following.start
    zone = ZoneInfo(one.timezone)
    local = following.start.astimezone(zone)
    if f"{local:%H:%M}" != one.at:  # only where a change of the clocks skipped that time
        assert local.utcoffset() != (local.astimezone(UTC) - timedelta(hours=2)).astimezone(zone).utcoffset()


# -- in the real service ----------------------------------------------------------------------------------


def runbook(*lines: str) -> LoadedRunbook:
    """The default with windows; the stage begins on Monday 2026-01-05 at 12:00 UTC."""
    text = default_text()
    assert "\nmonitoring:\n" in text
    added = "\nmonitoring:\n  maintenance:\n" + "".join(f"    - {line}\n" for line in lines)
    return load_text(text.replace("\nmonitoring:\n", added, 1))


NOON = "{id: noon, title: Noon, match: [service=shop], every: daily, at: '12:01', for: 2m, reason: rewriting}"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    it = Stage(tmp_path, runbook(NOON))
    yield it
    it.close()


def told(stage: Stage) -> list[str]:
    return [kind for kind, name, _ in stage.told() if name == PAGE]


def until(stage: Stage, seconds: float, offline: int) -> None:
    while stage.second < seconds:
        stage.tick(nodes_offline(offline))


def test_while_it_is_open_a_page_fires_and_tells_nobody_and_is_told_when_it_is_over(stage: Stage) -> None:
    until(stage, 60, 0)
    until(stage, 165, 1)
    assert PAGE in stage.firing()
    assert told(stage) == []
    (fired,) = stage.entries("alert.firing")
    assert fired.facts["inhibited_by"] == "maintenance window Noon until 12:03 UTC"
    assert fired.facts["inhibited_because"] == "rewriting"
    assert {row["inhibited_by"] for row in stage.rows()} == {"maintenance:noon"}
    until(stage, 195, 1)
    assert told(stage) == ["trigger"]


def test_what_was_told_before_ends_for_those_who_were_told(stage: Stage) -> None:
    until(stage, 45, 1)
    assert told(stage) == ["trigger"]
    until(stage, 120, 1)
    until(stage, 150, 0)
    assert told(stage) == ["trigger", "resolve"]


def test_it_opens_and_closes_in_the_journal_once_through_restarts(stage: Stage) -> None:
    for second in range(15, 240, 15):
        until(stage, second, 0)
        stage.restart()
    kinds = [(entry.kind, entry.subject) for entry in stage.entries("maintenance.*")]
    assert kinds == [("maintenance.opened", "maintenance:noon"), ("maintenance.closed", "maintenance:noon")]
    opened, closed = stage.entries("maintenance.*")
    assert opened.facts["summary"] == "the maintenance window Noon is open until 12:03 UTC"
    assert opened.facts["until"] == "2026-01-05T12:03:00Z"
    assert closed.facts["summary"] == "the maintenance window Noon is over; what still fires is told"
    assert (opened.at, closed.at) == (START + timedelta(seconds=60), START + timedelta(seconds=180))


def test_its_end_is_journaled_also_when_nobody_watched_it(stage: Stage) -> None:
    until(stage, 75, 0)
    stage.clock.advance(3600)
    stage.restart()
    stage.tick(nodes_offline(0))
    assert [entry.kind for entry in stage.entries("maintenance.*")] == [
        "maintenance.opened",
        "maintenance.closed",
    ]
    assert stage.entries("maintenance.closed")[0].facts["until"] == "2026-01-05T12:03:00Z"


def test_one_that_nobody_watched_at_all_hid_nothing_and_is_not_in_the_journal(stage: Stage) -> None:
    until(stage, 30, 0)
    stage.clock.advance(3600)
    stage.tick(nodes_offline(0))
    assert stage.entries("maintenance.*") == []


def test_a_window_that_leaves_the_runbook_is_over_at_the_next_evaluation(stage: Stage) -> None:
    until(stage, 60, 0)
    until(stage, 105, 1)
    assert told(stage) == []
    assert stage.service.reload(lambda: load_text(default_text())).ok
    stage.tick(nodes_offline(1))
    assert told(stage) == ["trigger"]
    (closed,) = stage.entries("maintenance.closed")
    assert "over early, because the runbook changed" in closed.facts["summary"]


def test_a_window_hides_only_what_matches(tmp_path: Path) -> None:
    other = NOON.replace("service=shop", "service=shop, severity=warn").replace("noon", "warns")
    it = Stage(tmp_path, runbook(other))
    until(it, 60, 0)
    until(it, 120, 1)
    assert told(it) == ["trigger"]
    it.close()
