"""Secrets are named in the runbook, never written in it: an environment variable or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import PrivateAttr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Part, Text
from watchkeeper.runbook.models.references import Known


class SecretMissingError(Exception):
    """A secret that the runbook names is not there. The message names the place, never the value."""


class Located(Part):
    """A mapping with paths of files in it, which start from the folder of the runbook that it stands in."""

    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _in_folder(self, info: ValidationInfo) -> Self:
        if isinstance(info.context, Known):
            self._folder = info.context.folder
        return self

    def secret_in(self, path: str) -> Secret:
        """The secret in the file ``path``, which stands where this mapping stands."""
        return Secret.model_validate({"file": path}, context=Known(folder=self._folder))


class Secret(Located):
    """``{env: NAME}`` or ``{file: PATH}``; exactly one. A relative path starts from the runbook's folder."""

    env: Text | None = None
    file: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise PydanticCustomError(
                "one_of", "say exactly one: {example}", {"example": "{env: NAME} or {file: PATH}"}
            )
        return self

    @property
    def place(self) -> str:
        """Where the value is kept, for messages."""
        return f"environment variable {self.env}" if self.env else f"file {self.file}"

    def read(self, environ: Mapping[str, str]) -> str:
        """The value, without the line end that a file carries.

        Raises :class:`SecretMissingError` when the variable is unset or empty, or the file cannot be read.
        """
        if self.env is not None:
            value = environ.get(self.env, "")
        else:
            try:
                path = self._folder / str(self.file)
                value = path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise SecretMissingError(f"cannot read the secret in {self.place}: {reason}") from None
        if not value:
            raise SecretMissingError(f"the secret in {self.place} is empty or not set")
        return value
