"""The other roles on this machine, as the HTTP side asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Roles(Protocol):
    """Asks a role; raises :class:`watchkeeper.app.wire.WireError` where it cannot answer."""

    async def watch(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        """The JSON document that the role which scrapes and evaluates answers."""

    async def work(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        """The JSON document that the role which delivers and schedules answers."""
