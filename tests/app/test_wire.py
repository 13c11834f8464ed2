"""Roles talk over a unix socket; one bad question never ends the role that was asked."""

from __future__ import annotations

import asyncio
import json
import socket
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


def test_an_answer_that_is_too_large_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def large(_: dict[str, Any]) -> bytes:
        return b'"' + b"x" * 5000 + b'"'

    async def scenario() -> None:
        async with await wire.serve(tmp_path / "s", {"large": large}):
            assert len(await wire.ask(tmp_path / "s", "large", {}, 5)) == 5002
            monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 4000)
            with pytest.raises(wire.WireError, match="larger than") as refused:
                await wire.ask(tmp_path / "s", "large", {}, 5)
            assert refused.value.kind == "execution"

    asyncio.run(scenario())


def test_a_large_question_arrives_and_one_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            text = "ü" * (1 << 20)  # as long as a form may be, and six times that as JSON
            assert json.loads(await wire.ask(tmp_path / "s", "echo", {"a": text}, 10)) == {"a": text}
        monkeypatch.setattr(wire, "MAX_QUESTION_BYTES", 1000)
        async with await wire.serve(tmp_path / "s", HANDLERS):
            with pytest.raises(wire.WireError):
                await wire.ask(tmp_path / "s", "echo", {"a": "x" * 100_000}, 5)
            assert await wire.ask(tmp_path / "s", "echo", {}, 5) == b"{}"

    asyncio.run(scenario())


def test_the_end_does_not_wait_for_an_answer_under_way(tmp_path: Path) -> None:
    async def hang(_: dict[str, Any]) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def scenario() -> None:
        async with await wire.serve(tmp_path / "watch.sock", {"hang": hang}):
            asking = asyncio.ensure_future(wire.ask(tmp_path / "watch.sock", "hang", {}, 30))
            await asyncio.sleep(0.1)
        with pytest.raises(wire.WireError, match="the role watch ended while it answered"):
            await asking

    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_a_socket_that_somebody_answers_at_is_not_taken_away_and_a_stale_one_is(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scenario() -> bytes:
        async with await wire.serve(path, HANDLERS):
            with pytest.raises(wire.InUseError, match="answers at"):
                await wire.serve(path, HANDLERS)
            return await wire.ask(path, "echo", {"still": "there"}, 5)

    assert b"still" in asyncio.run(scenario())
    with socket.socket(socket.AF_UNIX) as stale:
        path.unlink(missing_ok=True)
        stale.bind(str(path))  # as a role that was killed leaves it: nobody listens
    assert b"still" in asyncio.run(scenario())


def test_a_defect_is_logged_whole_and_told_without_its_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with await wire.serve(tmp_path / "s", HANDLERS):
            with pytest.raises(wire.WireError) as refused:
                await wire.ask(tmp_path / "s", "defect", {}, 5)
            assert "division" not in str(refused.value)

    asyncio.run(scenario())
    assert "division" in caplog.text
