"""How long to wait after sign-ins that failed. Pure: no clock, no store.

Always true here: the first failures of a streak (5 for a name, 20 for an address) cost no wait, each further
one doubles it, from 1 s to 15 min at most, and no clock that is set back makes that more than 16; a streak is
forgotten 15 min after its last failure or block (tests/access/test_throttle.py).

What somebody can cause who does not know the password: that this name must wait up to 15 min at its next
*sign-in*. Sessions that are open go on; one-time links and API tokens are not throttled. What a guesser gets:
some 40 tries an hour for one name, from however many addresses.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.access.models import printable

FREE_FOR_NAME = 5
FREE_FOR_ADDRESS = 20
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=15)
WINDOW = timedelta(minutes=15)
SKEW = timedelta(minutes=1)
"""How far the clocks of machines on one store may differ; a failure further ahead is of a clock set back."""
LONGEST_KEY = 64
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Failures:
    """A streak of failures of one name or from one address."""

    failures: int
    first_at: datetime
    last_at: datetime
    blocked_until: datetime | None = None


def wait(streak: Failures | None, now: datetime) -> timedelta:
    """How long until the next try is looked at; zero when it is now."""
    if streak is None or streak.blocked_until is None or is_over(streak, now):
        return _NONE
    return max(streak.blocked_until - now, _NONE)


def failed(streak: Failures | None, now: datetime, free: int) -> Failures:
    """The streak after one more failure at ``now``; a new one where the old is over."""
    if streak is None or is_over(streak, now):
        streak = Failures(0, now, now)
    count = streak.failures + 1
    return Failures(count, streak.first_at, now, now + _delay(count - free) if count >= free else None)


def is_over(streak: Failures, now: datetime) -> bool:
    """Whether the streak is forgotten: nothing for 15 min, or the clock was set back."""
    last = max(streak.last_at, streak.blocked_until or streak.last_at)
    return now >= last + WINDOW or now < streak.last_at - SKEW


def is_told(count: int, free: int) -> bool:
    """Whether a block at this count is worth an entry: the first of a streak, then at each doubling."""
    times, rest = divmod(count, free)
    return rest == 0 and times > 0 and times & (times - 1) == 0


def name_key(name: str, known: bool) -> str:
    """The key under which failures for a name are counted.

    People type passwords where the name belongs. So a name that nobody has is kept as 24 bits of its SHA-256:
    enough to count it like any other, too little to find out what was typed.
    """
    if known:
        return f"user:{name}"[:LONGEST_KEY]
    return "user:?" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def address_key(address: str) -> str:
    """The key under which failures from an address are counted; of IPv6 the /64, which one host has whole."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"from:{printable(address, LONGEST_KEY)}"[:LONGEST_KEY]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"from:{ipaddress.ip_network((parsed, 64), strict=False)}"
        parsed = parsed.ipv4_mapped
    return f"from:{parsed}"


def _delay(doublings: int) -> timedelta:
    return min(FIRST_WAIT * (1 << min(doublings, 30)), LONGEST_WAIT)
