"""The process dies at any statement of a look, or of what a person does: it is done whole, once, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.responses import Watch
from tests.incidents.desk import ADA, DeathError, statements
from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.incidents import service
from watchkeeper.incidents.models import Status


def _opened(watch: Watch) -> None:
    watch.fire()


def _joined(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.fire("slow", severity="warn", alertname="Slow")


def _at_baseline(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.end()


def _acknowledged(watch: Watch) -> None:
    watch.fire()
    watch.look()
    with watch.store.write() as conn:
        acknowledge_alerts(conn, watch.now, ["one"], "ben", "", "person:ben")


def _reopened(watch: Watch) -> None:
    _at_baseline(watch)
    watch.look()
    watch.do(service.resolve, 1, ADA)
    watch.later(5)
    watch.fire()


def _warned(watch: Watch) -> None:
    watch.open(severity="SEV-1")
    watch.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    watch.look()
    watch.later(13)


def _missed(watch: Watch) -> None:
    _warned(watch)
    watch.look()
    watch.later(2)


def _overdue(watch: Watch) -> None:
    watch.open(severity="SEV-3")
    watch.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    watch.do(service.add_follow_up, 1, ADA, "Test it", owner="ben", due_on=watch.now.replace(hour=23))
    watch.look()
    watch.later(12 * 60)


@pytest.mark.parametrize(
    "until", [_opened, _joined, _at_baseline, _acknowledged, _reopened, _warned, _missed, _overdue]
)
def test_whatever_statement_is_the_last_the_next_process_does_all_of_it_once(
    tmp_path: Path, until: Callable[[Watch], None]
) -> None:
    whole = Watch(tmp_path / "whole")
    until(whole)
    with statements() as seen:
        assert whole.look() >= 1
    assert whole.look() == 0
    expected = whole.everything()
    whole.store.close()
    assert len(seen) > 8
    watch = Watch(tmp_path / "killed")
    until(watch)
    before = watch.everything()
    died = 0
    for number in range(1, len(seen) + 1):
        with statements(number) as begun, pytest.raises(DeathError):
            _look(watch)
        died += 1
        watch.restart()
        if watch.everything() == expected:  # it was done; what was left to do is to find nothing more
            break
        assert watch.everything() == before, begun[-1]
    assert died > 6
    watch.look()
    assert watch.look() == 0
    assert watch.everything() == expected
    watch.store.close()


def _look(watch: Watch) -> None:
    """A look that dies as a process does, without the guard that keeps one defect from all the others."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("watchkeeper.app.responding.StoreError", DeathError)
        watch.responding.look()


def _first(watch: Watch) -> tuple[str, str]:
    alert = watch.story().alerts[0]
    return alert.fingerprint, alert.episode


def _actions() -> Iterator[tuple[str, Callable[[Watch], Any]]]:
    update = {"status": Status.IDENTIFIED, "impact": "All"}
    yield "open", lambda watch: watch.open("Another", severity="SEV-1")
    yield "acknowledge", lambda watch: watch.do(service.acknowledge, 1, ADA, acknowledge_alerts)
    yield "severity", lambda watch: watch.do(service.set_severity, 1, ADA, "SEV-1")
    yield "update", lambda watch: watch.do(service.post_update, 1, ADA, **update)
    yield "resolve", lambda watch: watch.do(service.resolve, 1, ADA, override="it is a drill")
    yield (
        "follow-up",
        lambda watch: watch.do(
            service.add_follow_up, 1, ADA, "Test it", owner="ben", due_on=watch.now.replace(hour=23)
        ),
    )
    yield "merge", lambda watch: watch.do(service.merge, 2, ADA, 1)
    yield "split", lambda watch: watch.do(service.split, 1, ADA, [_first(watch)], "Two")
    yield (
        "waive",
        lambda watch: watch.do(
            service.waive_deadline, 1, ADA, watch.story().clocks[-1].deadline_id, "a drill"
        ),
    )


@pytest.mark.parametrize(("name", "act"), list(_actions()))
def test_what_a_person_does_is_one_transaction(
    tmp_path: Path, name: str, act: Callable[[Watch], Any]
) -> None:
    watch = Watch(tmp_path)
    watch.fire()
    watch.fire("two", alertname="Two")
    watch.look()
    watch.fire("db", service="db", alertname="Db")
    watch.look()
    before = watch.everything()
    number = 0
    while True:
        number += 1
        with statements(number) as seen:
            try:
                act(watch)
            except DeathError:
                assert watch.everything() == before, (name, seen[-1])
                continue
        break
    assert number > 6
    assert watch.everything() != before
    watch.store.close()
