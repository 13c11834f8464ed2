"""``/explore``: a question in PromQL, its answer as a table and a chart.

Always true: however fine a step is asked for, at most 300 points of a series and 100 series are asked and
shown, and the page says so; a question that cannot be read is shown with the place where it stops making
sense (tests/console/test_explore.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import parameters
from watchkeeper.console.charts import MAX_POINTS, Chart, draw
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Querier
from watchkeeper.console.pages.alerts import short
from watchkeeper.console.pages.signals import SPANS
from watchkeeper.console.parameters import ParameterError
from watchkeeper.console.ranges import (
    MAX_SERIES,
    NoAnswerError,
    Span,
    ask,
    ask_range,
    lines_of,
    name_of,
    warnings,
)
from watchkeeper.console.signal_charts import count_at
from watchkeeper.monitoring.figures import duration
from watchkeeper.monitoring.promql.ast import PromQLError, ValueType
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.signatures import AGGREGATIONS, SIGNATURES
from watchkeeper.store.clock import from_ms, to_ms

LONGEST_QUERY = 10_000
LONGEST_SPAN = timedelta(days=366)
PLACE_WIDTH = 100
NAME_LENGTH = 400
FUNCTIONS = sorted({*SIGNATURES, *AGGREGATIONS})


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know. ``said`` are remarks about what they get instead of what they asked."""

    query: str
    end: datetime
    span: timedelta
    step: timedelta | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: rows of name and value, a chart, and what is to be said about them."""

    rows: tuple[tuple[str, str], ...] = ()
    chart: Markup | None = None
    said: tuple[str, ...] = ()
    problem: str = ""
    place: str = ""


def place_of(query: str, error: PromQLError) -> str:
    """The line of ``query`` in which it stops making sense, and a caret below the place."""
    at = max(0, min(error.start, len(query)))
    start = query.rfind("\n", 0, at) + 1
    stop = query.find("\n", at)
    line = query[start : stop if stop >= 0 else len(query)]
    column = at - start
    left = max(0, column - PLACE_WIDTH // 2)
    shown = "".join(char if char.isprintable() else "\ufffd" for char in line[left : left + PLACE_WIDTH])
    before = "…" if left else ""
    after = "…" if left + PLACE_WIDTH < len(line) else ""
    return f"{before}{shown}{after}\n{' ' * (len(before) + column - left)}^"


def asked_of(query: str, span: str, end: str, step: str, now: datetime) -> Asked:
    """The parameters as a question that can be answered. Raises ParameterError."""
    said = []
    wide = timedelta(milliseconds=parameters.duration_ms("range", span, 3_600_000))
    if wide > LONGEST_SPAN:
        wide = LONGEST_SPAN
        said.append(f"The longest range is {duration(wide.total_seconds())}; that is shown.")
    until = from_ms(parameters.time_ms("end", end, to_ms(now)))
    if until.year < 1971 or until.year > 2199:
        raise ParameterError(f'the parameter "end" is {end!r}, which is no time that anything was measured')
    wanted = timedelta(milliseconds=parameters.duration_ms("step", step)) if step else None
    if wanted is not None and wide / wanted > MAX_POINTS - 1:
        points = math.floor(wide / wanted) + 1
        said.append(
            f"A step of {duration(wanted.total_seconds())} would be {points:,} points of each series; "
            f"at most {MAX_POINTS} are asked for, so the step is longer."
        )
        wanted = None
    return Asked(query, until, wide, wanted, tuple(said))


def router(console: Console) -> APIRouter:
    """``/explore``."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/explore")
    async def explore(
        request: Request,
        identity: Querier,
        query: str = "",
        range: Annotated[str, Query(max_length=100)] = "1h",  # noqa: A002 - the parameter's usual name
        end: Annotated[str, Query(max_length=100)] = "",
        step: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        now = console.clock.now()
        try:
            if len(query) > LONGEST_QUERY:
                raise ParameterError(f"the query is longer than {LONGEST_QUERY:,} characters")
            asked = asked_of(query.strip(), range, end.strip(), step.strip(), now)
            found = await answer(console, asked) if asked.query else Found()
        except ParameterError as error:
            found = Found(problem=f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return await console.page(
            request,
            identity,
            "explore.html",
            status=400 if found.problem else 200,
            query=Text(query[:LONGEST_QUERY]),
            span=range,
            spans=list(SPANS),
            end=end,
            step=step,
            found=found,
            asked=bool(query.strip()),
            functions=_functions(),
        )

    return routes


class Text(str):
    """What somebody typed: given back whole, also where it is longer than what pages show of others."""

    __slots__ = ()


async def answer(console: Console, asked: Asked) -> Found:
    """What the role ``watch`` says to ``asked``."""
    try:
        expr = await run_in_threadpool(parse, asked.query)
    except PromQLError as error:
        return Found(problem=f"This cannot be read: {error.message}.", place=place_of(asked.query, error))
    except RecursionError:
        return Found(problem="This is nested too deeply to be read.")
    said = list(asked.said)
    chart: Markup | None = None
    try:
        instant = {"query": asked.query, "time_ms": to_ms(asked.end), "limit": MAX_SERIES + 1}
        told = await ask(console.roles, "query", instant)
        said += warnings(told)
        rows, more = _rows(told["data"])
        count = len(rows)
        if more:
            count = await count_at(console.roles, asked.query, asked.end)
            of = f"of {count:,} " if count > MAX_SERIES else ""
            said.append(f"The first {MAX_SERIES} {of}series are shown: narrow the question, or use topk.")
        if expr.type in (ValueType.VECTOR, ValueType.SCALAR):
            span = Span.around(asked.end - asked.span, asked.end, asked.step)
            ranged = await ask_range(console.roles, asked.query, span)
            said.append(f"One point every {duration(span.step_ms / 1000)}.")
            said += [text for text in ranged.warnings if text not in said]
            lines = lines_of(ranged)
            in_all = max(len(lines) + ranged.more, count)
            chart = draw(Chart("The answer", "count", ranged.times_ms, lines, lines_in_all=in_all))
    except NoAnswerError as error:
        if error.kind == "not_found":
            return Found(problem=f"There is nothing to ask here: {error}.")
        return Found(problem=f"This has no answer: {error}.")
    return Found(tuple(rows), chart, tuple(said))


def _rows(data: dict[str, Any]) -> tuple[list[tuple[str, str]], bool]:
    """The table, and whether there are series that are not in it."""
    kind, result = data["resultType"], data["result"]
    if kind in ("scalar", "string"):
        return [(kind, str(result[1]))], False
    rows = [
        (
            short(_name(row["metric"]), NAME_LENGTH),
            _value(row["value"] if kind == "vector" else row["values"][-1]),
        )
        for row in result[:MAX_SERIES]
    ]
    return rows, len(result) > MAX_SERIES


def _name(labels: dict[str, str]) -> str:
    return name_of({name: short(value) for name, value in labels.items()}) or "{}"


def _value(point: Sequence[Any]) -> str:
    return str(point[1])


def _functions() -> Markup:
    """The functions' names for the script that completes them; they are ours, and no markup."""
    return Markup("{}").format(Markup(json.dumps(FUNCTIONS)))  # noqa: S704 - names of functions
