"""Two machines watch the same platform over one store: one evaluates, the other follows and takes over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.monitoring.stage import INTERVAL, Stage
from watchkeeper.store.errors import StoreUnreachableError

BAD, GOOD = "object_storage_nodes_offline 1\n", "object_storage_nodes_offline 0\n"
PAGE = "ObjectsNodeHealthPage"


@pytest.fixture
def machines(tmp_path: Path, place: Path | str) -> Iterator[tuple[Stage, Stage]]:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(Stage(tmp_path / name, place=place, owner=name))
    yield found[0], found[1]
    for stage in found:
        stage.close()


def entries(stage: Stage, kind: str) -> int:
    return len([entry for entry in stage.entries(kind) if entry.facts.get("alertname", PAGE) == PAGE])


def told(stage: Stage) -> list[str]:
    return [kind for kind, name, _ in stage.told() if name == PAGE]


def test_an_episode_that_both_see_is_told_once_and_known_to_both(machines: tuple[Stage, Stage]) -> None:
    first, second = machines
    for _ in range(3):
        assert first.tick(BAD) is not None
        assert second.tick(BAD) is None
    assert (first.service.stands_by, second.service.stands_by) == (None, "one")
    assert PAGE in first.firing()
    assert second.firing() == first.firing()
    for _ in range(2):
        first.tick(GOOD)
        second.tick(GOOD)
    assert second.firing() == first.firing() == []
    assert told(first) == ["trigger", "resolve"]
    assert entries(first, "alert.firing") == entries(first, "alert.resolved") == 1


def test_the_other_takes_over_and_pages_nobody_again(machines: tuple[Stage, Stage]) -> None:
    first, second = machines
    first.tick(BAD)
    second.tick(BAD)
    for _ in range(3):  # the first machine is gone
        second.tick(BAD)
    assert second.service.stands_by is None
    assert PAGE in second.firing()
    assert told(second) == ["trigger"]
    first.clock.advance(3 * INTERVAL.total_seconds())
    assert first.tick(BAD) is None  # it was only asleep: what it decided is not written
    assert first.tick(BAD) is None
    assert first.service.stands_by == "two"
    second.tick(GOOD)
    assert told(second) == ["trigger", "resolve"]


def test_a_commit_whose_answer_was_lost_is_not_made_again(
    tmp_path: Path, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, place=place)
    stage.tick(GOOD)
    write = stage.store.write

    @contextmanager
    def breaks_after_the_commit() -> Iterator[Connection]:
        with write() as conn:
            yield conn
        raise StoreUnreachableError("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(stage.store, "write", breaks_after_the_commit)
        assert stage.tick(BAD) is None
    assert stage.tick(BAD) is not None
    assert PAGE in stage.firing()
    assert told(stage) == ["trigger"]
    assert entries(stage, "alert.firing") == 1
    stage.close()
