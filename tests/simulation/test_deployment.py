"""Processes of the product's own parts: they die, begin anew from the store, leave out only idle looks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.simulation.faults import Point
from tests.simulation.platform import DAY
from tests.simulation.world import World, simulate
from watchkeeper.store import outbox

QUIET_SEED = 4
"""Its first hours have several alerts, see :func:`test_looks_that_are_left_out_change_nothing`."""


def _told(*, every_slot: bool) -> list[tuple[float, str]]:
    """What was told, and when. Keys that name their millisecond are cut."""
    lines: list[tuple[float, str]] = []

    def tell(line: str) -> None:
        when, _, what = line.partition(")  ")
        if what.startswith(("alert.", "notification.", "escalation.", "incident.", "deadline.")):
            hours, minutes, seconds = when.split()[2].split(":")
            lines.append(
                (int(hours) * 3600 + int(minutes) * 60 + int(seconds), re.sub(r"\d+ s\b", "N s", what))
            )
        elif " hears" in what:
            lines.append((0.0, re.sub(r"/[0-9a-f]{11}$", "", what)))

    report = simulate(QUIET_SEED, 0.16, faulty=False, every_slot=every_slot, tell=tell, settling=1800.0)
    assert report.violations == []
    return lines


def test_looks_that_are_left_out_change_nothing() -> None:
    """What polling finds, is found without it, to the two seconds between two looks."""
    few, all_of_them = _told(every_slot=False), _told(every_slot=True)
    assert [what for _, what in few] == [what for _, what in all_of_them]
    assert all(abs(one - other) <= 2.0 for (one, _), (other, _) in zip(few, all_of_them, strict=True))
    kinds = Counter(what.split(":")[0] for _, what in few)
    assert kinds["alert.firing"] >= 1
    assert kinds["deadline.missed"] >= 1


def test_a_process_that_dies_begins_anew_and_the_others_go_on(tmp_path: Path) -> None:
    world = World(1, tmp_path, faulty=False)
    generations = [process.generation for process in world.site.processes]
    world.faults.arm("watch", Point.BEFORE_STATEMENT, 3)
    world.timeline.run_until(300.0)
    assert [process.generation for process in world.site.processes] == [generations[0] + 1, *generations[1:]]
    assert all(process.up for process in world.site.processes)
    assert world.watch.evaluations > 3
    for process in world.site.processes:
        process.stop()
    world.reader.close()


def test_a_death_while_an_answer_is_awaited_ends_the_wait(tmp_path: Path) -> None:
    """The process escalates in one thread and dies of it, while another waits for the pager."""
    world = World(1, tmp_path, faulty=False)
    with world._surroundings():
        world.platform._run(("saturation", "db"), [(97.0, 3600.0)])
        world.timeline.at(0.5 * DAY, lambda: None)
        dead_at: list[int] = []

        def heard(*_: object) -> None:
            if not dead_at:
                dead_at.append(world.work.generation)
                world.timeline.after(0.0, lambda: world.work.run(_die))

        def _die() -> None:
            world.faults.arm("work", Point.BEFORE_STATEMENT, 1)
            world.work.escalating.look()

        network = world.network
        network._heard = heard
        network._quick = lambda: 5.0  # type: ignore[method-assign]
        world.timeline.run_until(3000.0)
    assert dead_at
    assert world.work.generation == dead_at[0] + 1
    assert world.work.up
    with world.work.store.read() as conn:
        assert outbox.backlog(conn) == {}  # what was under way is sent again by the one that came after
    for process in world.site.processes:
        process.stop()
    world.reader.close()
