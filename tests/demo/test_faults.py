"""The board of faults: what is active, and what half-done or unknown things do to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.faults import NAMES, Board, Fault, named
from watchkeeper.store.clock import ManualClock


class Platform:
    """Levers that remember what faults did."""

    settings: Any = None
    session: Any = None

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 5, tzinfo=UTC))
        self.did: list[str] = []
        self.refuses: set[str] = set()

    async def halt(self, name: str) -> None:
        self.did.append(f"halt {name}")
        if f"halt {name}" in self.refuses:
            raise OSError("no such process")

    async def resume(self, name: str) -> None:
        self.did.append(f"resume {name}")
        if f"resume {name}" in self.refuses:
            raise OSError("no such program")


class ApiDown(Fault):
    name, cause, effect = "api", "c", "e"
    part = "backend"

    def __init__(self, levers: Platform) -> None:
        super().__init__(levers)

    async def inject(self) -> None:
        await self._levers.halt(self.part)

    async def withdraw(self) -> None:
        await self._levers.resume(self.part)


class AuthDown(ApiDown):
    name = "auth"
    part = "idp"


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def board(platform: Platform) -> Board:
    return Board(platform, (ApiDown, AuthDown))


def test_the_faults_are_those_the_runbook_has_layers_for() -> None:
    assert NAMES == ("api", "jobs", "database", "storage", "latency", "auth")


@pytest.mark.parametrize(
    ("typed", "near"), [("storge", "storage"), ("job", "jobs"), ("databse", "database"), ("login", "")]
)
def test_an_unknown_fault_is_refused_with_the_nearest_name(typed: str, near: str) -> None:
    with pytest.raises(DemoError) as refused:
        named(typed)
    assert ("Did you mean" in str(refused.value)) == bool(near)
    assert near in str(refused.value)
    assert ", ".join(NAMES) in str(refused.value)


def test_breaking_twice_injects_once(board: Board, platform: Platform) -> None:
    first = asyncio.run(board.break_("api"))
    second = asyncio.run(board.break_("api"))
    assert (first.changed, second.changed) == (True, False)
    assert platform.did == ["halt backend"]
    assert list(board.active) == ["api"]


def test_mend_without_a_name_takes_all_back_and_with_a_name_one(board: Board, platform: Platform) -> None:
    for name in ("api", "auth"):
        asyncio.run(board.break_(name))
    asyncio.run(board.mend("auth"))
    assert list(board.active) == ["api"]
    asyncio.run(board.break_("auth"))
    outcomes = asyncio.run(board.mend())
    assert [(outcome.name, outcome.changed) for outcome in outcomes] == [("api", True), ("auth", True)]
    assert board.active == {}
    assert platform.did[-2:] == ["resume backend", "resume idp"]


def test_mending_what_is_not_broken_changes_nothing(board: Board, platform: Platform) -> None:
    assert [outcome.changed for outcome in asyncio.run(board.mend("api"))] == [False]
    assert platform.did == []


def test_a_fault_that_fails_half_way_is_taken_back_and_not_active(board: Board, platform: Platform) -> None:
    platform.refuses = {"halt backend"}
    with pytest.raises(DemoError, match="api could not be injected: OSError: no such process"):
        asyncio.run(board.break_("api"))
    assert platform.did == ["halt backend", "resume backend"]
    assert board.active == {}


def test_one_fault_that_cannot_be_mended_does_not_keep_the_others(board: Board, platform: Platform) -> None:
    for name in ("api", "auth"):
        asyncio.run(board.break_(name))
    platform.refuses = {"resume backend"}
    with pytest.raises(DemoError, match="api could not be taken back"):
        asyncio.run(board.mend())
    assert list(board.active) == ["api"]
