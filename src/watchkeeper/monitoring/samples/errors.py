"""What can go wrong in the sample store, told to the person who must act."""

from __future__ import annotations

from dataclasses import dataclass


class SampleStoreError(Exception):
    """Anything that the sample store refuses or cannot do."""


class StoreLockedError(SampleStoreError):
    """Another process has the directory open for writing."""


class QueryTooLargeError(SampleStoreError):
    """A query would have to hold more samples in memory than it may."""


class CorruptError(SampleStoreError):
    """Bytes on disk are not what was written there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now: ``what`` it is (stable, one at a time each), and ``text`` for people."""

    what: str
    text: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Health:
    """Whether samples are kept as they should be. ``problems`` is empty exactly when they are."""

    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems
