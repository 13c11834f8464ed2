"""The list of alerts as the store has it, and the command that prints it without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from tests.monitoring.stage import PLACE, Stage, target
from watchkeeper.cli.alerts import app
from watchkeeper.store.models import alerts, outbox

BAD = "object_storage_nodes_offline 1\n"
PAGE = "ObjectsNodeHealthPage"


@pytest.fixture
def stage(tmp_path: Path, place: Path | str) -> Iterator[Stage]:
    it = Stage(tmp_path, place=place)
    yield it
    it.close()


def command(stage: Stage, *arguments: str) -> str:
    done = CliRunner().invoke(
        app, ["--data" if isinstance(stage.place, Path) else "--store", str(stage.place), *arguments]
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(stage: Stage, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command(stage, "--json", *arguments))
    return found


def test_an_alert_is_listed_with_state_severity_labels_and_times(stage: Stage) -> None:
    stage.tick(BAD)
    (one,) = listed(stage)
    assert (one["alertname"], one["state"], one["severity"]) == (PAGE, "firing", "page")
    assert {name: one["labels"][name] for name in PLACE} == PLACE
    assert one["active_at"] == one["fired_at"] == one["queued_at"] == "2026-01-05T12:00:15Z"
    assert (one["paged_at"], one["resolved_at"]) == (None, None)
    assert one["clause"] == "monitoring.objects.node-health.page"
    assert one["value"] == 1.0


def test_it_is_paged_when_a_receiver_has_it(stage: Stage) -> None:
    stage.tick(BAD)
    stage.clock.advance(2)
    with stage.store.write() as conn:
        conn.execute(update(outbox).values(state="delivered", settled_at=stage.clock.now()))
        conn.execute(update(alerts).values(acked_at=stage.clock.now(), acked_by="ada"))
    (one,) = listed(stage)
    assert one["paged_at"] == one["acknowledged_at"] == "2026-01-05T12:00:17Z"
    assert one["acknowledged_by"] == "ada"


def test_pages_come_first_and_what_ended_last(stage: Stage) -> None:
    queue = 'job_queue_depth{queue="q"} 500\n'
    other = target({**PLACE, "service": "other"}, "other:80")
    stage.scrape("object_storage_nodes_offline 1\n", other)
    stage.tick("object_storage_used_bytes 80\nobject_storage_capacity_bytes 100\n" + BAD + queue)
    stage.scrape("object_storage_nodes_offline 0\n", other)
    stage.tick("object_storage_used_bytes 80\nobject_storage_capacity_bytes 100\n" + BAD + queue)
    assert [(one["state"], one["severity"]) for one in listed(stage)] == [
        ("firing", "page"),
        ("firing", "warn"),
        ("pending", "warn"),
        ("resolved", "page"),
    ]


def test_a_quiet_alert_names_who_speaks_for_it(stage: Stage) -> None:
    stage.tick("object_storage_used_bytes 95\nobject_storage_capacity_bytes 100\n")
    page, warn = listed(stage)
    assert (page["inhibited_by"], warn["inhibited_by"]) == (None, "ObjectsCapacityPage")
    assert "ObjectsCapacityPage speaks for it" in command(stage)


def test_all_shows_what_ended_long_ago(stage: Stage) -> None:
    stage.tick(BAD)
    stage.tick("object_storage_nodes_offline 0\n")
    stage.clock.advance(1000)
    stage.tick("object_storage_nodes_offline 0\n")
    assert listed(stage) == []
    (old,) = listed(stage, "--all")
    assert (old["alertname"], old["state"], old["severity"]) == (PAGE, "resolved", "page")
    assert old["fired_at"] == "2026-01-05T12:00:15Z"
    assert old["resolved_at"] == "2026-01-05T12:00:30Z"


def test_for_people_each_alert_is_three_lines_that_cannot_move_the_cursor(stage: Stage) -> None:
    assert command(stage) == "● no alert\n"
    stage.tick(BAD, target({**PLACE, "service": "a\x1b[31mb"}, "x:80"))
    text = command(stage)
    assert "\x1b" not in text
    head, summary, times = text.splitlines()
    assert head.startswith(f"■ firing   page  {PAGE}  env=prod")
    assert "above 0" in summary
    assert "fired 2026-01-05 12:00:15Z" in times


def test_values_that_json_has_no_number_for_are_words(stage: Stage) -> None:
    stage.tick("object_storage_nodes_offline +Inf\n")
    assert listed(stage)[0]["value"] == "+Inf"


def test_where_there_is_no_store_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--data", str(tmp_path / "none"), "--json"])
    assert done.exit_code == 1
    assert "watchkeeper serve" in done.stderr
