"""Roles talk over a unix socket; one bad question never ends the role that was asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.app import wire


async def _echo(asked: dict[str, Any]) -> bytes:
    return json.dumps(asked).encode()


async def _refuse(_: dict[str, Any]) -> bytes:
    raise wire.RefusedError("bad_data", "no such thing")


async def _defect(_: dict[str, Any]) -> bytes:
    return b"%d" % (1 // 0)


HANDLERS = {"echo": _echo, "refuse": _refuse, "defect": _defect}


def test_answers_pass_through_as_the_other_role_wrote_them(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            return await wire.ask(tmp_path / "s", "echo", {"a": "ü\n"}, 5)

    assert json.loads(asyncio.run(scenario())) == {"a": "ü\n"}


def test_blocking_callers_get_the_same_answers(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            return await asyncio.to_thread(wire.ask_blocking, tmp_path / "s", "echo", {"a": 1}, 5)

    assert json.loads(asyncio.run(scenario())) == {"a": 1}


@pytest.mark.parametrize(
    ("question", "kind", "says"),
    [
        ("refuse", "bad_data", "no such thing"),
        ("defect", "internal", "ZeroDivisionError"),
        ("nothing", "bad_data", "not a question"),
    ],
)
def test_a_failing_question_is_refused_and_the_next_one_answered(
    tmp_path: Path, question: str, kind: str, says: str
) -> None:
    async def scenario() -> bytes:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            with pytest.raises(wire.WireError, match=says) as refused:
                await wire.ask(tmp_path / "s", question, {}, 5)
            assert refused.value.kind == kind
            return await wire.ask(tmp_path / "s", "echo", {}, 5)

    assert asyncio.run(scenario()) == b"{}"


def test_a_role_that_does_not_run_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(wire.WireError, match="not running") as refused:
        asyncio.run(wire.ask(tmp_path / "watch.sock", "echo", {}, 1))
    assert refused.value.kind == "unavailable"
    with pytest.raises(wire.WireError, match="the role watch is not running"):
        wire.ask_blocking(tmp_path / "watch.sock", "echo", {}, 1)


def test_a_role_that_does_not_answer_in_time_is_unavailable(tmp_path: Path) -> None:
    async def scenario() -> None:
        released = asyncio.Event()

        async def hang(_: dict[str, Any]) -> bytes:
            await released.wait()
            return b"{}"

        async with await wire.serve(tmp_path / "s", {"hang": hang}):
            with pytest.raises(wire.WireError, match="in time"):
                await wire.ask(tmp_path / "s", "hang", {}, 0.05)
            released.set()

    asyncio.run(scenario())


def test_garbage_on_the_socket_is_answered_and_survived(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(b"\xff\xfe not json\n[]\n")
            assert b"not a question" in await reader.readline()
            assert b"not a question" in await reader.readline()
            writer.close()
            return await wire.ask(tmp_path / "s", "echo", {}, 5)

    assert asyncio.run(scenario()) == b"{}"


def test_a_deep_data_directory_still_has_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    async def scenario() -> bytes:
        async with await wire.serve(deep / "watch.sock", HANDLERS):
            return await wire.ask(deep / "watch.sock", "echo", {}, 5)

    assert asyncio.run(scenario()) == b"{}"
    assert not (deep / "watch.sock").stat().st_mode & 0o077
