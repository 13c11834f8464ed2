"""Secrets of steps: read at the last moment, given to the provider only, masked in all that comes back.

Always true: no value of a secret that a step was given stands in what is recorded of it, not as it is nor
percent-encoded, in base64 or escaped as in JSON (tests/playbooks/test_secrets.py). Values under four
characters are not looked for: they would mask half of every text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.templates import SecretPlace
from watchkeeper.runbook.models.references import Known
from watchkeeper.runbook.models.secrets import Secret, SecretMissingError

MASK = "[secret]"
SHORTEST = 4


class Revealed:
    """What a step's ``with`` is with its secrets in it, and :meth:`masked` to take them out again."""

    def __init__(self, value: Any, environ: Mapping[str, str], folder: Path) -> None:
        """Raises :class:`PlaybookError` for a secret that is not there, naming its place."""
        self._values: set[str] = set()
        self._environ = environ
        self._folder = folder
        self.value = self._reveal(value)
        self._needles = sorted(_forms(self._values), key=len, reverse=True)

    def hide(self, value: str) -> None:
        """Mask ``value`` as well: something that was made of a secret."""
        self._values.add(value)
        self._needles = sorted(_forms(self._values), key=len, reverse=True)

    def masked(self, value: Any) -> Any:
        """``value`` (text, or plain JSON) without any of the secrets."""
        if isinstance(value, str):
            for needle in self._needles:
                value = value.replace(needle, MASK)
            return value
        if isinstance(value, Mapping):
            return {self.masked(key): self.masked(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.masked(item) for item in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in self._values:
            return MASK
        return value

    def _reveal(self, value: Any) -> Any:
        if isinstance(value, SecretPlace):
            try:
                found = Secret.model_validate(value.document(), context=Known(folder=self._folder)).read(
                    self._environ
                )
            except SecretMissingError as error:
                raise PlaybookError(str(error)) from None
            self._values.add(found)
            return found
        if isinstance(value, Mapping):
            return {key: self._reveal(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._reveal(item) for item in value]
        return value


def places(value: Any) -> Any:
    """``value`` as it may be shown: each secret by its place."""
    if isinstance(value, SecretPlace):
        return value.document()
    if isinstance(value, Mapping):
        return {key: places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [places(item) for item in value]
    return value


def _forms(values: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for value in values:
        for text in {value, value.strip(), *(line.strip() for line in value.splitlines() if len(line) >= 12)}:
            if len(text) < SHORTEST:
                continue
            escaped = json.dumps(text)[1:-1]
            plain = json.dumps(text, ensure_ascii=False)[1:-1]
            encoded = base64.b64encode(text.encode()).decode()
            forms |= {text, escaped, plain, repr(text)[1:-1], quote(text, safe=""), quote_plus(text), encoded}
            forms.add(encoded.rstrip("="))
    return forms
