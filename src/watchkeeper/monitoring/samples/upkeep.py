"""What happens to samples after they are in the log: made durable, turned into parts, merged, let go.

Always true: a segment of the log is deleted only when its part is durable and memory would not need it
after a restart; a part only when the part that replaces it is durable, or retention says so. Every step
is bounded and runs beside the scraping; a step that the disk refuses is reported and tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.monitoring.samples.compaction import Merged, merge
from watchkeeper.monitoring.samples.disk import Disk, set_aside
from watchkeeper.monitoring.samples.errors import CorruptError, Problem, SampleStoreError
from watchkeeper.monitoring.samples.head import NEVER_MS
from watchkeeper.monitoring.samples.jobs import Jobs
from watchkeeper.monitoring.samples.log import Log
from watchkeeper.monitoring.samples.parts import Part
from watchkeeper.monitoring.samples.retention import Held, expired, to_merge
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.timeline import Span, merged
from watchkeeper.monitoring.samples.transpose import transpose

_LOG = logging.getLogger(__name__)
RETRY_MS = 5_000
"""How long after a failed write the disk is tried again."""
HOLD_MS = 24 * 3_600_000
"""How long nothing is deleted for its age after the wall clock leapt: it may be wrong."""
LEAP_MS = 3_600_000


Persisted = Callable[[Segment, dict[str, int]], None]
"""Told that a segment has its part, with the newest time of each group key in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept where: all in milliseconds or bytes."""

    window_ms: int
    retention_ms: int
    retention_bytes: int
    sync_ms: int
    segment_ms: int
    segment_bytes: int


_TEXTS = {
    "parts-write": "older samples cannot be written to {directory}: {error}. They stay in the log; it is"
    " tried again.",
    "parts-merge": "older samples cannot be put together in {directory}: {error}. Nothing is lost; it is"
    " tried again.",
    "delete": "samples past their retention cannot be deleted in {directory}: {error}. It is tried again.",
}


class Troubles:
    """What is wrong now, by its name; :class:`~.errors.Health` is made of it."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def add(self, what: str, text: str, now_ms: int) -> bool:
        """``what`` is wrong; whether that is news."""
        known = self._problems.get(what)
        self._problems[what] = Problem(what, text, known.since_ms if known else now_ms)
        return known is None

    def over(self, what: str) -> None:
        """``what`` is wrong no more."""
        if self._problems.pop(what, None) is not None:
            _LOG.info("sample store: the trouble with %s is over", what)

    def all(self) -> tuple[Problem, ...]:
        return tuple(self._problems.values())


