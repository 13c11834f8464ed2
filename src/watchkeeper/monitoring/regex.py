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
