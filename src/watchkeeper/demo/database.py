"""A handful of PostgreSQL connections that the requests of one process share.

A connection that broke is replaced at its next use; one that cannot be had is an error of that request
only, so the process outlives a database that is down or full.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow


class Pool:
    """At most ``size`` connections in autocommit mode; who comes when all are taken waits."""

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn = dsn
        self._slots: asyncio.LifoQueue[AsyncConnection[TupleRow] | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._slots.put_nowait(None)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """Borrow a connection. Raises ``psycopg.OperationalError`` when none can be made."""
        slot = await self._slots.get()
        try:
            if slot is None or slot.closed:
                slot = None
                slot = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, prepare_threshold=3)
            yield slot
        finally:
            if slot is not None and slot.broken:
                await slot.close()
                slot = None
            self._slots.put_nowait(slot)

    async def fill(self) -> None:
        """Make the missing connections now, so that none is refused to this process later."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self._slots.qsize()):
                await stack.enter_async_context(self.connection())

    async def close(self) -> None:
        """Close what is idle."""
        while not self._slots.empty():
            slot = self._slots.get_nowait()
            if slot is not None:
                await slot.close()
