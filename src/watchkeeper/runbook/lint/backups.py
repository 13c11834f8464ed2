"""Lint of backups: promises that the way they are kept cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from watchkeeper.runbook.lint.findings import Hit, Subject
from watchkeeper.runbook.sentences import Loc

_POSTGRES: Loc = ("backups", "postgres")
_OBJECTS: Loc = ("backups", "objects")


def pitr_needs_base_backup(subject: Subject) -> Iterator[Hit]:
    """WAL cannot be replayed onto a dump."""
    postgres = subject.runbook.backups.postgres
    if postgres is None or postgres.base_backup is not None or not (postgres.point_in_time or postgres.wal):
        return
    key = "point_in_time" if postgres.point_in_time else "wal"
    yield Hit(
        (*_POSTGRES, key),
        "backups.postgres.point-in-time",
        "WAL cannot be replayed onto a pg_dump: without a physical base backup this WAL restores nothing",
        "add base_backup: {cadence: {every: nightly}} beside the dump",
    )


def pitr_needs_wal(subject: Subject) -> Iterator[Hit]:
    """A point in time lies between two backups: only WAL leads there."""
    postgres = subject.runbook.backups.postgres
    if postgres is not None and postgres.point_in_time and postgres.wal is None:
        yield Hit(
            (*_POSTGRES, "point_in_time"),
            "backups.postgres.point-in-time",
            "without archived WAL only the moments of the backups can be restored",
            "add wal: {cadence: hourly, archive_timeout: 60s}",
        )


def wal_shorter_than_backups(subject: Subject) -> Iterator[Hit]:
    """A base backup without the WAL of its own making is no backup."""
    postgres = subject.runbook.backups.postgres
    if postgres is None or postgres.base_backup is None or postgres.wal is None:
        return
    keep = postgres.retention
    oldest = max(keep.daily, keep.weekly)
    if keep.wal < oldest and not keep.keep_wal_of_kept_backups:
        yield Hit(
            (*_POSTGRES, "retention", "keep_wal_of_kept_backups"),
            "backups.postgres.retention.wal",
            f"WAL is kept {keep.wal.words}, backups up to {oldest.words}: the older ones lose the "
            "WAL that makes them consistent, and cannot be restored at all",
            "set keep_wal_of_kept_backups: true: each keeps the WAL from its own start to its own stop",
        )
    if keep.wal <= postgres.base_backup.cadence.every:
        yield Hit(
            (*_POSTGRES, "retention", "wal"),
            "backups.postgres.retention.wal",
            f"WAL is kept {keep.wal.words}, base backups come {postgres.base_backup.cadence.words}: "
            "there are moments that no backup and WAL together reach",
            "keep WAL for longer than the time between two base backups",
        )


def archive_backlog(subject: Subject) -> Iterator[Hit]:
    """Counters of archive_command can look healthy while segments pile up."""
    postgres = subject.runbook.backups.postgres
    wal = postgres.wal if postgres is not None else None
    if wal is None:
        return
    if wal.backlog != "ready-files":
        yield Hit(
            (*_POSTGRES, "wal", "backlog"),
            "backups.postgres.wal.cadence",
            "pg_stat_archiver counts what was tried: it can look healthy while segments pile up",
            "set backlog: ready-files, which looks at the .ready files that wait",
        )
    if not wal.check_gaps:
        yield Hit(
            (*_POSTGRES, "wal", "check_gaps"),
            "backups.postgres.wal.cadence",
            "a segment that is missing in the middle of the archive is noticed only at the restore",
            "set check_gaps: true",
        )


def checksum_without_bytes(subject: Subject) -> Iterator[Hit]:
    """A stored checksum does not prove that the bytes can be read."""
    backups = subject.runbook.backups
    said = "a stored checksum does not prove that the bytes can be read"
    if backups.objects is not None:
        if not backups.objects.compare.read_bytes:
            hint = "set read_bytes: true with a sample, for example sample: 1%"
            yield Hit((*_OBJECTS, "compare", "read_bytes"), "backups.objects.compare", said, hint)
        elif backups.objects.compare.by != "bytes" and not backups.objects.compare.sample:
            reason = "read_bytes without a sample reads nothing"
            hint = "say which share is read, for example sample: 1%"
            yield Hit((*_OBJECTS, "compare", "read_bytes"), "backups.objects.compare", reason, hint)
    tests = (
        (_POSTGRES, "backups.postgres.restore-test", backups.postgres),
        (_OBJECTS, "backups.objects.restore-test", backups.objects),
    )
    for loc, clause, section in tests:
        if section is not None and "bytes" not in section.restore_test.checks:
            yield Hit((*loc, "restore_test"), clause, said, "add `bytes` to checks")


def etag_comparison(subject: Subject) -> Iterator[Hit]:
    """A multipart ETag depends on part sizes; an encrypted one is opaque."""
    objects = subject.runbook.backups.objects
    if objects is not None and objects.compare.by == "etag":
        yield Hit(
            (*_OBJECTS, "compare", "by"),
            "backups.objects.compare",
            "an ETag depends on part sizes and encryption: equal objects can differ, different ones agree",
            "set by: full-object-checksum, or by: bytes",
        )


def delete_markers(subject: Subject) -> Iterator[Hit]:
    """On MinIO, DelMarkerExpiration purges every version of a deleted object."""
    objects = subject.runbook.backups.objects
    if objects is None:
        return
    keep = objects.retention
    if keep.del_marker_expiration is not None and keep.del_marker_expiration < keep.replicated:
        yield Hit(
            (*_OBJECTS, "retention", "del_marker_expiration"),
            "backups.objects.retention.replicated",
            f"DelMarkerExpiration after {keep.del_marker_expiration.words} purges every version of a deleted "
            f"object, so {keep.replicated.words} of retention end early",
            "remove del_marker_expiration; markers go with the last version that they hide",
        )
    if keep.marker_removal == "by-age" and keep.delete_markers < keep.replicated:
        yield Hit(
            (*_OBJECTS, "retention", "marker_removal"),
            "backups.objects.retention.delete-markers",
            f"a marker removed after {keep.delete_markers.words}, versions after {keep.replicated.words},"
            " brings the deleted object back",
            "set marker_removal: with-last-version",
        )


def permanent_deletes(subject: Subject) -> Iterator[Hit]:
    """A mistake on the primary must not reach DR."""
    backups = subject.runbook.backups
    objects = backups.objects
    if objects is None:
        return
    if "delete" in objects.replication.replicate:
        yield Hit(
            (*_OBJECTS, "replication", "replicate"),
            "backups.objects.replication.cadence",
            "`delete` replicates permanent deletes: a mistake on the primary destroys the copy too",
            "replicate: [delete-marker, existing-objects], with object lock on DR",
        )
    dr = backups.stores.get(objects.dr) if objects.dr else None
    if dr is not None and not dr.object_lock:
        yield Hit(
            ("backups", "stores", str(objects.dr)),
            "backups.objects.replication.cadence",
            "without object lock, whoever holds the keys can destroy the copy on DR",
            "create the DR bucket with object lock, and say object_lock: true",
        )


def continuous_replication(subject: Subject) -> Iterator[Hit]:
    """Bucket replication is continuous; what is daily is the proof."""
    objects = subject.runbook.backups.objects
    if objects is None:
        return
    if objects.replication.check.every.total_seconds() > 86400:
        yield Hit(
            (*_OBJECTS, "replication", "check"),
            "backups.objects.replication.cadence",
            f"replication runs all the time, but what failed stays failed until the check "
            f"({objects.replication.check.words})",
            "check: {every: daily}: count failed and pending objects, and send them again",
        )
    if not objects.replication.resync:
        yield Hit(
            (*_OBJECTS, "replication", "resync"),
            "backups.objects.replication.cadence",
            "objects that failed to replicate are counted and never sent again",
            "set resync: true",
        )
