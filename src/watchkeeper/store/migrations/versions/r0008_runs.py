"""Runs of playbooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("playbook", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("wakes", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", MOMENT),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.CheckConstraint(
            "state IN ('active', 'waiting', 'done', 'failed', 'aborted')", name=op.f("ck_runs_state")
        ),
    )
    op.create_index("ix_runs_state_due_at", "runs", ["state", "due_at"])
    op.create_index("ix_runs_subject", "runs", ["subject"])
    op.create_index("ix_runs_playbook_started_at", "runs", ["playbook", "started_at"])
