"""``watchkeeper serve`` as a real process tree on a small runbook, to be started, killed and questioned.

Whatever a test does, :meth:`Serving.close` leaves no process of its tree behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil

from tests.api_tokens import token_for
from tests.fakes.exporter import Ask, Exporter, Reply
from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from watchkeeper.demo.children import free_ports

_ports: list[int] = []

RUNBOOK = """
runbook: 1
platform: Test
monitoring:
  layers:
    - id: api
      title: API
      signals:
        - id: error-rate
          title: HTTP error rate
          expr: |
            sum by (service, env, region) (rate(http_requests_total{status="500"}[$window]))
              / sum by (service, env, region) (rate(http_requests_total[$window]))
          page: {above: 5%, over: 3s, for: 1s}
      playbook: look
playbooks:
  look:
    title: Look
    steps:
      - {id: see, action: kubernetes.pods}
"""
METRICS = """
metrics:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  scrape_configs:
    - job_name: shop
      static_configs:
        - {targets: ["TARGET"], labels: {service: shop, env: test, region: here}}
"""
REMOTE = """
metrics:
  url: "URL"
  timeout: 5s
  evaluation_interval: 1s
"""
RECEIVER = """
notifications:
  receivers:
    - id: pagerduty
      pagerduty: {routing_key: {env: TEST_ROUTING_KEY}, url: "PAGERDUTY", timeout: 2s}
"""
ALERT = "ApiErrorRatePage"
LABELS = {"service": "shop", "env": "test", "region": "here"}


class Shop:
    """A service whose requests end with 500 as often as it is told; a hundred requests for each scrape."""

    def __init__(self) -> None:
        self.error_ratio = 0.0
        self._good = self._bad = 0.0
        self.exporter = Exporter({"/metrics": self._metrics})

    def _metrics(self, _: Ask) -> Reply:
        self._bad += 100 * self.error_ratio
        self._good += 100 * (1 - self.error_ratio)
        text = (
            "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n"
            f'http_requests_total{{status="200"}} {self._good}\n'
            f'http_requests_total{{status="500"}} {self._bad}\n'
        )
        return Reply(text.encode())

    def __enter__(self) -> Self:
        self.exporter.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.exporter.close()


def free_port() -> int:
    """A TCP port that nothing listens on, and that nobody is given before it is listened on: neither another
    test process nor, as the kernel does with its own ports, an outgoing connection."""
    while True:
        if not _ports:
            _ports.extend(free_ports(50))
        port = _ports.pop()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def until(condition: Callable[[], Any], seconds: float = 15.0, what: str = "it") -> Any:
    """What ``condition`` returns once it is true; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)
    return found


