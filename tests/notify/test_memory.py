"""What is kept of an incident, and when it is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

from watchkeeper.notify import memory
from watchkeeper.store.database import Store


def test_the_last_word_is_kept_by_receiver_and_incident(store: Store, now: datetime) -> None:
    with store.write() as conn:
        memory.save(conn, now, "chat", "a/b", {"ts": "1"}, over=False)
        memory.save(conn, now, "chat", "a/b", {"ts": "2"}, over=False)
        memory.save(conn, now, "other", "a/b", {"ts": "3"}, over=False)
    with store.read() as conn:
        assert memory.load(conn, "chat", "a/b") == {"ts": "2"}
        assert memory.load(conn, "other", "a/b") == {"ts": "3"}
        assert memory.load(conn, "chat", "a") is None


def test_what_is_over_is_forgotten_after_a_week_and_what_never_ended_after_a_season(
    store: Store, now: datetime
) -> None:
    with store.write() as conn:
        memory.save(conn, now, "chat", "over", {}, over=True)
        memory.save(conn, now, "chat", "open", {}, over=False)
        assert memory.outdated(conn, now + timedelta(days=7)) == []
        week = memory.outdated(conn, now + timedelta(days=8))
        assert len(week) == 1
        memory.prune(conn, week, now + timedelta(days=8))
        assert memory.load(conn, "chat", "over") is None
        assert memory.load(conn, "chat", "open") == {}
        assert len(memory.outdated(conn, now + timedelta(days=91))) == 1


def test_an_incident_that_began_again_meanwhile_is_not_forgotten(store: Store, now: datetime) -> None:
    later = now + timedelta(days=8)
    with store.write() as conn:
        memory.save(conn, now, "chat", "k", {}, over=True)
        found = memory.outdated(conn, later)
        memory.save(conn, later, "chat", "k", {"ts": "2"}, over=False)
        memory.prune(conn, found, later)
        assert memory.load(conn, "chat", "k") == {"ts": "2"}
