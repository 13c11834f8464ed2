"""Alembic's entry: runs the revisions on the connection that :mod:`watchkeeper.store.migrate` hands over.

All revisions of one upgrade run in that connection's one transaction, on SQLite too: an upgrade that fails
leaves the store as it was.
"""

from __future__ import annotations

from alembic import context

from watchkeeper.store.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
