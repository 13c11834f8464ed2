"""One ``serve`` for one data directory and one address, checked before any role is started.

Always true: the lock is the kernel's and ends with the process that holds it, however that ended, so nothing
stale ever has to be cleaned up. An address that was just let go of is waited for; one that somebody else
listens on is refused with a sentence (tests/app/test_instance.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from watchkeeper.app.settings import LISTEN_VARIABLE, Settings, SettingsError
from watchkeeper.store.clock import Clock

FILE_NAME = "serve.lock"
PATIENCE_SECONDS = 3.0
"""The roles of a supervisor that was killed need a moment to end."""
_PAUSE_SECONDS = 0.1


@contextlib.contextmanager
def sole_instance(data: Path, clock: Clock) -> Iterator[None]:
    """Hold the data directory. Raises :class:`SettingsError` where another ``serve`` does."""
    path = data / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"{path} cannot be opened: {error.strerror}; nothing was started") from None
    try:
        end = clock.monotonic() + PATIENCE_SECONDS
        while not _locked(descriptor):
            if clock.monotonic() >= end:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                raise SettingsError(
                    f"another `watchkeeper serve` (process {holder or 'unknown'}) runs on {data}; "
                    "nothing was started. End that one, or give this one a directory of its own with --data."
                )
            clock.sleep(_PAUSE_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def bind(settings: Settings) -> socket.socket:
    """A socket bound to the address of ``settings``. Raises :class:`SettingsError` where that cannot be."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refused(settings, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise _refused(settings, error) from None
    return listener


def check_address(settings: Settings, clock: Clock) -> None:
    """See whether the role ``web`` will be able to listen. Raises :class:`SettingsError`."""
    end = clock.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            bind(settings).close()
        except SettingsError:
            if clock.monotonic() >= end:
                raise
            clock.sleep(_PAUSE_SECONDS)
        else:
            return


def _refused(settings: Settings, error: OSError) -> SettingsError:
    return SettingsError(
        f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
        f"--listen or {LISTEN_VARIABLE} names another address"
    )
