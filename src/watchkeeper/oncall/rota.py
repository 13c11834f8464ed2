"""Who is on call, computed from the rota's text, the overrides and nothing else.

Always true here: shifts tile the time asked for, exactly and in order, an interval with nobody included;
whoever asks about a moment gets the shift that the schedule shows for it; a later layer stands over an
earlier one where it has somebody, and the override made last stands over all (tests/oncall/test_rota.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import pairwise
from zoneinfo import ZoneInfo

from watchkeeper.oncall.turns import hours, turns
from watchkeeper.runbook.models.people import Rota, RotaLayer

_NEAR = timedelta(days=8)
REACH = timedelta(days=800)
"""How far a shift is followed to its ends: longer than a yearly turn. One that goes on is cut there."""


@dataclass(frozen=True, slots=True)
class Override:
    """``contact`` instead of the rota, from ``start`` to before ``end`` (aware). ``id`` is the store's, and
    ``None`` for one that the runbook holds."""

    contact: str
    start: datetime
    end: datetime
    reason: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """``contact`` is on call from ``start`` to before ``end`` (aware, UTC); ``None``: nobody is.

    Exactly one of ``layer`` (its id) and ``override`` says why, and neither for nobody.
    """

    contact: str | None
    start: datetime
    end: datetime
    layer: str | None = None
    override: Override | None = None

    @property
    def endless(self) -> bool:
        """Whether nobody is on call for so long that the ends are only where we stopped looking."""
        return self.contact is None and self.end - self.start >= REACH

    @property
    def because(self) -> str:
        """For people: ``layer weekly``, ``override: dentist``, ``nobody``."""
        if self.override is not None:
            return f"override: {self.override.reason}" if self.override.reason else "override"
        return "nobody" if self.layer is None else f"layer {self.layer}"


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody who would have the watch. What makes the shift is kept apart from when it is claimed, so that
    pieces of one turn are joined again and two turns of one person are not."""

    contact: str
    start: datetime
    end: datetime
    layer: str | None
    turn: int | None
    override: Override | None

    @property
    def origin(self) -> tuple[object, ...]:
        return (self.contact, self.layer, self.turn, self.override)


def shifts(rota: Rota, overrides: Sequence[Override], start: datetime, end: datetime) -> list[Shift]:
    """Who is on call in ``[start, end)``; the first and last shift are cut to it.

    ``overrides`` are the stored ones, oldest first; they stand over the runbook's own, whose order is the
    file's. An empty interval has no shift.
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    claims = list(_claims(rota, overrides, start, end))
    moments = {start, end} | {moment for claim in claims for moment in (claim.start, claim.end)}
    edges = sorted(moment for moment in moments if start <= moment <= end)
    found: list[Shift] = []
    before: tuple[object, ...] | None = None
    for begin, finish, winner in _winners(claims, edges):
        origin = () if winner is None else winner.origin
        if found and origin == before:
            found[-1] = replace(found[-1], end=finish)
        elif winner is None:
            found.append(Shift(None, begin, finish))
        else:
            found.append(Shift(winner.contact, begin, finish, winner.layer, winner.override))
        before = origin
    return found


def _winners(
    claims: Sequence[_Claim], edges: Sequence[datetime]
) -> Iterator[tuple[datetime, datetime, _Claim | None]]:
    """Each interval between neighbouring edges, with the strongest claim that covers it."""
    coming = sorted(range(len(claims)), key=lambda rank: claims[rank].start, reverse=True)
    standing: list[int] = []  # a heap of ranks; the strongest claim has the lowest
    for begin, finish in pairwise(edges):
        while coming and claims[coming[-1]].start <= begin:
            heappush(standing, coming.pop())
        while standing and claims[standing[0]].end <= begin:
            heappop(standing)
        yield begin, finish, claims[standing[0]] if standing else None


def on_call(rota: Rota, overrides: Sequence[Override], at: datetime) -> Shift:
    """The whole shift that ``at`` lies in: its start and end are where the watch passes on.

    A shift of which no end is found within two years is cut there (a rota without participants, say).
    """
    reach = _NEAR
    while True:
        around = shifts(rota, overrides, at - reach, at + reach)
        index = next(n for n, shift in enumerate(around) if shift.start <= at < shift.end)
        if reach >= REACH or 0 < index < len(around) - 1:
            return around[index]
        reach = min(reach * 4, REACH)


def whole_shifts(rota: Rota, overrides: Sequence[Override], start: datetime, end: datetime) -> list[Shift]:
    """As :func:`shifts`, but the first and the last shift are whole, so that they look the same whatever
    interval is asked for."""
    found = shifts(rota, overrides, start, end)
    if found:
        found[0] = on_call(rota, overrides, found[0].start)
    if len(found) > 1:
        found[-1] = on_call(rota, overrides, found[-1].start)
    return found


def next_shift(rota: Rota, overrides: Sequence[Override], shift: Shift) -> Shift:
    """Who takes over from ``shift``."""
    return on_call(rota, overrides, shift.end)


def _claims(rota: Rota, overrides: Sequence[Override], start: datetime, end: datetime) -> Iterator[_Claim]:
    """All that touch ``[start, end)``, strongest first."""
    written = [Override(one.contact, one.start, one.end, one.reason) for one in rota.overrides]
    for override in reversed([*written, *overrides]):
        begin, finish = override.start.astimezone(UTC), override.end.astimezone(UTC)
        if begin < finish and begin < end and finish > start:
            yield _Claim(override.contact, begin, finish, None, None, override)
    for layer in reversed(rota.layers):
        yield from _layer_claims(layer, ZoneInfo(rota.timezone), start, end)


def _layer_claims(layer: RotaLayer, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[_Claim]:
    if not layer.participants:
        return
    spans = hours(layer, zone, start, end)
    for turn in turns(layer, zone, start, end):
        contact = layer.participants[turn.number % len(layer.participants)]
        for begin, finish in spans:
            begin, finish = max(begin, turn.start), min(finish, turn.end)
            if begin < finish:
                yield _Claim(contact, begin, finish, layer.id, turn.number, None)
