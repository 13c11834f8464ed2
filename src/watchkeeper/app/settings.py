"""Where this deployment keeps its things. Policy is in the runbook; this is only places.

Each setting comes from its command-line option, else its environment variable, else the default here.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

RUNBOOK_VARIABLE = "WATCHKEEPER_RUNBOOK"
OVERLAY_VARIABLE = "WATCHKEEPER_OVERLAY"
DATA_VARIABLE = "WATCHKEEPER_DATA"
LISTEN_VARIABLE = "WATCHKEEPER_LISTEN"
URL_VARIABLE = "WATCHKEEPER_URL"
STORE_VARIABLE = "WATCHKEEPER_STORE"
LOG_VARIABLE = "WATCHKEEPER_LOG"
DEFAULT_LISTEN = "127.0.0.1:8321"
_OURS = ("watchkeeper.db", "serve.lock", "samples", "runbook-in-force.json")


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, why, and what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``runbook``: the policy; ``overlay``: this deployment's targets and receivers, merged over it;
    ``data``: the directory of state, samples and sockets; ``host`` and ``port``: where HTTP listens;
    ``url``: where people reach that, for the links in pages; ``store``: the database's URL, where state is
    not kept in ``data``. It may hold a password: show :attr:`state_shown` instead."""

    runbook: Path
    overlay: Path | None
    data: Path
    host: str
    port: int
    url: str
    store: str | None = field(default=None, repr=False)

    @property
    def state(self) -> Path | str:
        """What :func:`watchkeeper.store.database.open_store` opens."""
        return self.store or self.data

    @property
    def state_shown(self) -> str:
        """The same, for people. Raises :class:`StoreError` for what is no URL of a store."""
        from watchkeeper.store.postgresql import parse, shown  # SQLAlchemy takes its time to be imported

        return str(self.data) if self.store is None else shown(parse(self.store))

    @property
    def listen(self) -> str:
        """``host:port``, as the setting is written."""
        return _host_port(self.host, self.port)

    @property
    def watch_socket(self) -> Path:
        """Where the role ``watch`` answers questions about samples and rules."""
        return self.data / "watch.sock"

    @property
    def backups(self) -> Path:
        """Where copies of the store are kept."""
        return self.data / "backups"

    @property
    def work_socket(self) -> Path:
        """Where the role ``work`` answers questions about deliveries."""
        return self.data / "work.sock"


def read_settings(
    runbook: Path | None = None,
    overlay: Path | None = None,
    data: Path | None = None,
    listen: str | None = None,
    url: str | None = None,
    store: str | None = None,
) -> Settings:
    """The settings in force. Raises :class:`SettingsError` for an address or a store that is none."""
    environ = os.environ
    chosen_overlay = overlay or _path(environ.get(OVERLAY_VARIABLE))
    host, port = parse_listen(listen or environ.get(LISTEN_VARIABLE) or DEFAULT_LISTEN)
    return Settings(
        runbook=(runbook or _path(environ.get(RUNBOOK_VARIABLE)) or Path("runbook.yaml")).absolute(),
        overlay=chosen_overlay.absolute() if chosen_overlay else None,
        data=(data or _path(environ.get(DATA_VARIABLE)) or Path(".watchkeeper")).absolute(),
        host=host,
        port=port,
        url=_base_url(url or environ.get(URL_VARIABLE)) or f"http://{_host_port(host, port)}",
        store=_store(store or environ.get(STORE_VARIABLE)),
    )


def parse_listen(text: str) -> tuple[str, int]:
    """``host:port`` as a pair; ``:8321`` and ``8321`` mean that port on 127.0.0.1."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise SettingsError(
            f"the address to listen on is {text!r}; write host:port, for example {DEFAULT_LISTEN}"
        )
    return host, int(port)


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _base_url(text: str | None) -> str | None:
    """``text`` without a slash at its end. Raises :class:`SettingsError` for what nobody could open."""
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username or not text.isprintable():
        raise SettingsError(
            f"{URL_VARIABLE} (--url) is {text!r}; write where people reach Watchkeeper, "
            "for example https://watchkeeper.example.com"
        )
    return text.rstrip("/")


def _store(text: str | None) -> str | None:
    """``text``, if it is a URL; it is not shown where it is none, because it may hold a password."""
    if text and "://" not in text:
        raise SettingsError(
            f"{STORE_VARIABLE} (--store) is no URL; write it like postgresql://watchkeeper@db.example.com/"
            "watchkeeper, or leave it out: then state is kept in the data directory"
        )
    return text or None


def prepare_data_directory(data: Path) -> None:
    """Make the data directory for this user alone: it holds state, and sockets that obey whoever connects.

    A directory that others may enter is closed to them only if it is empty or ours: never somebody's home
    or ``/tmp``. Raises :class:`SettingsError`.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = data.stat()
        if stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.getuid():
            names = [entry.name for entry in os.scandir(data)]
            if names and not any(name in _OURS for name in names):
                raise SettingsError(
                    f"the data directory {data} is open to other users and holds other things "
                    f"({names[0]}); nothing was changed. Name a directory for Watchkeeper alone "
                    f"with --data or {DATA_VARIABLE}."
                )
            data.chmod(0o700)
        if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SettingsError(
            f"the data directory {data} cannot be used: {error.strerror}; "
            f"--data or {DATA_VARIABLE} names another one"
        ) from None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
