"""``/signals/<layer>/<signal>``: one signal of the runbook over time, its lines, and how its clauses stand.

Always true: every threshold of the signal is on the page with the verdict of its clause
(tests/console/test_signals.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.picture import Picture
from watchkeeper.console.signal_charts import signal_chart
from watchkeeper.monitoring.compile import CompiledRule, CompiledSignal
from watchkeeper.runbook.status import ClauseStatus

SPANS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}


def router(console: Console) -> APIRouter:
    """``/signals/<layer>/<signal>``."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/signals/{layer}/{signal}")
    async def signal(
        request: Request,
        identity: Reader,
        layer: str,
        signal: str,
        range: Annotated[str, Query(max_length=10)] = "1h",  # noqa: A002 - the parameter's usual name
    ) -> Response:
        picture = await console.pictures.now()
        found = _find(picture, layer, signal)
        if found is None or picture.policy is None:
            name = f"{layer}.{signal}"[:100]
            raise HTTPException(
                404, f"The runbook in force has no signal {name}. The first page has them all."
            )
        span = range if range in SPANS else "1h"
        drawn, problem = await signal_chart(console.roles, picture.policy, found, picture.at, SPANS[span])
        return await console.page(
            request,
            identity,
            "signal.html",
            picture=picture,
            signal=found,
            chart=drawn,
            chart_problem=problem,
            spans=list(SPANS),
            span=span,
            **_context(picture, found),
        )

    return routes


def _find(picture: Picture, layer: str, signal: str) -> CompiledSignal | None:
    if picture.policy is None:
        return None
    every = picture.policy.compiled.signals
    return next((one for one in every if (one.layer, one.signal) == (layer, signal)), None)


def _context(picture: Picture, signal: CompiledSignal) -> dict[str, Any]:
    policy = picture.policy
    assert policy is not None
    rules = [rule for rule in policy.compiled.rules if rule.identity == signal.identity]
    by_id = {status.clause.id: status for status in picture.statuses}
    thresholds: list[tuple[CompiledRule, ClauseStatus | None]] = [
        (one, by_id.get(one.clause)) for one in rules
    ]
    others = [by_id[name] for name in signal.clauses if name in by_id and not rules]
    layer = policy.runbook.monitoring.layer(signal.layer)
    line = layer.signal(signal.signal) if layer else None
    told = (one for one in picture.overview.get("layers", ()) if one["id"] == signal.layer)
    row = next((row for one in told for row in one["signals"] if row["id"] == signal.signal), None)
    names = {rule.name for rule in rules}
    return {
        "row": row,
        "thresholds": thresholds,
        "others": others,
        "guards": list(dict.fromkeys(rule.guard_expr for rule in rules if rule.guard_expr)),
        "note": line.note if line else None,
        "layer_title": layer.title if layer else signal.layer,
        "signal_title": line.title if line else signal.signal,
        "alerts": [one for one in picture.alerts if one["alertname"] in names][:20],
    }
