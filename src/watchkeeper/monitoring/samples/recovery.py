"""Opening a directory: from what is on disk to where the store stood.

Always true: opening never fails because of damage to a file, only because the directory cannot be used
at all; whatever is read is in memory as it was (tests/monitoring/samples/test_crash.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from watchkeeper.monitoring.labels import LabelStore
from watchkeeper.monitoring.samples.directory import LockedDirectory
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.group import Group
from watchkeeper.monitoring.samples.head import NEVER_MS
from watchkeeper.monitoring.samples.replay import Replay, find_segments
from watchkeeper.monitoring.samples.timeline import JUMP_MS, Era, turned
from watchkeeper.monitoring.samples.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where to go on: next segment, next series, the era, and up to when samples are on disk only."""

    next_seq: int
    next_serial: int
    era: Era
    on_disk_ms: int


def recover(
    directory: LockedDirectory,
    disk: Disk,
    upkeep: Upkeep,
    labels: LabelStore,
    group_of: Callable[[str, bool], Group],
    groups: Callable[[], Iterable[Group]],
    now_ms: int,
) -> Recovered:
    """Open the parts, read the log into groups, and judge the clock against what was found."""
    upkeep.open_parts()
    found = find_segments(disk, directory.log)
    shelved_ms = NEVER_MS

    def newest() -> int:
        return max((group.head.last_ms for group in groups()), default=NEVER_MS)

    def cut(from_ms: int) -> None:
        nonlocal shelved_ms
        shelved_ms = max(shelved_ms, newest())
        for group in groups():
            group.cut(from_ms - 1)

    Replay(disk, found, group_of, labels.intern, cut, upkeep.covers).run()
    upkeep.adopt(found.segments)
    upkeep.report_set_aside()
    epoch, from_ms = upkeep.latest_epoch()
    shelved_ms = max([shelved_ms, *(part.max_ms for part in upkeep.parts if part.epoch < epoch)])
    newest_ms = newest()
    on_disk_ms = max([upkeep.not_in_log_ms(epoch, from_ms), *(one.floor_ms for one in found.segments)])
    era = Era(epoch, from_ms, shelved_ms if shelved_ms > newest_ms else None)
    if newest_ms > now_ms + JUMP_MS:
        era, more_ms = turned(era, now_ms - newest_ms, now_ms, newest_ms)
    else:  # if something is shelved ahead of the newest row, the time in between is not ours to hide
        era, more_ms = turned(era, 1 if era.shelved_ms is not None else 0, now_ms, newest_ms)
    if era.epoch != epoch:
        for group in groups():
            group.cut(era.from_ms - 1)
    next_seq = max([found.next_seq, *(part.last_seq + 1 for part in upkeep.parts)])
    return Recovered(next_seq, found.next_serial, era, max(on_disk_ms, more_ms))
