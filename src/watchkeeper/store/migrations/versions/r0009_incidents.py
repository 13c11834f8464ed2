"""Incidents, their alerts, updates, follow-ups and deadlines, and what changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text()),
        sa.Column("service", sa.Text()),
        sa.Column("env", sa.Text()),
        sa.Column("region", sa.Text()),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("impact", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("eta", sa.Text(), nullable=False),
        sa.Column("public", sa.Integer(), nullable=False),
        sa.Column("components", sa.Text(), nullable=False),
        sa.Column("commander", sa.Text()),
        sa.Column("communications", sa.Text()),
        sa.Column("scribe", sa.Text()),
        sa.Column("detected_at", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", MOMENT),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("triaged_at", MOMENT),
        sa.Column("mitigated_at", MOMENT),
        sa.Column("resolved_at", MOMENT),
        sa.Column("resolved_by", sa.Text()),
        sa.Column("closed_at", MOMENT),
        sa.Column("closed_by", sa.Text()),
        sa.Column("merged_into", ROW_ID),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("threads", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.ForeignKeyConstraint(["merged_into"], ["incidents.id"], name="fk_incidents_merged_into"),
        sa.CheckConstraint(
            "state IN ('open', 'mitigated', 'resolved', 'closed', 'merged')", name=op.f("ck_incidents_state")
        ),
        sa.CheckConstraint(
            "status IN ('investigating', 'identified', 'monitoring', 'resolved')",
            name=op.f("ck_incidents_status"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_state", "incidents", ["state"])
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at"])
    op.create_table(
        "incident_alerts",
        sa.Column("incident_id", ROW_ID, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("alertname", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("clause", sa.Text()),
        sa.Column("active_at", MOMENT),
        sa.Column("fired_at", MOMENT),
        sa.Column("joined_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=False),
        sa.Column("at_baseline", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "fingerprint", "episode", name="pk_incident_alerts"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_alerts_incident_id"),
    )
    op.create_index("ix_incident_alerts_fingerprint_episode", "incident_alerts", ["fingerprint", "episode"])
    op.create_table(
        "alert_ratings",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("alertname", sa.Text(), nullable=False),
        sa.Column("service", sa.Text()),
        sa.Column("useful", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "episode", name="pk_alert_ratings"),
    )
    op.create_index("ix_alert_ratings_at", "alert_ratings", ["at"])
    op.create_table(
        "incident_updates",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("incident_id", ROW_ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text()),
        sa.Column("impact", sa.Text(), nullable=False),
        sa.Column("eta", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("next_update_at", MOMENT),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident_updates"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_incident_updates_incident_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incident_updates_incident_id_id", "incident_updates", ["incident_id", "id"])
    op.create_table(
        "follow_ups",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("incident_id", ROW_ID, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("due_on", MOMENT),
        sa.Column("url", sa.Text()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("done_at", MOMENT),
        sa.Column("done_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_follow_ups"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name="fk_follow_ups_incident_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_follow_ups_incident_id", "follow_ups", ["incident_id"])
    op.create_index("ix_follow_ups_done_at_due_on", "follow_ups", ["done_at", "due_on"])
    op.create_table(
        "deadlines",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("warn_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("look_at", MOMENT),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("warned_at", MOMENT),
        sa.Column("settled_at", MOMENT),
        sa.Column("settled_by", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deadlines"),
        sa.CheckConstraint(
            "state IN ('running', 'met', 'missed', 'waived', 'void')", name=op.f("ck_deadlines_state")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deadlines_look_at", "deadlines", ["look_at"])
    op.create_index("ix_deadlines_subject_clause", "deadlines", ["subject", "clause"])
    op.create_table(
        "changes",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("service", sa.Text()),
        sa.Column("env", sa.Text()),
        sa.Column("region", sa.Text()),
        sa.Column("version", sa.Text()),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sa.UniqueConstraint("key", name="uq_changes_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_at", "changes", ["at"])
