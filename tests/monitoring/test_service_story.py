"""Whatever happens in whatever order, every outage is told once and its end is told once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.monitoring.stage import Stage, load_text
from tests.monitoring.test_evaluation import RUNBOOK, A, Scripted
from tests.monitoring.test_service import Disk
from watchkeeper.store import journal

EVENTS = ("good", "bad", "bad", "silent", "failing", "down", "restart", "ahead", "back", "full", "away")
SILENCE = 20
"""Evaluations of silence that mean nothing yet (missing.after is five minutes)."""


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=25))
@example(["bad", "full", "restart", "full", "bad", "restart", "good"])
@example(["bad", "restart", "silent", "restart", "bad", "back", "silent", "ahead", "bad"])
@example(["bad", "silent", "away", "silent", "bad"])
def test_every_outage_is_told_once_and_ended_once(script: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Scripted()
        stage = Stage(Path(directory), load_text(RUNBOOK), source=source)
        outages, in_outage, silent = 0, False, 0
        for event in script:
            disk = Disk(stage.store)
            source.failing, source.down = {}, None
            if event in ("good", "bad"):
                source.values["disk"] = {A: 20 if event == "bad" else 1}
                in_outage, outages = event == "bad", outages + (event == "bad" and not in_outage)
            match event:
                case "silent":
                    source.values["disk"] = {}
                case "failing":
                    source.failing = {"disk > 10": "too much", "disk > 5": "too much"}
                case "down":
                    source.down = "nobody there"
                case "full":
                    disk.full = True
                case "restart":
                    stage.restart()
                case "ahead" | "back":
                    stage.clock.jump(3600 if event == "ahead" else -3600)
                case "away":
                    stage.clock.advance(7200)
                    stage.restart()
            silent = silent + 1 if not source.values.get("disk") else 0
            in_outage = in_outage and silent < SILENCE  # what is heard after that is another outage
            stage.tick()
            disk.full = False
            story(stage, outages)
        source.failing, source.down = {}, None
        source.values["disk"] = {A: 1}
        stage.tick()
        stage.tick()
        assert stage.firing() == []
        for kinds in story(stage, outages).values():
            assert kinds[-1] == "resolve", "the end of what was told is told"
        with stage.store.read() as conn:
            assert journal.verify(conn).intact
        stage.close()


def story(stage: Stage, outages: int) -> dict[str, list[str]]:
    """What was told, by incident; checks what must hold at any time."""
    incidents: dict[str, list[str]] = {}
    pages = set()
    for kind, name, key in stage.told():
        incidents.setdefault(key, []).append(kind)
        if name == "LDiskPage":
            pages.add(key)
    for kinds in incidents.values():
        assert "resolve" not in kinds[:-1], "nothing is said of an incident that has ended"
    assert len(pages) <= outages, "one outage is one incident"
    open_pages = [key for key in pages if incidents[key][-1] != "resolve"]
    assert len(open_pages) <= 1
    firing = "LDiskPage" in stage.firing()
    assert bool(open_pages) == firing, "who is told and what fires agree"
    return incidents
