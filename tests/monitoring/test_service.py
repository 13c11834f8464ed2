"""An evaluation from scraped text to the journal and the outbox, on the real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring.stage import Stage

PAGE = "ObjectsNodeHealthPage"
CLAUSE = "monitoring.objects.node-health.page"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    it = Stage(tmp_path)
    yield it
    it.close()


def nodes_offline(count: float | str) -> str:
    return f"object_storage_nodes_offline {count}\n"


def test_a_page_is_told_once_and_resolved_once(stage: Stage) -> None:
    for offline in (0, 1, 1, 1, 0, 0):
        stage.tick(nodes_offline(offline))
    kinds = [(kind, name) for kind, name, _ in stage.told()]
    assert kinds == [("trigger", PAGE), ("resolve", PAGE)]
    assert len({key for _, _, key in stage.told()}) == 1
    fired, resolved = stage.entries("alert.*")
    assert (fired.kind, dict(fired.evidence)) == ("alert.firing", {CLAUSE: "missed"})
    assert (resolved.kind, dict(resolved.evidence)) == ("alert.resolved", {CLAUSE: "met"})
    assert resolved.facts["because"] == "it is back within the line"
