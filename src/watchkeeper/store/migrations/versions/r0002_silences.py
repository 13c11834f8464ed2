"""Silences: alerts that somebody has asked not to hear of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    op.create_table(
        "silences",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("reminded_at", MOMENT),
        sa.Column("closed_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_silences_closed_at", "silences", ["closed_at"])
