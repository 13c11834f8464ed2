"""docs/notifications.md and docs/journal.md say what the code does: their examples run here."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.notify.conftest import Make
from watchkeeper.cli.journal import app
from watchkeeper.notify import accounts, health, webhook
from watchkeeper.notify.webhook import IDEMPOTENCY_HEADER, SIGNATURE_HEADER
from watchkeeper.runbook.models.notifications import Notifications
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store

DOCS = Path(__file__).parents[2] / "docs"
NOTIFICATIONS = (DOCS / "notifications.md").read_text(encoding="utf-8")
JOURNAL = (DOCS / "journal.md").read_text(encoding="utf-8")


def _blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


def test_the_example_of_a_notifications_section_is_valid() -> None:
    section = Notifications.model_validate(yaml.safe_load(_blocks(NOTIFICATIONS, "yaml")[0])["notifications"])
    assert [receiver.kind for receiver in section.receivers] == ["pagerduty", "webhook"]


@pytest.mark.parametrize("block", _blocks(NOTIFICATIONS, "yaml"))
def test_every_example_of_the_section_is_valid(block: str) -> None:
    assert Notifications.model_validate(yaml.safe_load(block)["notifications"]).receivers


def test_the_example_of_checking_a_signature_checks_ours() -> None:
    names: dict[str, Any] = {}
    exec(_blocks(NOTIFICATIONS, "python")[0], names)
    genuine: Callable[[str, bytes, str], bool] = names["genuine"]
    header = webhook.sign(b"body", "secret", SystemClock().now())
    assert genuine(header, b"body", "secret")
    assert not genuine(header, b"other", "secret")
    assert not genuine(webhook.sign(b"body", "secret", datetime(2020, 1, 1, tzinfo=UTC)), b"body", "secret")


def test_the_example_of_an_event_has_the_fields_that_are_sent(make: Make, now: datetime) -> None:
    shown = json.loads(_blocks(NOTIFICATIONS, "json")[0])
    sent = webhook.event(make(), "id", "Treazr Island", now)
    assert list(shown) == list(sent)
    assert shown["source"] == sent["source"]
    assert set(shown["data"]) - {"..."} <= set(sent["data"])


def test_headers_kinds_and_limits_are_those_of_the_code() -> None:
    for word in (SIGNATURE_HEADER, IDEMPOTENCY_HEADER, accounts.FAILED, accounts.RECEIVER_FAILING):
        assert f"`{word}`" in NOTIFICATIONS
    for kind in (accounts.DELIVERED, accounts.FAILED, accounts.RECEIVER_FAILING, accounts.RECEIVER_RECOVERED):
        assert f"`{kind}`" in JOURNAL
    assert health.MAX_SECONDS == health.MAX_RETRY_AFTER_SECONDS == 300
    assert health.PROBE_SECONDS == 60
    assert health.DOWN_AFTER == 3


COMMANDS = [
    line for page in (NOTIFICATIONS, JOURNAL) for b in _blocks(page, "console") for line in b.splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_shown_runs(command: str, tmp_path: Path, now: datetime) -> None:
    with open_store(tmp_path) as store, store.write() as conn:
        journal.append(conn, now, "k", "a", "s", {})
    words = shlex.split(command)
    assert words[:2] == ["watchkeeper", "journal"]
    result = CliRunner().invoke(app, [*words[2:], "--data", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_the_example_of_a_hash_is_right(tmp_path: Path, now: datetime) -> None:
    with open_store(tmp_path) as store, store.write() as conn:
        journal.append(
            conn, now, "alert.firing", "watch", "alert:1", {"summary": "7 % fail"}, [("m.api", "missed")]
        )
        assert f"Its hash is `{journal.head(conn).hash}`" in JOURNAL
