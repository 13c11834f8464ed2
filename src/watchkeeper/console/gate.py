"""Who asks, and whether they may: a session's cookie or an API token, its scopes, and whence a change comes.

Always true: a test walks all routes, and each is open on purpose or declares the scope that it needs; a
request that changes something and carries a cookie is taken only from our own pages, which browsers tell by
``Sec-Fetch-Site`` or ``Origin``; no browser sends a bearer token by itself, so that needs neither
(tests/console/test_gate.py).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Annotated
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, HTTPException, Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access import sessions, tokens
from watchkeeper.access.models import Identity, Scope, printable
from watchkeeper.store import journal
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
NAME = "watchkeeper-session"
COOKIE_SECONDS = 14 * 86400
NOTE_SECONDS = 60.0
NOTE_PATIENCE_SECONDS = 0.2
"""How long a request waits for the note that its session or token was used; it is written all the same."""
REFUSALS_A_MINUTE = 30
"""So many refusals of one actor are written into the journal in a minute; all of them are refused."""
ACTING = frozenset({Scope.RESPOND, Scope.ADMIN})
"""The scopes of what changes something."""
MAX_TOKEN = 200
"""Longer than any token of ours: what is longer is not looked up."""


class SignInNeededError(Exception):
    """Nobody is signed in; a page leads to the sign-in, the API answers 401."""


class ForbiddenError(Exception):
    """Somebody is signed in who may not do this; the message says what is missing."""


class Gate:
    """Finds out who asks. ``base`` is where people reach us; with https, cookies are bound to it."""

    def __init__(self, store: Store, clock: Clock, base: str) -> None:
        self._store = store
        self._clock = clock
        self._base = base
        self._noted: dict[str, float] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._notes_at_once = CapacityLimiter(1)
        self._refused: dict[str, deque[float]] = {}

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS."""
        return self._base.startswith("https://")

    @property
    def cookie(self) -> str:
        """The session cookie's name; browsers hold one with ``__Host-`` to this host, path and TLS."""
        return f"__Host-{NAME}" if self.secure else NAME

    async def identify(self, request: Request) -> Identity | None:
        """Who asks; None for nobody that we know (no, expired or ended session or token)."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and given:
            return await self.identify_token(given.strip())
        token = request.cookies.get(self.cookie)
        if not token or len(token) > MAX_TOKEN:
            return None
        found = await run_in_threadpool(self._session, token)
        if found is not None and found.session is not None and self._to_note(session := found.session):
            await self._note_soon(lambda conn, now: sessions.seen(conn, now, session))
        return found

    async def identify_token(self, token: str) -> Identity | None:
        """Whose API token ``token`` is; None for none that is good."""
        found = await run_in_threadpool(self._token, token)
        if found is not None and self._to_note(f"token {found.name}"):
            await self._note_soon(lambda conn, now: tokens.used(conn, now, token))
        return found

    def _token(self, token: str) -> Identity | None:
        if len(token) > MAX_TOKEN:
            return None
        with self._store.read() as conn:
            return tokens.identify(conn, self._clock.now(), token)

    def _session(self, token: str) -> Identity | None:
        with self._store.read() as conn:
            return sessions.identify(conn, self._clock.now(), token)

    def _to_note(self, key: str) -> bool:
        """Whether to write that ``key`` was used: once a minute, so that reading rarely waits for it."""
        now = self._clock.monotonic()
        if now - self._noted.get(key, -NOTE_SECONDS) < NOTE_SECONDS:
            return False
        if len(self._noted) > 10_000:
            self._noted.clear()
        self._noted[key] = now
        return True

    async def _note_soon(self, write: Callable[[Connection, datetime], None]) -> None:
        """Write it, apart from the threads of the pages, and wait for that only where it is soon done."""
        task = asyncio.create_task(to_thread.run_sync(self._note, write, limiter=self._notes_at_once))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)
        await asyncio.wait({task}, timeout=NOTE_PATIENCE_SECONDS)

    def _note(self, write: Callable[[Connection, datetime], None]) -> None:
        try:
            with self._store.write() as conn:
                write(conn, self._clock.now())
        except StoreError as error:
            log.warning("it could not be noted what was used or refused: %s", error)

    async def refused(self, request: Request, identity: Identity, scope: Scope) -> None:
        """Write into the journal that ``identity`` tried to do what it may not; at most 30 a minute of each.

        What cannot be written is logged; the request is refused all the same.
        """
        now = self._clock.monotonic()
        if len(self._refused) > 10_000:
            self._refused.clear()
        times = self._refused.setdefault(identity.actor, deque(maxlen=REFUSALS_A_MINUTE))
        if len(times) == REFUSALS_A_MINUTE and now - times[0] < NOTE_SECONDS:
            return
        times.append(now)
        method, path = request.method, printable(request.url.path, 200)
        facts = {
            "summary": f"{identity.display} was refused {method} {path}: it needs the scope {scope}",
            "method": method,
            "path": path,
            "scope": scope.value,
        }
        subject = f"{'user' if identity.kind == 'person' else 'token'}:{identity.name}"

        def write(conn: Connection, at: datetime) -> None:
            journal.append(conn, at, "access.refused", identity.actor, subject, facts)

        await run_in_threadpool(self._note, write)

    def own(self, request: Request) -> bool:
        """Whether the request says that it comes from our own pages; one that says nothing does not."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = request.headers.get("origin")
        if origin is None:
            return False
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc == request.headers.get("host")

    def remember(self, response: Response, token: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=COOKIE_SECONDS,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Take the browser's session away."""
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="lax")


