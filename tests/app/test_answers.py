"""Questions about samples: cut at their time, bounded, and no longer in the way of the role's end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pytest

from watchkeeper.app.answers import QUERY_THREADS, SampleAnswers, elsewhere, envelope
from watchkeeper.app.embedded import query_engine
from watchkeeper.app.wire import Handler, RefusedError
from watchkeeper.monitoring.labels import label_set
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.errors import QueryTooLargeError
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import SystemClock, to_ms

SERIES, ROWS = 4000, 40
HEAVY = " + ".join(f"sum(quantile_over_time(0.5, x[{seconds}s]))" for seconds in range(60, 120))


class Stubborn:
    """An engine whose queries end only when they have expired."""

    def range(self, *_: object, expired: Callable[[], bool]) -> None:
        while not expired():
            time.sleep(0.005)
        raise EvaluationError("cut")


STUBBORN = cast(Engine, Stubborn())


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleStore]:
    clock = SystemClock()
    store = SampleStore.open(tmp_path_factory.mktemp("samples"), clock=clock)
    group = store.group("t")
    columns = group.columns([label_set([("__name__", "x"), ("n", str(number))]) for number in range(SERIES)])
    begin = to_ms(clock.now()) - ROWS * 15_000
    for row in range(ROWS):
        group.append(begin + row * 15_000, columns, np.random.default_rng(row).random(SERIES))
    yield store
    store.close()


@pytest.fixture
def answers(samples: SampleStore) -> Iterator[SampleAnswers]:
    made = SampleAnswers(query_engine(samples, timedelta(seconds=15)), samples, SystemClock())
    yield made
    made.close()


def instant(query: str, timeout_ms: int = 10_000) -> dict[str, Any]:
    return {"query": query, "time_ms": to_ms(SystemClock().now()), "limit": 0, "timeout_ms": timeout_ms}


def ranged(query: str, timeout_ms: int) -> dict[str, Any]:
    now = to_ms(SystemClock().now())
    times = {"start_ms": now - 600_000, "end_ms": now, "step_ms": 1000}
    return {"query": query, **times, "limit": 0, "timeout_ms": timeout_ms}


async def ask(answers: SampleAnswers, question: str, asked: dict[str, Any]) -> Any:
    return json.loads(await answers.handlers()[question](asked))


def test_an_answer_is_prometheus_envelope(answers: SampleAnswers) -> None:
    document = asyncio.run(ask(answers, "query", instant("count(x)")))
    assert document["status"] == "success"
    assert document["data"]["result"][0]["value"][1] == str(SERIES)


def test_warnings_and_infos_are_told_apart() -> None:
    document = json.loads(envelope(b"[]", ["PromQL info: a", "PromQL warning: b", 'c "<d>"']))
    assert document == {
        "status": "success",
        "data": [],
        "warnings": ["PromQL warning: b", 'c "<d>"'],
        "infos": ["PromQL info: a"],
    }
    assert json.loads(envelope(b"[]")) == {"status": "success", "data": []}


def test_a_query_is_cut_at_its_time(answers: SampleAnswers) -> None:
    async def scenario() -> float:
        begun = time.monotonic()
        with pytest.raises(RefusedError, match=r"took longer than 0\.3 s") as refused:
            await ask(answers, "query_range", ranged(HEAVY, 300))
        assert refused.value.kind == "timeout"
        return time.monotonic() - begun

    assert asyncio.run(scenario()) < 3


def test_the_loop_goes_on_while_queries_run(answers: SampleAnswers) -> None:
    async def scenario() -> float:
        asking = [asyncio.ensure_future(ask(answers, "query_range", ranged(HEAVY, 1500))) for _ in range(4)]
        worst, last = 0.0, time.monotonic()
        while not all(task.done() for task in asking):
            await asyncio.sleep(0.01)
            worst, last = max(worst, time.monotonic() - last), time.monotonic()
        await asyncio.gather(*asking, return_exceptions=True)
        return worst

    assert asyncio.run(scenario()) < 0.5, "a scrape would have waited that long"


def test_a_query_that_waited_too_long_for_others_says_so(answers: SampleAnswers) -> None:
    answers.use(STUBBORN)

    async def scenario() -> None:
        busy = [
            asyncio.ensure_future(ask(answers, "query_range", ranged(HEAVY, 1000)))
            for _ in range(QUERY_THREADS)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(RefusedError, match=r"waited 0\.2 s for others") as refused:
            await ask(answers, "query", instant("1", timeout_ms=200))
        assert refused.value.kind == "timeout"
        await asyncio.gather(*busy, return_exceptions=True)

    asyncio.run(scenario())


def test_closing_ends_what_runs_soon(samples: SampleStore) -> None:
    answers = SampleAnswers(STUBBORN, samples, SystemClock())

    async def scenario() -> None:
        running = asyncio.ensure_future(ask(answers, "query_range", ranged("x", 60_000)))
        await asyncio.sleep(0.2)
        answers.close()
        with pytest.raises(RefusedError):
            await running

    begun = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - begun < 4


def test_what_the_store_refuses_is_an_execution_error(
    answers: SampleAnswers, samples: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise QueryTooLargeError("too many samples")

    monkeypatch.setattr(samples, "series", refuse)
    asked = {"match": ["x"], "start_ms": 0, "end_ms": 1, "limit": 0, "timeout_ms": 1000}
    with pytest.raises(RefusedError, match="too many samples") as refused:
        asyncio.run(ask(answers, "series", asked))
    assert refused.value.kind == "execution"


def test_metadata_is_by_family_and_may_be_limited(answers: SampleAnswers, samples: SampleStore) -> None:
    samples.set_metadata("b", "gauge", "Help <b>")
    samples.set_metadata("a", "counter", "", "seconds")
    asked: dict[str, Any] = {"metric": None, "limit": 0, "timeout_ms": 1000}
    both = asyncio.run(ask(answers, "metadata", asked))["data"]
    assert list(both) == ["a", "b"]
    assert both["b"] == [{"type": "gauge", "help": "Help <b>", "unit": ""}]
    assert list(asyncio.run(ask(answers, "metadata", asked | {"metric": "b"}))["data"]) == ["b"]
    assert list(asyncio.run(ask(answers, "metadata", asked | {"limit": 1}))["data"]) == ["a"]


async def answered(handler: Handler) -> bytes:
    return await handler({})


def test_where_samples_are_elsewhere_every_question_about_them_says_where() -> None:
    handlers = elsewhere("http://prometheus:9090")
    assert handlers.keys() == {"query", "query_range", "series", "labels", "label_values", "metadata"}
    for handler in handlers.values():
        with pytest.raises(RefusedError, match="http://prometheus:9090") as refused:
            asyncio.run(answered(handler))
        assert refused.value.kind == "not_found"
