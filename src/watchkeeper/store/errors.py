"""What can go wrong with the store, each said to the person who must act: what happened, and what is safe.

Every message of these ends with what to do next. None of them carries SQL or bound values.
"""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. Nothing was half done: a change is written whole or not at all."""


class StoreMissingError(StoreError):
    """There is no store in that place yet."""


class StoreCorruptError(StoreError):
    """The file is damaged, or is not a store of ours. It is never overwritten."""


class StoreNewerError(StoreError):
    """The store was written by a newer version of Watchkeeper."""


class StoreFullError(StoreError):
    """The disk is full. What was recorded before is safe; the change at hand was not written."""


class StoreReadOnlyError(StoreError):
    """The store can be read but not written."""


class StoreBusyError(StoreError):
    """Another process held the store for longer than we wait."""


class StoreUnreachableError(StoreError):
    """No answer, or the connection broke: what was just being committed is there whole or not at all."""


class BackupError(StoreError):
    """A copy of the store cannot be made, or is not one that may be put in place."""


class JournalError(StoreError):
    """An entry that the journal does not take."""