class Upkeep:
    """The closed segments and the parts in ``directory``, and the work that waits for them."""

    def __init__(self, directory: Path, disk: Disk, limits: Limits, jobs: Jobs, troubles: Troubles) -> None:
        self.directory = directory
        self.parts: list[Part] = []
        self.segments: list[Segment] = []
        self._disk = disk
        self._limits = limits
        self._jobs = jobs
        self._troubles = troubles
        self._synced_ms = 0.0
        self._tried_ms: dict[str, float] = {}
        self._checked_ms = float("-inf")
        self._now_ms = 0
        self._hold_until_ms = float("-inf")

    # -- opening -------------------------------------------------------------------------------

    def open_parts(self) -> None:
        """Open every part; set aside what is damaged, remove what a merged part has replaced."""
        for draft in self.directory.glob("*.part.tmp"):
            self._disk.unlink(draft)
        for path in sorted(self.directory.glob("*.part")):
            try:
                self.parts.append(Part(path))
            except (CorruptError, OSError) as error:
                aside = set_aside(self._disk, path)
                _LOG.error("%s. The part is set aside as %s; all others are in use", error, aside)
        for part in list(self.parts):
            if any(
                other is not part and other.first_seq <= part.first_seq and part.last_seq <= other.last_seq
                for other in self.parts
            ):
                _LOG.info("%s was merged before a crash, and is removed", part.path)
                self.parts.remove(part)
                self._disk.unlink(part.path)

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Segments found at the start; those that have a part already need none."""
        for segment in segments:
            segment.transposed = self.covers(segment.seq)
        self.segments += segments

    def covers(self, seq: int) -> bool:
        """Is there a part with what segment ``seq`` holds?"""
        return any(part.first_seq <= seq <= part.last_seq for part in self.parts)

    def not_in_log_ms(self, epoch: int, from_ms: int) -> int:
        """The newest time that only parts have, as epoch ``epoch``, which began at ``from_ms``, sees it."""
        first = min((segment.seq for segment in self.segments), default=1 << 62)
        newest = NEVER_MS
        for part in self.parts:
            if part.last_seq < first:
                hidden = part.epoch < epoch and part.max_ms >= from_ms
                newest = max(newest, from_ms - 1 if hidden else part.max_ms)
        return newest

    def spans(self, current: Span) -> list[Span]:
        """What every epoch has covered."""
        held = [Span(part.epoch, part.from_ms, part.max_ms) for part in self.parts]
        held += [Span(one.epoch, one.from_ms, one.max_ms) for one in self.segments]
        return merged([*held, current])

    def latest_epoch(self) -> tuple[int, int]:
        """The epoch that was current last, and when it began."""
        known = [(part.epoch, part.from_ms) for part in self.parts]
        known += [(segment.epoch, segment.from_ms) for segment in self.segments]
        return max(known, default=(0, NEVER_MS))

    @property
    def log_bytes(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def part_bytes(self) -> int:
        return sum(part.size for part in self.parts)

    # -- working -------------------------------------------------------------------------------

    def sync(self, log: Log, monotonic_ms: float, failed: Callable[[OSError, float], None]) -> None:
        """Have the log made durable, if the last time is long enough ago."""
        if self._jobs.busy("sync") or monotonic_ms - self._synced_ms < self._limits.sync_ms:
            return
        handle = log.sync_handle()
        before_ms, self._synced_ms = self._synced_ms, monotonic_ms
        if handle is None:
            return

        def broken(error: OSError | SampleStoreError) -> None:
            failed(error if isinstance(error, OSError) else OSError(str(error)), before_ms)

        self._jobs.run("sync", lambda: log.sync(handle), lambda _: None, broken)

    def work(self, now_ms: int, monotonic_ms: float, persisted: Persisted, busy_log: int) -> None:
        """Start the next piece of work, if there is any. ``busy_log``: bytes of the open segment."""
        self._now_ms = now_ms
        if monotonic_ms - self._checked_ms >= 60_000:
            self._checked_ms = monotonic_ms
            self.report_set_aside()
        if self._jobs.busy("parts"):
            return
        waiting = next((one for one in self.segments if not one.transposed), None)
        if waiting is not None:
            if self._may_try("parts-write", monotonic_ms):
                self._transpose(waiting, monotonic_ms, persisted)
            return
        try:
            self._let_go(now_ms, busy_log, held=monotonic_ms < self._hold_until_ms)
            self._troubles.over("delete")
        except OSError as error:
            self._failed("delete", monotonic_ms)(error)
        held = {self._held(part): part for part in self.parts}
        first_seq = min((segment.seq for segment in self.segments), default=1 << 62)
        together = to_merge(list(held), now_ms=now_ms, log_from_seq=first_seq)
        if together and self._may_try("parts-merge", monotonic_ms):
            self._merge([held[one] for one in together], monotonic_ms)

    def hold_after_gap(self, now_ms: int, monotonic_ms: float) -> None:
        """Before the samples of the last day there are none for an hour or more: until that is a day ago,
        delete nothing for its age alone. The store rested, or the wall clock leapt and may be wrong.
        """
        times = [(part.max_ms, part.min_ms) for part in self.parts]
        times += [(one.max_ms, one.max_ms) for one in self.segments if one.max_ms > NEVER_MS]
        begin_ms = min((first for last, first in times if last >= now_ms - HOLD_MS), default=now_ms)
        if any(last < begin_ms - LEAP_MS for last, _ in times):
            self._hold_until_ms = monotonic_ms + begin_ms + HOLD_MS - now_ms

    def _let_go(self, now_ms: int, busy_log: int, *, held: bool) -> None:
        """Delete what is in parts and no longer needed in the log, and what retention says."""
        self._drop_segments()
        parts = {self._held(part): part for part in self.parts}
        going = expired(
            list(parts),
            now_ms=now_ms,
            retention_ms=1 << 62 if held else self._limits.retention_ms,
            retention_bytes=self._limits.retention_bytes,
            log_bytes=self.log_bytes + busy_log,
        )
        self._delete([parts[one] for one in going])

    def report_damage(self, part: Part, error: CorruptError) -> None:
        """A reader met damage in ``part``; the rest of it is still served."""
        _LOG.error("%s. The samples there cannot be shown; the rest of the part is", error)
        text = f"{error}. The samples there cannot be shown; everything else is. Restore the file if you can."
        self._troubles.add(f"damaged:{part.path.name}", text, self._now_ms)

    def report_set_aside(self) -> None:
        """Tell of the damaged files that wait for somebody to look at them."""
        aside = sorted(path.name for path in self.directory.parent.glob("*/*.corrupt*"))
        if not aside:
            self._troubles.over("set-aside")
            return
        text = (
            f"{len(aside)} damaged file(s) were set aside in {self.directory.parent}: {', '.join(aside[:5])}."
            " What was readable is in use. Check the disk; remove the files when they are of no more use."
        )
        self._troubles.add("set-aside", text, self._now_ms)

    def _may_try(self, what: str, monotonic_ms: float) -> bool:
        return monotonic_ms - self._tried_ms.get(what, float("-inf")) >= RETRY_MS

    def _transpose(self, segment: Segment, monotonic_ms: float, persisted: Persisted) -> None:
        def done(result: tuple[Part | None, dict[str, int]]) -> None:
            part, newest = result
            segment.transposed = True
            if part is not None:
                self.parts.append(part)
            persisted(segment, newest)
            self._troubles.over("parts-write")

        work = lambda: transpose(self._disk, segment, self.directory)  # noqa: E731
        self._jobs.run("parts", work, done, self._failed("parts-write", monotonic_ms))

    def _merge(self, parts: list[Part], monotonic_ms: float) -> None:
        def done(result: Merged) -> None:
            self.parts = [part for part in self.parts if part not in parts]
            if result.part is not None:
                self.parts.append(result.part)
            self._troubles.over("parts-merge")
            for part in parts:
                self._troubles.over(f"damaged:{part.path.name}")
            try:
                for part in parts:
                    if part in result.damaged:
                        set_aside(self._disk, part.path)
                        self._checked_ms = float("-inf")
                    else:
                        self._disk.unlink(part.path)
            except OSError as error:  # the next start removes what the merged part covers
                _LOG.warning("a part that was merged could not be removed: %s", error)

        work = lambda: merge(self._disk, parts, self.directory)  # noqa: E731
        self._jobs.run("parts", work, done, self._failed("parts-merge", monotonic_ms))

    def _failed(self, what: str, monotonic_ms: float) -> Callable[[OSError | SampleStoreError], None]:
        def failed(error: OSError | SampleStoreError) -> None:
            self._tried_ms[what] = monotonic_ms
            text = _TEXTS[what].format(directory=self.directory, error=error)
            if self._troubles.add(what, text, self._now_ms):
                _LOG.error("%s", text)

        return failed

    def _drop_segments(self) -> None:
        """Delete the oldest segments while memory has no use for them after a restart."""
        horizon_ms = self._now_ms - self._limits.window_ms
        while self.segments and self.segments[0].transposed:
            oldest = self.segments[0]
            hidden_from = [one.from_ms for one in self.segments if one.epoch > oldest.epoch]
            if min([oldest.max_ms, *hidden_from]) >= horizon_ms:
                break
            self._disk.unlink(oldest.path)
            del self.segments[0]

    def _delete(self, parts: list[Part]) -> None:
        for part in parts:
            _LOG.info("samples from before %d ms leave with %s (retention)", part.max_ms, part.path.name)
            self.parts.remove(part)
            self._disk.unlink(part.path)
            self._troubles.over(f"damaged:{part.path.name}")

    @staticmethod
    def _held(part: Part) -> Held:
        return Held(part.min_ms, part.max_ms, part.size, part.first_seq, part.last_seq, part.epoch)
