"""Log lines: to standard error, one line each, with the role that speaks. Times are UTC."""

from __future__ import annotations

import logging
import os
import time


class _OneLine(logging.Formatter):
    """A message never spans lines unless it carries a traceback, so that no input can forge a log line."""

    converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def configure_logging(role: str) -> None:
    """Send this process' log to standard error; WATCHKEEPER_LOG sets the level (default ``info``)."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _OneLine(f"%(asctime)s.%(msecs)03dZ {role} %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    )
    level = os.environ.get("WATCHKEEPER_LOG", "info").upper()
    logging.basicConfig(level=level if level in logging.getLevelNamesMapping() else "INFO", handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
