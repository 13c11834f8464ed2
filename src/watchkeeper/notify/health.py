"""How a receiver fares, and when it is tried again. Decided purely: answers in, delays and events out.

Always true here (tests/notify/test_health.py): delays are bounded, so a receiver that answers again is found
within ``PROBE_SECONDS`` (or ``MAX_RETRY_AFTER_SECONDS`` where it asked for that), and nothing is given up for
being slow; a failure is announced when it begins and its end when it ends, and one that flaps is announced at
most once in ``QUIET``, unless it stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchkeeper.notify.answers import Answer
from watchkeeper.store.outbox import CLOCK_STEP

BASE_SECONDS = 2.0
MAX_SECONDS = 300.0
MIN_SECONDS = 0.5
PROBE_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 300.0
DOWN_AFTER = 3
"""So many failures in a row mean that the receiver is down, and not that one request was unlucky."""
QUIET = timedelta(minutes=5)


class Change(StrEnum):
    """Something about the receiver that the journal must hold."""

    FAILING = "failing"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a receiver. ``announced``: the journal says that it is failing."""

    failures: int = 0
    blocked_until: datetime | None = None
    blocked_at: datetime | None = None
    failing_since: datetime | None = None
    announced: bool = False
    recovered_at: datetime | None = None
    last_success_at: datetime | None = None
    last_error: str | None = None

    def blocked(self, now: datetime) -> bool:
        """Whether nothing is to be sent yet. A block from what is now the future does not hold."""
        if self.blocked_until is None or now >= self.blocked_until:
            return False
        return self.blocked_at is None or self.blocked_at <= now + CLOCK_STEP

    @property
    def down(self) -> bool:
        """Whether it failed so often that one send at a time is a probe."""
        return self.failures >= DOWN_AFTER


def after_success(health: Health, now: datetime) -> tuple[Health, Change | None]:
    """The receiver accepted something."""
    change = Change.RECOVERED if health.announced else None
    recovered = now if change else health.recovered_at
    return Health(recovered_at=recovered, last_success_at=now), change


def after_failure(
    health: Health, answer: Answer, now: datetime, draw: float, *, known: bool = False
) -> tuple[Health, Change | None]:
    """The receiver did not accept; ``draw`` is random in [0, 1).

    ``known``: it was sent before the failure before it was known. Sends that were under way together count
    as one failure in a row, or a hitch of a second would look like an outage; time that the receiver asks
    for counts always.
    """
    if known and health.failures:
        return _given_time(health, answer, now), None
    failures = health.failures + 1
    wait = 0.0
    if failures >= DOWN_AFTER:
        wait = jittered(failures - DOWN_AFTER, PROBE_SECONDS, draw)
    if answer.retry_after is not None:
        wait = max(wait, min(answer.retry_after, MAX_RETRY_AFTER_SECONDS))
    recently = health.recovered_at is not None and timedelta(0) <= now - health.recovered_at < QUIET
    announce = not health.announced and (failures >= DOWN_AFTER or not recently)
    changed = replace(
        health,
        failures=failures,
        blocked_until=now + timedelta(seconds=wait) if wait else None,
        blocked_at=now if wait else None,
        failing_since=health.failing_since or now,
        announced=health.announced or announce,
        last_error=answer.reason,
    )
    return changed, Change.FAILING if announce else None


def _given_time(health: Health, answer: Answer, now: datetime) -> Health:
    """Blocked for as long as the receiver asks, if it is not for longer already."""
    if answer.retry_after is None:
        return health
    until = now + timedelta(seconds=min(answer.retry_after, MAX_RETRY_AFTER_SECONDS))
    if health.blocked(until):
        return health
    return replace(health, blocked_until=until, blocked_at=now)


def next_attempt(attempts: int, answer: Answer, now: datetime, draw: float) -> datetime:
    """When a notification that failed its attempt number ``attempts`` (from 0) is tried again."""
    wait = jittered(attempts, MAX_SECONDS, draw)
    if answer.retry_after is not None:
        wait = max(wait, min(answer.retry_after, MAX_RETRY_AFTER_SECONDS))
    return now + timedelta(seconds=wait)


def jittered(step: int, ceiling: float, draw: float) -> float:
    """Exponential backoff with full jitter: uniform up to ``BASE * 2**step``, at most ``ceiling`` seconds.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return max(MIN_SECONDS, draw * min(ceiling, BASE_SECONDS * 2.0 ** min(step, 32)))
