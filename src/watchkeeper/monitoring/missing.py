"""Which elements of a signal there should be and are not. Pure. Unknown is not green.

Always true: an element that was seen once is either present, or missing since a known time, or was
forgotten after :data:`FORGET_AFTER` without data; a signal of which nothing was ever seen is missing as a
whole (its only element is :data:`WHOLE`). An element is what the runbook's required labels tell
apart (a service in a region), not each pod, queue or job type: those come and go
(tests/monitoring/test_missing.py).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watchkeeper.monitoring.labels import Labels

FORGET_AFTER = timedelta(days=1)
"""A service that is gone this long is taken to be retired."""
LIMIT = 10_000
"""Elements remembered per signal: a label bomb costs this much and no more."""
WHOLE: Labels = (("", "*"),)
"""Stands for the signal itself where no element of it was ever seen; no series has such a label."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of a signal's elements: since when each is missing, None where it is there."""

    elements: Mapping[Labels, datetime | None] = field(default_factory=dict)
    evaluated_at: datetime | None = None

    def missing(self) -> dict[Labels, datetime]:
        """The elements that are not there, and since when."""
        return {labels: since for labels, since in self.elements.items() if since is not None}

    def moved(self, by: timedelta) -> Presence:
        """The same after a step of the clock (see :func:`watchkeeper.monitoring.alerts.clock_step`)."""
        if not by:
            return self
        shifted = {labels: since + by if since else None for labels, since in self.elements.items()}
        return replace(self, elements=shifted)

    def excused(self, labels: Labels, after: timedelta) -> bool:
        """Whether ``labels`` are missing, but not yet for so long that it means anything."""
        since, now = self.elements.get(labels), self.evaluated_at
        return since is not None and now is not None and now - since < after

    def overdue(self, after: timedelta) -> list[Labels]:
        """The elements missing for at least ``after``; a signal that was never seen is so at once."""
        now = self.evaluated_at
        if now is None:
            return [WHOLE]
        return [labels for labels, since in self.missing().items() if labels == WHOLE or now - since >= after]


@dataclass(frozen=True, slots=True)
class Observed:
    """What one look at a signal changed."""

    presence: Presence
    lost: tuple[Labels, ...] = ()
    back: tuple[Labels, ...] = ()
    new: tuple[Labels, ...] = ()
    forgotten: tuple[Labels, ...] = ()


def observe(before: Presence, present: Iterable[Labels], now: datetime) -> Observed:
    """What is known after ``present`` was seen at ``now``."""
    there = dict.fromkeys(present)
    elements: dict[Labels, datetime | None] = {}
    lost: list[Labels] = []
    back: list[Labels] = []
    forgotten: list[Labels] = []
    for labels, since in before.elements.items():
        if labels in there:
            elements[labels] = None
            if since is not None:
                back.append(labels)
        elif labels == WHOLE and there:
            continue
        elif since is None:
            elements[labels] = now
            lost.append(labels)
        elif labels != WHOLE and now - since >= FORGET_AFTER:
            forgotten.append(labels)
        else:
            elements[labels] = since
    new = [labels for labels in there if labels not in before.elements][: max(0, LIMIT - len(elements))]
    elements.update((labels, None) for labels in new)
    if not elements:
        elements[WHOLE] = now
    return Observed(Presence(elements, now), tuple(lost), tuple(back), tuple(new), tuple(forgotten))


def project(labels: Labels, names: Container[str]) -> Labels:
    """``labels`` without those that are not in ``names``."""
    return tuple(pair for pair in labels if pair[0] in names)
