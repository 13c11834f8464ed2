"""Silences: alerts that somebody has asked not to hear of, for a while and for a reason. Pure.

Always true: a silenced alert still fires, is shown and is journaled, it only tells nobody anew, and the end
of what was told is told all the same; a silence has an owner, a reason and an end, is no longer than the
runbook allows, and never matches everything by omission; when it is over, what still fires is told
(tests/monitoring/test_silences.py). The matching is Alertmanager's: every matcher must hold, a label that is
absent is the empty string, a regular expression is anchored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.inhibition import Inhibited
from watchkeeper.monitoring.labels import predicate
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.regex import RegexError, compile_anchored
from watchkeeper.runbook.matchers import matcher_parts
from watchkeeper.runbook.models.monitoring import Silencing

_LONGEST_TEXT = 1000


class SilenceError(ValueError):
    """A silence that cannot be; the message says what to write instead. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A silence that somebody asks for."""

    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    owner: str
    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that was made. ``ended_at``: somebody ended it early."""

    id: int
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    owner: str
    reason: str
    created_at: datetime
    created_by: str
    ended_at: datetime | None = None
    reminded_at: datetime | None = None

    @property
    def until(self) -> datetime:
        """When it is over, or was."""
        return self.ends_at if self.ended_at is None else min(self.ends_at, self.ended_at)

    def stands(self, now: datetime) -> bool:
        """Whether it hides anything at ``now``."""
        return self.starts_at <= now < self.until

    def state(self, now: datetime) -> str:
        """``planned``, ``active`` or ``over``."""
        if now >= self.until:
            return "over"
        return "active" if self.stands(now) else "planned"


def matcher(text: str) -> Matcher:
    """The matcher that a person wrote: ``service=api``, ``env!=prod``, ``region=~"eu-.*"``, ``job!~x``.

    Raises :class:`SilenceError`.
    """
    try:
        name, written, value = matcher_parts(text)
    except ValueError as error:
        raise SilenceError(str(error)) from None
    op = MatchOp(written)
    if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
        try:
            compile_anchored(value)
        except RegexError as error:
            raise SilenceError(f"{text!r}: {error}") from None
    return Matcher(name, op, value)


def check(wanted: Wanted, now: datetime, policy: Silencing) -> None:
    """Raise :class:`SilenceError` for a silence that may not be made at ``now``."""
    if not any(not predicate(one)("") for one in wanted.matchers):
        raise SilenceError(
            "these matchers hold for every alert; name at least one label that an alert must have, "
            "for example service=api"
        )
    for name, text in (("owner", wanted.owner), ("reason", wanted.reason)):
        if not text.strip():
            raise SilenceError(f"a silence needs its {name}: whoever finds it at night wants to know")
        if len(text) > _LONGEST_TEXT:
            raise SilenceError(f"the {name} is longer than {_LONGEST_TEXT} characters")
    if wanted.ends_at <= wanted.starts_at:
        raise SilenceError("a silence must end after it begins")
    if wanted.ends_at <= now:
        raise SilenceError("that time is over already; nothing would be silenced")
    if wanted.ends_at - wanted.starts_at > policy.longest:
        raise SilenceError(
            f"a silence is at most {policy.longest.text} long (monitoring.silences.longest in the runbook); "
            "make a shorter one and look again when it ends"
        )


def matches(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher holds for ``labels``."""
    return all(predicate(one)(labels.get(one.name, "")) for one in matchers)


def silenced(alerts: Iterable[Alert], silences: Iterable[Silence], now: datetime) -> dict[str, Inhibited]:
    """The firing ones of ``alerts`` that stand under a silence, by fingerprint; the oldest silence speaks."""
    standing = (one for one in sorted(silences, key=lambda one: one.id) if one.stands(now))
    return quietened(
        alerts,
        [
            (one.matchers, Inhibited(f"silence:{one.id}", f"silence {one.id} of {one.owner}", one.reason))
            for one in standing
        ],
    )


def quietened(
    alerts: Iterable[Alert], reasons: Sequence[tuple[Iterable[Matcher], Inhibited]]
) -> dict[str, Inhibited]:
    """The firing ones of ``alerts`` that matchers hold for, by fingerprint; the first reason speaks."""
    tests = [([(one.name, predicate(one)) for one in matchers], why) for matchers, why in reasons]
    quiet: dict[str, Inhibited] = {}
    if not tests:
        return quiet
    for alert in alerts:
        if alert.state is not AlertState.FIRING:
            continue
        labels = dict(alert.labels)
        for wanted, why in tests:
            if all(holds(labels.get(name, "")) for name, holds in wanted):
                quiet[alert.fingerprint] = why
                break
    return quiet


def ending(silences: Iterable[Silence], now: datetime, before: timedelta) -> list[Silence]:
    """The active silences whose owner is to be reminded now: ``before`` is left, or less."""
    return [
        one
        for one in silences
        if one.stands(now) and one.ended_at is None and one.reminded_at is None and one.until - now <= before
    ]


def over(silences: Iterable[Silence], now: datetime) -> list[Silence]:
    """The silences that are over."""
    return [one for one in silences if one.state(now) == "over"]
