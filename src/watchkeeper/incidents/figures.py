"""How fast incidents were dealt with, and whether their alerts were worth it, per service and quarter. Pure.

Always true here: an incident counts in the quarter (UTC) in which it was opened; one that was merged counts
with the one that it is part of; what has not happened is None and counts in no median
(tests/incidents/test_figures.py).

Times to mitigate and to resolve count from the moment at which the first signal crossed its line, because
that is when it began to hurt; the time to acknowledge from the opening, because nobody could know before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from watchkeeper.incidents.models import Incident, JoinedAlert, Rating, State

NO_SERVICE = "(no service)"


@dataclass(frozen=True, slots=True)
class Durations:
    """How long one incident took; None for what has not happened."""

    detect: timedelta | None
    acknowledge: timedelta | None
    mitigate: timedelta | None
    resolve: timedelta | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One service in one quarter. Durations are medians, in seconds; ``worst_resolve_seconds`` the longest.

    ``pages`` are the episodes of pages that belonged to its incidents; of these ``rated`` were rated, and
    ``useful`` were worth it.
    """

    service: str
    quarter: str
    incidents: int
    by_severity: dict[str, int]
    detect_seconds: float | None
    acknowledge_seconds: float | None
    mitigate_seconds: float | None
    resolve_seconds: float | None
    worst_resolve_seconds: float | None
    pages: int
    rated: int
    useful: int

    @property
    def useful_ratio(self) -> float | None:
        """The share of the rated pages that were worth it."""
        return self.useful / self.rated if self.rated else None


def quarter(moment: datetime) -> str:
    """``2026-Q1``, in UTC."""
    at = moment.astimezone(UTC)
    return f"{at.year}-Q{(at.month - 1) // 3 + 1}"


def durations(incident: Incident) -> Durations:
    """How long an incident took."""
    return Durations(
        _between(incident.detected_at, incident.opened_at),
        _between(incident.opened_at, incident.acknowledged_at),
        _between(incident.detected_at, incident.mitigated_at),
        _between(incident.detected_at, incident.resolved_at),
    )


def figures(
    incidents: Iterable[Incident], alerts: Sequence[JoinedAlert], ratings: Sequence[Rating]
) -> list[Figures]:
    """One line per service and quarter, newest quarter first, services in order of their name."""
    groups: dict[tuple[str, str], list[Incident]] = {}
    for one in incidents:
        if one.state is not State.MERGED:
            groups.setdefault((quarter(one.opened_at), one.service or NO_SERVICE), []).append(one)
    rated = {(one.fingerprint, one.episode): one for one in ratings}
    found = [_one(service, when, group, alerts, rated) for (when, service), group in groups.items()]
    return sorted(sorted(found, key=lambda one: one.service), key=lambda one: one.quarter, reverse=True)


def _one(
    service: str,
    when: str,
    group: Sequence[Incident],
    alerts: Sequence[JoinedAlert],
    rated: dict[tuple[str, str], Rating],
) -> Figures:
    numbers = {one.id for one in group}
    pages = [one for one in alerts if one.incident_id in numbers and one.severity == "page"]
    said = [rated[key] for one in pages if (key := (one.fingerprint, one.episode)) in rated]
    took = [durations(one) for one in group]
    severities: dict[str, int] = {}
    for one in group:
        name = one.severity or "not set"
        severities[name] = severities.get(name, 0) + 1
    resolve = [one.resolve for one in took]
    return Figures(
        service,
        when,
        len(group),
        dict(sorted(severities.items())),
        _median(one.detect for one in took),
        _median(one.acknowledge for one in took),
        _median(one.mitigate for one in took),
        _median(resolve),
        max((one.total_seconds() for one in resolve if one is not None), default=None),
        len(pages),
        len(said),
        sum(one.useful for one in said),
    )


def words(took: timedelta | float | None) -> str:
    """A duration for people: ``4 min 10 s``; ``-`` for none."""
    if took is None:
        return "-"
    seconds = round(took.total_seconds() if isinstance(took, timedelta) else took)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if value]
    parts += [f"{seconds} s"] if (seconds and not days and not hours) or not parts else []
    return " ".join(parts[:2])


def _between(start: datetime, end: datetime | None) -> timedelta | None:
    return None if end is None else max(end - start, timedelta(0))


def _median(values: Iterable[timedelta | None]) -> float | None:
    known = [one.total_seconds() for one in values if one is not None]
    return median(known) if known else None
