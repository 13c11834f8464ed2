"""Signing in: with name and password, or once with a link; and out.

Always true: a link is used up by a button, never by being opened (mail programs open links); where somebody
wanted to go is only ever a page of ours; why a sign-in failed is not told (tests/console/test_sign_in.py).
"""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.access import links, passwords, sessions, users
from watchkeeper.access.models import AccessError, Identity, Role, ThrottledError
from watchkeeper.access.signing_in import sign_in, sign_out
from watchkeeper.console.console import Console
from watchkeeper.console.gate import local_path
from watchkeeper.console.rendering import about, seen_other

LONGEST = 2000
Field = Annotated[str, Form(max_length=LONGEST)]
NOT_OURS = "This did not come from a page of Watchkeeper; open the sign-in page and try again."
USED_UP = (
    "This link was used, or its time is over. Ask an administrator for a new one: watchkeeper users link NAME"
)


def router(console: Console) -> APIRouter:
    """The routes; they are open to everybody."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/sign-in")
    async def form(request: Request, next: str = "/") -> Response:  # noqa: A002 - the field's usual name
        if await console.gate.identify(request) is not None:
            return seen_other(local_path(next))
        return await console.page(
            request, None, "sign_in.html", next=local_path(next), problem="", username=""
        )

    @routes.post("/sign-in")
    async def enter(
        request: Request,
        username: Field = "",
        password: Field = "",
        next: Field = "/",  # noqa: A002 - the field's usual name
    ) -> Response:
        where = local_path(next)
        problem, status = NOT_OURS, 403
        if console.gate.own(request):
            try:
                token = await console.password_threads.run(
                    sign_in,
                    console.store,
                    console.clock,
                    username.strip().lower(),
                    password,
                    _address(request),
                    request.headers.get("user-agent", ""),
                )
            except ThrottledError as error:
                wait = about(math.ceil(error.retry_after.total_seconds()))
                problem, status = f"Too many attempts; try again in {wait}.", 429
            except AccessError as error:
                problem, status = f"{str(error)[:1].upper()}{str(error)[1:]}.", 401
            else:
                response = seen_other(where)
                console.gate.remember(response, token)
                return response
        return await console.page(
            request, None, "sign_in.html", status=status, next=where, problem=problem, username=username[:64]
        )

    @routes.get("/sign-in/link/{token}")
    async def link(request: Request, token: str) -> Response:
        found = await run_in_threadpool(_peek, token)
        if found is None:
            return await console.page(
                request, None, "sign_in.html", status=410, next="/", problem=USED_UP, username=""
            )
        return await console.page(
            request, None, "sign_in_link.html", first=found[0] is None, name=found[1], problem="", username=""
        )

    def _peek(token: str) -> tuple[int | None, str] | None:
        with console.store.read() as conn:
            found = links.peek(conn, console.clock.now(), token)
            if found is None:
                return None
            user = users.get(conn, found.user_id) if found.user_id is not None else None
        return found.user_id, user.name if user else ""

    @routes.post("/sign-in/link/{token}")
    async def use(
        request: Request, token: str, username: Field = "", name: Field = "", password: Field = ""
    ) -> Response:
        if not console.gate.own(request):
            return await console.page(
                request, None, "sign_in.html", status=403, next="/", problem=NOT_OURS, username=""
            )
        found = await run_in_threadpool(_peek, token)
        run = console.password_threads.run if found and found[0] is None else run_in_threadpool
        try:
            session = await run(
                _use, token, username.strip().lower(), name, password, request.headers.get("user-agent", "")
            )
        except AccessError as error:
            status = 429 if isinstance(error, ThrottledError) else 400
            return await console.page(
                request, None, "sign_in_link.html", status=status, first=True, name=name[:100],
                problem=str(error), username=username[:64],
            )  # fmt: skip
        if session is None:
            return await console.page(
                request, None, "sign_in.html", status=410, next="/", problem=USED_UP, username=""
            )
        response = seen_other("/")
        console.gate.remember(response, session)
        return response

    def _use(token: str, username: str, name: str, password: str, agent: str) -> str | None:
        now = console.clock.now()
        with console.store.read() as conn:
            found = links.peek(conn, now, token)
        if found is None:
            return None
        hashed = ""
        if found.user_id is None:  # the first administrator says who they are
            passwords.check_strength(password, username)
            hashed = passwords.hash_password(password)
        with console.store.write() as conn:
            used = links.use(conn, now, token)
            if used is None:
                return None
            user_id = used.user_id
            if user_id is None:
                user_id = users.create(
                    conn, now, username=username, name=name.strip() or username, role=Role.ADMIN,
                    password_hash=hashed, by=f"person:{username}",
                )  # fmt: skip
            return sessions.open_session(conn, now, user_id, "link", agent)

    def _leave(identity: Identity) -> None:
        with console.store.write() as conn:
            sign_out(conn, console.clock.now(), identity)

    @routes.post("/sign-out")
    async def leave(request: Request) -> Response:
        identity = await console.gate.identify(request)
        response = seen_other("/sign-in")
        if identity is not None and identity.session is not None and console.gate.own(request):
            await run_in_threadpool(_leave, identity)
            console.gate.forget(response)
            response.headers["Clear-Site-Data"] = '"cache"'
        return response

    return routes


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
