"""What the role ``watch`` answers to the other roles: queries, rules, alerts, targets, the overview.

Always true: queries run on copies in threads of their own, each with a deadline and a bounded answer; nothing
that is asked here holds up a scrape or an evaluation for longer than a copy takes, nor the end of the role
(tests/app/test_answers.py, tests/app/test_serve.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import select

from watchkeeper.app.evaluating import Evaluating
from watchkeeper.app.wire import Handler, RefusedError
from watchkeeper.monitoring import overview, query_api, rules_api
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.query_api import Data, Deadline, QueryError
from watchkeeper.monitoring.samples.errors import SampleStoreError
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.targets import TargetStatus
from watchkeeper.monitoring.targets_api import target_list
from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.status import clause_statuses, counts
from watchkeeper.store.clock import Clock, to_ms
from watchkeeper.store.database import Store
from watchkeeper.store.evidence import latest_verdicts
from watchkeeper.store.models import outbox

QUERY_THREADS = 2
"""Each one that computes takes its share of the interpreter from the scraper and the rules. Measured while
eight clients asked the heaviest questions over 100,000 series: an evaluation of 0.1 s took at most 1.2 s with
two, 2.6 s with four; no scrape was missed with either."""
DELIVERIES_SHOWN = 10
T = TypeVar("T")


class SampleAnswers:
    """Questions about samples, answered from the built-in store."""

    def __init__(self, engine: Engine, samples: SampleStore, clock: Clock) -> None:
        self._engine = engine
        self._samples = samples
        self._clock = clock
        self._pool = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="query")
        self._closing = False

    def handlers(self) -> dict[str, Handler]:
        """By the name of the question."""
        return {
            "query": self._about(lambda: self._engine, query_api.instant),
            "query_range": self._about(lambda: self._engine, query_api.over_range),
            "series": self._about(lambda: self._samples, query_api.series),
            "labels": self._about(lambda: self._samples, query_api.label_names),
            "label_values": self._about(lambda: self._samples, query_api.label_values),
            "metadata": self._about(lambda: self._samples, _metadata),
        }

    def use(self, engine: Engine) -> None:
        """Evaluate with ``engine`` from the next question on."""
        self._engine = engine

    def close(self) -> None:
        """Give up what has not begun, and soon what has."""
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _about(self, of: Callable[[], T], read: Callable[[T, dict[str, Any], Deadline], Data]) -> Handler:
        async def handler(asked: dict[str, Any]) -> bytes:
            seconds: float = asked["timeout_ms"] / 1000
            end = self._clock.monotonic() + seconds

            def expired() -> bool:
                return self._closing or self._clock.monotonic() > end

            def work() -> bytes:
                if expired():
                    raise QueryError("timeout", f"the query waited {seconds:g} s for others before it")
                try:
                    data, warnings = read(of(), asked, Deadline(expired))
                except QueryError as error:
                    if expired():
                        raise QueryError("timeout", f"the query took longer than {seconds:g} s") from error
                    raise
                return envelope(data, warnings)

            try:
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
            except QueryError as error:
                raise RefusedError(error.kind, str(error)) from None
            except SampleStoreError as error:
                raise RefusedError("execution", str(error)) from None

        return handler


def _metadata(samples: SampleStore, asked: dict[str, Any], _: Deadline) -> Data:
    found = {
        name: [{"type": family.type, "help": family.help, "unit": family.unit}]
        for name, family in sorted(samples.metadata().items())
        if asked["metric"] in (None, "", name)
    }
    limit = asked["limit"] or len(found)
    return json.dumps(dict(list(found.items())[:limit])).encode(), ()


class MonitoringAnswers:
    """Questions about rules, alerts and targets."""

    def __init__(
        self,
        evaluating: Evaluating,
        statuses: Callable[[], list[TargetStatus]],
        halted: Callable[[], str | None],
        store: Store,
        clock: Clock,
    ) -> None:
        self._evaluating = evaluating
        self._service = evaluating.service
        self._statuses = statuses
        self._halted = halted
        self._store = store
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """By the name of the question."""
        return {
            "rules": self._rules,
            "alerts": self._alerts,
            "targets": self._targets,
            "overview": self._overview,
        }

    # Texts of alerts are templates to be filled: with thousands of alerts that takes a while, so not here.

    async def _rules(self, asked: dict[str, Any]) -> bytes:
        def work() -> bytes:
            found = rules_api.rules(self._service, asked.get("type") or None, asked.get("names") or ())
            return envelope(json.dumps(found).encode())

        return await asyncio.to_thread(work)

    async def _alerts(self, _: dict[str, Any]) -> bytes:
        return await asyncio.to_thread(lambda: envelope(json.dumps(rules_api.alerts(self._service)).encode()))

    async def _targets(self, asked: dict[str, Any]) -> bytes:
        statuses = self._statuses()  # on this thread, which is the one that changes them
        return await asyncio.to_thread(
            lambda: envelope(json.dumps(target_list(statuses, asked.get("state"))).encode())
        )

    async def _overview(self, _: dict[str, Any]) -> bytes:
        health = [status.health for status in self._statuses()]
        halted = self._halted()
        return await asyncio.to_thread(lambda: json.dumps(self._picture(health, halted)).encode())

    def _picture(self, health: list[str], halted: str | None) -> dict[str, Any]:
        service, now = self._service, self._clock.now()
        policy, alerts, problem = service.policy, service.alerts(), self._evaluating.problem
        with self._store.read() as conn:
            evidence = latest_verdicts(conn)
            deliveries = conn.execute(
                select(outbox).order_by(outbox.c.id.desc()).limit(DELIVERIES_SHOWN)
            ).all()
        summaries = {a.fingerprint: service.annotations(a).get("summary", "") for a in alerts}
        return {
            "platform": policy.runbook.platform,
            "time_ms": to_ms(now),
            "runbook": {"digest": service.digest, "problem": problem},
            "halted": halted,
            "counts": counts(clause_statuses(clauses(policy.runbook), evidence, now)),
            "targets": {"up": health.count("up"), "down": health.count("down")},
            "alerts": overview.alert_rows(alerts, service.quiet, summaries),
            "layers": overview.layers(policy, self._evaluating.history, alerts, service.standings, halted),
            "deliveries": [_delivery(row) for row in reversed(deliveries)],
        }


def elsewhere(url: str) -> dict[str, Handler]:
    """The handlers of questions about samples where these are at a remote API."""

    async def refuse(_: dict[str, Any]) -> bytes:
        raise RefusedError("not_found", f"samples are not kept here but at {url}; ask there")

    return dict.fromkeys(("query", "query_range", "series", "labels", "label_values", "metadata"), refuse)


def _delivery(row: Any) -> dict[str, Any]:
    payload = row.payload if isinstance(row.payload, dict) else {}
    state = "retrying" if row.state == "pending" and row.attempts else row.state
    return {
        "at_ms": to_ms(row.settled_at or row.enqueued_at),
        "receiver": row.receiver,
        "kind": str(payload.get("kind", "")),
        "severity": str(payload.get("severity", "")),
        "summary": str(payload.get("summary", "")),
        "state": state,
        "attempts": row.attempts,
        "error": row.last_error,
    }


def envelope(data: bytes, warnings: Sequence[str] = ()) -> bytes:
    """``data`` as Prometheus' API wraps a success."""
    infos = [text for text in warnings if text.startswith("PromQL info: ")]
    rest = [text for text in warnings if not text.startswith("PromQL info: ")]
    more = f',"warnings":{json.dumps(rest)}' if rest else ""
    more += f',"infos":{json.dumps(infos)}' if infos else ""
    return b"".join((b'{"status":"success","data":', data, more.encode(), b"}"))
