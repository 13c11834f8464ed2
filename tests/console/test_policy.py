"""The runbook in force, as the pages read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.asgi import Grounds
from watchkeeper.app import inforce
from watchkeeper.console.policy import NoPolicyError, PolicyInForce
from watchkeeper.runbook.loading import default_text


def test_a_copy_that_changed_is_read_again_and_a_broken_one_is_not(tmp_path: Path) -> None:
    on = Grounds(tmp_path)
    policy = PolicyInForce(on.settings)
    with pytest.raises(NoPolicyError):
        policy()
    on.put_in_force(default_text())
    first = policy()
    assert policy() is first
    assert first.clauses
    on.put_in_force(default_text().replace("platform: Treazr Island", "platform: Other"))
    second = policy()
    assert second.runbook.platform == "Other"
    assert second.digest != first.digest
    (on.settings.data / inforce.FILE_NAME).write_text("{broken")
    assert policy() is second
    (on.settings.data / inforce.FILE_NAME).unlink()
    assert policy() is second
    on.store.close()
