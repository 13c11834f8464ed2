"""``watchkeeper receivers``: whether they can be told, and a test message, without a console."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from watchkeeper.cli.receivers import app
from watchkeeper.notify import health, state
from watchkeeper.notify.answers import try_again
from watchkeeper.notify.budget import Budget
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.receivers import build_receivers
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store

TEXT = """\
runbook: 1
platform: Island
notifications:
  receivers:
    - {{id: duty, title: On duty, pagerduty: {{routing_key: {{env: PD_KEY}}, url: "{url}"}}}}
    - {{id: hook, webhook: {{url: "https://hook.test/?key=SECRET"}}}}
"""


def write(data: Path, url: str = "https://pd.test/v2/enqueue") -> str:
    text = TEXT.format(url=url)
    (data / "runbook.yaml").write_text(text)
    return text


def run(data: Path, *arguments: str) -> Result:
    where = ["--data", str(data), "--runbook", str(data / "runbook.yaml")]
    return CliRunner().invoke(app, [*arguments, *where], color=True)


def test_the_list_says_how_each_receiver_fares_and_no_secret(data: Path) -> None:
    write(data)
    clock = SystemClock()
    with open_store(data) as store, store.write() as conn:
        failed, _ = health.after_failure(
            health.Health(), try_again("it answered 503\x1b[2J"), clock.now(), 0.5
        )
        state.save(conn, "hook", Budget(), failed)
    shown = run(data)
    assert shown.exit_code == 0, shown.output
    duty, hook = shown.stdout.splitlines()
    assert duty.startswith("◌ duty (On duty)  pagerduty · never told anything")
    assert hook.startswith("▲ hook  webhook · failing since ")
    assert "it answered 503" in hook
    assert "\x1b" not in shown.stdout
    assert "SECRET" not in shown.stdout
    assert [one["state"] for one in json.loads(run(data, "--json").stdout)] == ["unknown", "failing"]


def test_a_test_that_nobody_delivers_says_so(data: Path) -> None:
    write(data)
    result = CliRunner().invoke(
        app, ["test", "duty", "--wait", "0", "--data", str(data), "--runbook", str(data / "runbook.yaml")]
    )
    assert result.exit_code == 1
    assert "◌ the test (row 1): pending" in result.stdout
    assert "is `watchkeeper serve` running?" in result.stderr
    again = run(data, "test", "duty", "--wait", "0")
    assert again.exit_code == 1
    assert "a test of duty waits since" in again.stderr
    assert "no receiver 'nobody'" in run(data, "test", "nobody").stderr


def test_a_test_waits_for_what_becomes_of_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD_KEY", ROUTING_KEY)
    with FakePagerDuty() as fake, open_store(data) as store:
        runbook = load_bytes("runbook.yaml", write(data, fake.url).encode()).runbook
        built, _ = build_receivers(
            runbook.notifications.receivers[:1], HttpTransport(), {"PD_KEY": ROUTING_KEY}, platform="Island"
        )
        stop = threading.Event()
        delivery = threading.Thread(target=Deliverer(store, built.values(), SystemClock()).run, args=(stop,))
        delivery.start()
        try:
            result = run(data, "test", "duty", "--as", "grace", "--wait", "30")
        finally:
            stop.set()
            delivery.join()
        assert result.exit_code == 0, result.output
        assert result.stdout.count(": delivered after") == 2
        assert fake.open_incidents() == []
    assert run(data).stdout.startswith("● duty")


def test_without_a_store_and_with_a_broken_runbook_it_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    assert "there is no store" in run(tmp_path).stderr
    (tmp_path / "runbook.yaml").write_text("runbook: 2")
    assert run(tmp_path).exit_code == 1
