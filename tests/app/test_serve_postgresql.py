"""The whole thing over PostgreSQL, as real processes: through an outage, and two machines on one store."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import Serving, deployment, one_page, resolved, scraping, until
from tests.postgresql import Server

SECRET = "hunter2-of-the-store"


@pytest.fixture
def database(postgresql: Server) -> Iterator[str]:
    with postgresql.store() as url:
        yield url


def command(serving: Serving, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of Watchkeeper, with the settings of ``serving``."""
    return subprocess.run(
        [sys.executable, "-m", "watchkeeper.cli.main", *words, "--data", str(serving.data)],
        capture_output=True,
        text=True,
        timeout=60,
        env=serving.environment,
    )


def test_an_episode_pages_once_and_resolves_though_the_database_is_away_in_it(
    tmp_path: Path, database: str, postgresql: Server
) -> None:
    url = database.replace("postgres@", f"postgres:{SECRET}@")
    with deployment(tmp_path, store=url) as (serving, shop, pagerduty):
        roles = serving.roles()
        for pid in roles.values():
            assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        shop.error_ratio = 0.2
        until(lambda: one_page(pagerduty), 30, "the page")
        assert serving.alert_state() == "firing"
        assert not (serving.data / "watchkeeper.db").exists()
        said = command(serving, "alerts", "ack", "--all", "--as", "ada")
        assert "ApiErrorRatePage" in said.stdout, said.stderr

        postgresql.stop()
        until(lambda: serving.ask("/readyz")[0] == 503, 30, "being said not to be ready")
        shop.error_ratio = 0.0
        time.sleep(3)
        said = command(serving, "journal", "tail")
        assert said.returncode == 1
        assert "cannot be reached" in said.stderr
        assert "Traceback" not in said.stderr
        assert SECRET not in said.stderr
        postgresql.start()
        until(serving.ready, 30, "being ready again")
        until(lambda: resolved(pagerduty), 30, "the resolve")

        assert serving.roles() == roles  # none had to be begun anew
        kinds = [entry["kind"] for entry in serving.journal()]
        assert kinds.count("alert.firing") == kinds.count("alert.resolved") == 1
        assert command(serving, "journal", "verify").returncode == 0
        assert SECRET not in str(serving.journal())
        assert serving.stop() == 0
    log = serving.log.read_text()
    assert "Traceback" not in log
    assert SECRET not in log
    assert f"state in postgresql://postgres@/{database.partition('?')[0].rpartition('/')[2]})" in log


def test_two_machines_share_a_store_and_each_page_goes_out_once(tmp_path: Path, database: str) -> None:
    with deployment(tmp_path / "one", store=database) as (first, shop, pagerduty):
        second = Serving(tmp_path / "two", scraping(shop, pagerduty), store=database)
        try:
            second.start()
            assert b"this one stands by" in second.ask("/readyz")[1]
            shop.error_ratio = 0.2
            until(lambda: one_page(pagerduty), 30, "the page")
            until(lambda: second.alert_state() == "firing", 10, "both knowing it")
            first.kill_tree()
            until(lambda: b"stands by" not in second.ask("/readyz")[1], 30, "taking over")
            shop.error_ratio = 0.0
            until(lambda: resolved(pagerduty), 30, "the resolve")
            assert [event.action for event in pagerduty.events] == ["trigger", "resolve"]
            kinds = [entry["kind"] for entry in second.journal()]
            assert kinds.count("alert.firing") == kinds.count("alert.resolved") == 1
            assert kinds.count("notification.delivered") == 2
            assert second.stop() == 0
        finally:
            second.close()
