"""Where rules get their answers: one port, with the built-in engine behind it or a remote API.

Always true: an answer belongs to the moment that was asked for, and a question that could not be answered is
a :class:`Failure`, never an empty vector: no data and no answer are different things.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import PromQLError, ValueType
from watchkeeper.monitoring.promql.engine import Cycle, Engine, Plan
from watchkeeper.monitoring.promql.result import EvaluationError, Result
from watchkeeper.monitoring.samples.errors import SampleStoreError

log = logging.getLogger(__name__)

Vector = Mapping[Labels, float]
"""The elements of an instant vector by their labels."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A query that could not be evaluated, and why, in words for a person. Holds no secret."""

    message: str


Answer = Vector | Failure


class SourceError(Exception):
    """Nothing can be asked at the moment; the message says what of whom, and what to look at."""


class Source(Protocol):
    """Evaluates PromQL."""

    @property
    def failure_hold(self) -> timedelta:
        """How long a failure may last before it is an alert: zero where failing is never a passing thing."""

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """One answer per query, all at ``at_ms``. Raises :class:`SourceError` when there can be none."""


@runtime_checkable
class TimedSource(Source, Protocol):
    """A source that knows what each query cost."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of the last evaluation, by query. What queries share is counted for the first that needed it."""


class EmbeddedSource:
    """The built-in engine. Equal parts of the queries of one evaluation are computed once."""

    failure_hold = timedelta(0)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans: dict[str, Plan | Failure] = {}
        self.seconds: Mapping[str, float] = {}

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As the port says. A query that fails leaves the others unharmed."""
        plans = {query: self._plans.get(query) or self._prepared(query) for query in queries}
        self._plans = plans  # what is no longer asked for is forgotten
        with self._engine.cycle(at_ms) as cycle:
            answers, seconds, before = [], {}, time.perf_counter()
            for query in queries:
                answers.append(_answer(cycle, plans[query]))
                now = time.perf_counter()
                seconds[query], before = now - before, now
        self.seconds = seconds
        return answers

    def _prepared(self, query: str) -> Plan | Failure:
        try:
            return self._engine.prepare(query)
        except (PromQLError, EvaluationError) as error:
            return Failure(str(error))


def _answer(cycle: Cycle, plan: Plan | Failure) -> Answer:
    if isinstance(plan, Failure):
        return plan
    try:
        return vector_of(cycle.evaluate(plan))
    except (EvaluationError, SampleStoreError) as error:
        return Failure(str(error))
    except Exception as error:
        # A defect that one expression meets must not blind the other rules; a failed rule pages anyway.
        log.exception("the expression %s met a defect of the engine", plan.text)
        return Failure(f"the engine failed ({type(error).__name__}); the log has the details")


def vector_of(result: Result) -> Answer:
    """A result as a rule reads it: a scalar is one element without labels, as in Prometheus."""
    if result.type in (ValueType.VECTOR, ValueType.SCALAR):
        return result.values
    return Failure(f"the expression gives a {result.type}; a rule needs an instant vector or a scalar")
