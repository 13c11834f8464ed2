"""Debian's Prometheus, as a peer in tests: a real one, with its own data, on loopback."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest

from tests.app.serving import free_port

BINARY = shutil.which("prometheus")


def needs_prometheus(test: Any) -> Any:
    """Marks a test that runs Prometheus; it is skipped, with a line that says so, where there is none."""
    absent = pytest.mark.skipif(BINARY is None, reason="prometheus is not installed")
    return pytest.mark.needs_prometheus(absent(test))


class Prometheus:
    """Scrapes one target every second. Use as a context manager."""

    def __init__(self, home: Path, address: str, labels: dict[str, str], job: str = "shop") -> None:
        assert BINARY is not None
        home.mkdir(parents=True, exist_ok=True)
        shown = ", ".join(f"{name}: {value}" for name, value in labels.items())
        config = home / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            f"scrape_configs:\n  - job_name: {job}\n    static_configs:\n"
            f'      - {{targets: ["{address}"], labels: {{{shown}}}}}\n'
        )
        self.url = f"http://127.0.0.1:{free_port()}"
        self._command = [
            BINARY,
            f"--config.file={config}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=error",
        ]
        self._log = (home / "prometheus.log").open("ab")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        end = time.monotonic() + 20
        while not self._ready():
            assert time.monotonic() < end, "Prometheus did not start"
            time.sleep(0.1)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._log.close()

    def stop(self) -> None:
        """End it; stopping twice is harmless."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
