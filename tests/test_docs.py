"""What exists is documented, and what is documented exists: metrics, settings, commands, addresses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from tests.console.asgi import Answering, call
from watchkeeper.cli.main import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
SOURCES = {path: path.read_text() for path in (ROOT / "src").rglob("*.py")}
INTERNAL = {"WATCHKEEPER_DEMO_CONFIG", "WATCHKEEPER_TOP_NOTE"}


def _named(pattern: str) -> set[str]:
    return {name for text in SOURCES.values() for name in re.findall(pattern, text)}


def test_every_metric_of_ours_is_documented() -> None:
    metrics = _named(r'"(watchkeeper_[a-z_]+)"')
    assert len(metrics) > 15
    assert sorted(metrics - set(re.findall(r"watchkeeper_[a-z_]+", OPERATIONS))) == []


def test_every_documented_metric_exists() -> None:
    documented = set(re.findall(r"`(watchkeeper_[a-z_]+)`", OPERATIONS))
    assert sorted(documented - _named(r'"(watchkeeper_[a-z_]+)"')) == []


def test_every_setting_is_documented() -> None:
    settings = _named(r'"(WATCHKEEPER_[A-Z_]+)"') - INTERNAL
    assert len(settings) > 5
    everything = "".join(path.read_text() for path in DOCUMENTS)
    assert sorted(name for name in settings if name not in everything) == []


def _commands() -> Iterator[str]:
    root = get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        if command.hidden:
            continue
        below = getattr(command, "commands", {})
        yield from (f"watchkeeper {name} {sub}" for sub in below)
        if not below:
            yield f"watchkeeper {name}"


@pytest.mark.parametrize("command", list(_commands()))
def test_every_command_is_documented(command: str) -> None:
    assert f"`{command}`" in OPERATIONS


def _command_lines() -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(watchkeeper .*)", line)
                if found:
                    yield path.name, re.split(r"\s[#|>&]", found[1])[0]


@pytest.mark.parametrize(("document", "line"), list(_command_lines()))
def test_every_command_line_in_the_documents_can_be_typed(document: str, line: str) -> None:
    words = shlex.split(line)[1:]
    command = get_command(app)
    context = typer.Context(command, info_name="watchkeeper")
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
        context = typer.Context(command, parent=context)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    assert not getattr(command, "commands", {}) or getattr(command, "invoke_without_command", False), line
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, f"{document}: {line}"


def test_every_address_is_documented() -> None:
    paths = call(Answering(), "/api/openapi.json").json["paths"]
    text = (ROOT / "docs/api.md").read_text()
    assert len(paths) > 12
    assert [path for path in paths if re.sub(r"\{(\w+)\}", r"<\1>", path) not in text] == []
