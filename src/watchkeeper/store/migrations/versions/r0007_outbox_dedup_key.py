"""The outbox by the key of an incident: who was told of an alert, without reading what others were told."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_outbox_dedup_key", "outbox", ["dedup_key"])
