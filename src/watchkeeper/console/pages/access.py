"""``/settings/users`` and ``/settings/tokens``: who may come in, for administrators.

Always true: a link or token is shown once, in the answer to the form that made it, and is in no address, no
cookie and no log; nobody gives a token, a role or a link more than they have
(tests/console/test_access_pages.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access import links, tokens, users
from watchkeeper.access.models import SCOPES_OF, AccessError, Identity, Role, Scope
from watchkeeper.access.tokens import ApiToken
from watchkeeper.access.users import User
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Admin, must_have
from watchkeeper.console.people import RowNumber, sentence
from watchkeeper.console.rendering import seen_other

Field = Annotated[str, Form(max_length=2000)]
SCOPES = {
    Scope.READ: "see everything that pages show, and the calendar feed",
    Scope.METRICS: "query metrics, as Grafana does",
    Scope.RESPOND: "acknowledge, silence, stand in",
    Scope.CHANGES: "tell of deploys and other changes",
    Scope.ADMIN: "make users and tokens",
}
DAYS = (7, 30, 90, 365)
NOBODY = {"username": "", "name": "", "role": Role.VIEWER.value}
"""The form to add somebody, before anything was typed."""


def router(console: Console) -> APIRouter:
    """The routes; all of them for administrators."""
    routes = APIRouter(include_in_schema=False)

    # -- users ---------------------------------------------------------------------------------

    def all_users() -> list[User]:
        with console.store.read() as conn:
            return users.listing(conn)

    async def show_users(request: Request, identity: Identity, *, status: int = 200, **more: Any) -> Response:
        context = {
            "problem": "",
            "typed": NOBODY,
            "link": "",
            "link_for": "",
            "lasts": links.LIFETIME,
            **more,
        }
        found = await run_in_threadpool(all_users)
        return await console.page(
            request, identity, "users.html", status=status, users=found, roles=list(Role), **context
        )

    @routes.get("/settings/users")
    async def listing(request: Request, identity: Admin) -> Response:
        return await show_users(request, identity)

    @routes.post("/settings/users")
    async def add(
        request: Request, identity: Admin, username: Field = "", name: Field = "", role: Field = "viewer"
    ) -> Response:
        typed = {"username": username, "name": name, "role": role}
        wanted = username.strip().lower()
        try:
            link = await run_in_threadpool(make_user, wanted, name, role, identity)
        except AccessError as error:
            return await show_users(request, identity, status=400, problem=sentence(str(error)), typed=typed)
        return await show_users(request, identity, link=link, link_for=wanted)

    def make_user(username: str, name: str, role: str, identity: Identity) -> str:
        must_have(identity, SCOPES_OF[_role(role)], f"the role {role}")
        with console.store.write() as conn:
            now = console.clock.now()
            made = users.create(conn, now, username=username, name=name, role=_role(role), by=identity.actor)
            return _link(conn, made, identity)

    def _link(conn: Connection, user_id: int, identity: Identity) -> str:
        user = users.get(conn, user_id)
        role = user.role
        must_have(identity, SCOPES_OF[role], f"a link of {user.username}")
        token = links.create(conn, console.clock.now(), user=user_id, role=role, by=identity.actor)
        return f"{console.settings.url}/sign-in/link/{token}"

    @routes.post("/settings/users/{user_id}/link")
    async def link(request: Request, identity: Admin, user_id: RowNumber) -> Response:
        def make() -> tuple[str, str]:
            with console.store.write() as conn:
                return _link(conn, user_id, identity), users.get(conn, user_id).username

        try:
            made, username = await run_in_threadpool(make)
        except AccessError as error:
            return await show_users(request, identity, status=400, problem=sentence(str(error)))
        return await show_users(request, identity, link=made, link_for=username)

    @routes.post("/settings/users/{user_id}/role")
    async def role(request: Request, identity: Admin, user_id: RowNumber, role: Field = "") -> Response:
        def change() -> str:
            must_have(identity, SCOPES_OF[_role(role)], f"the role {role}")
            with console.store.write() as conn:
                users.change_role(conn, console.clock.now(), user_id, _role(role), by=identity.actor)
                return f"{users.get(conn, user_id).username} is {role} now."

        return await changed(request, identity, change)

    @routes.post("/settings/users/{user_id}/disable")
    async def disable(request: Request, identity: Admin, user_id: RowNumber) -> Response:
        def change() -> str:
            with console.store.write() as conn:
                users.disable(conn, console.clock.now(), user_id, by=identity.actor)
                return f"{users.get(conn, user_id).username} may not sign in any more."

        return await changed(request, identity, change)

    @routes.post("/settings/users/{user_id}/enable")
    async def enable(request: Request, identity: Admin, user_id: RowNumber) -> Response:
        def change() -> str:
            with console.store.write() as conn:
                user = users.get(conn, user_id)
                must_have(identity, SCOPES_OF[user.role], user.username)
                users.enable(conn, console.clock.now(), user_id, by=identity.actor)
                return f"{users.get(conn, user_id).username} may sign in again."

        return await changed(request, identity, change)

    async def changed(request: Request, identity: Identity, change: Any) -> Response:
        try:
            said = await run_in_threadpool(change)
        except AccessError as error:
            return await show_users(request, identity, status=409, problem=sentence(str(error)))
        return seen_other("/settings/users", said)

    # -- tokens --------------------------------------------------------------------------------

    def all_tokens() -> list[ApiToken]:
        with console.store.read() as conn:
            return tokens.listing(conn)

    async def show_tokens(
        request: Request, identity: Identity, *, status: int = 200, **more: Any
    ) -> Response:
        context = {"problem": "", "typed": {"name": "", "scopes": ["read"], "days": 90}, **more}
        context.setdefault("token", "")
        found = await run_in_threadpool(all_tokens)
        picture = await console.pictures.now()
        return await console.page(
            request,
            identity,
            "tokens.html",
            status=status,
            picture=picture,
            tokens=[one for one in found if one.state(picture.at) == "active"],
            ended=[one for one in found if one.state(picture.at) != "active"][:50],
            scopes={scope: text for scope, text in SCOPES.items() if identity.may(scope)},
            days=DAYS,
            **context,
        )

    @routes.get("/settings/tokens")
    async def token_listing(request: Request, identity: Admin) -> Response:
        return await show_tokens(request, identity)

    @routes.post("/settings/tokens")
    async def create(
        request: Request,
        identity: Admin,
        name: Field = "",
        scope: Annotated[list[Annotated[str, Form(max_length=64)]] | None, Form(max_length=10)] = None,
        days: Annotated[str, Form(max_length=10)] = "90",
    ) -> Response:
        typed = {"name": name, "scopes": scope or [], "days": days}
        try:
            made = await run_in_threadpool(make_token, name.strip(), scope or [], days, identity)
        except AccessError as error:
            return await show_tokens(request, identity, status=400, problem=sentence(str(error)), typed=typed)
        return await show_tokens(request, identity, token=made)

    def make_token(name: str, scopes: list[str], days: str, identity: Identity) -> str:
        known = {one.value: one for one in Scope if identity.may(one)}
        unknown = [text for text in scopes if text not in known]
        if unknown:
            raise AccessError(f"there is no scope {unknown[0]!r} that you could give")
        if not (days.isascii() and days.isdecimal() and 1 <= int(days) <= tokens.LONGEST.days):
            raise AccessError(f"a token works for 1 to {tokens.LONGEST.days} days")
        with console.store.write() as conn:
            now = console.clock.now()
            ends = now + timedelta(days=int(days))
            chosen = [known[text] for text in scopes]
            return tokens.create(conn, now, name=name, scopes=chosen, expires_at=ends, by=identity.actor)

    @routes.post("/settings/tokens/{token_id}/revoke")
    async def revoke(request: Request, identity: Admin, token_id: RowNumber) -> Response:
        def change() -> None:
            with console.store.write() as conn:
                tokens.revoke(conn, console.clock.now(), token_id, by=identity.actor)

        try:
            await run_in_threadpool(change)
        except AccessError as error:
            return await show_tokens(request, identity, status=409, problem=sentence(str(error)))
        return seen_other("/settings/tokens", "The token is revoked; it opens nothing any more.")

    return routes


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise AccessError(f"there is no role {text[:40]!r}; choose one of {', '.join(Role)}") from None