def needs(scope: Scope | None) -> Callable[[Request], Awaitable[Identity]]:
    """A dependency that lets in whoever has ``scope`` (None: whoever is known), and says who it is.

    Raises :class:`SignInNeededError` or :class:`ForbiddenError`, which the application answers.
    """

    async def identity(request: Request) -> Identity:
        gate: Gate = request.app.state.gate
        found = await gate.identify(request)
        if found is None:
            raise SignInNeededError
        if request.method not in SAFE and found.kind == "person" and not gate.own(request):
            raise ForbiddenError(
                "this change did not come from a page of Watchkeeper, so it was not made; "
                "programs use an API token (watchkeeper tokens create)"
            )
        if scope is not None and not found.may(scope):
            if request.method not in SAFE and scope in ACTING:
                await gate.refused(request, found, scope)
            raise ForbiddenError(f"{found.display} may not do this: it needs the scope {scope}")
        return found

    identity.scope = scope  # type: ignore[attr-defined]  # read by the test that walks all routes
    return identity


async def _calendar_reader(request: Request) -> Identity:
    gate: Gate = request.app.state.gate
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        password = _basic_password(given.strip())
        found = await gate.identify_token(password) if password is not None else None
    else:
        found = await gate.identify(request)
    if found is None:
        raise HTTPException(
            401,
            "send an API token with the scope read as the password; the user name is not looked at",
            headers={"WWW-Authenticate": 'Basic realm="Watchkeeper calendars", charset="UTF-8"'},
        )
    if not found.may(Scope.READ):
        raise ForbiddenError(f"{found.display} may not do this: it needs the scope {Scope.READ}")
    return found


_calendar_reader.scope = Scope.READ  # type: ignore[attr-defined]  # read by the test that walks all routes


def _basic_password(given: str) -> str | None:
    """The password of RFC 7617 credentials; None for anything else."""
    if len(given) > 4 * MAX_TOKEN:
        return None
    try:
        _, colon, password = base64.b64decode(given, validate=True).decode().partition(":")
    except ValueError:
        return None
    return password if colon else None


CalendarReader = Annotated[Identity, Depends(_calendar_reader)]
"""Whoever may see what pages show, and a calendar program, which can send nothing but a user name and a
password: the password is the API token. Only for a calendar feed, which changes nothing."""
Known = Annotated[Identity, Depends(needs(None))]
"""Whoever is signed in or has a token."""
Reader = Annotated[Identity, Depends(needs(Scope.READ))]
"""Whoever may see what pages show."""
Querier = Annotated[Identity, Depends(needs(Scope.METRICS))]
"""Whoever may query metrics."""
Responder = Annotated[Identity, Depends(needs(Scope.RESPOND))]
"""Whoever may acknowledge, silence and stand in."""
ChangeTeller = Annotated[Identity, Depends(needs(Scope.CHANGES))]
"""Whoever may tell of changes: a deploy pipeline, and who responds."""
Admin = Annotated[Identity, Depends(needs(Scope.ADMIN))]
"""Whoever may change users and tokens."""


def must_have(identity: Identity, scopes: Collection[Scope], what: str) -> None:
    """Nobody gives what they lack, not even an API token with the scope ``admin`` alone.

    Raises :class:`ForbiddenError`.
    """
    missing = sorted(set(scopes) - identity.scopes)
    if missing:
        raise ForbiddenError(f"{identity.display} cannot give {what} what it lacks: {', '.join(missing)}")


def sign_in_address(request: Request) -> str:
    """Where to sign in, and come back to the page asked for."""
    path = quote(request.scope["path"], safe="/:@!$&'()*+,;=~")
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    return "/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='')}"


def local_path(wanted: str | None) -> str:
    """``wanted`` where it is an address of ours, else home: nobody is sent to another host."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or len(wanted) > 2000:
        return "/"
    if not wanted.isprintable() or "\\" in wanted or urlsplit(wanted).netloc:
        return "/"
    return wanted
