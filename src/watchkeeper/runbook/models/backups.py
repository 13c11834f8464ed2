"""The backups section: what is copied, how often, how long it is kept, and how it is known to be good.

Retention never shortens what a restore needs: a kept base backup keeps the WAL from its own start to its
own stop, whatever ``retention.wal`` says (that is the width of the point-in-time window).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from watchkeeper.runbook.models.base import Id, Part, Sentence, Several, Text
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.metrics import HttpUrl
from watchkeeper.runbook.models.quantities import Duration, LongDuration, Period, Ratio
from watchkeeper.runbook.models.references import PlaybookRef, StoreRef
from watchkeeper.runbook.models.secrets import Secret


class Store(Part):
    """A place for objects: ``s3://bucket/prefix`` on any S3 service, or ``file:///path``."""

    url: Annotated[str, Field(pattern=r"^(s3|file)://")]
    endpoint: HttpUrl | None = None
    region: Text | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    adapter: Literal["s3", "minio"] = "s3"
    """``minio`` adds what only MinIO's administration can say; everything required works with ``s3``."""
    object_lock: bool = False


class Encryption(Part):
    """How backups are encrypted, and how often the keys change."""

    says: Sentence | None = None
    provider: Literal["local", "vault", "aws-kms", "pkcs11"] = "local"
    key: Text = "backups"
    """Name of the wrapping key at the provider."""
    rotation: Period
    scope: Literal["backup", "bucket"] = "backup"
    break_glass: Text | None = None
    """An age recipient whose identity is kept offline."""
    rotate_playbook: PlaybookRef | None = None


class RestoreTest(Part):
    """A backup counts only once it has been restored."""

    says: Sentence | None = None
    cadence: Cadence
    into: Text
    playbook: PlaybookRef
    checks: Several[Literal["checksums", "bytes", "smoke-queries", "row-counts", "amcheck"]] = ()
    sample: Ratio | None = None
    """For objects: the share of them that is restored."""


class Restore(Part):
    """How it is brought back."""

    playbook: PlaybookRef
    rto: Duration | None = None
    """How long it may take."""


class Dump(Part):
    """Logical dumps: portable, and of one instant. WAL cannot be replayed onto them."""

    cadence: Cadence
    method: Literal["pg_dump"] = "pg_dump"
    format: Literal["custom", "directory"] = "custom"


class BaseBackup(Part):
    """Physical base backups: what point-in-time recovery starts from."""

    cadence: Cadence
    method: Literal["pg_backup_start", "pg_basebackup"] = "pg_backup_start"


class WalArchive(Part):
    """The write-ahead log, segment by segment, durable before the server may reuse it."""

    cadence: Period
    """No change may be older than this without being archived."""
    archive_timeout: Duration = Duration("60s")
    """After this the server closes a segment that is not full."""
    backlog: Literal["ready-files", "pg_stat_archiver"] = "ready-files"
    """What is watched to know that archiving keeps up."""
    check_gaps: bool = True


class PostgresRetention(Part):
    """How long each kind is kept."""

    says: Sentence | None = None
    daily: LongDuration
    weekly: LongDuration
    wal: LongDuration
    keep_wal_of_kept_backups: bool = True


class PostgresBackups(Part):
    """PostgreSQL."""

    title: Text = "Postgres"
    says: Sentence | None = None
    databases: Several[Text] = ()
    dsn: Secret | None = None
    store: StoreRef | None = None
    dump: Dump | None = None
    base_backup: BaseBackup | None = None
    wal: WalArchive | None = None
    point_in_time: bool = False
    """Whether a restore may ask for any moment within the WAL window."""
    retention: PostgresRetention
    restore_test: RestoreTest
    encryption: Encryption
    restore: Restore


class Replication(Part):
    """Bucket replication to the DR cluster. It is continuous; ``check`` is how often it is proved."""

    check: Cadence
    resync: bool = True
    """Whether the check starts failed and pending objects again."""
    replicate: Several[Literal["delete-marker", "delete", "existing-objects", "metadata"]] = (
        "delete-marker",
        "existing-objects",
    )


class Scan(Part):
    """The comparison of both clusters, object by object, version by version."""

    cadence: Cadence


class Compare(Part):
    """How two copies are shown to be equal."""

    says: Sentence | None = None
    cadence: Cadence
    by: Literal["full-object-checksum", "bytes", "etag"] = "full-object-checksum"
    read_bytes: bool = True
    """Whether a share of the objects is read in full: a stored checksum does not prove readable bytes."""
    sample: Ratio | None = None


class ObjectRetention(Part):
    """How long versions and delete markers are kept."""

    says: Sentence | None = None
    replicated: LongDuration
    """How long data that was deleted or overwritten on the primary stays on DR."""
    delete_markers: LongDuration
    """How long a delete can be undone, at the least."""
    marker_removal: Literal["with-last-version", "by-age"] = "with-last-version"
    """A marker removed by age, before the versions it hides are gone, brings its object back."""
    del_marker_expiration: LongDuration | None = None
    """MinIO's lifecycle rule of that name: it purges *every version* of an object deleted that long ago."""


class ObjectBackups(Part):
    """Object storage."""

    title: Text = "Object storage"
    says: Sentence | None = None
    buckets: Several[Text] = ()
    primary: StoreRef | None = None
    dr: StoreRef | None = None
    replication: Replication
    scan: Scan
    retention: ObjectRetention
    compare: Compare
    restore_test: RestoreTest
    encryption: Encryption
    restore: Restore


class Backups(Part):
    """The backups section."""

    stores: dict[Id, Store] = Field(default_factory=dict)
    postgres: PostgresBackups | None = None
    objects: ObjectBackups | None = None