def running(pid: int) -> bool:
    """Whether that process runs (one that only waits to be reaped does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Serving:
    """One deployment: a runbook, an overlay, a data directory, a port, and the processes if they run."""

    def __init__(self, home: Path, overlay: str, runbook: str = RUNBOOK, store: str | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.data = home / "data"
        self.environment = {**environment(), **({"WATCHKEEPER_STORE": store} if store else {})}
        self.state: Path | str = store or self.data
        self.runbook = home / "runbook.yaml"
        self.overlay = home / "overlay.yaml"
        self.log = home / "serve.log"
        self.runbook.write_text(runbook)
        self.overlay.write_text(overlay)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()
        self._token: str | None = None

    # -- processes -----------------------------------------------------------------------------

    def command(self, *more: str) -> list[str]:
        """The command line that serves this deployment."""
        return [
            *(sys.executable, "-m", "watchkeeper.cli.main", "serve"),
            *("--runbook", str(self.runbook), "--overlay", str(self.overlay)),
            *("--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"),
            *more,
        ]

    def start(self, *, ready: bool = True) -> Self:
        """Start it in a process group of its own; with ``ready``, wait until it says that it is."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        if ready:
            until(self.ready, 20, f"being ready ({self.log.read_text()[-2000:]})")
            self.roles()
        return self

    def refused(self, **options: Any) -> str:
        """Start it where it must refuse to; what it says."""
        done = subprocess.run(
            self.command(), capture_output=True, text=True, timeout=30, env=environment(), **options
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout
        said: str = done.stderr
        return said

    def roles(self) -> dict[str, int]:
        """The process id of each role that runs."""
        assert self.process is not None
        found = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, ValueError, IndexError):
                    words = child.cmdline()
                    found[words[words.index("role") + 1]] = child.pid
        self._seen.update(found.values())
        return found

    def kill(self, role: str) -> None:
        """kill -9 one role, and wait until another one of it runs."""
        before = self.roles()[role]
        os.kill(before, signal.SIGKILL)
        until(lambda: self.roles().get(role, before) != before, 10, f"a new {role}")

    def kill_tree(self) -> None:
        """kill -9 everything at once, as a power cut would."""
        assert self.process is not None
        self.roles()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._all_gone(5)

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it politely; its exit code."""
        assert self.process is not None
        self.roles()
        self.process.terminate()
        code = self.process.wait(20)
        self._all_gone(2)
        return code

    def _all_gone(self, seconds: float) -> None:
        until(lambda: not any(map(running, self._seen)), seconds, "the end of every process")
        self.process = None

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for pid in self._seen:
            if running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # -- questions -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body; status 0 where nobody answers."""
        try:
            request = urllib.request.Request(f"{self.url}{path}", headers=self.headers(path))
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def headers(self, path: str) -> dict[str, str]:
        """What a request of ``path`` needs: a token, unless it is open to everybody."""
        if not path.startswith("/api/"):
            return {}
        if self._token is None:
            self._token = token_for(self.state)
        return {"Authorization": f"Bearer {self._token}"}

    def ready(self) -> bool:
        """Whether every role works."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"it ended: {self.log.read_text()[-2000:]}")
        return self.ask("/readyz")[0] == 200

    def json(self, path: str) -> Any:
        """The document at ``path``; None where there is none right now."""
        status, body = self.ask(path)
        return json.loads(body) if status == 200 else None

    def query(self, expr: str) -> list[Any]:
        """The result of an instant query."""
        from urllib.parse import quote

        document = self.json(f"/api/v1/query?query={quote(expr)}")
        return [] if document is None else list(document["data"]["result"])

    def alert_state(self, name: str = ALERT) -> str:
        """The state of the alert, ``none`` where there is no such alert."""
        document = self.json("/api/v1/alerts") or {"data": {"alerts": []}}
        states = [a["state"] for a in document["data"]["alerts"] if a["labels"]["alertname"] == name]
        return states[0] if states else "none"

    def journal(self) -> list[dict[str, Any]]:
        """The journal, through the command line."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "watchkeeper.cli.main", "journal", "tail"),
                *("--json", "--lines", "10000", "--data", str(self.data)),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def environment() -> dict[str, str]:
    """What a child process gets: ours, without settings of Watchkeeper, and with the routing key."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATCHKEEPER_")}
    return {**clean, "TEST_ROUTING_KEY": ROUTING_KEY}


def scraping(shop: Shop, pagerduty: FakePagerDuty) -> str:
    """The overlay that watches ``shop`` and tells ``pagerduty``."""
    return METRICS.replace("TARGET", shop.exporter.address) + RECEIVER.replace("PAGERDUTY", pagerduty.url)


def remote(url: str, pagerduty: FakePagerDuty) -> str:
    """The overlay that asks the API at ``url`` and tells ``pagerduty``."""
    return REMOTE.replace("URL", url) + RECEIVER.replace("PAGERDUTY", pagerduty.url)


def one_page(pagerduty: FakePagerDuty) -> bool:
    """Whether PagerDuty has exactly one open incident; fails as soon as it ever had more than one trigger."""
    triggers = [event for event in pagerduty.events if event.action == "trigger"]
    assert len(triggers) <= 1, f"paged {len(triggers)} times"
    return len(pagerduty.open_incidents()) == 1


def resolved(pagerduty: FakePagerDuty) -> bool:
    """Whether somebody was paged and every incident is over."""
    return bool(pagerduty.events) and not pagerduty.open_incidents()


Deployment = tuple[Serving, Shop, FakePagerDuty]


@contextlib.contextmanager
def deployment(home: Path, *, start: bool = True, store: str | None = None) -> Iterator[Deployment]:
    """A shop, its Watchkeeper and its PagerDuty."""
    with Shop() as shop, FakePagerDuty() as pagerduty:
        serving = Serving(home, scraping(shop, pagerduty), store=store)
        try:
            if start:
                serving.start()
            yield serving, shop, pagerduty
        finally:
            serving.close()


def broken(text: str) -> str:
    """``text`` as a runbook that cannot be used."""
    return text + "\nmonitorring: {}\n"
