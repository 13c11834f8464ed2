"""Who has the watch, as people and programs are told."""

from __future__ import annotations

from tests.oncall.rotas import rota, utc
from watchkeeper.oncall.overrides import find_rota
from watchkeeper.oncall.report import name_of, watch
from watchkeeper.oncall.rota import Override
from watchkeeper.runbook.models.runbook import Runbook


def test_a_watch_says_who_until_when_how_to_reach_them_and_who_is_next(runbook: Runbook) -> None:
    swap = Override("ben", utc("2026-03-04"), utc("2026-03-05"), "dentist", 3)
    told = watch(find_rota(runbook, "platform"), [swap], utc("2026-03-03")).to_json(runbook, {})
    assert told == {
        "rota": "platform",
        "title": "Platform on call",
        "timezone": "Europe/Berlin",
        "contact": {"id": "ada", "name": "Ada", "phone": "+49 30 1", "email": "ada@example.org", "ways": []},
        "start": "2026-03-02T08:00:00Z",
        "end": "2026-03-04T00:00:00Z",
        "layer": "weekly",
        "override": None,
        "next": {
            "contact": {"id": "ben", "name": "Ben", "slack": "@ben", "ways": []},
            "start": "2026-03-04T00:00:00Z",
            "end": "2026-03-05T00:00:00Z",
            "layer": None,
            "override": {"id": 3, "reason": "dentist"},
        },
    }


def test_a_gap_is_told_as_one(runbook: Runbook) -> None:
    found = watch(find_rota(runbook, "office"), [], utc("2026-03-07"))
    assert name_of(found.current, runbook) == "NOBODY"
    told = found.to_json(runbook, {})
    assert (told["contact"], told["end"]) == (None, "2026-03-09T09:00:00Z")


def test_where_nobody_ever_is_there_is_no_end(runbook: Runbook) -> None:
    told = watch(rota(), [], utc("2026-03-07")).to_json(runbook, {})
    assert (told["contact"], told["start"], told["end"]) == (None, None, None)
