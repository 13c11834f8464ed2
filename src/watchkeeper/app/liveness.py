"""The two halves of ``watch`` look after each other: where one hangs, the process ends and is begun anew.

Always true: nothing short of a hang ends the process (what fails says so and is tried again), and it ends at
once, without waiting for what hangs; everything in it is made to survive that (tests/app/test_liveness.py).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from watchkeeper.store.clock import Clock

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0
"""Much longer than anything here takes: writers give up on the store after 15 s, requests sooner."""
EXIT_CODE = 70


class Liveness:
    """When each half last came by. Each calls :meth:`here` for itself and :meth:`check` for the other."""

    def __init__(self, clock: Clock, end: Callable[[int], object] = os._exit) -> None:
        self._clock = clock
        self._end = end
        self._seen: dict[str, float] = {}

    def here(self, half: str) -> None:
        """``half`` goes on."""
        self._seen[half] = self._clock.monotonic()

    def check(self, half: str, within_seconds: float = 0.0) -> None:
        """End the process if ``half`` did not come by, though it should every ``within_seconds``."""
        now = self._clock.monotonic()
        silent = now - self._seen.setdefault(half, now)
        if silent > within_seconds + PATIENCE_SECONDS:
            log.critical("%s has hung for %.0f s; the role is begun anew", half, silent)
            self._end(EXIT_CODE)
