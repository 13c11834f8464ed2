"""The first schema: journal, alerts, outbox, receivers, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    _journal()
    _alerts()
    _outbox()
    op.create_table(
        "receiver_state",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", MOMENT),
        sa.Column("blocked_at", MOMENT),
        sa.Column("failing_since", MOMENT),
        sa.Column("failing_journaled", sa.Integer(), nullable=False),
        sa.Column("recovered_at", MOMENT),
        sa.Column("last_success_at", MOMENT),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("receiver", name="pk_receiver_state"),
    )
    op.create_table(
        "section_state",
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("section", "name", name="pk_section_state"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("acquired_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_journal"),
    )
    op.create_index("ix_journal_subject_seq", "journal", ["subject", "seq"])
    op.create_index("ix_journal_kind_seq", "journal", ["kind", "seq"])
    op.create_index("ix_journal_at", "journal", ["at"])
    op.create_table(
        "journal_clauses",
        sa.Column("seq", ROW_ID, nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", "clause", name="pk_journal_clauses"),
        sa.ForeignKeyConstraint(["seq"], ["journal.seq"], name="fk_journal_clauses_seq"),
        sa.CheckConstraint(
            "verdict IN ('met', 'missed', 'waived', 'unknown')", name=op.f("ck_journal_clauses_verdict")
        ),
    )
    op.create_index("ix_journal_clauses_clause_seq", "journal_clauses", ["clause", "seq"])
    if op.get_bind().dialect.name == "sqlite":
        _append_only_on_sqlite()
    else:
        _append_only_on_postgresql()


def _append_only_on_sqlite() -> None:
    for table in ("journal", "journal_clauses"):
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
    op.execute(
        "CREATE TRIGGER journal_in_order BEFORE INSERT ON journal "
        "WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM journal) "
        "BEGIN SELECT RAISE(ABORT, 'the journal is append-only: entries are numbered without gaps'); END"
    )
    op.execute(
        "CREATE TRIGGER journal_clauses_in_order BEFORE INSERT ON journal_clauses "
        "WHEN NEW.seq IS NOT (SELECT MAX(seq) FROM journal) "
        "BEGIN SELECT RAISE(ABORT, 'the journal is append-only: clauses are cited with their entry'); END"
    )


def _append_only_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION watchkeeper_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$"
    )
    for table in ("journal", "journal_clauses"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION watchkeeper_append_only()"
        )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("alertname", sa.Text(), nullable=False),
        sa.Column("clause", sa.Text()),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("active_at", MOMENT),
        sa.Column("fired_at", MOMENT),
        sa.Column("resolved_at", MOMENT),
        sa.Column("keep_firing_since", MOMENT),
        sa.Column("last_seen_at", MOMENT),
        sa.Column("last_value", sa.Text()),
        sa.Column("last_sent_at", MOMENT),
        sa.Column("acked_at", MOMENT),
        sa.Column("acked_by", sa.Text()),
        sa.Column("inhibited_by", sa.Text()),
        sa.Column("group_key", sa.Text()),
        sa.Column("episode", sa.Text()),
        sa.Column("episode_starts_at", MOMENT),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_alerts"),
        sa.CheckConstraint("state IN ('pending', 'firing', 'resolved')", name=op.f("ck_alerts_state")),
    )
    for column in ("state", "rule", "group_key"):
        op.create_index(f"ix_alerts_{column}", "alerts", [column])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("order_key", sa.Text(), nullable=False),
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("coalesce_key", sa.Text()),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("enqueued_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("give_up_at", MOMENT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.Text()),
        sa.Column("claimed_at", MOMENT),
        sa.Column("claim_expires_at", MOMENT),
        sa.Column("settled_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'dead', 'superseded')", name=op.f("ck_outbox_state")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_receiver_state_order_key_id", "outbox", ["receiver", "state", "order_key", "id"]
    )
    op.create_index("ix_outbox_state_settled_at", "outbox", ["state", "settled_at"])
