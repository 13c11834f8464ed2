"""Names for processes that hold claims and leases, and whether such a process is known to be gone.

Always true here: a name is never reused, not after a restart of the process nor of the machine; ``is_gone``
says True only for a process of this machine that certainly ended, so that what it held can be taken at once
instead of after its lease (tests/store/test_owners.py).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

UNKNOWN = "unknown"


def this_process() -> str:
    """``host/boot/namespace/pid/start``: the boot's id, its namespace of pids, the start in clock ticks."""
    return f"{socket.gethostname()}/{_boot()}/{_namespace()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether the process of that name has certainly ended. False where that cannot be known from here."""
    try:
        host, boot, namespace, pid, started = owner.rsplit("/", 4)
        number = int(pid)
    except ValueError:
        return False
    if host != socket.gethostname() or UNKNOWN in (boot, namespace, started, _boot(), _namespace()):
        return False
    if boot != _boot():
        return True
    return namespace == _namespace() and _started(number) != started


def _namespace() -> str:
    """Process ids mean something only within one of these (a container has its own)."""
    try:
        return os.readlink("/proc/self/ns/pid").removeprefix("pid:")
    except OSError:
        return UNKNOWN


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return UNKNOWN


def _started(pid: int) -> str:
    """Field 22 of /proc/PID/stat; ``gone`` for a process that is not there or only waits to be reaped."""
    if not Path("/proc/self/stat").exists():
        return UNKNOWN
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "gone"
    fields = text.rpartition(")")[2].split()
    return "gone" if fields[0] in ("Z", "X") else fields[19]
