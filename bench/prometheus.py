"""Debian's Prometheus as the peer: a real one, with its own configuration and data, on loopback."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from bench.processes import Child, free_port, wait_for_http

BINARY = shutil.which("prometheus")


class Prometheus(Child):
    """A Prometheus that scrapes ``targets`` (host:port) every ``interval`` with their ``labels``."""

    def __init__(
        self, directory: Path, scrape_configs: list[dict[str, Any]], interval: str, *flags: str
    ) -> None:
        if BINARY is None:
            raise RuntimeError("this bench needs Prometheus: apt-get install prometheus")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = directory / "prometheus.yml"
        self._content: dict[str, Any] = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "scrape_configs": scrape_configs,
        }
        self._write()
        super().__init__(
            [
                BINARY,
                f"--config.file={self._config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=warn",
                *flags,
            ],
            directory / "prometheus.log",
        )
        wait_for_http(f"{self.url}/-/ready", self)

    def _write(self) -> None:
        self._config.write_text(yaml.safe_dump(self._content))

    def load_rules(self, files: list[Path]) -> None:
        """Evaluate the rules of ``files`` from now on."""
        self._content["rule_files"] = [str(file) for file in files]
        self._write()
        self.signal(signal.SIGHUP)

    def alert_to(self, address: str) -> None:
        """Send alerts to the Alertmanager at ``address`` (host:port) from now on."""
        self._content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
        self._write()
        self.signal(signal.SIGHUP)

    def value(self, expression: str) -> float:
        """The only value that ``expression`` gives; 0 if it gives none."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def metric(self, name: str) -> float:
        """The sum of one of Prometheus' own metrics, read from its /metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))
        )
