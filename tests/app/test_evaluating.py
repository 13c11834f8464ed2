"""The evaluating half of ``watch``: reloads, a locked store, a heartbeat that hangs, an end in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.app.serving import METRICS, RECEIVER, RUNBOOK, broken, until
from tests.fakes.exporter import Exporter
from watchkeeper.app import inforce, wire
from watchkeeper.app.evaluating import Evaluating
from watchkeeper.app.liveness import Liveness
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.source import Answer, SourceError
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal, outbox
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import Store, open_store


class Half:
    """The evaluating half in its thread, on a real clock and a small runbook."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.store: Store = open_store(settings.data, self.clock)
        self.samples = SampleStore.open(settings.data / "samples", clock=self.clock)
        self.reloaded: list[Runbook] = []
        self.ended = threading.Event()
        self.evaluating = Evaluating(
            settings,
            self.clock,
            self.store,
            self.samples,
            inforce.choose(settings),
            Liveness(self.clock),
            reloaded=self.reloaded.append,
            ended=self.ended.set,
        )
        self.thread = threading.Thread(target=self.evaluating.run)

    def start(self) -> None:
        self.thread.start()
        until(lambda: self.evaluating.recorded_at, 5, "an evaluation")

    def stop(self) -> None:
        self.evaluating.stop()
        if self.thread.ident is not None:
            self.thread.join(5)
            assert not self.thread.is_alive()
        self.samples.close()
        self.store.close()

    def kinds(self) -> list[str]:
        with self.store.read() as conn:
            return [entry.kind for entry in journal.entries(conn, limit=1000)]

    def evaluations(self) -> int:
        return self.evaluating.service.totals["evaluations"]


@pytest.fixture
def half(settings: Settings) -> Iterator[Half]:
    made = Half(settings)
    yield made
    made.stop()


def test_what_is_in_force_is_journaled_and_kept_for_the_next_start(half: Half) -> None:
    half.start()
    assert half.kinds().count("runbook.loaded") == 1
    assert (half.settings.data / inforce.FILE_NAME).exists()


def test_a_reload_that_is_refused_is_told_and_one_that_is_not_is_handed_on(half: Half) -> None:
    half.start()
    half.settings.runbook.write_text(broken(RUNBOOK))
    half.evaluating.reload()
    until(lambda: half.evaluating.problem, 3, "the refusal")
    assert not half.reloaded
    half.settings.runbook.write_text(RUNBOOK.replace("platform: Test", "platform: Other"))
    half.evaluating.reload()
    until(lambda: half.reloaded, 3, "the reload")
    assert (half.reloaded[0].platform, half.evaluating.problem) == ("Other", None)
    kept = json.loads((half.settings.data / inforce.FILE_NAME).read_text())
    assert "platform: Other" in kept["runbook"]
    assert half.kinds().count("runbook.refused") == 1


def test_a_defect_met_while_reloading_ends_nothing(
    half: Half, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_: Settings) -> None:
        raise ZeroDivisionError

    half.start()
    monkeypatch.setattr(inforce, "usable", defect)
    with caplog.at_level(logging.ERROR):
        half.evaluating.reload()
        until(lambda: half.evaluating.problem, 3, "the defect")
        seen = half.evaluations()
        until(lambda: half.evaluations() > seen, 3, "an evaluation after it")
    assert "a defect of Watchkeeper (ZeroDivisionError)" in (half.evaluating.problem or "")


def test_a_role_that_begins_with_the_copy_journals_why(settings: Settings) -> None:
    first = Half(settings)
    first.start()
    first.stop()
    settings.runbook.write_text(broken(RUNBOOK))
    second = Half(settings)
    try:
        second.start()
        assert "monitorring" in (second.evaluating.problem or "")
        assert second.kinds().count("runbook.refused") == 1
        kept = json.loads((settings.data / inforce.FILE_NAME).read_text())
        assert "monitorring" not in kept["runbook"]
    finally:
        second.stop()


