"""Where a secret comes from: named in the runbook, read when it is needed, kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from watchkeeper.runbook.models.secrets import SecretMissingError as SecretMissingError


class SecretSource(Protocol):
    """A place that holds a secret, such as :class:`watchkeeper.runbook.models.secrets.Secret`."""

    @property
    def place(self) -> str:
        """Where that is, for messages."""

    def read(self, environ: Mapping[str, str]) -> str:
        """The value. Raises :class:`SecretMissingError`, naming the place and never the value."""
