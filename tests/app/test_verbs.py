"""The step verbs of the sections, asked and carried out by a runner."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.monitoring.test_remote import server
from tests.playbooks.support import Bench
from watchkeeper.app import verbs, wire
from watchkeeper.app.settings import Settings, read_settings
from watchkeeper.app.verbs import Parts, build_verbs
from watchkeeper.monitoring import silencing
from watchkeeper.playbooks.models import RunState
from watchkeeper.playbooks.reading import RunView
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.database import open_store
from watchkeeper.store.models import outbox

BOOK = Runbook.model_validate(
    {
        "runbook": 1,
        "platform": "Test",
        "notifications": {
            "receivers": [
                {"id": "chat", "webhook": {"url": "http://127.0.0.1:1/", "secret": {"env": "SECRET"}}},
                {
                    "id": "post",
                    "email": {"host": "smtp.example.net", "sender": "w@example.net", "to": ["a@example.net"]},
                },
            ]
        },
        "contacts": [{"id": "ada", "name": "Ada", "email": "ada@example.net"}, {"id": "bob", "name": "Bob"}],
    }
)
SIGNAL = {"id": "error-rate", "title": "Error rate", "state": "ok", "why": None}


class Watch:
    """What the role ``watch`` answers."""

    def __init__(self, settings: Settings) -> None:
        self.overview: dict[str, Any] = {
            "halted": None,
            "alerts": [],
            "layers": [{"id": "api", "signals": [SIGNAL]}],
        }
        self.result: Any = {"resultType": "scalar", "result": [1, "3"]}
        self.asked: list[Mapping[str, Any]] = []
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Watch:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def alert(self, state: str = "firing", severity: str = "page", **labels: str) -> None:
        self.overview["alerts"] = [
            {
                "summary": "API burns",
                "alertname": "Api",
                "state": state,
                "severity": severity,
                "labels": {"layer": "api", "signal": "error-rate", **labels},
            }
        ]

    async def _serve(self) -> None:
        async def overview(_: dict[str, Any]) -> bytes:
            return json.dumps(self.overview).encode()

        async def query(asked: dict[str, Any]) -> bytes:
            self.asked.append(asked)
            if asked["query"] == "bad":
                raise wire.RefusedError("bad_data", "1:1: no such function")
            return json.dumps({"status": "success", "data": self.result}).encode()

        async with await wire.serve(self._settings.watch_socket, {"overview": overview, "query": query}):
            self._ready.set()
            await self._stop.wait()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    return read_settings(data=data)


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    with open_store(settings.data) as store:
        made = Bench(store)
        made.providers.update(build_verbs(Parts(settings, store, made.clock, BOOK)))
        made.runner = made.another()
        yield made


@pytest.fixture
def watch(settings: Settings) -> Iterator[Watch]:
    with Watch(settings) as made:
        yield made


Go = Callable[..., RunView]


@pytest.fixture
def baseline(bench: Bench, watch: Watch) -> Go:
    numbers = itertools.count()

    def go(**with_: Any) -> RunView:
        given = with_.pop("given", {})
        inputs = {key: {"title": key} for key in given}
        step = {"id": "w", "wait": "monitoring.baseline", "timeout": "1m", "with": with_}
        number = f"r{next(numbers)}"
        bench.start(step, run_id=number, inputs=inputs, given=given)
        bench.runner.look()
        return bench.view(number)

    return go


def test_with_nothing_firing_all_is_at_its_baseline(baseline: Go) -> None:
    assert baseline(signals=["api.error-rate"]).state is RunState.DONE


@pytest.mark.parametrize("state", ["firing", "pending"])
def test_a_signal_that_is_named_must_not_fire(baseline: Go, watch: Watch, state: str) -> None:
    watch.alert(state)
    run = baseline(signals=["api.error-rate"])
    assert run.state is RunState.WAITING
    assert run.steps[0].summary == f"API burns ({state})"
    assert baseline(signals=["api.latency"]).steps[0].summary == "there is no signal api.latency"


def test_without_names_what_counts_is_the_service_s_or_every_page(baseline: Go, watch: Watch) -> None:
    watch.alert(severity="warn", service="shop")
    assert baseline(given={"service": "shop"}).state is RunState.WAITING
    assert baseline(service="other").state is RunState.DONE
    assert baseline().state is RunState.DONE
    watch.alert(severity="page", service="shop")
    assert baseline().state is RunState.WAITING


def test_what_is_unknown_is_not_at_its_baseline(baseline: Go, watch: Watch) -> None:
    watch.overview["layers"][0]["signals"] = [{**SIGNAL, "state": "unknown", "why": "no data"}]
    assert baseline(signals=["api.error-rate"]).steps[0].summary == "api.error-rate is unknown: no data"
    watch.overview["halted"] = "the source cannot be reached"
    assert baseline().steps[0].summary == "rules are not evaluated now: the source cannot be reached"


def test_while_watch_does_not_run_nothing_is_at_its_baseline(bench: Bench) -> None:
    run = bench.go({"id": "w", "wait": "monitoring.baseline", "timeout": "1m"})
    assert run.state is RunState.WAITING
    assert "the role watch is not running" in run.steps[0].summary


def test_a_query_gives_its_first_value_and_its_series(bench: Bench, watch: Watch) -> None:
    watch.result = {
        "resultType": "vector",
        "result": [{"metric": {"pod": "a"}, "value": [1, "2.5"]}, {"metric": {}, "value": [1, "NaN"]}],
    }
    run = bench.go(
        {"id": "p", "probe": "monitoring.query", "with": {"query": "up"}, "expect": {"value": "> 2"}}
    )
    assert run.state is RunState.DONE
    assert run.steps[0].outputs["series"][1] == {"labels": {}, "value": "nan"}
    assert watch.asked[0]["query"] == "up"


def test_a_query_goes_where_the_samples_are(bench: Bench, settings: Settings) -> None:
    vector = [{"metric": {"pod": "a"}, "value": [1, "2.5"]}]
    good = json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector}}).encode()
    bad = json.dumps({"status": "error", "errorType": "bad_data", "error": "no such function"}).encode()

    def reply(_: str, form: Mapping[str, str], __: Mapping[str, str]) -> tuple[int, str, bytes]:
        good_one = form["query"] == "up"
        return (200 if good_one else 400), "application/json", good if good_one else bad

    with server(reply) as url:
        book = Runbook.model_validate({"runbook": 1, "platform": "Test", "metrics": {"url": url}})
        bench.providers.update(build_verbs(Parts(settings, bench.store, bench.clock, book)))
        bench.runner = bench.another()
        step = {"id": "p", "probe": "monitoring.query", "expect": {"value": 2.5}}
        assert bench.go({**step, "with": {"query": "up"}}).state is RunState.DONE
        bench.start({**step, "with": {"query": "nope("}}, run_id="r2")
        bench.look()
        assert bench.view("r2").steps[0].error == "no such function"
    bench.start({**step, "with": {"query": "up"}}, run_id="r3")
    bench.look()
    assert "cannot be queried" in str(bench.view("r3").steps[0].error)


@pytest.mark.parametrize(
    ("query", "result", "message"),
    [
        ("bad", None, "1:1: no such function"),
        ("up", {"resultType": "vector", "result": []}, "value was not measured"),
        ("up", {"resultType": "matrix", "result": []}, "the query gives a matrix"),
    ],
)
def test_a_query_without_a_value_fails(
    bench: Bench, watch: Watch, query: str, result: Any, message: str
) -> None:
    watch.result = result
    run = bench.go(
        {"id": "p", "probe": "monitoring.query", "with": {"query": query}, "expect": {"value": "> 2"}}
    )
    assert run.state is RunState.FAILED
    assert message in str(run.steps[0].error)


def test_a_silence_is_made_with_the_record_of_its_step(bench: Bench) -> None:
    with_ = {"matchers": ["service=shop"], "for": "1h", "reason": "known"}
    run = bench.go({"id": "s", "action": "monitoring.silence", "with": with_})
    assert run.state is RunState.DONE
    with bench.store.read() as conn:
        (made,) = silencing.load(conn)
    assert (made.owner, made.reason) == ("playbook book", "known")


@pytest.mark.parametrize("with_", [{}, {"matchers": ["x"]}, {"matchers": ["a=~.*"], "for": "1h"}])
def test_a_silence_that_may_not_be_fails(bench: Bench, with_: dict[str, Any]) -> None:
    run = bench.go({"id": "s", "action": "monitoring.silence", "with": with_})
    assert run.state is RunState.FAILED
    with bench.store.read() as conn:
        assert silencing.load(conn) == ()


@pytest.mark.parametrize(("to", "receiver"), [("chat", "chat"), ("ada", "post")])
def test_a_message_is_put_into_the_outbox_and_ends_by_itself(bench: Bench, to: str, receiver: str) -> None:
    run = bench.go({"id": "m", "action": "notify.send", "with": {"to": to, "text": "It is {{ run.id }}"}})
    assert run.state is RunState.DONE
    with bench.store.read() as conn:
        rows = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [(row.receiver, row.payload["kind"], row.payload["severity"]) for row in rows] == [
        (receiver, "trigger", "warn"),
        (receiver, "resolve", "warn"),
    ]
    assert rows[0].payload["summary"] == "It is r1"
    assert rows[1].due_at - rows[0].due_at == verbs.MESSAGE_LASTS


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("nobody", "there is no receiver or contact 'nobody'; there is chat, post, ada, bob"),
        ("bob", "no receiver"),
    ],
)
def test_a_message_to_nobody_fails(bench: Bench, to: str, message: str) -> None:
    run = bench.go({"id": "m", "action": "notify.send", "with": {"to": to, "text": "x"}})
    assert message in str(run.steps[0].error)


def test_logs_are_linked_where_somebody_said_how(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(verbs.LOGS_VARIABLE, raising=False)
    step = {"id": "l", "action": "logs.link", "with": {"service": "a b", "minutes": 30}}
    said = bench.go(step).steps[0].summary
    assert said.startswith("look for level error of service a b, 2026-03-02 02:30 to 03:00 UTC")
    monkeypatch.setenv(verbs.LOGS_VARIABLE, "https://logs/?q={service}&l={level}&from={from_ms}&to={to_ms}")
    bench.start(step, run_id="r2")
    bench.look()
    assert bench.view("r2").steps[0].outputs["url"] == (
        "https://logs/?q=a%20b&l=error&from=1772418600000&to=1772420400000"
    )


def test_every_verb_has_one_provider_and_a_later_contributor_wins(
    settings: Settings, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        verbs, "CONTRIBUTORS", (*verbs.CONTRIBUTORS, lambda _: {"changes.recent": bench.provider})
    )
    built = build_verbs(Parts(settings, bench.store, bench.clock, BOOK))
    assert built["changes.recent"] is bench.provider
    assert "kubernetes.scale" not in built
