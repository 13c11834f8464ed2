"""The targets as pages and the API read them, from what the role ``watch`` says of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from watchkeeper.console.roles import Roles

ASK_SECONDS = 10.0
_ORDER = {"down": 0, "unknown": 1, "up": 2}
Health = Literal["up", "down", "unknown"]


class Target(BaseModel):
    """One target that is scraped."""

    job: str
    instance: str
    url: str
    health: Health = Field(description="`unknown` before its first scrape.")
    labels: dict[str, str]
    error: str = Field(description="Why the last scrape failed; empty where it did not.")
    last_scrape: datetime | None
    duration_seconds: float
    samples: int = Field(description="How many the last scrape brought.")
    interval: str
    timeout: str


class Job(BaseModel):
    """How the targets of one job do."""

    name: str
    up: int
    down: int
    unknown: int


class Question(BaseModel):
    """Which targets. What is empty is not asked."""

    state: Literal["", "up", "down", "unknown"] = ""
    job: str = Field("", max_length=200)
    text: str = Field("", max_length=200, description="Stands in the address, a label or the error.")

    def fits(self, one: Target) -> bool:
        """Whether ``one`` is asked for."""
        words = f"{one.url} {one.error} {' '.join(f'{k}={v}' for k, v in one.labels.items())}".lower()
        return (
            (not self.state or one.health == self.state)
            and (not self.job or one.job == self.job)
            and self.text.strip().lower() in words
        )


async def ask(roles: Roles) -> list[Target]:
    """Every target: those that are down first, then by job and address. Raises WireError."""
    document = json.loads(await roles.watch("targets", {"state": "active"}, ASK_SECONDS))
    found = [_target(row) for row in document["data"]["activeTargets"]]
    return sorted(found, key=lambda one: (_ORDER[one.health], one.job, one.instance, one.url))


def jobs(targets: Iterable[Target]) -> list[Job]:
    """Each job with its counts: those with most that are down first."""
    found: dict[str, dict[str, int]] = {}
    for one in targets:
        counts = found.setdefault(one.job, {"up": 0, "down": 0, "unknown": 0})
        counts[one.health] += 1
    rows = [Job(name=name, **counts) for name, counts in found.items()]
    return sorted(rows, key=lambda job: (-job.down, -job.unknown, job.name))


def _target(row: dict[str, Any]) -> Target:
    health = row["health"]
    labels = {str(name): str(value) for name, value in row["labels"].items()}
    return Target(
        job=str(row["scrapePool"]),
        instance=labels.get("instance", ""),
        url=str(row["scrapeUrl"]),
        health=health if health in _ORDER else "unknown",
        labels=labels,
        error=str(row["lastError"] or ""),
        last_scrape=moment(row["lastScrape"]),
        duration_seconds=float(row["lastScrapeDuration"]),
        samples=int(row.get("lastSamples", 0)),
        interval=str(row["scrapeInterval"]),
        timeout=str(row["scrapeTimeout"]),
    )


def moment(text: str) -> datetime | None:
    """A time of Prometheus' API; None for the one that means never."""
    found = datetime.fromisoformat(text)
    return None if found.year < 1970 else found
