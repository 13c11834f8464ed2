"""Everything that the routes share: the store, who asks, the runbook in force, the picture, the templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response

from watchkeeper.access.models import Identity
from watchkeeper.app.settings import Settings
from watchkeeper.console.gate import Gate
from watchkeeper.console.password_threads import PasswordThreads
from watchkeeper.console.picture import Pictures
from watchkeeper.console.policy import PolicyInForce
from watchkeeper.console.rendering import Pages
from watchkeeper.console.roles import Roles
from watchkeeper.console.stream import Stream
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store


@dataclass
class Console:
    """One running console. Built once for the process; every router takes it."""

    settings: Settings
    store: Store
    roles: Roles
    clock: Clock
    gate: Gate = field(init=False)
    policy: PolicyInForce = field(init=False)
    pictures: Pictures = field(init=False)
    stream: Stream = field(init=False)
    pages: Pages = field(init=False)
    password_threads: PasswordThreads = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.store, self.clock, self.settings.url)
        self.policy = PolicyInForce(self.settings)
        self.pictures = Pictures(self.store, self.roles, self.policy, self.clock)
        self.stream = Stream(self.store, self.pictures, self.clock)
        self.pages = Pages()
        self.password_threads = PasswordThreads()

    async def page(
        self, request: Request, identity: Identity | None, template: str, *, status: int = 200, **context: Any
    ) -> Response:
        """A whole page in its frame."""
        picture = context.pop("picture", None) or await self.pictures.now()
        return self.pages.respond(request, identity, picture, template, status=status, **context)
