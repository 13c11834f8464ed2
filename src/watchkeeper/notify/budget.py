"""How many sends a receiver still takes: at most ``limit`` in any sixty seconds. Pure.

Always true here: whatever the pattern of asking, no window of sixty seconds holds more than ``limit`` sends
that were begun (tests/notify/test_budget.py). A token bucket would not do: it lets twice the limit through in
the minute after it was full. Sends are counted per second and a second is forgotten only when all of it is
past, so the count errs to the safe side, and survives a restart because the caller stores it.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Budget:
    """The sends of the last minute: pairs of unix second and count, oldest first."""

    sent: tuple[tuple[int, int], ...] = ()

    def at(self, now: float) -> Budget:
        """Without what no longer counts. Seconds ahead of now (the clock was set back) count as this one."""
        second = int(now)
        ahead = sum(count for when, count in self.sent if when > second)
        kept = [(when, count) for when, count in self.sent if second - WINDOW_SECONDS <= when <= second]
        if ahead:
            kept = _added(kept, second, ahead)
        return Budget(tuple(kept))

    def left(self, now: float, limit: float) -> int:
        """How many sends may begin now."""
        return max(0, _whole(limit) - sum(count for _, count in self.at(now).sent))

    def spend(self, now: float, count: int = 1) -> Budget:
        """With ``count`` more sends, begun now."""
        current = list(self.at(now).sent)
        return Budget(tuple(_added(current, int(now), count)))

    def seconds_until_free(self, now: float, limit: float) -> float:
        """How long until a send may begin; 0 when one may begin now."""
        if self.left(now, limit) > 0:
            return 0.0
        over = sum(count for _, count in self.at(now).sent) - _whole(limit)
        for when, count in self.at(now).sent:
            over -= count
            if over < 0:
                return when + WINDOW_SECONDS + 1 - now
        return float(WINDOW_SECONDS + 1)


def _whole(limit: float) -> int:
    """At least one a minute, or a receiver with a rate such as ``30/h`` would never be told anything."""
    return max(1, int(limit))


def _added(sent: list[tuple[int, int]], second: int, count: int) -> list[tuple[int, int]]:
    if sent and sent[-1][0] == second:
        return [*sent[:-1], (second, sent[-1][1] + count)]
    return [*sent, (second, count)]
