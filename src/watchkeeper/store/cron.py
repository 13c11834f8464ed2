"""When something is due: a cron line on the wall clock of a time zone, or a fixed interval.

Always true: the times of a schedule are a strictly rising sequence that depends on nothing but the
schedule; :meth:`Schedule.after` gives the first of them that is later than a moment, :meth:`Schedule.latest`
the last that is not. A time that a change of the clocks skips comes right after it, one that comes twice is
due once; a line whose minute or hour begins with ``*`` goes by the time that passes
(tests/store/test_cron.py).

Cron lines are read by cronsim, which follows Debian's cron (https://manpages.debian.org/cron, "Notes").
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_LOOK_BACK = (timedelta(hours=2), timedelta(days=2), timedelta(days=40), timedelta(days=400))
_FARTHEST = timedelta(days=366 * 30)


class ScheduleError(ValueError):
    """What never comes due, or cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times that come again. Exactly one of ``cron`` and ``every`` is given; see :func:`cron`, :func:`every`.

    ``offset`` is added to each time: see :meth:`spread`.
    """

    cron: str | None = None
    every: timedelta | None = None
    timezone: str = "UTC"
    offset: timedelta = timedelta(0)

    def after(self, moment: datetime) -> datetime:
        """The first time that is later than ``moment``, in UTC."""
        start = moment.astimezone(UTC) - self.offset
        if self.every is not None:
            return _EPOCH + ((start - _EPOCH) // self.every + 1) * self.every + self.offset
        assert self.cron is not None
        zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        # In the hour that comes twice the line's first answers may lie in its first pass, before `moment`.
        for found in CronSim(self.cron, start.astimezone(zone)):
            if (utc := found.astimezone(UTC)) > start:
                return utc + self.offset
        raise ScheduleError(f"the cron line {self.cron!r} never comes due")

    def latest(self, moment: datetime) -> datetime | None:
        """The last time that is not later than ``moment``, in UTC; None where there was none for years."""
        if self.every is not None:
            start = moment.astimezone(UTC) - self.offset
            return _EPOCH + ((start - _EPOCH) // self.every) * self.every + self.offset
        for back in (*_LOOK_BACK, _FARTHEST):
            found = self.after(moment - back)
            if found <= moment:
                while (following := self.after(found)) <= moment:
                    found = following
                return found
        return None

    def spread(self, name: str, within: timedelta) -> Schedule:
        """The same times, each later by a part of ``within`` (whole seconds) that only ``name`` decides.

        So that what many have to do at two o'clock is not begun by all of them in the same second.
        """
        room = int(within / _SECOND)
        if room <= 0:
            return self
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        return replace(self, offset=self.offset + digest % (room + 1) * _SECOND)

    def __str__(self) -> str:
        """As one line, which :func:`parse` reads back: ``cron 0 2 * * * Europe/Berlin +37s``."""
        late = f" +{int(self.offset / _SECOND)}s" if self.offset else ""
        if self.every is not None:
            return f"every {int(self.every / _SECOND)}s{late}"
        return f"cron {self.cron} {self.timezone}{late}"


def cron(line: str, timezone: str = "UTC") -> Schedule:
    """A cron line of five fields, on the clocks of an IANA time zone. Raises :class:`ScheduleError`."""
    words = line.split()
    if len(words) != 5:
        raise ScheduleError(f"a cron line has five fields, {line!r} has {len(words)}")
    try:
        ZoneInfo(timezone)
        CronSim(line, _EPOCH)
    except CronSimError as error:
        raise ScheduleError(f"the cron line {line!r} cannot be read: {error}") from None
    except (ZoneInfoNotFoundError, ValueError):
        raise ScheduleError(f"there is no time zone {timezone!r}") from None
    schedule = Schedule(cron=" ".join(words), timezone=timezone)
    schedule.after(_EPOCH)
    return schedule


def every(interval: timedelta) -> Schedule:
    """Each whole number of ``interval`` since 1970, UTC. Raises :class:`ScheduleError` under a second."""
    if interval < _SECOND or interval % _SECOND:
        raise ScheduleError(f"an interval is a number of whole seconds, at least one; not {interval}")
    return Schedule(every=interval)


def parse(text: str) -> Schedule:
    """What ``str()`` of a schedule gave. Raises :class:`ScheduleError` for anything else."""
    kind, *words = text.split()
    try:
        late = timedelta(0)
        if words and words[-1].startswith("+"):
            late = int(words.pop().removeprefix("+").removesuffix("s")) * _SECOND
        if kind == "every" and len(words) == 1:
            found = every(int(words[0].removesuffix("s")) * _SECOND)
        elif kind == "cron" and len(words) == 6:
            found = cron(" ".join(words[:5]), words[5])
        else:
            raise ScheduleError(f"{text!r} is no schedule")
    except ValueError as error:
        raise ScheduleError(f"{text!r} is no schedule: {error}") from None
    return replace(found, offset=late)
