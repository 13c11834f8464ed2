"""The rules' answers from a Prometheus-compatible API: Prometheus, Thanos, Mimir, VictoriaMetrics.

Always true: each query is a POST to ``/api/v1/query`` at the time of the evaluation, bounded in time, size
and number at once; a query that the server refuses is a :class:`Failure` of that query, and a server that
cannot be asked is one :class:`SourceError`. Credentials appear in no message
(tests/monitoring/test_remote.py, beside Debian's Prometheus).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.monitoring.fetch import Fetcher, FetchError, Request, fetch_within
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.source import Answer, Failure, SourceError
from watchkeeper.monitoring.wire_format import format_time
from watchkeeper.runbook.models.metrics import Metrics

AT_ONCE = 8
BODY_LIMIT = 32 << 20
ACCEPT = "application/json"


class RemoteSource:
    """Evaluates by queries to ``metrics.url``.

    A failure must last a minute before it is an alert: a server that restarts is back by then.
    """

    failure_hold = timedelta(minutes=1)

    def __init__(self, fetcher: Fetcher, metrics: Metrics) -> None:
        if metrics.url is None:
            raise ValueError("the runbook's metrics have no url; there is no remote API to ask")
        self._fetcher = fetcher
        self._metrics = metrics
        self._url = metrics.url.rstrip("/") + "/api/v1/query"
        self._host = urlsplit(metrics.url).netloc

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As the port says. The first query goes alone, to find out whether there is anybody to ask."""
        if not queries:
            return []
        first = await self._ask(queries[0], at_ms)
        if isinstance(first, FetchError):
            raise self._unreachable(first)
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(query: str) -> Answer | FetchError:
            async with gate:
                return await self._ask(query, at_ms)

        found = [first, *await asyncio.gather(*map(ask, queries[1:]))]
        return [Failure(str(answer)) if isinstance(answer, FetchError) else answer for answer in found]

    async def _ask(self, query: str, at_ms: int) -> Answer | FetchError:
        seconds = self._metrics.timeout.total_seconds()
        request = Request(
            url=self._url,
            timeout_seconds=seconds,
            body_limit=BODY_LIMIT,
            client=self._metrics,
            accept=ACCEPT,
            form={"query": query, "time": format_time(at_ms), "timeout": f"{seconds:g}s"},
        )
        try:
            body = (await fetch_within(self._fetcher, request)).body
        except FetchError as error:
            refusal = _refusal(error.refusal)
            return Failure(refusal) if refusal else error
        try:
            return _vector(json.loads(body))
        except (ValueError, KeyError, TypeError):
            return FetchError("what it answered is not an answer of Prometheus' API; check metrics.url")

    def _unreachable(self, error: FetchError) -> SourceError:
        said = (
            str(error)
            .replace("(scrape_timeout)", "(metrics.timeout)")
            .replace("check metrics_path", "check metrics.url")
        )
        return SourceError(f"the metrics at {self._host} cannot be queried: {said}")


def _refusal(body: bytes) -> str | None:
    """What Prometheus says of a query that it will not evaluate; None where it is not the query's fault."""
    try:
        document = json.loads(body)
        if document["status"] == "error" and document["errorType"] in ("bad_data", "execution"):
            return str(document["error"])
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _vector(document: Any) -> Answer:
    """The vector in an answer of ``/api/v1/query``. Raises for a document that is none."""
    if document["status"] != "success":
        return Failure(str(document["error"]))
    data = document["data"]
    if data["resultType"] == "scalar":
        return {(): float(data["result"][1])}
    if data["resultType"] != "vector":
        return Failure(f"the expression gives a {data['resultType']}; a rule needs an instant vector")
    vector: dict[Labels, float] = {}
    for element in data["result"]:
        if "value" not in element:
            return Failure("the result holds native histograms, which rules here cannot compare")
        vector[label_set((str(k), str(v)) for k, v in element["metric"].items())] = float(element["value"][1])
    return vector
