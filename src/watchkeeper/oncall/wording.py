"""Moments, shifts and people in words, and moments as people type them.

Always true here: a moment for people is shown in the rota's local time and in UTC; what came from outside
cannot move the cursor (tests/oncall/test_wording.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from watchkeeper.oncall.overrides import OnCallError, Stored
from watchkeeper.oncall.report import Watch, name_of, reach, ways_of
from watchkeeper.oncall.rota import Shift
from watchkeeper.oncall.verification import Verified
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.wall_clock import instant

EXAMPLES = "2026-11-27 18:00 (the rota's local time) or 2026-11-27T18:00+01:00"
_YEARS = range(2000, 2200)


def read_moment(text: str, zone: str) -> datetime:
    """A moment as people type it: with its offset, or on the clocks of ``zone``. Raises OnCallError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise OnCallError(f"{text!r} is not a time; write it like {EXAMPLES}") from None
    if moment.year not in _YEARS:
        raise OnCallError(
            f"{text!r} is outside the years {_YEARS[0]} to {_YEARS[-1]}; write it like {EXAMPLES}"
        )
    return instant(moment, ZoneInfo(zone)) if moment.tzinfo is None else moment.astimezone(UTC)


def clean(line: str) -> str:
    """``line`` without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in line)


def moment_words(moment: datetime, zone: str) -> str:
    """``Mon 2026-03-09 09:00 CET (2026-03-09 08:00Z)``; once only in a zone that is UTC."""
    utc = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    shown = moment.astimezone(ZoneInfo(zone))
    return f"{shown:%a} {utc}" if zone == "UTC" else f"{shown:%a %Y-%m-%d %H:%M %Z} ({utc})"


def watch_lines(watch: Watch, runbook: Runbook, verified: Verified) -> list[str]:
    """A rota now: who, until when, how they are reached and whether that was verified, who is next."""
    contact = None if watch.current.contact is None else runbook.contact(watch.current.contact)
    return told_lines(watch, runbook, [] if contact is None else ways_of(contact, runbook, verified))


def told_lines(watch: Watch, runbook: Runbook, ways: Sequence[tuple[str, datetime | None]]) -> list[str]:
    """As :func:`watch_lines`, where it is known which ``ways`` page somebody and when each was verified."""
    rota, current, following = watch.rota, watch.current, watch.following
    lines = [f"{rota.id}  {rota.title}"]
    if current.endless:
        lines.append("  ■ NOBODY is on call: the rota has no participants at this time, nor later")
    elif current.contact is None:
        lines.append(f"  ■ NOBODY is on call until {moment_words(current.end, rota.timezone)}")
    else:
        until = moment_words(current.end, rota.timezone)
        lines += [
            f"  ● {name_of(current, runbook)} until {until}, {current.because}",
            _reach(current, runbook),
            *_ways(ways),
        ]
    if not current.endless:
        name = name_of(following, runbook)
        end = "from then on" if following.endless else f"until {moment_words(following.end, rota.timezone)}"
        why = "" if following.contact is None else f", {following.because}"
        lines.append(f"    next: {name} {end}{why}")
    return [clean(line) for line in lines]


def _reach(shift: Shift, runbook: Runbook) -> str:
    contact = None if shift.contact is None else runbook.contact(shift.contact)
    ways = {} if contact is None else reach(contact)
    shown = [
        f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in ways.items()
    ]
    return "    " + (" · ".join(shown) or "the runbook names no way to reach them")


def _ways(found: Sequence[tuple[str, datetime | None]]) -> list[str]:
    return [
        f"    ◌ {name}, never verified" if at is None else f"    ✓ {name}, verified {at:%Y-%m-%d}"
        for name, at in found
    ]


def schedule_lines(shifts: Sequence[Shift], zone: str, runbook: Runbook) -> list[str]:
    """A table: from and to on the rota's clocks, the same in UTC, who, and why."""
    there = ZoneInfo(zone)
    rows = [(f"from ({zone})", "to", "UTC from", "to", "who", "why")]
    for shift in shifts:
        local = [f"{at.astimezone(there):%a %Y-%m-%d %H:%M %Z}" for at in (shift.start, shift.end)]
        utc = [f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z" for at in (shift.start, shift.end)]
        who = name_of(shift, runbook)
        rows.append((local[0], local[1], utc[0], utc[1], who, "" if shift.contact is None else shift.because))
    rows = [tuple(clean(cell) for cell in row) for row in rows]  # type: ignore[misc]  # six cells stay six
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def override_line(stored: Stored, zone: str) -> str:
    """An override on one line, with its number."""
    one = stored.override
    reason = f" ({one.reason})" if one.reason else ""
    span = f"{moment_words(one.start, zone)} to {moment_words(one.end, zone)}"
    return clean(f"{stored.id}  {one.contact} on {stored.rota}, {span}{reason}, by {stored.created_by}")
