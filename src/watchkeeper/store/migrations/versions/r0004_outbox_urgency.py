"""The outbox in order of urgency, so that the next row is found without reading those behind it."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index(
        "ix_outbox_receiver_state_priority_due_at_id",
        "outbox",
        ["receiver", "state", "priority", "due_at", "id"],
    )
