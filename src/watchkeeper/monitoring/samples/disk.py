"""The few things that the sample store asks of a file system, behind one port.

Always true: a call either did all of what it says or raises ``OSError``. Tests stand in front of this
port to fill the disk, tear a write or fail an fsync (tests/monitoring/samples/test_full_disk.py).
"""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The machine's file system."""

    def create(self, path: Path) -> int:
        """A new, empty file open for appending; the one that was there is replaced."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o640)

    def open(self, path: Path) -> int:
        """A file that is there, open for appending."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of ``data``. After an error some of it may be in the file."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def fsync_directory(self, path: Path) -> None:
        """Make the names in ``path`` durable: a new file is not there after a power cut without it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def publish(self, path: Path, data: bytes) -> None:
        """``path`` holds ``data``, durably, or what it held before."""
        draft = path.with_name(path.name + ".tmp")
        descriptor = self.create(draft)
        try:
            self.write(descriptor, data)
            self.fsync(descriptor)
        finally:
            self.close(descriptor)
        self.rename(draft, path)
        self.fsync_directory(path.parent)


def set_aside(disk: Disk, path: Path) -> Path:
    """Rename a damaged file so that nothing reads it again and nobody loses it; the new name."""
    target = path.with_name(path.name + ".corrupt")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.corrupt{number}")
    disk.rename(path, target)
    disk.fsync_directory(path.parent)
    return target
