"""A log line is one line, whatever was put into it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = r"""
import logging
from watchkeeper.app.logs import configure_logging
configure_logging("watch")
log = logging.getLogger("x")
log.info("a %s", "b\n2026-01-01T00:00:00.000Z watch ERROR forged\r\x1b[2Jc \u2028 ü \udc80")
log.debug("hidden")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broke")
"""


def _logged(level: str | None = None) -> list[str]:
    environ = {"PYTHONIOENCODING": "utf-8", **({"WATCHKEEPER_LOG": level} if level else {})}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=30, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode().splitlines()


def test_nothing_that_is_logged_can_forge_a_line_or_move_the_cursor() -> None:
    first, second, *rest = _logged()
    assert first.endswith(r"a b\n2026-01-01T00:00:00.000Z watch ERROR forged\r\x1b[2Jc \u2028 ü \udc80")
    assert " watch INFO a b" in first
    assert first[19:24].startswith(".")
    assert second.endswith("watch ERROR broke")
    assert rest[0].startswith("Traceback")
    assert rest[-1].startswith("ZeroDivisionError")


def test_the_level_is_a_setting_and_a_wrong_one_is_info() -> None:
    assert any("hidden" in line for line in _logged("debug"))
    assert not any("INFO" in line for line in _logged("error"))
    assert any("INFO" in line for line in _logged("loud"))
