"""What every process of the demo is told at its start, and how it is found again: two JSON files.

Both hold credentials, so they are written with mode 0600 before anything is in them; no secret is ever in
an argument list or an environment variable.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from watchkeeper.demo.errors import DemoError

ENV = "demo"
"""The ``env`` label of every target."""
REGION = "eu-north"
DR_REGION = "eu-west"
BUCKET = "treazr-assets"
DATABASE = "treazr"
CONFIG_VARIABLE = "WATCHKEEPER_DEMO_CONFIG"
DIRECTORY_VARIABLE = "WATCHKEEPER_DEMO_DIR"

MIB = 1 << 20


@dataclass(frozen=True)
class Cluster:
    """One S3 cluster: where its parts listen, and what it may hold.

    ``grpc`` are the inner ports of master, volume server, filer and S3 gateway, in this order.
    """

    name: str
    region: str
    master: int
    volume: int
    filer: int
    s3: int
    metrics: int
    grpc: tuple[int, int, int, int]
    access_key: str
    secret_key: str
    capacity_bytes: int

    @property
    def endpoint(self) -> str:
        """The URL of its S3 gateway."""
        return f"http://127.0.0.1:{self.s3}"


@dataclass(frozen=True)
class Settings:
    """The whole demo in one value; ports are on 127.0.0.1, sizes in bytes."""

    directory: str
    postgres_port: int
    standby_port: int
    backend_port: int
    tls_port: int
    idp_port: int
    worker_port: int
    exporter_port: int
    load_port: int
    control_port: int
    primary: Cluster
    dr: Cluster
    app_password: str
    superuser_password: str
    password_seed: str
    control_token: str
    max_connections: int = 50
    database_quota_bytes: int = 256 * MIB
    requests_per_second: float = 40.0

    @property
    def path(self) -> Path:
        """The directory that holds everything of this demo."""
        return Path(self.directory)

    @property
    def clusters(self) -> tuple[Cluster, Cluster]:
        """Both S3 clusters, the primary first."""
        return (self.primary, self.dr)

    def dsn(self, *, superuser: bool = False, standby: bool = False) -> str:
        """A libpq connection string. The superuser may use the connections that are held back for it."""
        user, password = ("postgres", self.superuser_password) if superuser else ("treazr", self.app_password)
        port = self.standby_port if standby else self.postgres_port
        return (
            f"host=127.0.0.1 port={port} dbname={DATABASE} user={user} password={password} connect_timeout=5"
        )

    def save(self, path: Path) -> None:
        """Write it where only this user can read it."""
        write_private(path, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what :meth:`save` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Settings:
        """Build it from the parsed JSON of :meth:`save`."""
        clusters = {
            name: Cluster(**{**data[name], "grpc": tuple(data[name]["grpc"])}) for name in ("primary", "dr")
        }
        return cls(**{**data, **clusters})

    @classmethod
    def of_process(cls) -> Settings:
        """The settings of the process that the demo started, found through its environment."""
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            raise DemoError(
                f"{CONFIG_VARIABLE} is not set: this module is started by `watchkeeper demo start`."
            )
        return cls.load(Path(path))


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` at once, readable by this user only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    draft.replace(path)


def default_directory() -> Path:
    """Where the demo lives unless told otherwise: one place per user, so that ``break`` finds it."""
    given = os.environ.get(DIRECTORY_VARIABLE)
    return Path(given) if given else Path(tempfile.gettempdir()) / f"watchkeeper-demo-{os.getuid()}"
