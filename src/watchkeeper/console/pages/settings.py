"""``/settings``: your account, your sessions, this browser.

Always true: a password changes only for who knows the one before, or came in by a one-time link a moment ago;
nobody ends a session that is not theirs; a guess here counts as a guess at the door
(tests/console/test_settings.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.access import own_password, passwords, sessions, users
from watchkeeper.access.models import AccessError, Identity, ThrottledError
from watchkeeper.access.sessions import Session
from watchkeeper.access.signing_in import sign_out
from watchkeeper.access.users import User
from watchkeeper.console.console import Console
from watchkeeper.console.gate import ForbiddenError, Reader
from watchkeeper.console.people import own_contact, sentence, zone_of
from watchkeeper.console.rendering import THEMES, about, seen_other

YEAR_SECONDS = 366 * 86400
Field = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever looks, as the store has them. ``needs_current``: whether a new password needs the old one."""

    user: User
    sessions: list[Session]
    needs_current: bool


def router(console: Console) -> APIRouter:
    """``/settings`` and what is done there."""
    routes = APIRouter(include_in_schema=False)

    def look(identity: Identity) -> Account | None:
        if identity.user_id is None:
            return None
        now = console.clock.now()
        with console.store.read() as conn:
            return Account(
                users.get(conn, identity.user_id),
                sessions.of_user(conn, now, identity.user_id),
                own_password.needs_current(conn, console.clock, identity),
            )

    async def show(request: Request, identity: Identity, *, status: int = 200, problem: str = "") -> Response:
        account = await run_in_threadpool(look, identity)
        picture = await console.pictures.now()
        return await console.page(
            request,
            identity,
            "settings.html",
            status=status,
            picture=picture,
            account=account,
            contact=own_contact(picture, identity),
            zone=zone_of(picture, identity),
            themes=THEMES,
            problem=problem,
            shortest=passwords.SHORTEST,
        )

    @routes.get("/settings")
    async def page(request: Request, identity: Reader) -> Response:
        return await show(request, identity)

    @routes.post("/settings/theme")
    async def theme(identity: Reader, theme: Field = "auto") -> Response:
        response = seen_other("/settings")
        chosen = theme if theme in THEMES else "auto"
        response.set_cookie(
            "theme", chosen, max_age=YEAR_SECONDS, path="/", samesite="lax", secure=console.gate.secure
        )
        return response

    @routes.post("/settings/password")
    async def password(
        request: Request, identity: Reader, current: Field = "", new: Field = "", again: Field = ""
    ) -> Response:
        try:
            await console.password_threads.run(change, identity, current, new, again, _address(request))
        except ThrottledError as error:
            wait = about(error.retry_after.total_seconds())
            return await show(
                request, identity, status=429, problem=f"Too many attempts; try again in {wait}."
            )
        except AccessError as error:
            return await show(request, identity, status=400, problem=sentence(str(error)))
        return seen_other("/settings", "The password is changed; your other sessions have ended.")

    def change(identity: Identity, current: str, new: str, again: str, address: str) -> None:
        if identity.user_id is None:
            raise ForbiddenError("a token has no password")
        if new != again:
            raise AccessError("the new password was not typed the same twice")
        own_password.change(console.store, console.clock, identity, current, new, address)

    @routes.post("/settings/sessions/end")
    async def end(identity: Reader, session: Annotated[str, Form(max_length=64)] = "") -> Response:
        await run_in_threadpool(leave, identity, session)
        return seen_other("/settings", "The session has ended.")

    def leave(identity: Identity, session: str) -> None:
        if session and identity.user_id is not None:
            with console.store.write() as conn:
                sign_out(conn, console.clock.now(), identity, session)

    return routes


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
