"""Where this deployment keeps its things. Policy is in the runbook; this is only places.

Each setting comes from its command-line option, else its environment variable, else the default here.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

RUNBOOK_VARIABLE = "WATCHKEEPER_RUNBOOK"
OVERLAY_VARIABLE = "WATCHKEEPER_OVERLAY"
DATA_VARIABLE = "WATCHKEEPER_DATA"
LISTEN_VARIABLE = "WATCHKEEPER_LISTEN"
DEFAULT_LISTEN = "127.0.0.1:8321"


class SettingsError(ValueError):
    """A setting that cannot be used; the message says which, why, and what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``runbook``: the policy; ``overlay``: this deployment's targets and receivers, merged over it;
    ``data``: the directory of state, samples and sockets; ``host`` and ``port``: where HTTP listens."""

    runbook: Path
    overlay: Path | None
    data: Path
    host: str
    port: int

    @property
    def watch_socket(self) -> Path:
        """Where the role ``watch`` answers questions about samples and rules."""
        return self.data / "watch.sock"

    @property
    def work_socket(self) -> Path:
        """Where the role ``work`` answers questions about deliveries."""
        return self.data / "work.sock"

    @property
    def url(self) -> str:
        """The address of the HTTP side, for links in pages and for the command line."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def read_settings(
    runbook: Path | None = None,
    overlay: Path | None = None,
    data: Path | None = None,
    listen: str | None = None,
) -> Settings:
    """The settings in force. Raises :class:`SettingsError` for an address that is none."""
    environ = os.environ
    chosen_overlay = overlay or _path(environ.get(OVERLAY_VARIABLE))
    host, port = parse_listen(listen or environ.get(LISTEN_VARIABLE) or DEFAULT_LISTEN)
    return Settings(
        runbook=(runbook or _path(environ.get(RUNBOOK_VARIABLE)) or Path("runbook.yaml")).absolute(),
        overlay=chosen_overlay.absolute() if chosen_overlay else None,
        data=(data or _path(environ.get(DATA_VARIABLE)) or Path(".watchkeeper")).absolute(),
        host=host,
        port=port,
    )


def parse_listen(text: str) -> tuple[str, int]:
    """``host:port`` as a pair; ``:8321`` and ``8321`` mean that port on 127.0.0.1."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(
            f"the address to listen on is {text!r}; write host:port, for example {DEFAULT_LISTEN}"
        )
    return host, int(port)


def prepare_data_directory(data: Path) -> None:
    """Make the data directory for this user alone: it holds state, and sockets that obey whoever connects."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if data.stat().st_uid == os.getuid() and stat.S_IMODE(data.stat().st_mode) & 0o077:
            data.chmod(0o700)
    except OSError as error:
        raise SettingsError(
            f"the data directory {data} cannot be used: {error.strerror}; "
            f"--data or {DATA_VARIABLE} names another one"
        ) from None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
