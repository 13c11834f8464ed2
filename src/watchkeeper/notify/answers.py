"""What a receiver said to one attempt, in the three words that delivery decides by.

Always true here: ``ACCEPTED`` is only said when the receiver said it has the notification; ``REJECTED`` only
when it said that it never will take it; everything else, silence included, is ``TRY_AGAIN``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from watchkeeper.notify.transport import Response


class Said(StrEnum):
    """The receiver's answer, in short."""

    ACCEPTED = "accepted"
    TRY_AGAIN = "try again"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Answer:
    """``reason`` is for people, without secrets; ``retry_after`` are the seconds the receiver asked for.

    ``keep`` is what the receiver wants to know at the next attempt of the same incident (memory.py).
    An accepted notification has a reason too where only a part of those who were to be told was.
    """

    said: Said
    reason: str = ""
    retry_after: float | None = None
    keep: Mapping[str, Any] | None = None


ACCEPTED = Answer(Said.ACCEPTED)


def try_again(reason: str, retry_after: float | None = None) -> Answer:
    """The receiver may not have it; another attempt is due."""
    return Answer(Said.TRY_AGAIN, reason, retry_after)


def rejected(reason: str) -> Answer:
    """The receiver will never take it as it is."""
    return Answer(Said.REJECTED, reason)


def retry_after(response: Response, now: datetime) -> float | None:
    """``Retry-After`` in seconds from ``now``, as a number or a date (RFC 9110, 10.2.3); None without one."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def redacted(text: str, *secrets: str) -> str:
    """``text``, from outside, fit for a log: one line, bounded, without any of ``secrets``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= 300 else line[:299] + "…"
