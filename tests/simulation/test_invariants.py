"""Every invariant can fail: a part of the product is broken on purpose, and the auditor says so."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, update

from tests.simulation.deployment import Watch, Work
from tests.simulation.network import Arrival
from tests.simulation.world import World, simulate
from watchkeeper.app.escalating import Escalating
from watchkeeper.app.responding import Responding
from watchkeeper.monitoring.evaluation import Decision
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.notify import accounts
from watchkeeper.notify.answers import ACCEPTED, Said, rejected
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.lane import Attempt
from watchkeeper.notify.models import Notification
from watchkeeper.store import journal, outbox
from watchkeeper.store.database import FILE_NAME
from watchkeeper.store.models import alerts, deadlines, escalations
from watchkeeper.store.models import outbox as outbox_table

SEED, DAYS = 4, 0.6


def _broken(*, work: type[Work] = Work, watch: type[Watch] = Watch) -> str:
    return "\n".join(simulate(SEED, DAYS, faulty=False, work=work, watch=watch, until_broken=True).violations)


def _delivering(deliverer: type[Deliverer]) -> type[Work]:
    """The role ``work`` with another deliverer, which is what is broken."""

    class Broken(Work):
        def build(self) -> None:
            super().build()
            self.deliverer.__class__ = deliverer

    return Broken


def test_the_seed_is_sound_and_has_something_to_tell() -> None:
    report = simulate(SEED, DAYS, faulty=False)
    assert report.violations == []
    assert report.pages > 0
    assert report.verdicts > 0


def test_a_row_that_is_dropped() -> None:
    class Dropping(Deliverer):
        def _claim(self, conn: Connection, *given: Any) -> list[outbox.Claimed]:
            rows = super()._claim(conn, *given)
            for row in rows[:1]:
                if row.payload["kind"] == "resolve":
                    conn.execute(delete(outbox_table).where(outbox_table.c.id == row.id))
                    rows.remove(row)
            return rows

    said = _broken(work=_delivering(Dropping))
    assert "was never delivered" in said or "waits since" in said


def test_a_row_that_is_settled_without_being_sent() -> None:
    class Lying(Deliverer):
        def _attempt(self, receiver: Any, row: outbox.Claimed, kept: Any, number: int) -> Attempt:
            if row.payload["kind"] == "trigger":
                return Attempt(row, Notification.from_json(row.payload), ACCEPTED, number)
            return super()._attempt(receiver, row, kept, number)

    said = _broken(work=_delivering(Lying))
    assert "says the journal, and was not" in said


def test_a_delivery_that_is_journaled_twice() -> None:
    class Stuttering(Deliverer):
        def _settle(self, conn: Connection, now: Any, attempt: Attempt) -> Any:
            done = super()._settle(conn, now, attempt)
            if attempt.answer.said is Said.ACCEPTED and attempt.notification:
                accounts.delivered(conn, now, attempt.row, attempt.notification)
            return done

    assert "journaled as delivered twice" in _broken(work=_delivering(Stuttering))


def test_a_page_that_is_given_up() -> None:
    class Faint(Deliverer):
        def _settle(self, conn: Connection, now: Any, attempt: Attempt) -> Any:
            return super()._settle(conn, now, replace(attempt, answer=rejected("no")))

    assert "was given up" in _broken(work=_delivering(Faint))


def test_an_alert_that_fires_before_its_time() -> None:
    class Hasty(Watch):
        def build(self) -> None:
            super().build()
            policy = self.service.policy
            rules = tuple(replace(rule, hold=timedelta(0)) for rule in policy.compiled.rules)
            self.service._policy = replace(policy, compiled=replace(policy.compiled, rules=rules))

    said = "\n".join(simulate(9, 4.0, faulty=False, watch=Hasty, until_broken=True).violations)
    assert " fires, but " in said


def test_an_alert_that_never_fires() -> None:
    class Forgetful(MonitoringService):
        def _decide(self, seen: Any) -> Decision:
            self.state = replace(self.state, alerts={})
            return super()._decide(seen)

    class Broken(Watch):
        def build(self) -> None:
            super().build()
            self.service.__class__ = Forgetful

    assert "must fire" in _broken(watch=Broken)


def test_an_alert_that_is_only_in_the_table() -> None:
    class Silent(Work):
        def _look(self) -> None:
            with self.store.write() as conn:
                conn.execute(update(alerts).values(state="firing"))
            super()._look()

    assert "not those that the journal says" in _broken(work=Silent)


def test_a_page_that_is_not_escalated() -> None:
    class Idle(Escalating):
        def look(self) -> int:
            return 0

    class Broken(Work):
        def build(self) -> None:
            super().build()
            self.escalating.__class__ = Idle

    assert "and its escalation is None" in _broken(work=Broken)


def test_a_deadline_with_two_verdicts() -> None:
    class Forgetful(Work):
        forgot = False

        def _look(self) -> None:
            with self.store.write() as conn:
                judged = escalations.c.verdict.is_not(None) & (escalations.c.state != "ended")
                if (
                    not self.forgot
                    and conn.execute(update(escalations).where(judged).values(verdict=None)).rowcount
                ):
                    self.forgot = True
            super()._look()

    assert "has verdicts" in _broken(work=Forgetful)


def test_an_escalation_that_leaves_a_step_out() -> None:
    class Hopping(Work):
        def _look(self) -> None:
            with self.store.write() as conn:
                conn.execute(update(escalations).where(escalations.c.step == 1).values(step=2))
            super()._look()

    assert "goes from step 1/1 to 3/1" in "\n".join(
        simulate(9, 4.0, faulty=False, work=Hopping, until_broken=True).violations
    )


def test_a_deadline_that_nobody_judges() -> None:
    class Idle(Responding):
        def _tick(self, runbook: Any) -> int:
            return 0

    class Broken(Work):
        def build(self) -> None:
            super().build()
            self.responding.__class__ = Idle

    said = simulate(SEED, 6.0, faulty=False, work=Broken, until_broken=True).violations
    assert "is not judged" in "\n".join(said)


def test_a_page_without_an_incident() -> None:
    class Deaf(Responding):
        def look(self) -> int:
            return 0

    class Broken(Work):
        def build(self) -> None:
            super().build()
            self.responding.__class__ = Deaf

    assert "belongs to no incident" in _broken(work=Broken)


def test_a_deadline_that_is_settled_twice() -> None:
    class Forgetful(Work):
        forgot = False

        def _respond(self) -> None:
            with self.store.write() as conn:
                settled = deadlines.c.state == "missed"
                again = {"state": "running", "look_at": deadlines.c.due_at, "settled_at": None}
                if (
                    not self.forgot
                    and conn.execute(update(deadlines).where(settled).values(**again)).rowcount
                ):
                    self.forgot = True
            super()._respond()

    assert "was missed, and is missed now" in "\n".join(
        simulate(SEED, 6.0, faulty=False, work=Forgetful, until_broken=True).violations
    )


def test_a_journal_that_is_rewritten(tmp_path: Path) -> None:
    world = World(SEED, tmp_path, faulty=False)

    def rewrite() -> None:
        raw = sqlite3.connect(tmp_path / FILE_NAME)
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE journal SET subject = 'somebody else' WHERE seq = 2")
        raw.commit()
        raw.close()

    world.timeline.at(3600.0, rewrite)
    assert "does not verify" in "\n".join(world.run(DAYS).violations)


def test_an_entry_that_does_not_fit_the_chain(tmp_path: Path) -> None:
    world = World(SEED, tmp_path, faulty=False)
    world.auditor.committed()
    world.auditor.head = journal.GENESIS[:-1] + "1"
    assert "chain is broken" in "\n".join(world.run(DAYS).violations)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (["resolve"], "before its trigger"),
        (["trigger", "resolve", "trigger"], "after its resolve"),
        (["trigger", "acknowledge", "trigger", "resolve", "resolve"], None),
    ],
)
def test_what_a_receiver_hears_in_the_wrong_order(tmp_path: Path, kinds: list[str], said: str | None) -> None:
    world = World(SEED, tmp_path, faulty=False)
    for kind in kinds:
        world.auditor.heard("pager", Arrival(1.0, kind, "key", "", True, late=False))
    world.auditor.heard("pager", Arrival(2.0, "trigger", "key", "", True, late=True))  # nobody can help it
    found = "\n".join(world.auditor.violations)
    assert said in found if said else found == ""
    for process in world.site.processes:
        process.stop()
    world.reader.close()
