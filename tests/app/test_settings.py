"""Settings come from the command line, else the environment, else defaults; bad ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.app.settings import (
    Settings,
    SettingsError,
    parse_listen,
    prepare_data_directory,
    read_settings,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8321", ("127.0.0.1", 8321)),
        (":9000", ("127.0.0.1", 9000)),
        ("9000", ("127.0.0.1", 9000)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("watch.example.com:80", ("watch.example.com", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:0", "host:65536", "host:http", "host:-1", "host:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="host:port"):
        parse_listen(text)


def test_an_option_wins_over_the_environment_and_that_over_the_default(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings().runbook == tmp_path / "runbook.yaml"
    assert (read_settings().data, read_settings().overlay) == (tmp_path / ".watchkeeper", None)
    assert read_settings().url == "http://127.0.0.1:8321"
    monkeypatch.setenv("WATCHKEEPER_LISTEN", "[::1]:1")
    monkeypatch.setenv("WATCHKEEPER_DATA", "/from/environment")
    assert (read_settings().listen, read_settings().url) == ("[::1]:1", "http://[::1]:1")
    assert read_settings().data == Path("/from/environment")
    assert read_settings(data=Path("/option"), listen="2").data == Path("/option")
    assert read_settings(listen="2").port == 2
    monkeypatch.setenv("WATCHKEEPER_URL", "https://watch.example.com/ops/")
    assert read_settings().url == "https://watch.example.com/ops"
    assert read_settings(url="http://other").url == "http://other"


@pytest.mark.parametrize(
    "url",
    [
        "watch.example.com",
        "ftp://x",
        "http://",
        "https://u:p@x",
        "http://x?a",
        "http://x#a",
        "http://[",
        "http://x\n",
    ],
)
def test_a_url_that_nobody_could_open_is_refused(settings: Settings, url: str) -> None:
    with pytest.raises(SettingsError, match="WATCHKEEPER_URL"):
        read_settings(url=url)


def test_the_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    fresh, empty, ours = tmp_path / "a" / "b", tmp_path / "empty", tmp_path / "ours"
    for directory in (empty, ours):
        directory.mkdir()
        directory.chmod(0o755)
    (ours / "watchkeeper.db").touch()
    for directory in (fresh, empty, ours):
        prepare_data_directory(directory)
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_with_other_things_in_it_is_not_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    (home / "photo.jpg").touch()
    with pytest.raises(SettingsError, match=r"photo\.jpg.*nothing was changed"):
        prepare_data_directory(home)
    assert home.stat().st_mode & 0o777 == 0o755
