"""Nothing that lets anybody in is in the files of the store, nor in the journal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, union_all

from tests.access.people import GOOD, add
from tests.postgresql import sqlite_only
from watchkeeper.access import links, passwords, tokens, users
from watchkeeper.access.models import Role, Scope
from watchkeeper.access.sessions import identify
from watchkeeper.access.signing_in import sign_in, sign_out
from watchkeeper.store import journal, models
from watchkeeper.store.canonical import canonical_json
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store


@sqlite_only
def test_no_secret_reaches_the_files_and_no_hash_the_journal(store: Store, clock: ManualClock) -> None:
    first = links.first_admin(store, clock)
    assert first
    hashed = passwords.hash_password(GOOD)
    ada = add(store, clock.now(), "ada", Role.ADMIN, password_hash=hashed)
    cookie = sign_in(store, clock, "ada", GOOD, "192.0.2.1")
    with store.write() as conn:
        every_hash = union_all(
            select(models.users.c.password_hash),
            select(models.sessions.c.token_hash),
            select(models.api_tokens.c.token_hash),
            select(models.sign_in_links.c.token_hash),
        )
        me = identify(conn, clock.now(), cookie)
        assert me
        link = links.create(conn, clock.now(), user=ada, role=Role.ADMIN, by=me.actor)
        assert links.use(conn, clock.now(), link)
        token = tokens.create(
            conn,
            clock.now(),
            name="ci",
            scopes=[Scope.READ],
            expires_at=clock.now() + timedelta(days=1),
            by=me.actor,
        )
        tokens.used(conn, clock.now(), token)
        users.set_password_hash(conn, clock.now(), ada, hashed, by=me.actor, keep=me.session)
    files = [path for path in Path(store.place).parent.iterdir() if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    content = b"".join(path.read_bytes() for path in files)
    assert b"access.signed_in" in content
    for secret in (GOOD, first, cookie, link, token, token.removeprefix("wk_")):
        assert secret.encode() not in content
    with store.read() as conn:
        entries = journal.entries(conn)
        kept = set(conn.execute(every_hash).scalars())
    with store.write() as conn:
        sign_out(conn, clock.now(), me)
    text = "".join(canonical_json([one.kind, one.actor, one.subject, one.facts]) for one in entries)
    assert len(kept) == 5
    assert not [one for one in kept if one in text]
    assert "[not recorded]" not in text  # nothing had to be masked either
