"""Label regular expressions: RE2, as Prometheus has it. Always anchored, ``.`` matches a newline.

RE2 runs in linear time, so no expression that a person can type holds up the evaluation of pages.
"""

from __future__ import annotations

from functools import lru_cache

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 16 << 20


class RegexError(ValueError):
    """A regular expression that RE2 refuses; the message says where."""


@lru_cache(maxsize=4096)
def compile_anchored(pattern: str) -> re2._Regexp[str]:
    """``pattern`` compiled to match whole strings (use ``fullmatch``).

    Raises :class:`RegexError` for what is not an RE2 expression.
    """
    try:
        return re2.compile(f"(?s:{pattern})", _OPTIONS)
    except re2.error as error:
        detail = error.args[0] if error.args else error
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise RegexError(f"not a valid regular expression (RE2): {text}") from None


def fullmatch(regex: re2._Regexp[str], text: str) -> re2._Match[str] | None:
    """How the whole of ``text`` matches.

    RE2 reads UTF-8, which has no lone surrogates; JSON of a target list may have some, read as U+FFFD.
    """
    try:
        return regex.fullmatch(text)
    except UnicodeEncodeError:
        return regex.fullmatch(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
