"""Fetching over HTTP: one answer, within its time and its size, or a reason for the person on call.

Always true: memory held for an answer is bounded by its limit, whatever the server sends or how it is packed;
a fetch ends at its time-out, however slowly bytes come; credentials are in no error, log line or ``repr``.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
from yarl import URL

from watchkeeper import __version__
from watchkeeper.runbook.models.metrics import HttpClient, TlsConfig
from watchkeeper.runbook.models.secrets import SecretMissingError

ACCEPT_METRICS: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 asks for: OpenMetrics before its own text format."""

USER_AGENT: Final = f"Watchkeeper/{__version__}"
MAX_REDIRECTS: Final = 10
_CHUNK = 1 << 20
_REFUSAL_BYTES = 16 << 10


class FetchError(Exception):
    """A fetch brought nothing; the message is the reason. It names no secret.

    ``refusal`` is what a JSON API sent with a status other than 200; empty otherwise.
    """

    def __init__(self, message: str, refusal: bytes = b"") -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch, and what is allowed. ``client`` says how to authenticate and which TLS to speak.

    With ``form`` it is a POST of that form, for questions that are too long for an address.
    """

    url: str = field(repr=False)
    timeout_seconds: float
    body_limit: int
    client: HttpClient
    accept: str = ACCEPT_METRICS
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with status 200, decompressed."""

    body: bytes = field(repr=False)
    content_type: str


class Fetcher(Protocol):
    """Whatever can fetch: HTTP here, a simulation in tests."""

    async def fetch(self, request: Request) -> Answer:
        """The answer; raises :class:`FetchError`."""


