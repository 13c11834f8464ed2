"""Scheduled jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("running_since", MOMENT),
        sa.Column("running_due", MOMENT),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", MOMENT),
        sa.Column("last_due", MOMENT),
        sa.Column("last_started_at", MOMENT),
        sa.Column("last_ended_at", MOMENT),
        sa.Column("last_outcome", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.Column("paused_by", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="pk_jobs"),
    )
    op.create_index("ix_jobs_due_at", "jobs", ["due_at"])
