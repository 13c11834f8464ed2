"""The demo takes only a directory that is its own to take."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from watchkeeper.demo.control import own_state, read_state, request, running_data
from watchkeeper.demo.directory import claim
from watchkeeper.demo.errors import DemoError


def test_a_new_or_empty_directory_is_taken_and_closed_to_others(tmp_path: Path) -> None:
    for name in ("new/below", "empty"):
        directory = tmp_path / name
        if name == "empty":
            directory.mkdir()
        claim(directory, readable_by=None)
        assert json.loads((directory / "state.json").read_text())["pid"] == os.getpid()
        assert (directory / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_directory_with_other_content_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoError, match="nothing in it was touched"):
        claim(tmp_path, readable_by=None)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_called_state_json_of_somebody_else_does_not_make_it_ours(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"terraform": 4}')
    with pytest.raises(DemoError, match="nothing in it was touched"):
        claim(tmp_path, readable_by=None)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DemoError, match="not a directory of yours"):
        claim(tmp_path / "link", readable_by=None)


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "demo", readable_by=None)
    with pytest.raises(DemoError, match=f"process {os.getpid()}"):
        claim(tmp_path / "demo", readable_by=None)


def test_what_a_dead_demo_left_is_removed(tmp_path: Path) -> None:
    claim(tmp_path / "demo", readable_by=None)
    (tmp_path / "demo" / "pg").mkdir()
    dead = {**own_state(), "start_time": "1"}  # the number lives on, given to another process
    (tmp_path / "demo" / "state.json").write_text(json.dumps(dead))
    claim(tmp_path / "demo", readable_by=None)
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["logs", "state.json"]


def test_a_way_that_the_database_user_cannot_enter_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(DemoError, match=f"cannot enter {tmp_path}"):
        claim(tmp_path / "demo", readable_by="nobody")


def test_asking_where_no_demo_runs_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="watchkeeper demo start"):
        request(tmp_path, "GET", "/status")
    (tmp_path / "state.json").write_text(json.dumps({"pid": os.getpid(), "start_time": "1"}))
    assert read_state(tmp_path) is None


def test_the_data_of_a_demo_is_found_while_it_runs(tmp_path: Path) -> None:
    assert running_data(tmp_path) is None
    claim(tmp_path / "demo", readable_by=None)
    assert running_data(tmp_path / "demo") is None  # it has none yet
    (tmp_path / "demo" / "data").mkdir()
    assert running_data(tmp_path / "demo") == tmp_path / "demo" / "data"
    (tmp_path / "demo" / "state.json").write_text("damaged")
    assert running_data(tmp_path / "demo") is None


def test_asking_a_demo_that_still_starts_says_so(tmp_path: Path) -> None:
    claim(tmp_path / "demo", readable_by=None)
    with pytest.raises(DemoError, match="still starting"):
        request(tmp_path / "demo", "GET", "/status")
