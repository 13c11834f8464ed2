"""How much the sample store holds, for the operators' screens and our own metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Times in milliseconds, None where there is no sample; ``rows`` and after: counted since the start.

    ``memory_bytes`` is samples and indexes, without the label sets themselves.
    """

    groups: int
    series: int
    memory_bytes: int
    disk_bytes: int
    parts: int
    segments: int
    oldest_ms: int | None
    newest_ms: int | None
    rows: int
    samples: int
    out_of_order: int
    duplicates: int
