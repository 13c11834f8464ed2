"""Schema revisions, run by :mod:`watchkeeper.store.migrate` when a store is opened for writing."""
