"""What the targets say of their metric families: type, help, unit.

Always true: the newest word wins; the file is whole or as it was. Losing it costs nothing but a scrape.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from watchkeeper.monitoring.samples.disk import Disk, set_aside

_LOG = logging.getLogger(__name__)
LIMIT = 50_000
"""Families remembered; a label bomb in family names must not grow without end."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """As in Prometheus: ``type`` is ``counter``, ``gauge``, ``histogram``, ``summary`` ... or ``unknown``."""

    type: str
    help: str
    unit: str


class MetadataFile:
    """The metadata of every family, in memory and in one file."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.families: dict[str, Metadata] = {}
        self.dirty = False
        self._path = path
        self._disk = disk

    def load(self) -> None:
        """Read the file, if it is there; a damaged one is set aside."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            self.families = {name: Metadata(**about) for name, about in json.loads(raw).items()}
        except (ValueError, TypeError, AttributeError) as error:
            aside = set_aside(self._disk, self._path)
            _LOG.error("the metadata of metrics cannot be read (%s); it is set aside as %s", error, aside)

    def put(self, family: str, about: Metadata) -> None:
        if self.families.get(family) != about and (family in self.families or len(self.families) < LIMIT):
            self.families[family] = about
            self.dirty = True

    def writer(self) -> Callable[[], None]:
        """What writes the file as of now, in any thread; it raises OSError if the disk refuses."""
        raw = json.dumps({name: asdict(about) for name, about in self.families.items()})
        self.dirty = False
        return lambda: self._disk.publish(self._path, raw.encode("utf-8", "backslashreplace"))
