"""A silence from its making to its end, in the real service: what is told, and what the journal has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.monitoring.stage import Stage
from tests.monitoring.test_service import PAGE, nodes_offline
from watchkeeper.app.policy import check_expr
from watchkeeper.monitoring import silencing
from watchkeeper.monitoring.silences import Silence, SilenceError, Wanted, matcher
from watchkeeper.runbook.loading import default_text, load_bytes
from watchkeeper.runbook.models.monitoring import Silencing
from watchkeeper.store.errors import StoreError
from watchkeeper.store.models import outbox


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    it = Stage(tmp_path)
    yield it
    it.close()


def silence(stage: Stage, *texts: str, minutes: float = 30) -> Silence:
    now = stage.clock.now()
    chosen = tuple(matcher(text) for text in texts)
    wanted = Wanted(chosen, now, now + timedelta(minutes=minutes), "Ada", "rollout")
    with stage.store.write() as conn:
        return silencing.create(conn, now, wanted, "ada", Silencing())


def end(stage: Stage, number: int) -> Silence:
    with stage.store.write() as conn:
        return silencing.end(conn, stage.clock.now(), number, "grace")


def kinds(stage: Stage) -> list[str]:
    return [entry.kind for entry in stage.entries("silence.*")]


def told(stage: Stage) -> list[str]:
    return [kind for kind, name, _ in stage.told() if name == PAGE]


def test_a_silenced_page_fires_and_is_journaled_but_tells_nobody_until_the_silence_is_over(
    stage: Stage,
) -> None:
    silence(stage, "service=shop", minutes=1)
    for _ in range(3):
        stage.tick(nodes_offline(1))
    assert PAGE in stage.firing()
    assert told(stage) == []
    (fired,) = stage.entries("alert.firing")
    assert fired.facts["inhibited_by"] == "silence 1 of Ada"
    assert fired.facts["inhibited_because"] == "rollout"
    stage.tick(nodes_offline(1))  # a minute is over
    assert told(stage) == ["trigger"]
    assert kinds(stage) == ["silence.created", "silence.ending", "silence.expired"]


def test_the_end_of_what_was_told_is_told_under_a_silence_too(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    silence(stage, "service=shop")
    stage.tick(nodes_offline(1))
    stage.tick(nodes_offline(0))
    assert told(stage) == ["trigger", "resolve"]


def test_what_began_and_ended_under_a_silence_is_never_told(stage: Stage) -> None:
    silence(stage, "service=shop")
    for offline in (1, 1, 0, 0):
        stage.tick(nodes_offline(offline))
    assert told(stage) == []
    assert len(stage.entries("alert.firing")) == 1


def test_nothing_is_repeated_under_a_silence(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    silence(stage, "service=shop", minutes=180)
    for _ in range(2):
        stage.clock.advance(3600)
        stage.tick(nodes_offline(1))
    assert told(stage) == ["trigger"]


def test_a_silence_that_somebody_ends_is_over_at_the_next_evaluation_and_is_journaled_once(
    stage: Stage,
) -> None:
    made = silence(stage, "service=shop")
    stage.tick(nodes_offline(1))
    end(stage, made.id)
    stage.tick(nodes_offline(1))
    assert told(stage) == ["trigger"]
    entries = stage.entries("silence.*")
    assert [(entry.kind, entry.actor) for entry in entries] == [
        ("silence.created", "person:ada"),
        ("silence.ended", "person:grace"),
    ]
    assert entries[0].facts["matchers"] == '{service="shop"}'
    with pytest.raises(SilenceError, match="no silence 1 that could be ended"):
        end(stage, made.id)
    with pytest.raises(SilenceError, match="no silence 99"):
        end(stage, 99)


def test_a_restart_keeps_it_and_its_end_is_journaled_once(stage: Stage) -> None:
    silence(stage, "service=shop", minutes=10)
    stage.tick(nodes_offline(1))
    stage.restart()
    stage.tick(nodes_offline(1))
    assert told(stage) == []
    stage.clock.advance(3600)  # nobody watched while it ended
    stage.restart()
    stage.tick(nodes_offline(1))
    stage.restart()
    stage.tick(nodes_offline(1))
    assert told(stage) == ["trigger"]
    assert kinds(stage).count("silence.expired") == 1


def test_while_the_store_cannot_be_read_the_silences_known_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(stage, "service=shop")
    stage.tick(nodes_offline(0))

    def unreadable(_: object) -> tuple[Silence, ...]:
        raise StoreError("the disk is slow")

    monkeypatch.setattr(silencing, "load", unreadable)
    stage.tick(nodes_offline(1))
    assert PAGE in stage.firing()
    assert told(stage) == []


MAIL = """
notifications:
  receivers:
    - {id: mail, email: {host: mail.test, sender: wk@mail.test, to: ops@mail.test}}
"""


@pytest.mark.parametrize(
    ("owner", "told_of_it"), [("primary", True), ("Primary on call", True), ("Ada", False)]
)
def test_the_owner_is_reminded_where_the_runbook_knows_them(
    tmp_path: Path, owner: str, told_of_it: bool
) -> None:
    raw, over = default_text().encode(), ("overlay.yaml", MAIL.encode())
    it = Stage(tmp_path, load_bytes("runbook.yaml", raw, overlay=over, check_expr=check_expr))
    now = it.clock.now()
    wanted = Wanted((matcher("service=shop"),), now, now + timedelta(minutes=20), owner, "rollout")
    with it.store.write() as conn:
        made = silencing.create(conn, now, wanted, "ada", Silencing())
    for _ in range(24):  # six minutes: the last quarter of an hour begins once
        it.tick(nodes_offline(0))
    with it.store.read() as conn:
        rows = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    mails = [row for row in rows if row.payload["alertname"] == "SilenceEnding"]
    it.close()
    if not told_of_it:
        assert mails == []
        return
    assert [(row.receiver, row.payload["kind"], row.payload["to"]) for row in mails] == [
        ("mail", "trigger", "primary@example.org"),
        ("mail", "resolve", "primary@example.org"),
    ]
    assert mails[0].payload["severity"] == "warn"
    assert "ends in 15 min" in mails[0].payload["summary"]
    assert [row.due_at for row in mails] == [made.ends_at - timedelta(minutes=15), made.ends_at]
    assert mails[0].dedup_key == mails[1].dedup_key
