"""Log lines: to standard error, one line each, with the role that speaks. Times are UTC."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime


class _OneLine(logging.Formatter):
    """A message never spans lines unless it carries a traceback, so that no input can forge a log line."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - likewise
        moment = datetime.fromtimestamp(record.created, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def configure_logging(role: str) -> None:
    """Send this process' log to standard error; WATCHKEEPER_LOG sets the level (default ``info``)."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"%(asctime)s {role} %(levelname)s %(message)s"))
    level = os.environ.get("WATCHKEEPER_LOG", "info").upper()
    logging.basicConfig(
        level=level if level in logging.getLevelNamesMapping() else "INFO", handlers=[handler]
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
