"""A store as one file that any database can take back: a zstd tar with one file of JSON lines for each table.

Always true: what is written is one snapshot; a value stands there as the database keeps it (times as integer
microseconds, documents as the text that was hashed), so that the journal's hashes hold on the other side; it
is put into an empty store only, in one transaction (tests/store/test_portable.py).

Without Watchkeeper: ``zstd -d < copy.tar.zst | tar x``.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    func,
    insert,
    select,
    text,
)

from watchkeeper.store import migrate
from watchkeeper.store.database import Store
from watchkeeper.store.errors import BackupError
from watchkeeper.store.journal import ChainReport, verify
from watchkeeper.store.models import journal, journal_clauses, metadata

REVISION, SEQUENCES = "revision", "sequences.json"
_BATCH = 1000


def write(store: Store, path: Path) -> ChainReport:
    """Write all of ``store`` to the file ``path``, which is overwritten; what its journal is found to be.

    Raises :class:`StoreError`.
    """
    compressor = zstandard.ZstdCompressor(level=6, threads=0)
    with (
        path.open("wb") as raw,
        compressor.stream_writer(raw) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
        store.read() as conn,
    ):
        revision = migrate.current_revision(conn, store.place)
        migrate.require_head(revision, store.place)
        _member(tar, REVISION, str(revision).encode())
        _member(tar, SEQUENCES, json.dumps(_sequences(conn), sort_keys=True).encode())
        for table in sorted(_tables(), key=lambda table: table.name == journal.name):  # last: see load()
            with tempfile.TemporaryFile() as lines:
                for row in _rows(conn, table):
                    lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
                size = lines.tell()
                lines.seek(0)
                info = tarfile.TarInfo(f"tables/{table.name}.jsonl")
                info.size, info.mode = size, 0o600
                tar.addfile(info, lines)
        return verify(conn)


def proved(path: Path) -> str:
    """The revision of the copy ``path``, once all of it could be read. Raises :class:`BackupError`."""
    revision, names = "", set()
    for name, file in _members(path):
        if name == REVISION:
            revision = file.read().decode("ascii", "replace").strip()
        elif name.startswith("tables/"):
            for line in file:
                json.loads(line)
            names.add(name.removeprefix("tables/").removesuffix(".jsonl"))
    missing = {table.name for table in metadata.sorted_tables} - names
    if missing or not revision:
        raise BackupError(f"{path} is not a whole copy: it lacks {', '.join(sorted(missing)) or REVISION}")
    return revision


def load(conn: Connection, path: Path, place: str) -> None:
    """Put the copy ``path`` into the empty store of ``conn``, inside its transaction.

    Raises :class:`BackupError` for a store that is not empty, and for a copy of another revision than the
    store's: its version of Watchkeeper restores it.
    """
    held = next((table.name for table in _tables() if conn.execute(select(table).limit(1)).first()), None)
    if held is not None:
        raise BackupError(f"{place} is not empty (it has {held}); a copy is put into an empty store only")
    tables = {table.name: table for table in _tables()}
    cited: dict[int, list[dict[str, Any]]] = {}
    sequences: dict[str, int] = {}
    for name, file in _members(path):
        if name == REVISION:
            revision = file.read().decode("ascii", "replace").strip()
            if revision != migrate.HEAD:
                raise BackupError(
                    f"{path} is of the schema {revision}, this version has {migrate.HEAD}. "
                    "Restore it with the version that made it, then upgrade; nothing was changed."
                )
        elif name == SEQUENCES:
            sequences = json.loads(file.read())
        elif (table := tables.get(name.removeprefix("tables/").removesuffix(".jsonl"))) is not None:
            rows = (json.loads(line) for line in file)
            if table.name == journal.name:  # after what it cites
                _load_journal(conn, tables, rows, cited)
            elif table.name == journal_clauses.name:
                for row in rows:
                    cited.setdefault(row["seq"], []).append(row)
            else:
                _insert(conn, table, rows)
    _set_sequences(conn, sequences)


def _load_journal(
    conn: Connection,
    tables: dict[str, Table],
    entries: Iterable[dict[str, Any]],
    cited: dict[int, list[dict[str, Any]]],
) -> None:
    """Entry by entry with what it cites, because the database takes them in no other order."""
    waiting: list[dict[str, Any]] = []
    for entry in entries:
        waiting.append(entry)
        if entry["seq"] in cited:
            _insert(conn, tables[journal.name], waiting)
            _insert(conn, tables[journal_clauses.name], cited.pop(entry["seq"]))
            waiting = []
        elif len(waiting) == _BATCH:
            _insert(conn, tables[journal.name], waiting)
            waiting = []
    _insert(conn, tables[journal.name], waiting)


def _tables() -> list[Table]:
    """Our tables with columns of plain numbers and text, as the database has them; parents first."""
    bare = MetaData()
    for table in metadata.sorted_tables:
        columns = [Column(c.name, _plain(c.type), primary_key=c.primary_key) for c in table.columns]
        Table(table.name, bare, *columns)
    return [bare.tables[table.name] for table in metadata.sorted_tables]


def _plain(kind: Any) -> Any:
    """The type underneath ours."""
    underneath = kind.impl if isinstance(kind, TypeDecorator) else kind
    return BigInteger() if isinstance(underneath, Integer) else Text()


def _rows(conn: Connection, table: Table) -> Iterator[dict[str, Any]]:
    query = select(table).order_by(*table.primary_key.columns)
    for row in conn.execution_options(yield_per=_BATCH).execute(query).mappings():
        yield dict(row)


def _insert(conn: Connection, table: Table, rows: Any) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            conn.execute(insert(table), batch)
            batch = []
    if batch:
        conn.execute(insert(table), batch)


def _counted() -> list[Table]:
    """The tables whose numbers, once used, are never used again."""
    return [
        table
        for table in metadata.sorted_tables
        if table.dialect_options["sqlite"]["autoincrement"] and "id" in table.columns
    ]


def _sequences(conn: Connection) -> dict[str, int]:
    """The last number that each of those tables gave out."""
    found: dict[str, int] = {}
    for table in _counted():
        if conn.dialect.name == "sqlite":
            query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
            last = conn.execute(query, {"name": table.name}).scalar()
        else:
            name = conn.execute(select(func.pg_get_serial_sequence(table.name, "id"))).scalar()
            used = "CASE WHEN is_called THEN last_value ELSE 0 END"
            last = conn.execute(text(f"SELECT {used} FROM {name}")).scalar()  # noqa: S608 - of our own schema
        found[table.name] = int(last or 0)
    return found


def _set_sequences(conn: Connection, sequences: dict[str, int]) -> None:
    for table in _counted():
        last = sequences.get(table.name, 0)
        if last <= 0:
            continue
        if conn.dialect.name == "sqlite":
            values = {"name": table.name, "seq": last}
            known = text("UPDATE sqlite_sequence SET seq = :seq WHERE name = :name")
            if not conn.execute(known, values).rowcount:
                conn.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), values)
        else:
            conn.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last)))


def _member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The files of a copy, in their order; nothing is written anywhere."""
    try:
        with (
            path.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            for info in tar:
                file = tar.extractfile(info)
                if file is not None:
                    yield info.name, file
    except (zstandard.ZstdError, tarfile.TarError, ValueError, EOFError) as error:
        raise BackupError(f"{path} is damaged, or no copy of a store ({type(error).__name__})") from None
