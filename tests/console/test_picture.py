"""One picture for all who look at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from tests.console.asgi import Answering, Grounds
from watchkeeper.console.console import Console
from watchkeeper.store.clock import ManualClock


def test_however_many_look_the_role_is_asked_once_a_second(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 1, 5, 9, 0, tzinfo=UTC))
    on = Grounds(tmp_path, clock)
    roles = Answering(overview=b"{}")
    pictures = Console(on.settings, on.store, roles, clock).pictures

    async def scenario() -> None:
        found = await asyncio.gather(*(pictures.now() for _ in range(50)))
        assert len({id(picture) for picture in found}) == 1
        assert len(roles.asked) == 1
        await pictures.now()
        assert len(roles.asked) == 1
        clock.advance(1.1)
        await pictures.now()
        assert len(roles.asked) == 2
        pictures.outdated()
        await pictures.now()
        assert len(roles.asked) == 3

    asyncio.run(scenario())
    on.store.close()
