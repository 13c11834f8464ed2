"""Overrides of rotas that people make: one person instead of the rota, for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.BigInteger()  # microseconds since the Unix epoch, UTC


def upgrade() -> None:
    op.create_table(
        "oncall_overrides",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("rota", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("cancelled_at", MOMENT),
        sa.Column("cancelled_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_oncall_overrides"),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_oncall_overrides_forwards")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_oncall_overrides_rota_ends_at", "oncall_overrides", ["rota", "ends_at"])
