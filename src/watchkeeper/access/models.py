"""Who somebody is and what they may do.

Always true here: nothing in these types is a secret, so they can be shown, logged and compared; a role is
nothing but a set of scopes (tests/access/test_models.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

COMPONENT = "component:access"
"""The actor of what nobody who is known did: a sign-in that failed, the first admin's link."""

_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Role(StrEnum):
    """What a person is here for."""

    VIEWER = "viewer"
    RESPONDER = "responder"
    ADMIN = "admin"


class Scope(StrEnum):
    """One right. None contains another: who reads and responds has both."""

    METRICS = "metrics:read"  # /metrics and the query API
    READ = "read"  # everything that is shown
    RESPOND = "respond"  # acknowledge, silence, override
    CHANGES = "changes:write"  # tell of deploys and other changes
    ADMIN = "admin"  # users and tokens


SCOPES_OF: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Scope.METRICS, Scope.READ}),
        Role.RESPONDER: frozenset({Scope.METRICS, Scope.READ, Scope.RESPOND, Scope.CHANGES}),
        Role.ADMIN: frozenset(Scope),
    }
)
"""What each role may do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever makes a request, once that is known.

    ``name`` is the username or the token's name, ``display`` what people are shown. ``role``, ``user_id`` and
    ``session`` (the hash of the session's token) are those of a person; a token has none of them.
    """

    kind: Literal["person", "token"]
    name: str
    display: str
    scopes: frozenset[Scope]
    role: Role | None = None
    user_id: int | None = None
    session: str | None = None

    @property
    def actor(self) -> str:
        """The journal's name for it: ``person:ada``, ``token:ci``."""
        return f"{self.kind}:{self.name}"

    def may(self, scope: Scope) -> bool:
        """Whether it has that right."""
        return scope in self.scopes


class AccessError(Exception):
    """What was asked cannot be done or is not allowed; the message is for people and holds no secret."""


class ThrottledError(AccessError):
    """Too many sign-ins failed or run at once. ``retry_after``: how long until the next is looked at."""

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def is_identifier(text: str) -> bool:
    """Whether ``text`` can name a user or a token: 1 to 64 of ``a-z 0-9 . _ -``, not starting with a mark."""
    return _IDENTIFIER.fullmatch(text) is not None


def printable(text: str, longest: int) -> str:
    """``text`` on one line, without what moves a cursor, cut to ``longest`` characters."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * longest])
    return " ".join(shown.split())[:longest]
