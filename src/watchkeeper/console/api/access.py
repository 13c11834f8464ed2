"""Who asks, and who may: ``/api/whoami``, ``/api/account``, ``/api/sessions``, ``/api/users`` and tokens.

Always true: nobody gives a right that they do not have, be it by a token, an account or a link
(tests/console/test_api_access.py).
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import Field, StringConstraints
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access import links, own_password, sessions, tokens, users
from watchkeeper.access.models import SCOPES_OF, Identity, Role, Scope, ThrottledError
from watchkeeper.access.signing_in import end_sessions, sign_out
from watchkeeper.access.tokens import ApiToken
from watchkeeper.access.users import User as Account
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, problems, refusing
from watchkeeper.console.api.values import IdInPath, Moment, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Admin, ForbiddenError, Known, Reader, must_have

Username = Annotated[str, StringConstraints(min_length=1, max_length=64)]
UsernameInPath = Annotated[str, Path(min_length=1, max_length=64)]


class WhoAmI(Answer):
    """Whoever asks."""

    kind: str = Field(description="`person` or `token`.")
    name: str
    display: str
    role: Role | None
    scopes: list[Scope]


class WantedPassword(Asked):
    """A new password."""

    current: str = Field("", max_length=2000, description="Empty for who has none, or came in by a link.")
    new: str = Field(min_length=1, max_length=2000)


class User(Answer):
    """An account."""

    id: int
    username: str
    name: str
    role: Role
    enabled: bool
    has_password: bool = Field(description="Otherwise it is entered by one-time links only.")
    created_at: datetime
    created_by: str
    disabled_at: datetime | None
    password_changed_at: datetime | None


class Users(Answer):
    """Every account, also disabled ones, by username."""

    users: list[User]


class WantedUser(Asked):
    """An account to be made; it is entered by a one-time link."""

    username: Username = Field(description="a-z, 0-9, '.', '_' and '-', beginning with a letter or digit.")
    name: Word = Field("", description="For people; the username, where it is not given.")
    role: Role


class ChangedUser(Asked):
    """What is to be different."""

    role: Role | None = None
    enabled: bool | None = None


class SignInLink(Answer):
    """A link that lets in once."""

    url: str = Field(description="Shown this once.")
    expires_at: datetime


class Token(Answer):
    """An API token, without its text."""

    id: int
    name: str
    state: str = Field(description="`active`, `expired` or `revoked`.")
    scopes: list[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class Tokens(Answer):
    """Every token there ever was, the newest first."""

    tokens: list[Token]


class WantedToken(Asked):
    """A token to be made. It ends at `expires_at`, or after `days`."""

    name: Username = Field(description="What the journal calls it: a-z, 0-9, '.', '_' and '-'.")
    scopes: list[Scope] = Field(min_length=1, max_length=8)
    days: int | None = Field(None, ge=1, le=366)
    expires_at: Moment | None = None


class MadeToken(Token):
    """A token that was made."""

    token: str = Field(description="Its text, shown this once.")


class Session(Answer):
    """A session that is good now."""

    id: str
    own: bool = Field(description="Whether it is the one with which you ask.")
    via: str
    user_agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Sessions(Answer):
    """Sessions, the one used last first."""

    sessions: list[Session]


class Ended(Answer):
    """How many sessions were ended."""

    ended: int


def _account(conn: Connection, username: str) -> Account:
    found = users.by_name(conn, username)
    if found is None:
        raise HTTPException(404, "there is no user of that name; GET /api/users lists them")
    return found


def _token(one: ApiToken, now: datetime) -> Token:
    return Token(
        id=one.id,
        name=one.name,
        state=one.state(now),
        scopes=sorted(one.scopes),
        created_at=one.created_at,
        created_by=one.created_by,
        expires_at=one.expires_at,
        last_used_at=one.last_used_at,
        revoked_at=one.revoked_at,
        revoked_by=one.revoked_by,
    )


def _sessions(found: list[sessions.Session], identity: Identity) -> Sessions:
    return Sessions(
        sessions=[
            Session(
                id=one.token_hash,
                own=one.token_hash == identity.session,
                via=one.via,
                user_agent=one.user_agent,
                created_at=one.created_at,
                seen_at=one.seen_at,
                expires_at=one.expires_at,
            )
            for one in found
        ]
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api")
    routes.include_router(_own(console))
    routes.include_router(_users(console))
    routes.include_router(_tokens(console))
    return routes


def _own(console: Console) -> APIRouter:
    routes = APIRouter(tags=["access"])

    @routes.get("/whoami", operation_id="getIdentity", responses=problems())
    async def whoami(identity: Known) -> WhoAmI:
        """Whoever asks, and what they may do."""
        return WhoAmI(
            kind=identity.kind,
            name=identity.name,
            display=identity.display,
            role=identity.role,
            scopes=sorted(identity.scopes),
        )

    def read(identity: Identity) -> Sessions:
        if identity.user_id is None:
            return Sessions(sessions=[])
        with console.store.read() as conn:
            return _sessions(sessions.of_user(conn, console.clock.now(), identity.user_id), identity)

    @routes.get("/sessions", operation_id="listOwnSessions", responses=problems())
    async def own(identity: Reader) -> Sessions:
        """Where you are signed in; nowhere, for a token."""
        return await run_in_threadpool(read, identity)

    def change(identity: Identity, asked: WantedPassword, address: str) -> None:
        try:
            with refusing():
                own_password.change(console.store, console.clock, identity, asked.current, asked.new, address)
        except ThrottledError as error:
            seconds = math.ceil(error.retry_after.total_seconds())
            raise HTTPException(429, str(error), headers={"Retry-After": str(seconds)}) from None

    @routes.put("/account/password", operation_id="changeOwnPassword", status_code=204, responses=CHANGES)
    async def password(identity: Reader, asked: WantedPassword, request: Request) -> Response:
        """Set your own password; your other sessions end. Only for a person who is signed in."""
        if identity.user_id is None:
            raise ForbiddenError("a token has no password")
        address = request.client.host if request.client else "unknown"
        await console.password_threads.run(change, identity, asked, address)
        return Response(status_code=204)

    def finish(identity: Identity, session: str) -> Ended:
        before = read(identity).sessions
        if session not in {one.id for one in before}:
            raise HTTPException(404, "you have no such session; GET /api/sessions lists yours")
        with console.store.write() as conn:
            sign_out(conn, console.clock.now(), identity, session)
        return Ended(ended=1)

    @routes.post("/sessions/{session}/end", operation_id="endOwnSession", responses=CHANGES)
    async def end(identity: Reader, session: Annotated[str, Path(min_length=1, max_length=100)]) -> Ended:
        """Sign out somewhere."""
        return await run_in_threadpool(finish, identity, session)

    return routes


def _users(console: Console) -> APIRouter:
    routes = APIRouter(prefix="/users", tags=["access"])

    def read() -> Users:
        with console.store.read() as conn:
            return Users(users=[User.model_validate(one) for one in users.listing(conn)])

    @routes.get("", operation_id="listUsers", responses=problems())
    async def listed(identity: Admin) -> Users:
        """Every account."""
        return await run_in_threadpool(read)

    def make(identity: Identity, asked: WantedUser) -> User:
        must_have(identity, SCOPES_OF[asked.role], f"the role {asked.role}")
        with refusing(), console.store.write() as conn:
            if users.by_name(conn, asked.username) is not None:
                raise HTTPException(409, f"there is a user {asked.username} already; nothing was changed")
            made = users.create(
                conn,
                console.clock.now(),
                username=asked.username,
                name=asked.name,
                role=asked.role,
                by=identity.actor,
            )
            return User.model_validate(users.get(conn, made))

    @routes.post("", operation_id="createUser", responses=CHANGES, status_code=201)
    async def create(identity: Admin, asked: WantedUser) -> User:
        """Make an account. Make a link for it, so that its owner can come in."""
        return await run_in_threadpool(make, identity, asked)

    def alter(identity: Identity, username: str, asked: ChangedUser) -> User:
        now = console.clock.now()
        with refusing(409), console.store.write() as conn:
            user = _account(conn, username)
            if asked.role is not None:
                must_have(identity, SCOPES_OF[asked.role], f"the role {asked.role}")
                users.change_role(conn, now, user.id, asked.role, by=identity.actor)
            if asked.enabled is True:
                must_have(identity, SCOPES_OF[asked.role or user.role], user.username)
                users.enable(conn, now, user.id, by=identity.actor)
            elif asked.enabled is False:
                users.disable(conn, now, user.id, by=identity.actor)
            return User.model_validate(users.get(conn, user.id))

    @routes.patch("/{username}", operation_id="changeUser", responses=CHANGES)
    async def change(identity: Admin, username: UsernameInPath, asked: ChangedUser) -> User:
        """Give another role, disable or enable. The last admin stays one."""
        return await run_in_threadpool(alter, identity, username, asked)

    def make_link(identity: Identity, username: str) -> SignInLink:
        now = console.clock.now()
        with refusing(409), console.store.write() as conn:
            user = _account(conn, username)
            must_have(identity, SCOPES_OF[user.role], f"a link of {user.username}")
            text = links.create(conn, now, user=user.id, role=user.role, by=identity.actor)
        return SignInLink(
            url=f"{console.settings.url.rstrip('/')}/sign-in/link/{text}", expires_at=now + links.LIFETIME
        )

    @routes.post("/{username}/link", operation_id="createSignInLink", responses=CHANGES, status_code=201)
    async def link(identity: Admin, username: UsernameInPath) -> SignInLink:
        """A one-time link with which this person comes in, within 30 minutes."""
        return await run_in_threadpool(make_link, identity, username)

    def read_sessions(identity: Identity, username: str) -> Sessions:
        with console.store.read() as conn:
            user = _account(conn, username)
            return _sessions(sessions.of_user(conn, console.clock.now(), user.id), identity)

    @routes.get("/{username}/sessions", operation_id="listSessions", responses=problems(404))
    async def their_sessions(identity: Admin, username: UsernameInPath) -> Sessions:
        """Where somebody is signed in."""
        return await run_in_threadpool(read_sessions, identity, username)

    def finish(identity: Identity, username: str) -> Ended:
        with console.store.write() as conn:
            user = _account(conn, username)
            return Ended(ended=end_sessions(conn, console.clock.now(), user, by=identity.actor))

    @routes.post("/{username}/sessions/end", operation_id="endSessions", responses=CHANGES)
    async def end(identity: Admin, username: UsernameInPath) -> Ended:
        """End every session of somebody; their password and links stay good."""
        return await run_in_threadpool(finish, identity, username)

    return routes


def _tokens(console: Console) -> APIRouter:
    routes = APIRouter(prefix="/tokens", tags=["access"])

    def read() -> Tokens:
        now = console.clock.now()
        with console.store.read() as conn:
            return Tokens(tokens=[_token(one, now) for one in tokens.listing(conn)])

    @routes.get("", operation_id="listTokens", responses=problems())
    async def listed(identity: Admin) -> Tokens:
        """Every token there ever was, without its text."""
        return await run_in_threadpool(read)

    def make(identity: Identity, asked: WantedToken) -> MadeToken:
        now = console.clock.now()
        must_have(identity, asked.scopes, "a token")
        if (asked.days is None) == (asked.expires_at is None):
            raise HTTPException(400, "say when the token ends with one of days and expires_at")
        ends = asked.expires_at or now + timedelta(days=asked.days or 0)
        with refusing(), console.store.write() as conn:
            if any(one.name == asked.name and one.state(now) == "active" for one in tokens.listing(conn)):
                raise HTTPException(409, f"there is an active token {asked.name} already; revoke it first")
            text = tokens.create(
                conn, now, name=asked.name, scopes=asked.scopes, expires_at=ends, by=identity.actor
            )
            made = tokens.listing(conn)[0]
        return MadeToken(**_token(made, now).model_dump(), token=text)

    @routes.post("", operation_id="createToken", responses=CHANGES, status_code=201)
    async def create(identity: Admin, asked: WantedToken) -> MadeToken:
        """Make a token. Its text is in this answer and nowhere else."""
        return await run_in_threadpool(make, identity, asked)

    def end(identity: Identity, number: int) -> Token:
        now = console.clock.now()
        with refusing(409), console.store.write() as conn:
            if all(one.id != number for one in tokens.listing(conn)):
                raise HTTPException(404, f"there is no token {number}; GET /api/tokens lists them")
            tokens.revoke(conn, now, number, by=identity.actor)
            return _token(next(one for one in tokens.listing(conn) if one.id == number), now)

    @routes.post("/{number}/revoke", operation_id="revokeToken", responses=CHANGES)
    async def revoke(identity: Admin, number: IdInPath) -> Token:
        """Make a token worthless, at once."""
        return await run_in_threadpool(end, identity, number)

    return routes
