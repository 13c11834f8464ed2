"""docs/demo.md names every fault, command, option and process there is."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from tests.demo.running import needs_packages
from watchkeeper.cli.demo import app

pytestmark = needs_packages()

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")


def test_every_fault_is_documented() -> None:
    from watchkeeper.demo.faults import NAMES

    table = PAGE.partition("## Faults")[2].partition("## Commands")[0]
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == NAMES


def test_every_command_and_option_is_documented() -> None:
    table = PAGE.partition("## Commands")[2]
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]  # a group, because it has several commands
    assert set(commands) == {"start", "break", "mend", "status"}
    for name, command in commands.items():
        line = next(line for line in table.splitlines() if line.startswith(f"| `watchkeeper demo {name}"))
        for option in (each for each in command.params if each.param_type_name == "option"):
            assert f"`{option.opts[0]}" in line, (name, option.opts)


def test_every_target_of_the_overlay_belongs_to_a_documented_process(tmp_path: Path) -> None:
    from watchkeeper.demo.platform import new_settings

    ports = {name for name in vars(new_settings(tmp_path)) if name.endswith("_port")}
    named = {name.removesuffix("_port") for name in ports} - {"control", "tls", "postgres", "standby"}
    for process in named:
        assert f"| `{process}` |" in PAGE
