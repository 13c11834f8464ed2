"""The write-ahead log: rows are in it before they are acknowledged.

Always true: what :meth:`Log.write` returned True for is in the operating system's hands, whole, so that
it survives ``kill -9`` of this process; after :meth:`Log.sync` it survives a power cut. A write that
fails leaves no part of itself behind that a reader could mistake for a record, closes the segment and
sets :attr:`Log.failure`; nothing is written until :meth:`Log.start` finds that there is room again
(tests/monitoring/samples/test_full_disk.py).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.segment import Segment, name_of

_LOG = logging.getLogger(__name__)


class Log:
    """The open segment in ``directory``, and those that were closed since the last :meth:`take_closed`."""

    def __init__(self, directory: Path, disk: Disk, next_seq: int) -> None:
        self.directory = directory
        self.current: Segment | None = None
        self.failure: OSError | None = None
        self.unsynced_bytes = 0
        self._disk = disk
        self._next_seq = next_seq
        self._descriptor = -1
        self._closed: list[Segment] = []

    def start(self, epoch: int, from_ms: int, floor_ms: int) -> bool:
        """Close the open segment and begin the next; False (and :attr:`failure`) if it cannot be."""
        path = self.directory / name_of(self._next_seq)
        segment = Segment(path, self._next_seq, epoch, from_ms, floor_ms)
        descriptor = -1
        try:
            descriptor = self._disk.create(path)
            self._disk.write(descriptor, segment.header())
            self._disk.fsync_directory(self.directory)
        except OSError as error:
            if descriptor >= 0:
                self._disk.close(descriptor)
            self._forget(path)
            self._fail(error)
            return False
        self.close()
        self._next_seq += 1
        self.current, self._descriptor = segment, descriptor
        self.unsynced_bytes = segment.size
        self.failure = None
        return True

    def write(self, data: bytes, newest_ms: int) -> bool:
        """Append whole records, the newest of them at ``newest_ms``; whether they are in the file."""
        segment = self.current
        if segment is None or self.failure is not None:
            return False
        try:
            self._disk.write(self._descriptor, data)
        except OSError as error:
            try:
                self._disk.truncate(self._descriptor, segment.size)
            except OSError as cut:
                _LOG.warning("%s keeps a partial record, which readers will skip: %s", segment.path, cut)
            self.close()
            self._fail(error)
            return False
        segment.size += len(data)
        segment.max_ms = max(segment.max_ms, newest_ms)
        self.unsynced_bytes += len(data)
        return True

    def sync_handle(self) -> int | None:
        """A descriptor of the open segment for :meth:`sync`, if there is anything to make durable."""
        if self._descriptor < 0 or not self.unsynced_bytes:
            return None
        self.unsynced_bytes = 0
        return os.dup(self._descriptor)

    def sync(self, handle: int) -> None:
        """Make durable what was written before :meth:`sync_handle`. May run in another thread."""
        try:
            self._disk.fsync(handle)
        finally:
            os.close(handle)

    def fail(self, error: OSError) -> None:
        """What was written may not be there (an fsync failed): close the segment, as after a failed write."""
        self.close()
        self._fail(error)

    def close(self) -> None:
        """Close the open segment."""
        if self.current is not None:
            self._disk.close(self._descriptor)
            self._closed.append(self.current)
        self.current, self._descriptor = None, -1

    def next_group(self, seq: int) -> int:
        """A number for one more group in segment ``seq``, which is the open one."""
        assert self.current is not None
        assert self.current.seq == seq
        self.current.groups += 1
        return self.current.groups

    def waiting(self) -> list[Segment]:
        """The segments that :meth:`take_closed` has not handed out, and the open one, oldest first."""
        return [*self._closed, *([self.current] if self.current is not None else [])]

    def take_closed(self) -> list[Segment]:
        """The segments closed since the last call, oldest first."""
        closed, self._closed = self._closed, []
        return closed

    def _fail(self, error: OSError) -> None:
        if self.failure is None:
            _LOG.error(
                "samples cannot be written to %s: %s. They are kept in memory; writing is tried again.",
                self.directory,
                error,
            )
        self.failure = error

    def _forget(self, path: Path) -> None:
        try:
            self._disk.unlink(path)
        except OSError as error:
            _LOG.warning("an empty segment could not be removed: %s", error)
