"""PostgreSQL that goes away, hangs, or is no place for a store: said in time, and with what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.postgresql import Server
from watchkeeper.store import journal
from watchkeeper.store import postgresql as connections
from watchkeeper.store.database import Store, open_existing, open_store
from watchkeeper.store.errors import (
    StoreCorruptError,
    StoreError,
    StoreMissingError,
    StoreReadOnlyError,
    StoreUnreachableError,
)


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    with postgresql.store() as fresh:
        yield fresh


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def append(store: Store, now: datetime) -> int:
    with store.write() as conn:
        return journal.append(conn, now, "k", "a", "s", {})


def count(store: Store) -> int:
    with store.read() as conn:
        return journal.head(conn).seq


def test_a_store_goes_on_by_itself_when_the_server_is_back(
    store: Store, postgresql: Server, now: datetime
) -> None:
    assert append(store, now) == 1
    assert count(store) == 1
    postgresql.stop()
    try:
        with pytest.raises(StoreUnreachableError, match=r"cannot be reached: .* whole or not at all"):
            append(store, now)
        with pytest.raises(StoreUnreachableError, match="nothing needs to be restarted"):
            count(store)
    finally:
        postgresql.start()
    assert count(store) == 1
    assert append(store, now) == 2


def test_a_server_that_stops_in_the_middle_of_a_write_leaves_nothing_of_it(
    store: Store, postgresql: Server, now: datetime
) -> None:
    with pytest.raises(StoreUnreachableError), store.write() as conn:  # noqa: PT012
        journal.append(conn, now, "k", "a", "s", {})
        postgresql.stop()
        postgresql.start()
        journal.append(conn, now, "k", "a", "s", {})
    assert count(store) == 0
    assert append(store, now) == 1


def test_a_server_that_hangs_is_given_up(
    store: Store, postgresql: Server, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections._driver(), "answer_seconds", 0.5)
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 2)
    append(store, now)
    postgresql.hang()
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnreachableError):
            append(store, now)
        assert time.monotonic() - began < 10
    finally:
        postgresql.go_on()
    assert append(store, now) == 2


def test_who_waits_in_a_statement_too_long_is_told_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SESSION", "SELECT set_config('statement_timeout', '100ms', false)")
    with open_store(url) as store, pytest.raises(StoreError, match="was not written"), store.write() as conn:
        conn.execute(text("SELECT pg_sleep(5)"))


def test_a_commit_waits_for_the_disk_whatever_the_server_says(store: Store) -> None:
    with store.write() as conn:  # the tests' own server is set to be quick
        assert conn.execute(text("SHOW synchronous_commit")).scalar() == "on"


def test_the_password_comes_from_a_file_and_a_wrong_one_is_said(
    url: str, postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.execute("CREATE ROLE wk_password LOGIN SUPERUSER PASSWORD 'right'")
    mine = url.replace("postgres@", "wk_password@")
    file = tmp_path / "password"
    monkeypatch.setenv(connections.PASSWORD_FILE_VARIABLE, str(file))
    with postgresql.asking_for_passwords("wk_password"):
        with pytest.raises(StoreError, match=f"cannot be read from {file}"):
            open_existing(mine)
        file.write_text("hunter2\n")
        with pytest.raises(StoreUnreachableError, match="password authentication failed") as caught:
            open_existing(mine)
        assert "hunter2" not in str(caught.value)
        file.write_text("right\n")
        with open_existing(mine) as store:
            assert count(store) == 0


def test_what_is_no_place_for_a_store_is_refused_and_left_alone(
    url: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    latin = postgresql.database("ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(StoreError, match=r"is kept in LATIN1.*Nothing was changed"):
        open_store(latin)
    foreign = postgresql.database()
    postgresql.execute("CREATE TABLE theirs (id int)", foreign.partition("?")[0].rpartition("/")[2])
    with pytest.raises(StoreCorruptError, match="not one of Watchkeeper's"):
        open_store(foreign)
    with pytest.raises(StoreMissingError, match="there is no store in postgresql://postgres@/test_"):
        open_existing(postgresql.database())
    with pytest.raises(StoreUnreachableError, match='database "nowhere" does not exist'):
        open_store(postgresql.url("nowhere"))
    monkeypatch.setattr(connections, "OLDEST", 99)
    with pytest.raises(StoreError, match="needs 99 or newer"):
        open_store(url)


def test_a_database_that_is_read_only_and_a_user_who_may_nothing_are_said(
    url: str, postgresql: Server, now: datetime
) -> None:
    name = url.partition("?")[0].rpartition("/")[2]
    postgresql.execute("CREATE ROLE wk_nobody LOGIN")
    with pytest.raises(StoreError, match=r"lacks a permission .*docs/operations.md"):
        open_store(url.replace("postgres@", "wk_nobody@"))
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        with open_store(url) as store, pytest.raises(StoreReadOnlyError, match="is read-only"):
            append(store, now)
    finally:
        postgresql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("mysql://me:hunter2@host/name", "cannot be kept in 'mysql'"),
        ("postgresql://me:hunter2@host", "names no database"),
        ("postgresql://me:hunter2@host:port/name", "cannot be read"),
        ("postgresql://me:hunter2@127.0.0.1:1/name?hunter=2", 'invalid connection option "hunter"'),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(where: str, said: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(where)
    assert said in str(caught.value)
    assert ":hunter2" not in str(caught.value)


def test_a_driver_that_is_missing_is_named() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from watchkeeper.store.database import open_store\n"
        "from watchkeeper.store.errors import StoreError\n"
        "try: open_store('postgresql://me@host/name')\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "pip install 'watchkeeper[postgresql]'" in done.stdout, done.stderr
