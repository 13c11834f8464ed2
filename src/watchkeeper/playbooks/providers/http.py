"""``http.request``: one HTTP request.

Always true: the whole exchange ends within the step's time-out; every attempt at a step carries the same
``Idempotency-Key``; of an answer at most ``MAX_BODY_BYTES`` are read; a redirect is followed by a request
only that changes nothing, and only at the same origin, so that no credential reaches another host
(tests/playbooks/providers/test_http.py). Proxies are not used.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from watchkeeper.playbooks.outputs import parsed
from watchkeeper.playbooks.ports import Context, Outcome, StepFailed

KEYS = ("url", "method", "headers", "json", "body", "bearer", "basic")
MAX_BODY_BYTES = 256 << 10
MAX_REDIRECTS = 5
_READING = ("GET", "HEAD")
_METHODS = (*_READING, "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


class HttpRequest:
    """Carries out ``http.request``."""

    def run(self, context: Context) -> Outcome:
        """Send it; the outputs are ``status``, ``body`` and what JSON the answer holds."""
        context.only(*KEYS)
        request = _request(context)
        answer = asyncio.run(_bounded(context, request))
        text = answer.body.decode(errors="replace")
        told = {} if answer.cut else parsed(text)
        outputs = {**told, "status": answer.status, "body": text}
        host = urlsplit(request.url).hostname
        if not 200 <= answer.status < 300 and "status" not in (context.expect or {}):
            where = answer.headers.get("location")
            more = f" (redirects to {where}, which is not followed)" if where else ""
            raise StepFailed(
                f"{request.method} to {host} was answered with {answer.status}{more}{_said(text)}",
                outputs,
                unsure=answer.status >= 500,
            )
        return Outcome(outputs, f"{request.method} to {host}: {answer.status}")


def _said(text: str) -> str:
    line = " ".join(text.split())[:200]
    return f": {line}" if line else ""


def _request(context: Context) -> _Request:
    given = context.with_
    url = context.text("url")
    _origin(url)
    headers = {str(name): str(value) for name, value in _mapping(given, "headers").items()}
    body: bytes | None = None
    if "json" in given and "body" in given:
        raise StepFailed("`with` has json and body; give one")
    if "json" in given:
        body = json.dumps(given["json"]).encode()
        headers.setdefault("Content-Type", "application/json")
    elif "body" in given:
        body = context.text("body").encode()
    if "bearer" in given:
        headers["Authorization"] = f"Bearer {context.text('bearer')}"
    if "basic" in given:
        headers["Authorization"] = _basic(context, _mapping(given, "basic"))
    names = {name.lower() for name in headers}
    if "idempotency-key" not in names:
        headers["Idempotency-Key"] = context.key
    if "user-agent" not in names:
        headers["User-Agent"] = "Watchkeeper"
    for name, value in headers.items():
        if not name.isascii() or any(char in value or char in name for char in "\r\n\0"):
            raise StepFailed("a header of `with` holds what HTTP cannot carry")
    method = str(given.get("method", "GET" if body is None else "POST")).upper()
    if method not in _METHODS:
        raise StepFailed(f"method of `with` is {method[:20]!r}; it is one of {', '.join(_METHODS)}")
    return _Request(method, url, headers, body)


def _basic(context: Context, given: Mapping[str, Any]) -> str:
    import aiohttp

    if set(given) != {"username", "password"}:
        raise StepFailed("basic of `with` has username and password")
    encoded = aiohttp.BasicAuth(str(given["username"]), str(given["password"]), "utf-8").encode()
    context.hide(encoded.removeprefix("Basic "))
    return encoded


def _mapping(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name, {})
    if not isinstance(found, Mapping):
        raise StepFailed(f"{name} of `with` is a mapping")
    return found


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts.scheme, parts.hostname, parts.port
    except ValueError:
        pass
    raise StepFailed("url of `with` is no http or https address")


async def _bounded(context: Context, request: _Request) -> _Answer:
    task = asyncio.ensure_future(_followed(context, request))
    while not task.done():
        await asyncio.wait([task], timeout=_TICK_SECONDS)
        if not task.done() and context.cancelled:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise StepFailed("the request was stopped, because the run was aborted", unsure=True)
    return task.result()


async def _followed(context: Context, request: _Request) -> _Answer:
    for _ in range(MAX_REDIRECTS):
        answer = await _send(context, request)
        where = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or where is None or request.method not in _READING:
            return answer
        following = urljoin(request.url, where)
        if _origin(following) != _origin(request.url):
            return answer
        request = _Request(request.method, following, request.headers, request.body)
    raise StepFailed(f"more than {MAX_REDIRECTS} redirects")


async def _send(context: Context, request: _Request) -> _Answer:
    import aiohttp

    host = urlsplit(request.url).hostname
    left = context.remaining()
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=max(left, 0.001)), cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            ) as response,
        ):
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            cut = len(body) > MAX_BODY_BYTES
            return _Answer(response.status, headers, bytes(body[:MAX_BODY_BYTES]), cut)
    except TimeoutError:
        raise StepFailed(f"{host} did not answer within {context.timeout_seconds:g} s", unsure=True) from None
    except aiohttp.ClientConnectorError as error:
        raise StepFailed(f"{host} cannot be reached: {error.os_error.strerror or error.os_error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise StepFailed(f"the request to {host} failed: {type(error).__name__}", unsure=True) from None
