"""Discovery: which targets there are. Static lists, files and HTTP, in Prometheus' formats.

Always true: a source that cannot be read keeps the targets it had last, and says so in
:attr:`Discovered.problems`; what a source says is used whole or not at all. Nothing here scrapes.
"""

from __future__ import annotations

import glob
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from watchkeeper.monitoring.fetch import Fetcher, FetchError, Request, fetch_within
from watchkeeper.monitoring.targets import ScrapeJob, Target, TargetError, resolve
from watchkeeper.runbook.models.metrics import FileDiscovery, HttpDiscovery
from watchkeeper.store.clock import Clock

_LOG = logging.getLogger(__name__)

FILE_POLL_SECONDS: Final = 5.0
"""How soon a change of a file is seen at the latest; its refresh_interval can only make it sooner."""
HTTP_LIMIT_BYTES: Final = 16 << 20
FILE_LIMIT_BYTES: Final = 16 << 20
_JSON = "application/json"


class DiscoveryError(ValueError):
    """A source of targets cannot be used; the message says what is wrong in it."""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Targets that share labels: each of ``addresses`` with ``labels``."""

    addresses: tuple[str, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a job's sources say now. ``problems`` are sentences; empty exactly if all is well."""

    targets: tuple[Target, ...] = ()
    dropped: int = 0
    problems: tuple[str, ...] = ()


def parse_groups(document: Any) -> tuple[TargetGroup, ...]:
    """The groups of a ``file_sd`` or ``http_sd`` document. Raises :class:`DiscoveryError`."""
    if document is None:
        return ()
    if not isinstance(document, list):
        raise DiscoveryError("it must be a list of {targets: [...], labels: {...}}")
    return tuple(_parse_group(number, group) for number, group in enumerate(document, 1))


def _parse_group(number: int, group: Any) -> TargetGroup:
    if not isinstance(group, dict) or group.keys() - {"targets", "labels"}:
        raise DiscoveryError(f"item {number} must have the keys 'targets' and 'labels', and no other")
    addresses, labels = group.get("targets"), group.get("labels") or {}
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise DiscoveryError(f"'targets' of item {number} must be a list of host:port")
    if not isinstance(labels, dict) or not all(isinstance(name, str) for name in labels):
        raise DiscoveryError(f"'labels' of item {number} must be names and values")
    for name, value in labels.items():
        if not isinstance(value, str):
            raise DiscoveryError(f"label {name!r} of item {number} must be text; put {value!r} in quotes")
    return TargetGroup(tuple(addresses), dict(labels))


@dataclass(slots=True)
class _Source:
    """The last good state of one file or URL."""

    groups: tuple[TargetGroup, ...] = ()
    stamp: tuple[int, int] | None = None
    problem: str = ""
    due: float = -math.inf