class HttpFetcher:
    """Fetches over HTTP with one pool of kept-alive connections. Use as an async context manager.

    ``environ`` is where ``{env: NAME}`` secrets are read, ``base`` what relative paths of files start from.
    """

    def __init__(self, environ: Mapping[str, str], base: Path = Path()) -> None:
        self._environ = environ
        self._base = base
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[TlsConfig, tuple[tuple[float, ...], ssl.SSLContext]] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, keepalive_timeout=75),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            auto_decompress=False,
            read_bufsize=_CHUNK,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, request: Request) -> Answer:
        """The answer to ``request``. Raises :class:`FetchError`."""
        assert self._session is not None, "use HttpFetcher as an async context manager"
        try:
            headers = {"Accept": request.accept, **request.headers, **self._credentials(request.client)}
            tls = request.client.tls_config
            async with self._session.request(
                "GET" if request.form is None else "POST",
                URL(request.url, encoded=True),
                data=request.form,
                headers=headers,
                ssl=self._context(tls) if tls is not None else True,
                server_hostname=tls.server_name if tls is not None else None,
                allow_redirects=request.client.follow_redirects,
                max_redirects=MAX_REDIRECTS,
                timeout=aiohttp.ClientTimeout(total=request.timeout_seconds),
            ) as response:
                if response.status != 200:
                    raise FetchError(_bad_status(response), await _refusal(response))
                body = await _read(response, request.body_limit)
                return Answer(body, response.headers.get("Content-Type", ""))
        except FetchError:
            raise
        except (aiohttp.ClientError, OSError, ValueError, SecretMissingError) as error:
            raise FetchError(_reason(error, request.timeout_seconds)) from None

    def _credentials(self, client: HttpClient) -> dict[str, str]:
        """The ``Authorization`` header. Secrets are read each time, so that one that is replaced is used."""
        if client.basic_auth is not None:
            auth = client.basic_auth
            pair = f"{auth.username}:{auth.secret.read(self._environ)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        if client.authorization is not None:
            secret = client.authorization.secret
            value = secret.read(self._environ)
            if not value.isprintable():
                raise SecretMissingError(f"the secret in {secret.place} has characters no header may have")
            return {"Authorization": f"{client.authorization.type} {value}"}
        return {}

    def _context(self, tls: TlsConfig) -> ssl.SSLContext:
        """The TLS settings, made anew when a file that they come from was replaced."""
        files = [self._base / name for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
        for file in files:
            if not file.is_file():
                raise FetchError(f"the TLS file {file} of tls_config is not there")
        changed = tuple(file.stat().st_mtime for file in files)
        known = self._contexts.get(tls)
        if known is not None and known[0] == changed:
            return known[1]
        try:
            context = ssl.create_default_context(
                cafile=str(self._base / tls.ca_file) if tls.ca_file else None
            )
            if tls.insecure_skip_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if tls.cert_file and tls.key_file:
                context.load_cert_chain(self._base / tls.cert_file, self._base / tls.key_file)
        except (ssl.SSLError, OSError) as error:
            names = ", ".join(str(file) for file in files)
            raise FetchError(f"the TLS files of tls_config cannot be used ({names}): {error}") from None
        self._contexts[tls] = (changed, context)
        return context


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The decompressed body; gives up at the first byte beyond ``limit`` (0: no limit)."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise FetchError(f"the body is packed as {encoding!r}, which was not asked for (only gzip is)")
    length = response.content_length
    if encoding != "gzip" and 0 < limit < (length or 0):
        raise FetchError(_too_large(limit, f"the server announced {length} bytes"))
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
    parts: list[bytes] = []
    total = 0
    async for chunk in response.content.iter_any():
        piece = chunk
        while True:
            if inflate is not None:
                try:
                    piece = inflate.decompress(piece, _CHUNK)
                except zlib.error as error:
                    raise FetchError(f"the gzip data is damaged: {error}") from None
            total += len(piece)
            if 0 < limit < total:
                raise FetchError(_too_large(limit, "it was cut off there"))
            parts.append(piece)
            if inflate is None or not inflate.unconsumed_tail:
                break
            piece = inflate.unconsumed_tail
    if inflate is not None and not inflate.eof and total:
        raise FetchError("the gzip data ends too early: the connection was cut")
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _refusal(response: aiohttp.ClientResponse) -> bytes:
    """What a JSON API says of its refusal, if it says it in a few words."""
    if response.content_type != "application/json":
        return b""
    try:
        return await _read(response, _REFUSAL_BYTES)
    except FetchError:
        return b""


def _too_large(limit: int, what: str) -> str:
    return f"the body is larger than body_size_limit ({limit} bytes): {what}; nothing of it was stored"


def _bad_status(response: aiohttp.ClientResponse) -> str:
    reason = "".join(c for c in (response.reason or "")[:60] if c.isprintable())
    text = f"the server answered {response.status} {reason}".rstrip()
    hints = {
        401: "; check its credentials (basic_auth or authorization)",
        403: "; its credentials are not allowed to read this",
        404: "; check metrics_path",
    }
    if 300 <= response.status < 400:
        return f"{text}, and follow_redirects is off"
    return text + hints.get(response.status, "")


def _reason(error: Exception, timeout_seconds: float) -> str:
    """Why a fetch failed, without the URL (which may carry a secret)."""
    match error:
        case SecretMissingError():
            return str(error)
        case TimeoutError():
            return f"no complete answer within {timeout_seconds:g}s (scrape_timeout)"
        case aiohttp.TooManyRedirects():
            return f"more than {MAX_REDIRECTS} redirects: it redirects in a circle"
        case aiohttp.ClientConnectorCertificateError():
            return f"its TLS certificate is not trusted: {_certificate_problem(error.certificate_error)}"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ssl.SSLError):
            return f"TLS with {error.host}:{error.port} failed: {error.os_error.reason or 'no TLS there'}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_system_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection was cut in the middle of the body"
        case aiohttp.ClientResponseError():
            return "what the server sent is not HTTP"
        case ValueError() if not isinstance(error, (OSError, UnicodeError)):
            return "the address is not a valid URL"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or 'no TLS there'}"
        case OSError():
            return f"the connection failed: {_system_reason(error)}"
        case _:
            return f"the fetch failed ({type(error).__name__})"


def _system_reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else error.strerror or type(error).__name__


def _certificate_problem(error: Exception) -> str:
    return getattr(error, "verify_message", "") or type(error).__name__


async def fetch_within(fetcher: Fetcher, request: Request) -> Answer:
    """Like ``fetcher.fetch``, but ends at the time-out even if the fetcher does not."""
    try:
        async with asyncio.timeout(request.timeout_seconds + 1):
            return await fetcher.fetch(request)
    except TimeoutError:
        raise FetchError(_reason(TimeoutError(), request.timeout_seconds)) from None
