"""Processes of the product's own parts: they die, begin anew from the store, leave out only idle looks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.simulation.faults import Point
from tests.simulation.platform import DAY
from tests.simulation.world import World, simulate
from watchkeeper.store import outbox

QUIET_SEED = 4
"""Its first hours have several alerts, see :func:`test_looks_that_are_left_out_change_nothing`."""


def _told(*, every_slot: bool) -> list[str]:
    lines: list[str] = []

    def tell(line: str) -> None:
        if " alert." in line or " notification." in line or " escalation." in line or " hears" in line:
            lines.append(line)

    report = simulate(QUIET_SEED, 0.16, faulty=False, every_slot=every_slot, tell=tell, settling=1800.0)
    assert report.violations == []
    return lines


def test_looks_that_are_left_out_change_nothing() -> None:
    few, all_of_them = _told(every_slot=False), _told(every_slot=True)
    assert few == all_of_them
    assert Counter(line.split()[5] for line in few)["alert.firing:"] >= 1


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
