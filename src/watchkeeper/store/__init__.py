"""What lasts: the database models and migrations, the journal, the clock, the outbox's rows."""
