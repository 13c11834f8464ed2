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


def test_what_was_changed_while_a_picture_was_being_made_is_in_the_next(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(datetime(2026, 1, 5, 9, 0, tzinfo=UTC)))
    told: list[asyncio.Future[bytes]] = []

    class Slow(Answering):
        async def watch(self, *_: object) -> bytes:
            told.append(asyncio.get_running_loop().create_future())
            return await told[-1]

    pictures = Console(on.settings, on.store, Slow(), on.clock).pictures

    async def scenario() -> None:
        before = asyncio.create_task(pictures.now())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pictures.outdated()
        after = asyncio.create_task(pictures.now())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(told) == 2
        told[1].set_result(b'{"at": "after"}')
        assert (await after).overview == {"at": "after"}
        told[0].set_result(b'{"at": "before"}')
        assert (await before).overview == {"at": "before"}
        assert (await pictures.now()).overview == {"at": "after"}

    asyncio.run(scenario())
    on.store.close()
