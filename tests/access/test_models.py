"""Roles are sets of scopes, and an identity has exactly the scopes that it has."""

from __future__ import annotations

import pytest

from watchkeeper.access.models import SCOPES_OF, Identity, Role, Scope, is_identifier, printable


def test_each_role_may_what_the_one_before_may_and_more() -> None:
    assert SCOPES_OF[Role.VIEWER] == {Scope.METRICS, Scope.READ}
    assert SCOPES_OF[Role.RESPONDER] == SCOPES_OF[Role.VIEWER] | {Scope.RESPOND, Scope.CHANGES}
    assert SCOPES_OF[Role.ADMIN] == set(Scope)


def test_a_scope_contains_no_other() -> None:
    token = Identity("token", "ci", "ci", frozenset({Scope.ADMIN}))
    assert token.may(Scope.ADMIN)
    assert not token.may(Scope.READ)
    assert token.actor == "token:ci"


@pytest.mark.parametrize("name", ["a", "ada", "0", "a.b-c_d", "a" * 64])
def test_what_can_be_a_name(name: str) -> None:
    assert is_identifier(name)


@pytest.mark.parametrize("name", ["", "Ada", "-a", ".a", "a b", "a\n", "ä", "a" * 65, "a\0", "a:b"])
def test_what_cannot(name: str) -> None:
    assert not is_identifier(name)


def test_what_is_shown_moves_no_cursor() -> None:
    assert printable(" a\x1b[2J\r\nb\0 ", 20) == "a [2J b"
    assert len(printable("x" * 10_000, 20)) == 20
