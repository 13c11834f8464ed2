"""Home: the runbook itself, section by section, every line with its verdict, its last proof and what is next.

Always true: every clause of the runbook is on the page; what nobody watches shows as unknown
(tests/console/test_home.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.picture import Picture
from watchkeeper.runbook.status import VERDICTS, ClauseStatus

SECTIONS = {
    "monitoring": "Monitoring checks",
    "backups": "Backup strategy",
    "incidents": "Incident management",
    "drills": "Disaster recovery drills",
    "reviews": "Weekly hygiene review",
    "launches": "Launch logbook",
}
GROUPS = {"backups.postgres": "PostgreSQL", "backups.objects": "Object storage (S3/MinIO)"}


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal's line: what the role ``watch`` says of it, and how its clauses stand."""

    row: dict[str, Any]
    statuses: tuple[ClauseStatus, ...]

    @property
    def hot(self) -> bool:
        """Whether it burns."""
        return self.row["state"] in ("page", "warn")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the monitoring section."""

    id: str
    title: str
    signals: tuple[Signal, ...]
    playbook: str | None
    playbook_title: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Clauses under one heading; the heading may be empty."""

    title: str
    statuses: tuple[ClauseStatus, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the runbook."""

    id: str
    title: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class _Body:
    """The sections as they stand in one picture, the same for everybody who looks at it."""

    picture: Picture
    html: Markup


def layers(picture: Picture, verdict: str | None) -> tuple[Layer, ...]:
    """The layers in the runbook's order; with ``verdict`` only the signals that have a clause of it."""
    policy = picture.policy
    if policy is None:
        return ()
    by_id = {status.clause.id: status for status in picture.statuses}
    told = {layer["id"]: layer for layer in picture.overview.get("layers", ())}
    found = []
    for layer in policy.runbook.monitoring.layers:
        rows = told.get(layer.id, {}).get("signals") or list(_unwatched(picture, layer.id))
        signals = tuple(
            signal
            for row in rows
            if _wanted(
                signal := Signal(row, tuple(by_id[name] for name in row["clauses"] if name in by_id)), verdict
            )
        )
        playbook = policy.runbook.playbooks.get(layer.playbook or "")
        if signals:
            title = playbook.title if playbook else layer.playbook
            found.append(Layer(layer.id, layer.title, signals, layer.playbook, title))
    return tuple(found)


def _wanted(signal: Signal, verdict: str | None) -> bool:
    return verdict is None or any(status.verdict == verdict for status in signal.statuses)


def _unwatched(picture: Picture, layer: str) -> Iterator[dict[str, Any]]:
    """The signals as the runbook has them, where nobody says how they stand."""
    assert picture.policy is not None
    for signal in picture.policy.compiled.signals:
        if signal.layer == layer:
            yield {
                "id": signal.signal,
                "title": signal.title,
                "unit": signal.unit,
                "value": None,
                "points": [],
                "state": "unknown",
                "why": "nobody watches it now",
                "warn": [],
                "page": [],
                "clauses": list(signal.clauses),
            }


def sections(picture: Picture, shown: Sequence[Layer], verdict: str | None) -> tuple[Section, ...]:
    """Every clause that is not on a signal's line, by section and group."""
    on_lines = {status.clause.id for layer in shown for signal in layer.signals for status in signal.statuses}
    found: dict[str, dict[str, list[ClauseStatus]]] = {}
    for status in picture.statuses:
        clause = status.clause
        if clause.id in on_lines or (verdict is not None and status.verdict != verdict):
            continue
        prefix = ".".join(clause.id.split(".")[:2])
        found.setdefault(clause.section, {}).setdefault(GROUPS.get(prefix, ""), []).append(status)
    return tuple(
        Section(
            name,
            SECTIONS.get(name, name.capitalize()),
            tuple(Group(title, tuple(statuses)) for title, statuses in groups.items()),
        )
        for name, groups in found.items()
    )


def router(console: Console) -> APIRouter:
    """``/``, and what is around every page."""
    routes = APIRouter(include_in_schema=False)
    made: dict[str | None, _Body] = {}

    @routes.get("/")
    async def home(request: Request, identity: Reader, verdict: str | None = None) -> Response:
        picture = await console.pictures.now()
        chosen = verdict if verdict in VERDICTS else None
        body = made.get(chosen)
        if body is None or body.picture is not picture:
            made[chosen] = body = _Body(picture, await run_in_threadpool(_body, picture, chosen))
        return await console.page(
            request, identity, "home.html", picture=picture, body=body.html, verdict=chosen
        )

    @routes.get("/frame")
    async def frame(request: Request, identity: Reader, at: str = "/") -> Response:
        """What is around the page ``at``, for a page whose own content does not follow what happens."""
        return await console.page(request, identity, "base.html", path=at[:500])

    def _body(picture: Picture, verdict: str | None) -> Markup:
        everything = layers(picture, None)
        return console.pages.fragment(
            "home_body.html",
            picture,
            layers=layers(picture, verdict) if verdict else everything,
            sections=sections(picture, everything, verdict),
            verdict=verdict,
        )

    return routes
