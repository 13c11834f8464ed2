"""Many series keys, read as strictly as :func:`.grammar.parse_series` does, each distinct label only once.

Always true: the answer is that of ``parse_series`` for every key
(tests/monitoring/test_exposition_grammar.py). The labels of one body repeat, so reading them once makes the
first scrape of a big target several times faster, and lets its label sets share their strings.
"""

from __future__ import annotations

import re
from typing import Final

from watchkeeper.monitoring.exposition.grammar import LineError, parse_series
from watchkeeper.monitoring.labels import METRIC_NAME, Labels

_NAME: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)')


class SeriesParser:
    """Reads the keys of one body."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._names: dict[bytes, tuple[str, str]] = {}
        self._labels: dict[bytes, tuple[str, str]] = {}

    def parse(self, key: bytes) -> Labels:
        """The label set of ``key``; raises :class:`.grammar.LineError`."""
        head, brace, inner = key.partition(b"{")
        if not brace or not inner.endswith(b'"} ') or b"\\" in inner:
            return parse_series(key, self._openmetrics)
        pair = self._names.get(head)
        try:
            if pair is None:
                pair = self._names[head] = self._name(head)
            # Without a backslash every quote ends a value or begins one, so this splits between labels only.
            labels = self._labels
            pairs = [pair]
            for piece in inner[:-3].split(b'",'):
                pair = labels.get(piece)
                if pair is None:
                    pair = labels[piece] = self._label(piece)
                pairs.append(pair)
        except LineError:
            return parse_series(key, self._openmetrics)
        if len(dict(pairs)) < len(pairs):
            return parse_series(key, self._openmetrics)
        pairs.sort()
        return tuple([pair for pair in pairs if pair[1]])

    @staticmethod
    def _name(head: bytes) -> tuple[str, str]:
        if not _NAME.fullmatch(head):
            raise LineError("not a plain metric name")
        return METRIC_NAME, head.decode()

    @staticmethod
    def _label(piece: bytes) -> tuple[str, str]:
        match = _LABEL.fullmatch(piece)
        if match is None:
            raise LineError("not a plain label")
        try:
            return match[1].decode(), match[2].decode()
        except UnicodeDecodeError:
            raise LineError("not UTF-8") from None
