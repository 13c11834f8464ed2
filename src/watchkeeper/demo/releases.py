"""The backend's releases: what one deploy changes. The bad one is bad for a plain reason.

``2.5.0`` reads a column whose migration never ran, so PostgreSQL refuses its queries. It is rolled out to
every second request, as a canary would be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """A version of the backend: its queries."""

    version: str
    list_games: str
    read_game: str


GOOD = Release(
    version="2.4.1",
    list_games="SELECT id, title, console FROM games WHERE id > %s ORDER BY id LIMIT 40",
    read_game="SELECT id, title, console, released FROM games WHERE id = %s",
)
BAD = Release(
    version="2.5.0",
    list_games="SELECT id, title, console, rating FROM games WHERE id > %s ORDER BY rating DESC LIMIT 40",
    read_game="SELECT id, title, console, released, rating FROM games WHERE id = %s",
)
RELEASES = {release.version: release for release in (GOOD, BAD)}


class Rollout:
    """Which release answers the next request: the stable one, and the canary every second time."""

    def __init__(self) -> None:
        self.stable = GOOD
        self.canary: Release | None = None
        self._turn = 0

    def next(self) -> Release:
        """The release for one request."""
        if self.canary is None:
            return self.stable
        self._turn += 1
        return self.canary if self._turn % 2 else self.stable
