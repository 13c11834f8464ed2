"""Another machine's Watchkeeper, asked over its API: the same commands, the same output.

Always true: the token comes from the environment or a file, never from an argument, which every user of a
machine can read; it is sent to the address that was named and nowhere else, also where that redirects; what
goes wrong is a sentence (tests/cli/test_remote.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from email.message import Message
    from urllib.error import HTTPError

SERVER_VARIABLE = "WATCHKEEPER_SERVER"
TOKEN_VARIABLE = "WATCHKEEPER_TOKEN"  # noqa: S105 - the variable's name
TOKEN_FILE_VARIABLE = "WATCHKEEPER_TOKEN_FILE"  # noqa: S105 - as above
SECONDS = 10.0
LARGEST_ANSWER = 64 << 20
SERVER_HELP = (
    "Another machine's Watchkeeper, such as https://watch.example.net. [env: WATCHKEEPER_SERVER] "
    "WATCHKEEPER_TOKEN, or the file that WATCHKEEPER_TOKEN_FILE names, holds an API token for it."
)
ServerOption = Annotated[str | None, typer.Option("--server", help=SERVER_HELP)]


class RemoteError(Exception):
    """The other Watchkeeper cannot be asked, or said no; the message is for people."""


class Remote:
    """The API at ``address``, with a token."""

    def __init__(self, address: str, token: str | None) -> None:
        if not address.startswith(("http://", "https://")) or any(char.isspace() for char in address):
            raise RemoteError(f"{address!r} is no address; give one such as http://127.0.0.1:8321")
        self.address = address.rstrip("/")
        self._token = token

    def get(self, path: str, **query: object) -> Any:
        """The JSON document there. What is None or empty is not asked. Raises :class:`RemoteError`."""
        return self._document(self._ask("GET", path, query, None)[0])

    def text(self, path: str, **query: object) -> str:
        """What is there, as text."""
        return self._ask("GET", path, query, None)[0].decode(errors="replace")

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """What the change there answered."""
        return self._document(self._ask("POST", path, {}, body or {})[0])

    def _ask(
        self, method: str, path: str, query: Mapping[str, object], body: Mapping[str, object] | None
    ) -> tuple[bytes, Message]:
        import json
        import urllib.error
        import urllib.parse
        import urllib.request
        from http.client import HTTPException

        class NoRedirects(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: object, **__: object) -> None:
                return None  # the token is for the address that was named

        asked = {name: value for name, value in query.items() if value not in (None, "")}
        address = self.address + path + (f"?{urllib.parse.urlencode(asked)}" if asked else "")
        headers = {"Accept": "application/json", "User-Agent": "watchkeeper"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - http or https: see __init__
            with urllib.request.build_opener(NoRedirects).open(request, timeout=SECONDS) as answer:
                return _bounded(answer), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                raise RemoteError(self._refusal(error)) from None
        except HTTPException as error:  # SSH on that port, or the connection ended in the middle
            raise RemoteError(
                f"what answers at {self.address} is no Watchkeeper, or was cut off ({type(error).__name__})"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RemoteError(
                f"no Watchkeeper answers at {self.address} ({reason}); `watchkeeper serve` starts one"
            ) from None

    def _refusal(self, error: HTTPError) -> str:
        import json
        from http.client import HTTPException

        try:
            said = json.loads(_bounded(error))["error"]
        except (ValueError, KeyError, TypeError, OSError, HTTPException):
            said = None
        if 300 <= error.code < 400:
            return f"{self.address} leads on to {error.headers.get('Location')}; name that address instead"
        if error.code == 401:
            known = "does not know the token (it may be expired or revoked)"
            return (
                f"Watchkeeper at {self.address} {known if self._token else 'wants a token'}: "
                f"set {TOKEN_VARIABLE}, or {TOKEN_FILE_VARIABLE} to a file that holds one; "
                "`watchkeeper tokens create` makes one there"
            )
        if error.code == 429:
            wait = error.headers.get("Retry-After")
            return f"{self.address} was asked too often; try again" + (f" in {wait} s" if wait else " later")
        if said is None:
            return f"what answers at {self.address} is no Watchkeeper: {error.code} {error.reason}"
        if error.code >= 500:
            return f"Watchkeeper at {self.address} cannot say now: {said}"
        return str(said)

    def _document(self, body: bytes) -> Any:
        import json

        try:
            return json.loads(body)
        except ValueError:
            raise RemoteError(f"what answers at {self.address} is no Watchkeeper: it sent no JSON") from None


def _bounded(answer: Any) -> bytes:
    body: bytes = answer.read(LARGEST_ANSWER + 1)
    if len(body) > LARGEST_ANSWER:
        raise ValueError(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
    return body


def chosen(server: str | None, data: Path | None, store: str | None = None) -> Remote | None:
    """The Watchkeeper to ask over HTTP; None: the one in the data directory, or store, here.

    ``--server`` excludes ``--data`` and ``--store``; each is stronger than WATCHKEEPER_SERVER.
    Raises :class:`RemoteError`.
    """
    here = data is not None or store is not None
    if server is not None and here:
        raise typer.BadParameter(f"choose one of --server and {'--store' if data is None else '--data'}")
    where = server if server is not None or here else os.environ.get(SERVER_VARIABLE)
    return Remote(where, token()) if where else None


def token() -> str | None:
    """The API token from the environment, or from the file that it names. Raises :class:`RemoteError`."""
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        return _sendable(given, TOKEN_VARIABLE)
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if not file:
        return None
    try:
        return _sendable(Path(file).read_text().strip(), file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise RemoteError(f"the token in {file} cannot be read: {reason}") from None


def _sendable(text: str, where: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 200:
        raise RemoteError(f"what {where} holds is no token; a token is one word that begins with wk_")
    return text


@contextmanager
def sentences() -> Iterator[None]:
    """A :class:`RemoteError` ends the command with its words and exit code 1."""
    try:
        yield
    except RemoteError as error:
        typer.echo("".join(c if c.isprintable() else " " for c in str(error)), err=True)
        raise typer.Exit(1) from None
