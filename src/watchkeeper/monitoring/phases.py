"""When in its interval a target is visited: to have answered just before the rules are evaluated. Pure.

Rules are evaluated on whole multiples of their interval (``rules.py``). What a target says right after one of
these moments waits for almost the whole interval until a rule reads it; what it says right before, for no
time at all. How long a value stands at the target until it is scraped is the same on average wherever in the
interval the visits are. So the visits of a cycle lie before its evaluation, only as far apart as the work of
reading the answers needs; with very many targets that is the whole interval, as in Prometheus.

Always true (tests/monitoring/test_phases.py): the moment depends on the target's name, on how many targets
there are and on how long its answers take, so it is the same after a restart; a visit is begun at least
``FIRST_SECONDS``, and for a slow target longer than its answer takes (up to half a cycle), before the
evaluation; targets are spread over ``VISIT_SECONDS`` each. Where the interval of a target and that of the
rules are no multiples of each other nothing can be aligned, and targets are spread over their interval.
"""

from __future__ import annotations

from dataclasses import dataclass

VISIT_SECONDS = 0.004
"""Of the time before an evaluation, for each target. A visit costs 1 ms of CPU, and 1 µs a sample."""
FIRST_SECONDS = 0.05
"""How long before the evaluation the last visit begins, as long as it is answered within this time."""
HEADROOM = 1.25
"""A visit is to begin so many times before the evaluation as its answer takes."""
TOLERANCE_SECONDS = 0.02
"""A visit that is no more than this from its moment stays where it is."""
_HALF = 1 << 32


@dataclass(frozen=True, slots=True)
class Phases:
    """What the moments depend on, apart from each target itself.

    ``evaluated_every``: seconds between evaluations; None where nothing is evaluated here. ``targets``: how
    many there are.
    """

    evaluated_every: float | None = None
    targets: int = 1

    def cycle(self, interval: float) -> float | None:
        """Seconds until visits and evaluations stand to each other as before; None: they never do."""
        if self.evaluated_every is None:
            return None
        visits, evaluations = round(interval * 1000), round(self.evaluated_every * 1000)
        if visits % evaluations and evaluations % visits:
            return None
        return min(interval, self.evaluated_every)

    def offset(self, number: int, interval: float, took: float = 0.0) -> float:
        """The moment in the interval, in seconds from a whole multiple of it.

        ``number``: 64 bits made from the target's name; ``took``: seconds that its answers take.
        """
        cycle = self.cycle(interval)
        if cycle is None:
            return number / 2**64 * interval
        which, place = divmod(number, _HALF)
        evaluation = which * round(interval / cycle) // _HALF * cycle
        return (evaluation - self._lead(place / _HALF, cycle, took)) % interval

    def shift(self, number: int, interval: float, moment: float, took: float) -> float:
        """How many seconds a visit at ``moment`` (unix time) is to be moved: at most half a cycle.

        Negative: it is to be earlier. Zero where it is well enough where it is.
        """
        cycle = self.cycle(interval)
        if cycle is None:
            return 0.0
        apart = (self.offset(number, interval, took) - moment) % cycle
        nearest = apart - cycle if apart >= cycle / 2 else apart
        return nearest if abs(nearest) > TOLERANCE_SECONDS else 0.0

    def _lead(self, place: float, cycle: float, took: float) -> float:
        """Seconds from the visit to the evaluation. Grows by doubling, so that a visit seldom moves."""
        width = VISIT_SECONDS * float(1 << (max(1, self.targets) - 1).bit_length())
        answer = FIRST_SECONDS
        while answer < HEADROOM * took:
            answer *= 2
        return min(answer, cycle / 2) + place * min(width, cycle)
