"""What is wrong with a runbook, said so that it can be put right: place, offending line, what would be valid.

One exception carries every problem of a document, in the order of the file, so that one look mends all.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a file: line and column count from 1; ``text`` is that whole line."""

    file: str
    line: int
    column: int
    text: str = ""
    length: int = 1
    shown_at: int | None = None
    """The column in ``text``, where that is not the line as it stands in the file (a secret is masked)."""

    @property
    def shown_column(self) -> int:
        """The column in ``text``."""
        return self.column if self.shown_at is None else self.shown_at

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``subject`` is the dotted path of what it is about, ``hint`` what to write instead."""

    place: Place
    message: str
    subject: str = ""
    hint: str = ""

    def render(self) -> str:
        """Several lines for a terminal: the place and message, the line with a caret, the hint."""
        about = f"{self.subject}: " if self.subject else ""
        lines = [f"{self.place}: {about}{self.message}"]
        if self.place.text.strip():
            shown, column = _window(self.place.text, self.place.shown_column)
            gutter = f"{self.place.line:>5} | "
            blank = " " * (len(gutter) - 2) + "| "
            caret = "^" * max(1, min(self.place.length, len(shown) - column + 1))
            lines += [gutter + shown, blank + _indent(shown[: column - 1]) + caret]
        if self.hint:
            lines.append(f"        {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """For machines: the same facts under stable names."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "subject": self.subject,
            "message": self.message,
            "hint": self.hint,
            "text": self.place.text,
        }


_MAX_SHOWN = 160


def _window(text: str, column: int) -> tuple[str, int]:
    """A long line cut to what surrounds ``column``; control characters made visible."""
    start = max(0, column - _MAX_SHOWN // 2) if len(text) > _MAX_SHOWN else 0
    shown = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown[start : start + _MAX_SHOWN], column - start


def _indent(before: str) -> str:
    return "".join("\t" if c == "\t" else " " for c in before)


class RunbookError(Exception):
    """A runbook cannot be used. What was in force before stays in force; nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """Every problem, then how many there are."""
        count = len(self.problems)
        return "\n".join(
            [problem.render() for problem in self.problems] + [f"{count} problem{'s'[: count != 1]}"]
        )

    def __reduce__(self) -> tuple[type[RunbookError], tuple[tuple[Problem, ...]]]:
        return (RunbookError, (self.problems,))


_MAX_LISTED = 24


def nearest(word: str, valid: Collection[str]) -> str:
    """A hint for ``word``: the closest of ``valid`` if one is close, and what else would do."""
    close = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    words = sorted(valid)
    if not words:
        return "none is defined in this runbook"
    if close and len(words) > _MAX_LISTED:
        return f"did you mean `{close[0]}`?"
    listed = ", ".join(words[:_MAX_LISTED]) + (
        f" and {len(words) - _MAX_LISTED} more" if len(words) > _MAX_LISTED else ""
    )
    return f"did you mean `{close[0]}`? Valid here: {listed}" if close else f"valid here: {listed}"
