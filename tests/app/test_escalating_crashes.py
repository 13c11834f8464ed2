"""The process dies at any statement of a look: what it was to do is done once, by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from tests.app.escalations import TEXT, Watch
from watchkeeper.store import journal
from watchkeeper.store.models import alerts, escalations, outbox
from watchkeeper.store.models import journal as entries

FIVE = timedelta(minutes=5)


class DeathError(Exception):
    """The process is gone; what was begun is undone by the database."""


@contextmanager
def _statements(die_at: int | None = None) -> Iterator[list[str]]:
    """The statements that are begun inside, of all engines; the one of number ``die_at`` is never run."""
    seen: list[str] = []

    def before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if len(seen) == die_at:
            raise DeathError

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def _state(watch: Watch) -> list[Any]:
    with watch.store.read() as conn:
        assert journal.verify(conn).intact
        return [
            [tuple(row) for row in conn.execute(select(table))]
            for table in (alerts, escalations, outbox, entries)
        ]


def _page(watch: Watch) -> None:
    watch.fire()


def _second_step_and_deadline(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.clock.advance(300)


def _acknowledged(watch: Watch) -> None:
    _second_step_and_deadline(watch)
    watch.look()
    watch.acknowledge("ben")


def _forgotten(watch: Watch) -> None:
    _acknowledged(watch)
    watch.look()
    watch.clock.advance(3600)


def _over(watch: Watch) -> None:
    _second_step_and_deadline(watch)
    watch.look()
    watch.resolve()


MOMENTS = [_page, _second_step_and_deadline, _acknowledged, _forgotten, _over]


@pytest.mark.parametrize("until", MOMENTS)
def test_whatever_statement_is_the_last_the_next_process_does_all_of_it_once(
    tmp_path: Path, until: Callable[[Watch], None]
) -> None:
    whole = Watch(tmp_path / "whole")
    until(whole)
    with _statements() as seen:
        assert whole.look() == 1
    expected = _state(whole)
    whole.store.close()
    assert len(seen) > 8

    for number in range(1, len(seen) + 1):
        watch = Watch(tmp_path / str(number))
        until(watch)
        before = _state(watch)
        with _statements(number), pytest.raises(DeathError):
            _look(watch)
        assert _state(watch) == before, seen[number - 1]
        watch.use(watch.runbook)
        watch.look()
        assert _state(watch) == expected, seen[number - 1]
        assert watch.look() == 0
        watch.store.close()


def _look(watch: Watch) -> None:
    """A look that dies as a process does, without the guard that keeps one page's defect from the others."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("watchkeeper.app.escalating.StoreError", DeathError)
        watch.look()


WORKER = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from sqlalchemy import Engine, event
    from watchkeeper.app.escalating import Escalating
    from watchkeeper.runbook.loading import load_bytes
    from watchkeeper.store.clock import ManualClock
    from watchkeeper.store.database import open_store
    from datetime import datetime

    where, text, at, number = sys.argv[1:]
    clock = ManualClock(datetime.fromisoformat(at))
    runbook = load_bytes("runbook.yaml", text.encode()).runbook
    with open_store(where, clock) as store:
        escalating = Escalating(store, clock, runbook)
        seen = 0

        def before(conn, cursor, statement, *rest):
            global seen
            seen += 1
            if seen == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", before)
        escalating.look()
        print(seen)
""")


def _run(watch: Watch, where: Path, number: int) -> subprocess.CompletedProcess[str]:
    at = watch.clock.now().isoformat()
    text = TEXT.replace("PORT", "1")
    command = [sys.executable, "-c", WORKER, str(where), text, at, str(number)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_that_is_killed_leaves_nothing_half_done(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _second_step_and_deadline(watch)
    before = _state(watch)
    for number in (5, 8, 11, 14):
        assert _run(watch, tmp_path, number).returncode == -signal.SIGKILL
        assert _state(watch) == before
    done = _run(watch, tmp_path, 10_000)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 14
    assert [entry.kind for entry in watch.entries("escalation.*")] == [
        "escalation.paged",
        "escalation.deadline",
        "escalation.paged",
    ]
    assert [who for who, _ in watch.told()] == [None, "ada@example.org", "ben@example.org"]
    assert watch.look() == 0
    watch.store.close()
