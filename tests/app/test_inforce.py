"""A runbook that was in force is there for a role that must begin while the file is broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.app.serving import RUNBOOK, broken
from watchkeeper.app import inforce
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring.compile import CompileError
from watchkeeper.runbook.errors import RunbookError


def test_the_runbook_on_disk_is_taken_where_it_can_be(settings: Settings) -> None:
    chosen = inforce.choose(settings)
    assert (chosen.loaded.runbook.platform, chosen.problem) == ("Test", None)
    assert [rule.name for rule in chosen.compiled.rules if rule.kind == "threshold"] == ["ApiErrorRatePage"]


def test_a_broken_runbook_without_a_copy_is_refused(settings: Settings) -> None:
    settings.runbook.write_text(broken(RUNBOOK))
    with pytest.raises(RunbookError, match="monitorring"):
        inforce.choose(settings)


@pytest.mark.parametrize("which", ["runbook", "overlay"])
def test_a_role_that_finds_a_broken_file_goes_on_with_the_copy_and_says_why(
    settings: Settings, which: str
) -> None:
    good = inforce.choose(settings)
    inforce.keep(settings, good.loaded)
    path: Path = getattr(settings, which)
    path.write_text(broken(path.read_text()))
    chosen = inforce.choose(settings)
    assert chosen.loaded.digest == good.loaded.digest
    assert chosen.problem is not None
    assert "monitorring" in chosen.problem
    path.unlink()
    assert "cannot be read" in (inforce.choose(settings).problem or "")


def test_only_what_is_in_force_is_kept(settings: Settings) -> None:
    loaded = inforce.choose(settings).loaded
    settings.runbook.write_text(RUNBOOK.replace("Test", "Edited since"))
    inforce.keep(settings, loaded)
    assert not (settings.data / inforce.FILE_NAME).exists()


def test_the_copy_can_be_read_by_its_owner_alone(settings: Settings) -> None:
    inforce.keep(settings, inforce.choose(settings).loaded)
    assert (settings.data / inforce.FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.data.iterdir()] == [inforce.FILE_NAME]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"runbook": 1, "overlay": null}', '{"runbook": "runbook: 9"}']
)
def test_a_damaged_copy_is_no_runbook(
    settings: Settings, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.data / inforce.FILE_NAME).write_text(content)
    settings.runbook.write_text(broken(RUNBOOK))
    with caplog.at_level(logging.ERROR), pytest.raises(RunbookError):
        inforce.choose(settings)
    assert "cannot be used either" in caplog.text


def test_a_copy_that_cannot_be_written_costs_nothing_but_a_line(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = inforce.choose(settings).loaded
    settings.data.rmdir()
    inforce.keep(settings, loaded)
    assert "no copy of the runbook in force could be kept" in caplog.text


def test_what_loads_but_does_not_compile_is_unusable(settings: Settings) -> None:
    assert CompileError in inforce.UNUSABLE
    assert inforce.usable(settings).runbook.platform == "Test"
