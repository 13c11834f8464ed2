"""Times on the wall clock as moments: what a rota's handovers and a maintenance window's openings share.

Always true: a wall-clock time that a change of the clocks skips comes as much later as the clocks were put
forward; one that comes twice means the first (PEP 495, fold 0). tests/oncall/test_turns.py,
tests/monitoring/test_maintenance.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which clocks in ``zone`` show the naive ``local``."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