def test_a_store_that_is_locked_delays_the_record_and_ends_nothing(
    half: Half, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    half.store.close()
    monkeypatch.setattr("watchkeeper.store.database.BUSY_SECONDS", 0.3)
    half.store = open_store(half.settings.data, half.clock)
    half.evaluating.service._store = half.store
    intruder = sqlite3.connect(half.settings.data / "watchkeeper.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    try:
        half.thread.start()
        with caplog.at_level(logging.ERROR):
            until(lambda: "could not be journaled yet" in caplog.text, 5, "saying so")
            until(lambda: "could not be recorded" in caplog.text, 5, "saying so of the evaluation")
        assert half.evaluating.recorded_at is None
        assert not half.ended.is_set()
        intruder.execute("ROLLBACK")
        until(lambda: half.evaluating.recorded_at, 5, "an evaluation")
        assert half.kinds().count("runbook.loaded") == 1
    finally:
        intruder.close()


class Gone:
    """A source that cannot be asked: which pages."""

    failure_hold = timedelta(0)

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        raise SourceError("nobody answers")


async def woken(half: Half, seconds: float) -> bool:
    """Whether the role ``work`` is asked to wake up within that time; starts the thread."""
    asked = asyncio.Event()

    async def wake(_: dict[str, Any]) -> bytes:
        asked.set()
        return b"true"

    async with await wire.serve(half.settings.work_socket, {"wake": wake}):
        half.thread.start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), seconds)
    return asked.is_set()


def test_what_is_to_be_told_wakes_the_role_that_sends_it(settings: Settings) -> None:
    assert settings.overlay is not None
    settings.overlay.write_text(settings.overlay.read_text() + RECEIVER.replace("PAGERDUTY", "http://h/"))
    half = Half(settings)
    try:
        half.evaluating._source.current = Gone()
        assert asyncio.run(woken(half, 10))
        with half.store.read() as conn:
            assert list(outbox.backlog(conn)) == ["pagerduty"]
    finally:
        half.stop()


def test_where_there_is_nothing_to_tell_or_nobody_to_wake_rules_go_on(half: Half, settings: Settings) -> None:
    assert not asyncio.run(woken(half, 2.5))
    until(lambda: half.evaluating.recorded_at, 5, "an evaluation")
    half.evaluating._source.current = Gone()  # pages, and the socket is gone
    seen = half.evaluations()
    until(lambda: half.evaluations() >= seen + 2, 5, "evaluations")


def test_a_heartbeat_that_hangs_delays_no_evaluation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Exporter() as exporter:
        exporter.routes["/beat"] = exporter.silence()
        monkeypatch.setenv("BEAT_URL", exporter.url("/beat"))
        text = "monitoring:\n  heartbeat: {url: {env: BEAT_URL}, every: 1s}"
        settings.runbook.write_text(RUNBOOK.replace("monitoring:", text, 1))
        half = Half(settings)
        try:
            half.start()
            until(lambda: exporter.requests["/beat"], 5, "a beat")
            seen = half.evaluations()
            asyncio.run(asyncio.sleep(2.5))
            assert half.evaluations() >= seen + 2
            assert exporter.requests["/beat"] == 1, "one at a time"
        finally:
            half.stop()


def test_a_defect_in_the_rules_ends_the_thread_and_says_so(
    half: Half, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(half.evaluating.service, "evaluate", defect)
    half.thread.start()
    assert half.ended.wait(5)
    assert "ended by a defect" in caplog.text


def test_an_interval_that_a_reload_changes_is_obeyed(half: Half, settings: Settings) -> None:
    half.start()
    assert settings.overlay is not None
    settings.overlay.write_text(
        METRICS.replace("TARGET", "127.0.0.1:1").replace("evaluation_interval: 1s", "evaluation_interval: 1h")
    )
    half.evaluating.reload()
    until(lambda: half.reloaded, 3, "the reload")
    seen = half.evaluations()
    asyncio.run(asyncio.sleep(1.6))
    assert half.evaluations() <= seen + 1  # at most the one for the hour itself
    half.evaluating.stop()
    half.thread.join(2)
    assert not half.thread.is_alive(), "an hour's wait does not hold up the end"
