"""The directory of a sample store, which one process writes at a time.

lock        who writes here
log/        the write-ahead log, one file per ten minutes
parts/      older samples, by column
metadata.json
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from watchkeeper.monitoring.samples.errors import SampleStoreError, StoreLockedError


class LockedDirectory:
    """Made if it is not there, and ours until :meth:`release` or the end of the process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        self.parts = root / "parts"
        self.metadata = root / "metadata.json"
        try:
            for path in (root, self.log, self.parts):
                path.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise self.unusable(error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreLockedError(
                f"the sample store in {root} is in use by another process (pid {holder}). Nothing was"
                " changed. Stop that process, or use another directory."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def unusable(self, error: OSError) -> SampleStoreError:
        """What to say when the directory as a whole cannot be used."""
        return SampleStoreError(
            f"the sample store cannot use {self.root}: {error}. No sample was touched. Make the directory"
            " writable for this user, or choose another one."
        )

    def release(self) -> None:
        """Let another process have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
