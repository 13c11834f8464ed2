"""Values that bodies and addresses of the API hold, each bounded and free of what no store takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, StringConstraints

from watchkeeper.console.parameters import LARGEST_ID


def _storable(text: str) -> str:
    if any(ord(char) < 32 and char not in "\n\t" for char in text):
        raise ValueError("control characters cannot be kept; leave them out")
    return text


def _within_years(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2200:
        raise ValueError("outside the years 2000 to 2199")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_within_years)]
"""A time with its offset."""
Word = Annotated[str, StringConstraints(max_length=300), AfterValidator(_storable)]
Sentence = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_storable)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_storable)]
Note = Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable)]
Paragraph = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_storable)]
Chapter = Annotated[str, StringConstraints(max_length=50_000), AfterValidator(_storable)]
IdInPath = Annotated[int, Path(ge=1, le=LARGEST_ID)]
NameInPath = Annotated[str, Path(min_length=1, max_length=300)]
