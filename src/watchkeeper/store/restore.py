"""Putting a copy in place of the store: only a copy that is proved, and never at the cost of what is there.

Always true: at every moment there is a whole store in the data directory, the one before or the one restored
(the change is one rename); what was there is kept beside it, with everything it held; a copy that is damaged,
changed or of a newer version changes nothing (tests/store/test_restore.py). Whoever calls this holds the data
directory (``app/instance.py``), so that nothing runs on it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.store import journal, migrate, portable
from watchkeeper.store.backup import Manifest, durable, prove_sqlite, read_manifest
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import FILE_NAME, Store, open_store
from watchkeeper.store.errors import BackupError

WORKSHOP = ".restoring"
ASIDE = "before-restore-"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. ``aside``: where the store that was there is now; None where there was none."""

    manifest: Manifest
    aside: Path | None
    before: journal.Anchor | None
    """The journal's head of the store that was there, where it could be read."""
    upgraded_from: str | None
    """The copy's schema, where it was older than this version's."""


def restore(path: Path, data: Path, clock: Clock, *, by: str) -> Restored:
    """Put the copy ``path`` in place of the store in ``data``. Raises :class:`StoreError`."""
    manifest = read_manifest(path)
    place = data / FILE_NAME
    try:
        with migrate.file_lock(place.with_name(place.name + ".lock"), clock), _workshop(data) as workshop:
            before = _head(place)
            _prepare(path, manifest, workshop, clock)
            aside = _aside_name(data, clock) if place.exists() else None
            with open_store(workshop, clock) as store:
                _journal(store, clock, by, path, manifest, aside, before)
            _one_file(workshop / FILE_NAME)
            prove_sqlite(workshop / FILE_NAME)
            durable(workshop / FILE_NAME)
            if aside is not None:
                _keep(place, aside)
            (workshop / FILE_NAME).replace(place)
            durable(data)
    except OSError as error:
        raise BackupError(
            f"{path} cannot be restored into {data}: {error.strerror}. The store there is as it was; "
            "check the directory's permissions and space."
        ) from error
    older = manifest.revision if manifest.revision != migrate.HEAD else None
    return Restored(manifest, aside, before, older)


def _prepare(path: Path, manifest: Manifest, workshop: Path, clock: Clock) -> None:
    """The copy as a store of its own in ``workshop``, at this version's schema, its journal as it was."""
    target = workshop / FILE_NAME
    if manifest.kind == "sqlite":
        shutil.copyfile(path, target)
        target.chmod(0o600)
        report, _ = prove_sqlite(target)
        if (report.entries, report.head) != (manifest.entries, manifest.head):
            raise BackupError(
                f"{path} does not hold the journal that its manifest speaks of; use another copy"
            )
        open_store(workshop, clock).close()
        return
    with open_store(workshop, clock) as store, store.write() as conn:
        portable.load(conn, path, store.place)
    with open_store(workshop, clock) as store, store.read() as conn:
        report = journal.verify(conn)
    if not report.intact or report.head != manifest.head:
        raise BackupError(f"{path} does not hold the journal that its manifest speaks of; use another copy")


def _journal(
    store: Store,
    clock: Clock,
    by: str,
    path: Path,
    manifest: Manifest,
    aside: Path | None,
    before: journal.Anchor | None,
) -> None:
    facts = {
        "summary": f"the store was restored from {path.name}, made {manifest.made_at}; "
        "what happened since then is not in it",
        "sha256": manifest.sha256,
        "made_at": manifest.made_at,
        "set_aside": aside.name if aside else None,
        "set_aside_head": f"{before.seq}:{before.hash}" if before else None,
    }
    with store.write() as conn:
        journal.append(conn, clock.now(), "store.restored", by, "store", facts)


def _head(place: Path) -> journal.Anchor | None:
    """The head of the store that is there; None where there is none, or none that can be read."""
    if not place.exists():
        return None
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(place, timeout=15)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        row = raw.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
        return journal.Anchor(*row) if row else journal.Anchor(0, journal.GENESIS)
    return None


def _keep(place: Path, aside: Path) -> None:
    """The store that is there under a second name, and its log, if it has one, gone from under the first."""
    logs = [place.with_name(place.name + end) for end in ("-wal", "-shm")]
    os.link(place, aside)
    for log in logs:
        if log.exists():
            if log.stat().st_size:
                os.link(log, aside.with_name(aside.name + log.name.removeprefix(place.name)))
            log.unlink()
    durable(place.parent)


def _aside_name(data: Path, clock: Clock) -> Path:
    base = f"{ASIDE}{clock.now():%Y%m%dT%H%M%SZ}"
    names = (f"{base}{f'-{n}' if n else ''}.db" for n in range(1000))
    return next(data / name for name in names if not (data / name).exists())


def _one_file(path: Path) -> None:
    """Put the write-ahead log into the file itself."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


@contextlib.contextmanager
def _workshop(data: Path) -> Iterator[Path]:
    """An empty directory in the data directory; gone afterwards, and whatever one before it left."""
    place = data / WORKSHOP
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
