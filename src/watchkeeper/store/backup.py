"""Copies of the store: made while it is in use, proved before they count, with a manifest beside them.

Always true: what bears a copy's name is whole and was proved (the database is sound, the journal's chain
holds, the manifest's SHA-256 is that of the file), because it gets its name last and is on disk by then; a
copy is for its owner's eyes alone; nothing that exists is overwritten (tests/store/test_backup.py).

A SQLite store is copied as a SQLite file, a PostgreSQL one table by table (:mod:`..portable`), which every
store can take back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from watchkeeper import __version__
from watchkeeper.store import journal, migrate, portable
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store, open_copy
from watchkeeper.store.errors import BackupError
from watchkeeper.store.faults import explain

FORMAT = 1
MANIFEST = ".manifest.json"
"""What is added to a copy's name for its manifest's."""
PORTABLE = ".tar.zst"
_NAME = re.compile(r"watchkeeper-\d{8}T\d{6}Z(?:\.db|\.tar\.zst)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a copy holds. ``head`` is the journal's newest hash, ``entries`` how many entries lead to it."""

    format: int
    made_at: str
    version: str
    kind: str
    """``sqlite`` or ``portable``."""
    bytes: int
    sha256: str
    revision: str
    entries: int
    head: str


def back_up(store: Store, clock: Clock, path: Path, *, by: str) -> Manifest:
    """Copy ``store`` to the file ``path``, prove the copy, and journal that it was made, by ``by``.

    Raises :class:`StoreError` where that cannot be: then there is no file of that name, except where the
    copy was made and only the journal could not be told.
    """
    if path.exists() or manifest_path(path).exists():
        raise BackupError(f"{path} is there already and was not touched; name another file")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    kind = "sqlite" if store.file is not None and not path.name.endswith(PORTABLE) else "portable"
    try:
        with _exclusive(partial):
            if kind == "portable":
                report = _intact(portable.write(store, partial), store.place)
                revision = portable.proved(partial)
            else:
                assert store.file is not None
                _copy_sqlite(store.file, partial)
                report, revision = prove_sqlite(partial)
            made = Manifest(
                FORMAT,
                rfc3339(clock.now()),
                __version__,
                kind,
                partial.stat().st_size,
                digest(partial),
                revision,
                report.entries,
                report.head,
            )
            durable(partial)
            _write_manifest(made, manifest_path(path))
            partial.rename(path)
            durable(path.parent)
    except OSError as error:
        raise BackupError(
            f"the copy {path} cannot be written: {error.strerror}. The store itself is as it was; "
            "check the directory's permissions and space, or name another."
        ) from error
    facts = {
        "summary": f"a copy of the store was made: {path.name}, {made.entries} journal entries, proved",
        "path": str(path),
        "sha256": made.sha256,
        "bytes": made.bytes,
        "entries": made.entries,
        "head": made.head,
    }
    with store.write() as conn:
        journal.append(conn, clock.now(), "store.backed_up", by, "store", facts)
    return made


def manifest_path(path: Path) -> Path:
    """Where the manifest of the copy ``path`` is."""
    return path.with_name(path.name + MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """The manifest of the copy ``path``, once the file is found to be the one that it speaks of.

    Raises :class:`BackupError`.
    """
    place = manifest_path(path)
    try:
        document = json.loads(place.read_bytes())
        made = Manifest(**document)
        typed = all(isinstance(value, int | str) for value in document.values())
    except FileNotFoundError:
        missing = "it" if not path.exists() else f"its manifest {place.name}"
        raise BackupError(
            f"{path} cannot be used: {missing} is not there. A copy is two files; keep them together."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"the manifest {place} cannot be read ({type(error).__name__})") from None
    if not typed or made.format != FORMAT or made.kind not in ("sqlite", "portable"):
        raise BackupError(f"the manifest {place} is of a newer Watchkeeper; use that version to restore it")
    if not migrate.known(made.revision):
        raise migrate.newer(made.revision, str(path))
    try:
        size, found = path.stat().st_size, digest(path)
    except OSError as error:
        raise BackupError(f"the copy {path} cannot be read: {error.strerror}") from None
    if (size, found) != (made.bytes, made.sha256):
        raise BackupError(
            f"{path} is not the file that its manifest speaks of ({size} bytes instead of {made.bytes}, or "
            "other content): it was damaged or changed. Nothing was done; use another copy."
        )
    return made


def prove_sqlite(path: Path) -> tuple[journal.ChainReport, str]:
    """The journal's state and the schema's revision of a SQLite copy, once both are found sound.

    Raises :class:`StoreError` for a damaged file or a journal whose chain does not hold.
    """
    with open_copy(path) as copy:
        with copy.read() as conn:
            said = conn.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            loose = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
            revision = migrate.current_revision(conn, copy.place)
            report = None if revision is None else journal.verify(conn)
        if said != ["ok"] or loose is not None:
            raise BackupError(f"{path} is damaged: {'; '.join(map(str, said[:3]))}; use another copy")
        if revision is None or report is None:
            raise BackupError(f"{path} holds no store of Watchkeeper's")
        return _intact(report, copy.place), revision


def _intact(report: journal.ChainReport, place: str) -> journal.ChainReport:
    if not report.intact:
        raise BackupError(
            f"the journal in {place} is broken at entry {report.broken}: {report.problem}. "
            "A copy of it proves nothing, so none was kept; copy the file by hand if you need it as it is."
        )
    return report


@dataclass(frozen=True, slots=True)
class Kept:
    """A copy that is there; ``manifest`` None: its manifest cannot be read."""

    path: Path
    manifest: Manifest | None


def copies(directory: Path) -> list[Kept]:
    """The copies that bear the names of :func:`dated_name`, oldest first; their content is not read."""
    found = []
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if _NAME.fullmatch(path.name):
                found.append(Kept(path, _manifest_only(path)))
    return found


def dated_name(moment: datetime, store: Store) -> str:
    """The name of a copy of ``store`` made for ``moment``; names sort by time."""
    return f"watchkeeper-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}{'.db' if store.file else PORTABLE}"


def prune(directory: Path, keep: int) -> list[str]:
    """Remove all but the newest ``keep`` copies with a readable manifest; the names of what is gone.

    What has no manifest is never counted and never removed.
    """
    whole = [one.path for one in copies(directory) if one.manifest is not None]
    gone = whole[:-keep] if keep else whole
    for path in gone:
        path.unlink(missing_ok=True)
        manifest_path(path).unlink(missing_ok=True)
    return [path.name for path in gone]


def digest(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_only(path: Path) -> Manifest | None:
    try:
        return Manifest(**json.loads(manifest_path(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _copy_sqlite(source: Path, target: Path) -> None:
    """One step, from one snapshot: writers are not kept waiting, and none can make it begin again."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=15)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, complete in itself
    except sqlite3.Error as error:
        raise explain(error, str(source)) from error


@contextlib.contextmanager
def _exclusive(partial: Path) -> Iterator[None]:
    """A fresh file for our eyes alone; gone again when the block raises."""
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _write_manifest(made: Manifest, place: Path) -> None:
    fresh = place.with_name(f".{place.name}.{os.getpid()}.partial")
    with _exclusive(fresh):
        fresh.write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")
        durable(fresh)
        fresh.rename(place)


def durable(path: Path) -> None:
    """Wait until the file or directory ``path`` is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
