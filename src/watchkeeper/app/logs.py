"""Log lines: to standard error, one line each, with the role that speaks. Times are UTC.

Always true: what came from outside (a target's name, a server's answer) cannot forge a line or reach the
terminal as anything but text (tests/app/test_logs.py).
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

from watchkeeper.app.settings import LOG_VARIABLE


class _OneLine(logging.Formatter):
    """A message never spans lines; only the traceback of a defect follows it on lines of its own."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - likewise
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        record.message = "".join(c if c.isprintable() else repr(c)[1:-1] for c in record.message)
        return super().formatMessage(record)


def configure_logging(role: str) -> None:
    """Send this process' log to standard error; WATCHKEEPER_LOG sets the level (default ``info``)."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"%(asctime)s {role} %(levelname)s %(message)s"))
    level = os.environ.get(LOG_VARIABLE, "info").upper()
    logging.basicConfig(
        level=level if level in logging.getLevelNamesMapping() else "INFO", handlers=[handler]
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
