"""Escalations of pages, and which ways of reaching somebody were tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    op.create_table(
        "escalations",
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("rota", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paged_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("scheduled_at", MOMENT, nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("acked_at", MOMENT),
        sa.Column("acked_by", sa.Text()),
        sa.Column("ended_at", MOMENT),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("dedup_key", name="pk_escalations"),
        sa.CheckConstraint("state IN ('open', 'acknowledged', 'ended')", name=op.f("ck_escalations_state")),
    )
    op.create_index("ix_escalations_due_at", "escalations", ["due_at"])
    op.create_index("ix_escalations_state", "escalations", ["state"])
    op.create_table(
        "contact_ways",
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.Text()),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("verified_at", MOMENT),
        sa.Column("verified_by", sa.Text()),
        sa.PrimaryKeyConstraint("contact", "way", name="pk_contact_ways"),
    )
