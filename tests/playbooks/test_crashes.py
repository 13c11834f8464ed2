"""A real process carries runs out and is killed: the run goes on as its steps say, whatever the moment."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.playbooks import crashes
from tests.playbooks.support import act
from watchkeeper.playbooks import answers
from watchkeeper.playbooks.models import RunState
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store

STEPS = [act(name, on_doubt="retry") for name in "abc"]
MOMENTS = [
    *[(point, number) for point in crashes.POINTS[:2] for number in (1, 2, 4)],
    *[(point, number) for point in crashes.POINTS[2:] for number in (1, 3)],
]


@pytest.mark.parametrize(("point", "number"), MOMENTS)
def test_killed_at_any_boundary_no_step_is_repeated_or_left_out(
    tmp_path: Path, point: str, number: int
) -> None:
    _killed_and_gone_on(str(tmp_path / "store"), tmp_path / "effects", point, number)


@pytest.mark.long
@pytest.mark.parametrize("point", crashes.POINTS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_at_every_boundary_on_both_databases(
    place: str, tmp_path: Path, point: str, number: int
) -> None:
    _killed_and_gone_on(place, tmp_path / "effects", point, number)


def _killed_and_gone_on(place: str, effects: Path, point: str, number: int) -> None:
    with open_store(place) as store:
        crashes.start(store, STEPS)
        assert crashes.worker(place, effects, point, number).wait(30) == -signal.SIGKILL
        began = time.monotonic()
        assert crashes.worker(place, effects).wait(30) == 0
        assert time.monotonic() - began < 10  # the lease would have been 20 s
        crashes.check(store, effects, ["r1"], "abc")
        keys = effects.read_text().split()
        undone = point == "after the effect" or (point in crashes.POINTS[:2] and number > 1)
        repeated = 1 if undone else 0  # the effect was there and its record was not
        assert len(keys) == 3 + repeated
        assert len(set(keys)) == 3  # a receiver that honours the key has every effect once


@pytest.mark.parametrize("point", ["before the effect", "after the effect"])
def test_an_action_in_doubt_is_asked_about_and_not_repeated(tmp_path: Path, point: str) -> None:
    place, effects = str(tmp_path / "store"), tmp_path / "effects"
    effects.touch()
    with open_store(place) as store:
        crashes.start(store, [act("a"), act("b")])
        assert crashes.worker(place, effects, point, 1).wait(30) == -signal.SIGKILL
        assert crashes.worker(place, effects).wait(30) == 0
        run = crashes.view(store)
        assert run.state is RunState.WAITING
        assert run.asking is not None
        assert run.asking.about == "doubt"
        assert run.asking.question.startswith("it is not known whether this happened")
        seen = effects.read_text().split()
        assert seen == ([] if point == "before the effect" else ["r1/a"])
        verdict = "retry" if point == "before the effect" else "confirm"
        with store.write() as conn:
            answers.answer(conn, SystemClock().now(), "r1", "a", verdict, "person:ada")  # type: ignore[arg-type]
        assert crashes.worker(place, effects).wait(30) == 0
        assert crashes.view(store).state is RunState.DONE
        assert effects.read_text().split() == ["r1/a", "r1/b"]


@pytest.mark.parametrize("point", ["before the effect", "after the effect"])
def test_an_action_in_doubt_with_a_check_goes_on_by_what_that_finds(tmp_path: Path, point: str) -> None:
    place, effects = str(tmp_path / "store"), tmp_path / "effects"
    effects.touch()
    with open_store(place) as store:
        crashes.start(store, [act("a", on_doubt="probe"), act("b")])
        assert crashes.worker(place, effects, point, 1).wait(30) == -signal.SIGKILL
        assert crashes.worker(place, effects).wait(30) == 0
        assert crashes.view(store).state is RunState.DONE
        assert effects.read_text().split() == ["r1/a", "r1/b"]


@pytest.mark.long
def test_two_workers_are_killed_at_random_moments_and_share_many_runs(place: str, tmp_path: Path) -> None:
    import random

    generator = random.Random(7)
    effects = tmp_path / "effects"
    effects.touch()
    names = [f"r{number}" for number in range(40)]
    with open_store(place) as store:
        for name in names:
            crashes.start(store, STEPS, name)
        workers = [crashes.worker(place, effects) for _ in range(2)]
        for _ in range(12):
            time.sleep(generator.uniform(0.3, 1.2))
            index = generator.randrange(2)
            workers[index].kill()
            workers[index].wait(10)
            workers[index] = crashes.worker(place, effects)
        assert [one.wait(90) for one in workers] == [0, 0]
        crashes.check(store, effects, names, "abc")
