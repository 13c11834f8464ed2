"""Removes what the demo leaves when it ends, however it ends. Standard library only.

Standard input is a pipe from the demo; its end is the end of the demo, also after ``kill -9``. Until then
each line names something: ``group PGID START`` (a process group, and its leader's start time, so that a
number that was given to a stranger is never killed), ``file PATH``, ``directory PATH``. At the end every
group is gone, then every file and directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 6.0
"""How long groups may take to end by themselves after the demo is gone."""


def start_time(pid: int) -> str:
    """When the process began, in clock ticks since boot; empty when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                text = Path(f"/proc/{entry}/stat").read_text(encoding="ascii", errors="replace")
                fields = text.rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    found.append(int(entry))
    return found


def end_groups(groups: dict[int, str], patience_seconds: float) -> None:
    """Wait for the groups to end, then kill what is left of them."""
    ours = {group for group, start in groups.items() if start_time(group) in (start, "")}
    rounds = int(patience_seconds / 0.1)
    for turn in range(rounds + 20):
        alive = {group for group in ours if members(group)}
        if not alive:
            return
        if turn >= rounds or turn == 0:
            for group in alive:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL if turn >= rounds else signal.SIGTERM)
        time.sleep(0.1)  # noqa: TID251 - no package is imported here, so that this starts at once


def remove(files: list[Path], directories: list[Path]) -> None:
    """Delete files and trees; what a dying process writes meanwhile is deleted in a second round."""
    for path in files:
        with suppress(OSError):
            path.unlink()
    for path in directories:
        for _ in range(20):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                break
            time.sleep(0.1)  # noqa: TID251 - as above


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, str] = {}
    files: list[Path] = []
    directories: list[Path] = []
    for line in sys.stdin:
        kind, _, rest = line.rstrip("\n").partition(" ")
        if kind == "group":
            group, _, start = rest.partition(" ")
            groups[int(group)] = start
        elif kind == "file":
            files.append(Path(rest))
        elif kind == "directory":
            directories.append(Path(rest))
    end_groups(groups, PATIENCE_SECONDS)
    remove(files, directories)


if __name__ == "__main__":
    main()
