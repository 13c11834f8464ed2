"""``/incidents/figures``: how long incidents took and whether pages were worth it, per quarter and service.

Always true: a figure is a median of what is known, and nothing where nothing is; an incident that is part of
another one is not counted twice (tests/console/test_incident_figures.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.incidents import figures, reading, records
from watchkeeper.incidents.figures import Figures
from watchkeeper.incidents.models import JoinedAlert
from watchkeeper.store.models import incident_alerts

COUNTED = 5000
"""Of so many of the newest incidents the figures are made."""
QUARTERS = 8
MEASURES = (
    ("detect_seconds", "Time to detect", "from the first sample beyond the line to the incident"),
    ("acknowledge_seconds", "Time to acknowledge", "from the incident to whoever took it"),
    ("mitigate_seconds", "Time to mitigate", "from the first sample beyond the line"),
    ("resolve_seconds", "Time to resolve", "from the first sample beyond the line"),
)
WIDTH, HEIGHT, ROOM = 320, 120, 18


@dataclass(frozen=True, slots=True)
class Plot:
    """One measure over the quarters, the oldest first; None where nothing is known."""

    title: str
    says: str
    drawing: Markup


def read(conn: Connection) -> list[Figures]:
    """One line for each service and quarter, the newest quarter first."""
    found = reading.listed(conn, limit=COUNTED)
    alerts = _joined(conn, [one.id for one in found])
    return figures.figures(found, alerts, records.ratings_of(conn, alerts))


def _joined(conn: Connection, numbers: Sequence[int]) -> list[JoinedAlert]:
    rows: list[JoinedAlert] = []
    for start in range(0, len(numbers), 500):
        mine = incident_alerts.c.incident_id.in_(numbers[start : start + 500])
        rows += [records.joined_of(row) for row in conn.execute(select(incident_alerts).where(mine))]
    return rows


def plots(lines: Iterable[Figures]) -> list[Plot]:
    """Each measure over the last quarters: the median over the services."""
    by_quarter: dict[str, list[Figures]] = {}
    for line in lines:
        by_quarter.setdefault(line.quarter, []).append(line)
    quarters = sorted(by_quarter)[-QUARTERS:]
    found = []
    for name, title, says in MEASURES:
        points = []
        for quarter in quarters:
            known = [value for line in by_quarter[quarter] if (value := getattr(line, name)) is not None]
            points.append((quarter, median(known) if known else None))
        found.append(Plot(title, says, draw(title, points)))
    return found


def draw(title: str, points: Sequence[tuple[str, float | None]]) -> Markup:
    """Columns, one for each quarter, each with its value; what is not known has none. Pure."""
    most = max((value for _, value in points if value is not None), default=0.0) or 1.0
    step = WIDTH / max(len(points), 4)
    parts = []
    said = []
    for position, (quarter, value) in enumerate(points):
        middle = step * (position + 0.5)
        said.append(f"{quarter}: {figures.words(value) if value is not None else 'not known'}")
        parts.append(
            Markup('<text class="axis" x="{:.1f}" y="{}">{}</text>').format(middle, HEIGHT - 4, quarter[2:])
        )
        if value is None:
            parts.append(
                Markup('<text class="axis" x="{:.1f}" y="{}">–</text>').format(middle, HEIGHT - ROOM - 8)
            )
            continue
        height = max(2.0, (HEIGHT - 3 * ROOM) * value / most)
        top = HEIGHT - ROOM - height
        parts.append(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>').format(
                middle - min(step * 0.3, 24), top, 2 * min(step * 0.3, 24), height
            )
        )
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(middle, top - 5, figures.words(value))
        )
    return Markup(
        '<svg class="columns-plot" viewBox="0 0 {} {}" role="img" aria-label="{}: {}">{}</svg>'
    ).format(WIDTH, HEIGHT, title, "; ".join(said), Markup("").join(parts))


def router(console: Console) -> APIRouter:
    """``/incidents/figures``."""
    routes = APIRouter(include_in_schema=False)

    def work() -> tuple[list[Figures], list[Plot]]:
        with console.store.read() as conn:
            lines = read(conn)
        return lines, plots(lines)

    @routes.get("/incidents/figures")
    async def page(request: Request, identity: Reader) -> Response:
        lines, drawn = await run_in_threadpool(work)
        quarters = sorted({line.quarter for line in lines}, reverse=True)
        return await console.page(
            request,
            identity,
            "incident_figures.html",
            lines=lines,
            quarters=quarters,
            plots=drawn,
            words=figures.words,
            counted=COUNTED,
        )

    return routes
