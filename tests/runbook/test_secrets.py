"""Where secrets are read: never in the runbook, and relative to it, not to whoever started the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.runbook.loading import load
from watchkeeper.runbook.models.metrics import BasicAuth
from watchkeeper.runbook.models.notifications import Webhook
from watchkeeper.runbook.models.secrets import Secret, SecretMissingError

RUNBOOK = """
runbook: 1
platform: Test
metrics:
  scrape_configs:
    - job_name: a
      static_configs: [{targets: ["127.0.0.1:1"], labels: {service: a, env: test, region: x}}]
      basic_auth: {username: u, password_file: keys/password}
notifications:
  receivers:
    - {id: hook, webhook: {url: "http://127.0.0.1:1/", secret: {file: keys/hook}}}
monitoring: {}
"""


def test_a_relative_file_starts_from_the_folder_of_the_runbook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    for folder, word in ((there, "right"), (elsewhere, "wrong")):
        (folder / "keys").mkdir(parents=True)
        (folder / "keys" / "hook").write_text(f"{word} hook\n")
        (folder / "keys" / "password").write_text(f"{word} password\n")
    (there / "runbook.yaml").write_text(RUNBOOK)
    monkeypatch.chdir(elsewhere)
    runbook = load(there / "runbook.yaml").runbook
    webhook = runbook.notifications.receivers[0].settings
    assert isinstance(webhook, Webhook)
    assert webhook.secret is not None
    assert webhook.secret.read({}) == "right hook"
    basic = runbook.metrics.scrape_configs[0].basic_auth
    assert isinstance(basic, BasicAuth)
    assert basic.secret.read({}) == "right password"


def test_an_absolute_file_is_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("value")
    assert Secret(file=str(tmp_path / "key")).read({}) == "value"


def test_a_file_that_is_not_there_is_named_as_the_runbook_names_it(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match=r"file keys/none: No such file"):
        Secret(file="keys/none").read({})