@dataclass(slots=True)
class JobDiscovery:
    """The sources of one job, and what they said last. :meth:`refresh` asks those that are due."""

    job: ScrapeJob
    base: Path = field(default_factory=Path)
    _files: dict[str, _Source] = field(default_factory=dict)
    _urls: dict[str, _Source] = field(default_factory=dict)
    _files_due: float = -math.inf
    _known: Discovered | None = None

    def inherit(self, other: JobDiscovery) -> None:
        """Begin with what the sources that ``other`` has too said last."""
        for sd in self.job.config.http_sd_configs:
            if sd.url in other._urls:
                self._urls[sd.url] = replace(other._urls[sd.url], due=-math.inf)
        if self.base == other.base and self.job.config.file_sd_configs:
            self._files = dict(other._files)

    @property
    def due(self) -> float:
        """When a source is to be asked next, on the monotonic clock; never for static targets."""
        config = self.job.config
        times = [self._files_due] if config.file_sd_configs else []
        times += [
            self._urls[sd.url].due if sd.url in self._urls else -math.inf for sd in config.http_sd_configs
        ]
        return min(times, default=math.inf)

    async def refresh(self, fetcher: Fetcher, clock: Clock) -> Discovered:
        """What the sources say now; sources that are not due are not asked again."""
        now = clock.monotonic()
        config = self.job.config
        if config.file_sd_configs and now >= self._files_due:
            self._files_due = now + min(
                FILE_POLL_SECONDS, *(sd.refresh_interval.total_seconds() for sd in config.file_sd_configs)
            )
            self._read_files(config.file_sd_configs)
        for sd in config.http_sd_configs:
            source = self._urls.setdefault(sd.url, _Source())
            if now >= source.due:
                source.due = now + sd.refresh_interval.total_seconds()
                await self._ask(sd, source, fetcher)
        return self.resolved()

    def resolved(self) -> Discovered:
        """The targets that the sources, as they were read last, describe."""
        if self._known is None:
            self._known = self._resolve()
        return self._known

    def _resolve(self) -> Discovered:
        groups = [TargetGroup(sc.targets, sc.labels) for sc in self.job.config.static_configs]
        problems: list[str] = []
        for source in (*self._files.values(), *self._urls.values()):
            groups += source.groups
            if source.problem:
                problems.append(source.problem)
        found: dict[str, Target] = {}
        dropped = 0
        for group in groups:
            for address in group.addresses:
                try:
                    target = resolve(self.job, {"__address__": address}, group.labels)
                except TargetError as error:
                    problems.append(f"job {self.job.name}: target {address!r} is left out: {error}")
                    continue
                if target is None:
                    dropped += 1
                else:
                    found[target.key] = target
        return Discovered(tuple(found.values()), dropped, tuple(problems))

    # -- files ---------------------------------------------------------------------------------

    def _read_files(self, configs: Sequence[FileDiscovery]) -> None:
        """Read what changed. A file that a pattern finds no more takes its targets with it; one that is named
        in full has to be there."""
        patterns = [str(self.base / pattern) for config in configs for pattern in config.files]
        named = [pattern for pattern in patterns if not any(mark in pattern for mark in "*?[")]
        found = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
        wanted = dict.fromkeys([*named, *found])
        for path in wanted:
            self._read_file(path, self._files.setdefault(path, _Source()))
        for path in self._files.keys() - wanted.keys():
            del self._files[path]
            self._known = None
            _LOG.info("discovery file %s is gone, and with it its targets", path)

    def _read_file(self, path: str, source: _Source) -> None:
        try:
            stat = Path(path).stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == source.stamp:
                return
            if stat.st_size > FILE_LIMIT_BYTES:
                raise DiscoveryError(f"it is larger than {FILE_LIMIT_BYTES} bytes")
            text = Path(path).read_text(encoding="utf-8")
            document = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
            groups = parse_groups(document)
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            problem = f"discovery file {path} cannot be used: {_brief(error)}; its last good targets stay"
            self._failed(source, problem)
            return
        meta = {"__meta_filepath": path}
        source.groups = tuple(TargetGroup(group.addresses, {**group.labels, **meta}) for group in groups)
        source.stamp, source.problem = stamp, ""
        self._known = None

    # -- HTTP ----------------------------------------------------------------------------------

    async def _ask(self, sd: HttpDiscovery, source: _Source, fetcher: Fetcher) -> None:
        interval = sd.refresh_interval.total_seconds()
        headers = {"X-Prometheus-Refresh-Interval-Seconds": f"{interval:g}"}
        request = Request(sd.url, min(interval, 30.0), HTTP_LIMIT_BYTES, sd, _JSON, headers)
        shown = sd.url.partition("?")[0]
        try:
            answer = await fetch_within(fetcher, request)
            if answer.content_type.partition(";")[0].strip().lower() != _JSON:
                raise DiscoveryError(f"it answered with {answer.content_type!r}, not with {_JSON}")
            groups = parse_groups(json.loads(answer.body))
        except (FetchError, ValueError, RecursionError) as error:
            problem = f"discovery at {shown} failed: {_brief(error)}; its last good targets stay"
            self._failed(source, problem)
            return
        meta = {"__meta_url": shown}
        source.groups = tuple(TargetGroup(group.addresses, {**group.labels, **meta}) for group in groups)
        source.problem = ""
        self._known = None

    def _failed(self, source: _Source, problem: str) -> None:
        if problem != source.problem:
            _LOG.error("%s", problem)
            source.problem = problem
            source.stamp = None
            self._known = None


def _brief(error: Exception) -> str:
    """The first words of ``error``, on one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:300]
