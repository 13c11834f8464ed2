"""Telling people and machines outside: receivers, and the delivery of what stands in the outbox."""
