"""Passwords are computed in a row of their own: pages are made while many people sign in."""

from __future__ import annotations

import asyncio
import threading

import pytest
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import ThrottledError
from watchkeeper.access.passwords import AT_ONCE
from watchkeeper.console.password_threads import MOST_WAITING, PasswordThreads


def test_two_hundred_at_once_leave_the_pages_their_threads() -> None:
    busy, most, held = 0, 0, threading.Event()
    lock = threading.Lock()

    def compute() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        held.wait(20)
        with lock:
            busy -= 1

    async def flood() -> list[BaseException | None]:
        row = PasswordThreads()
        many = [asyncio.create_task(row.run(compute)) for _ in range(200)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                assert await run_in_threadpool(lambda: "a page") == "a page"
        finally:
            held.set()
        found = await asyncio.gather(*many, return_exceptions=True)
        await row.run(compute)  # the row is free again
        return found

    outcomes = asyncio.run(flood())
    assert most == AT_ONCE
    assert outcomes.count(None) == AT_ONCE + MOST_WAITING
    assert {type(one) for one in outcomes if one is not None} == {ThrottledError}


def test_what_is_computed_is_given_back_or_raised() -> None:
    async def both() -> int:
        row = PasswordThreads()
        with pytest.raises(ZeroDivisionError):
            await row.run(lambda: 1 // 0)
        return await row.run(int, "12", base=16)

    assert asyncio.run(both()) == 18
