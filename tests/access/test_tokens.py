"""API tokens: their scopes, their end, and one of a name at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.access.people import kinds
from watchkeeper.access import opaque, tokens
from watchkeeper.access.models import AccessError, Identity, Scope
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.models import api_tokens

BY = "person:grace"
DAY = timedelta(days=1)


def made(store: Store, clock: ManualClock, name: str = "ci", days: float = 90, *scopes: Scope) -> str:
    with store.write() as conn:
        return tokens.create(
            conn,
            clock.now(),
            name=name,
            scopes=scopes or (Scope.READ,),
            expires_at=clock.now() + days * DAY,
            by=BY,
        )


def identify(store: Store, clock: ManualClock, token: str) -> Identity | None:
    with store.read() as conn:
        return tokens.identify(conn, clock.now(), token)


def test_a_token_may_what_it_was_made_for(store: Store, clock: ManualClock) -> None:
    text = made(store, clock, "ci", 90, Scope.RESPOND, Scope.METRICS, Scope.METRICS)
    assert text.startswith("wk_")
    assert len(text) == 46
    found = identify(store, clock, text)
    assert found is not None
    assert (found.kind, found.actor, found.user_id, found.role) == ("token", "token:ci", None, None)
    assert found.scopes == {Scope.RESPOND, Scope.METRICS}
    assert not found.may(Scope.READ)
    with store.read() as conn:
        (entry,) = journal.entries(conn)
        (listed,) = tokens.listing(conn)
    assert (entry.kind, entry.actor, entry.subject) == ("access.token_created", BY, "token:ci")
    assert entry.facts["scopes"] == ["metrics:read", "respond"]
    assert (listed.created_by, listed.last_used_at, listed.state(clock.now())) == (BY, None, "active")


def test_a_token_ends(store: Store, clock: ManualClock) -> None:
    text = made(store, clock, days=1)
    clock.advance(DAY.total_seconds() - 1)
    assert identify(store, clock, text) is not None
    clock.advance(1)
    assert identify(store, clock, text) is None
    made(store, clock)  # its name is free again


def test_a_revoked_token_is_nobody(store: Store, clock: ManualClock) -> None:
    text = made(store, clock)
    with store.write() as conn:
        tokens.revoke(conn, clock.now(), 1, by=BY)
    assert identify(store, clock, text) is None
    with pytest.raises(AccessError, match="no token 1 that could be revoked"), store.write() as conn:
        tokens.revoke(conn, clock.now(), 1, by=BY)
    assert kinds(store) == ["access.token_created", "access.token_revoked"]
    assert identify(store, clock, made(store, clock)) is not None


@pytest.mark.parametrize(
    "text",
    ["", "wk_", "x" * 46, "wk_" + "x" * 43, "WK_" + "x" * 43, "wk_" + "é" * 43, "wk_" + "x" * 10**6, "\0"],
)
def test_what_is_no_token_is_nobody(store: Store, clock: ManualClock, text: str) -> None:
    made(store, clock)
    assert identify(store, clock, text) is None
    with store.write() as conn:
        tokens.used(conn, clock.now(), text)
        assert tokens.listing(conn)[0].last_used_at is None


def test_a_token_is_nothing_but_itself(store: Store, clock: ManualClock) -> None:
    text = made(store, clock)
    for other in (text[3:], text + "\n", f" {text}", text[:-1], f"wk_{opaque.digest(text, 'wk_')}"):
        assert identify(store, clock, other) is None


@pytest.mark.parametrize("days", [0, -1, 366.001, 10_000])
def test_an_end_is_required_and_not_far(store: Store, clock: ManualClock, days: float) -> None:
    with pytest.raises(AccessError, match="366 days"):
        made(store, clock, days=days)
    made(store, clock, days=366)


def test_what_cannot_be_made_is_refused(store: Store, clock: ManualClock) -> None:
    made(store, clock)
    with pytest.raises(AccessError, match="active token ci already"):
        made(store, clock)
    with pytest.raises(AccessError, match="cannot name a token"):
        made(store, clock, "C I")
    with pytest.raises(AccessError, match="at least one scope: metrics:read, read"), store.write() as conn:
        tokens.create(conn, clock.now(), name="x", scopes=(), expires_at=clock.now() + DAY, by=BY)
    assert kinds(store) == ["access.token_created"]


def test_its_use_is_noted_once_a_minute(store: Store, clock: ManualClock) -> None:
    text = made(store, clock)
    moments = []
    for _ in range(5):
        with store.write() as conn:
            tokens.used(conn, clock.now(), text)
            moments.append(tokens.listing(conn)[0].last_used_at)
        clock.advance(30)
    assert len(set(moments)) == 3
    assert kinds(store) == ["access.token_created"]


def test_a_scope_that_this_version_does_not_know_gives_nothing(store: Store, clock: ManualClock) -> None:
    text = made(store, clock)
    with store.write() as conn:
        conn.execute(update(api_tokens).values(scopes=["read", "of-tomorrow"]))
    found = identify(store, clock, text)
    assert found is not None
    assert found.scopes == {Scope.READ}
