"""What a database's error means for the person who must act.

Always true here: the sentence says what is safe and what to do, and carries no SQL and no bound value.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from watchkeeper.store.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)

_SAFE = "This change was not written; everything recorded before it is safe."


def explain(error: DBAPIError | sqlite3.Error, place: str) -> StoreError:
    """The :class:`StoreError` for a failed statement on the store at ``place``."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return _explain_sqlite(int(code) & 0xFF, getattr(cause, "sqlite_errorname", "error"), place)
    return _explain_postgresql(cause, getattr(cause, "sqlstate", None), place)


def _explain_postgresql(cause: BaseException | None, state: str | None, place: str) -> StoreError:
    """By SQLSTATE (PostgreSQL's appendix A); errors of the connection itself carry none, only libpq's words,
    which name host, user and database and never a password."""
    if state is None or state[:2] in ("08", "28", "3D") or state in _GONE:
        return StoreUnreachableError(
            f"the store {place} cannot be reached: {_one_line(cause)}. What was recorded before is safe, and "
            "a change that was just being recorded is there whole or not at all. Check that the database "
            "runs, the network, the user and its password; nothing needs to be restarted."
        )
    if state == "53100":
        return _full(place)
    if state == "25006":
        return StoreReadOnlyError(
            f"the store {place} is read-only, as a replica is. {_SAFE} Name the primary database."
        )
    if state == "42501":
        return StoreError(
            f"the user of the store {place} lacks a permission ({_one_line(cause)}). {_SAFE} "
            "Let that user own the database, or grant it what docs/operations.md lists."
        )
    if state in ("55P03", "40P01", "57014"):
        return busy(place)
    return StoreError(
        f"the store {place} failed ({type(cause).__name__}, SQLSTATE {state}). {_SAFE} "
        "See the database's own log, then try again."
    )


_GONE = ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "53300")
"""Shut down, crashed, starting, dropped, idle for too long (twice), too many connections."""


def _one_line(cause: BaseException | None) -> str:
    said = " ".join(str(cause).split()) or type(cause).__name__
    return said.partition(" DETAIL:")[0].partition(" Is the server running")[0].rstrip(".")


def _explain_sqlite(code: int, name: str, place: str) -> StoreError:
    if code == sqlite3.SQLITE_FULL:
        return _full(place)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return _unwritable(place)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return busy(place)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorruptError(
            f"the store {place} is damaged ({name}). It was not overwritten; stop Watchkeeper, "
            f"copy the file away, and put the last good one in its place (or try `sqlite3 {place} .recover`)."
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(
            f"the store {place} cannot be opened. Nothing was changed; check that the directory exists, "
            "that this user may write in it, and that the process has file handles left."
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk under the store {place} failed ({name}). {_SAFE} "
            "Check the disk and its free space (the kernel's log has details)."
        )
    return StoreError(f"the store {place} failed ({name}). {_SAFE} Try again; if it stays, report this.")


def busy(place: str) -> StoreBusyError:
    """The error for a lock that did not come free in time."""
    return StoreBusyError(
        f"the store {place} was held by another writer for too long. {_SAFE} "
        "Look for a stuck process that holds it, then try again."
    )


def _full(place: str) -> StoreFullError:
    return StoreFullError(
        f"no space left for the store {place}. {_SAFE} Free space there; nothing else is needed."
    )


def _unwritable(place: str) -> StoreReadOnlyError:
    return StoreReadOnlyError(
        f"the store {place} cannot be written by this user, or its disk is mounted read-only. {_SAFE} "
        "Check the owner and permissions of the directory, and the mount."
    )
