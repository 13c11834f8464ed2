"""The faults are what they are called: a death undoes what was not committed, an error is SQLite's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.simulation.faults import Crash, Faults, Point, Trouble
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreBusyError, StoreFullError

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def _append(store: Store, text: str = "x") -> None:
    with store.write() as conn:
        journal.append(conn, NOW, "test", "component:test", "test", {"summary": text})


def _append_much(store: Store) -> None:
    """More than fits in the pages that a full disk has already."""
    for number in range(50):
        _append(store, "much to say " * 400 + str(number))


def _entries(store: Store) -> int:
    with store.read() as conn:
        found = journal.verify(conn)
    assert found.intact
    return found.entries


@pytest.mark.parametrize("point", [Point.BEFORE_STATEMENT, Point.AFTER_WRITE, Point.BEFORE_COMMIT])
def test_a_process_that_dies_before_its_commit_has_done_nothing(tmp_path: Path, point: Point) -> None:
    faults, clock = Faults(), ManualClock(NOW)
    store = faults.open(tmp_path, clock, "work")
    _append(store)
    faults.arm("work", point, 1)
    with pytest.raises(Crash):
        _append(store)
    store.close()
    again = faults.open(tmp_path, clock, "work")
    assert _entries(again) == 1
    _append(again)  # the crash is over with the process that it was for
    assert _entries(again) == 2
    again.close()


def test_a_process_that_dies_after_its_commit_has_done_it(tmp_path: Path) -> None:
    faults, clock = Faults(), ManualClock(NOW)
    store = faults.open(tmp_path, clock, "work")
    faults.arm("work", Point.AFTER_COMMIT, 2)
    _append(store)
    with pytest.raises(Crash):
        _append(store)
    assert _entries(store) == 2
    assert faults.counts == {"crash after a commit": 1}
    store.close()


def test_only_the_process_that_a_crash_is_for_dies_of_it(tmp_path: Path) -> None:
    faults, clock = Faults(), ManualClock(NOW)
    watch, work = (faults.open(tmp_path, clock, name) for name in ("watch", "work"))
    faults.arm("work", Point.BEFORE_STATEMENT, 1)
    _append(watch)
    with pytest.raises(Crash):
        _append(work)
    watch.close()
    work.close()


@pytest.mark.parametrize(
    ("trouble", "error"), [(Trouble.BUSY, StoreBusyError), (Trouble.FULL, StoreFullError)]
)
def test_the_errors_of_the_store_are_real_and_end(
    tmp_path: Path, trouble: Trouble, error: type[Exception]
) -> None:
    faults = Faults()
    store = faults.open(tmp_path, ManualClock(NOW), "work")
    faults.begin_trouble(trouble, tmp_path)
    with pytest.raises(error):
        _append_much(store)
    held = _entries(store)
    faults.end_trouble()
    _append(store)
    assert _entries(store) == held + 1
    store.close()
