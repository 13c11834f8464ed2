"""Targets: what is scraped, how, and under which labels. Pure; discovery finds them, the scraper visits them.

Always true: a target has an address, ``job`` and ``instance``; its :attr:`Target.key` depends on its job,
labels and URL alone, so its place in the interval and its samples' group survive restarts and reloads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from watchkeeper.monitoring.labels import METRIC_NAME, Labels, label_set
from watchkeeper.monitoring.promql.durations import format_duration, parse_duration
from watchkeeper.monitoring.relabel import RelabelError, Rule, relabel, rules_of
from watchkeeper.runbook.models.metrics import Metrics, RelabelConfig, ScrapeConfig

REQUIRED_LABELS: Final = ("service", "env", "region")
"""What the runbook's monitoring hygiene asks of every target."""

_SECRET_NAME: Final = re.compile(r"pass|token|secret|key|auth|sig|cred", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^\s/@?#]+")
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class TargetError(ValueError):
    """Something discovered is no target; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one scrape may bring before it fails as a whole. Zero: no limit."""

    body_bytes: int = 64 << 20
    samples: int = 500_000
    labels: int = 64
    label_name_bytes: int = 256
    label_value_bytes: int = 4096


@dataclass(frozen=True)
class ScrapeJob:
    """One ``scrape_config`` with everything that is inherited filled in.

    ``problem`` says why it cannot be scraped as it is written; empty if it can.
    """

    config: ScrapeConfig
    interval_seconds: float
    timeout_seconds: float
    limits: Limits
    relabel: tuple[Rule, ...] = ()
    metric_relabel: tuple[Rule, ...] = ()
    problem: str = ""

    @property
    def name(self) -> str:
        return self.config.job_name

    @cached_property
    def without_sources(self) -> ScrapeJob:
        """This job without its sources: how to scrape, which is all that its targets depend on."""
        sources: dict[str, object] = {"static_configs": (), "file_sd_configs": (), "http_sd_configs": ()}
        return replace(self, config=self.config.model_copy(update=sources))


def jobs_of(metrics: Metrics) -> tuple[ScrapeJob, ...]:
    """The jobs that the runbook's ``metrics`` asks for, also those with a problem."""
    return tuple(_job(metrics, config) for config in metrics.scrape_configs)


def _job(metrics: Metrics, config: ScrapeConfig) -> ScrapeJob:
    general = metrics.limits

    def limit(name: str) -> int:
        own = getattr(config, name)
        return int(getattr(general, name) if own is None else own)

    problem = ""
    relabel_targets: tuple[Rule, ...] = ()
    relabel_samples: tuple[Rule, ...] = ()
    try:
        relabel_targets = _rules(config.relabel_configs, "relabel_configs")
        relabel_samples = _rules(config.metric_relabel_configs, "metric_relabel_configs")
    except RelabelError as error:
        problem = f"job {config.job_name}: {error}"
    return ScrapeJob(
        config,
        metrics.interval_of(config).total_seconds(),
        metrics.timeout_of(config).total_seconds(),
        Limits(
            limit("body_size_limit"),
            limit("sample_limit"),
            limit("label_limit"),
            limit("label_name_length_limit"),
            limit("label_value_length_limit"),
        ),
        relabel_targets,
        relabel_samples,
        problem,
    )


def _rules(configs: Sequence[RelabelConfig], name: str) -> tuple[Rule, ...]:
    try:
        return rules_of([config.model_dump(exclude_unset=True) for config in configs])
    except RelabelError as error:
        raise RelabelError(f"{name}: {error}") from None


@dataclass(frozen=True)
class Target:
    """One thing to scrape. ``labels`` go onto each of its samples; ``discovered`` is what they came from."""

    job: ScrapeJob
    labels: Labels
    url: str
    interval_seconds: float
    timeout_seconds: float
    discovered: Labels

    @cached_property
    def key(self) -> str:
        """Its name in the sample store: the same as long as job, labels and URL are."""
        identity = "\0".join([self.job.name, self.url, *(part for pair in self.labels for part in pair)])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        return f"{self.job.name}/{self.instance}#{digest}"

    @cached_property
    def number(self) -> int:
        """64 bits made from the key: evenly spread over all targets, the same for each always."""
        return int(self.key[-16:], 16)

    @property
    def instance(self) -> str:
        return dict(self.labels).get("instance", "")

    @cached_property
    def shown_url(self) -> str:
        """The URL for people: without parameters that look like secrets."""
        parts = urlsplit(self.url)
        if not parts.query:
            return self.url
        pairs = [pair.partition("=") for pair in parts.query.split("&")]
        query = "&".join(f"{k}=***" if _SECRET_NAME.search(k) else f"{k}{eq}{v}" for k, eq, v in pairs)
        return urlunsplit(parts._replace(query=query))

    @cached_property
    def shown_discovered(self) -> Labels:
        """What it was discovered with, for people: without values of parameters that look like secrets."""
        return tuple(
            (name, "***" if name.startswith("__param_") and _SECRET_NAME.search(name[8:]) else value)
            for name, value in self.discovered
        )

    def __repr__(self) -> str:
        return f"Target({self.job.name!r}, {self.shown_url!r})"


def resolve(job: ScrapeJob, own: Mapping[str, str], group: Mapping[str, str]) -> Target | None:
    """The target that ``own`` and ``group`` labels of a discovery describe; None if relabelling drops it.

    Raises :class:`TargetError`. Source: Prometheus' ``PopulateLabels``.
    """
    config = job.config
    labels = {
        "job": config.job_name,
        "__scrape_interval__": format_duration(round(job.interval_seconds * 1000)),
        "__scrape_timeout__": format_duration(round(job.timeout_seconds * 1000)),
        "__metrics_path__": config.metrics_path,
        "__scheme__": config.scheme,
        **{f"__param_{name}": values[0] for name, values in config.params.items() if values},
    }
    labels |= {name: value for name, value in group.items() if value}
    labels |= {name: value for name, value in own.items() if value}
    discovered = label_set(labels.items())
    kept = relabel(discovered, job.relabel)
    if kept is None:
        return None
    final = dict(kept)
    address = final.get("__address__", "")
    if not _ADDRESS.fullmatch(address):
        raise TargetError(
            f"{address!r} is not an address; write host:port" if address else "it has no address"
        )
    interval, timeout = _duration(final, "__scrape_interval__"), _duration(final, "__scrape_timeout__")
    if timeout > interval:
        raise TargetError(f"its scrape timeout {timeout:g}s is longer than its interval {interval:g}s")
    final.setdefault("instance", address)
    public = {name: value for name, value in final.items() if not name.startswith("__")}
    for name in (*public, METRIC_NAME):
        if not _LABEL_NAME.fullmatch(name):
            raise TargetError(f"{name!r} is not a label name")
    return Target(
        job.without_sources, label_set(public.items()), _url(config, final), interval, timeout, discovered
    )


def _duration(labels: Mapping[str, str], name: str) -> float:
    try:
        seconds = parse_duration(labels.get(name, "")) / 1000
    except ValueError as error:
        raise TargetError(f"label {name}: {error}") from None
    if seconds <= 0:
        raise TargetError(f"label {name} must be more than 0s")
    return seconds


def _url(config: ScrapeConfig, labels: Mapping[str, str]) -> str:
    params = {name: list(values) for name, values in config.params.items()}
    for name, value in labels.items():
        if name.startswith("__param_"):
            params[name.removeprefix("__param_")] = [
                value,
                *params.get(name.removeprefix("__param_"), [])[1:],
            ]
    scheme, path = labels.get("__scheme__", "http"), labels.get("__metrics_path__", "/metrics")
    if scheme not in ("http", "https"):
        raise TargetError(f"scheme {scheme!r} is neither http nor https")
    path, _, query = path.partition("?")
    query = "&".join(filter(None, [query, urlencode(sorted(params.items()), doseq=True)]))
    return urlunsplit(
        (scheme, labels["__address__"], path if path.startswith("/") else f"/{path}", query, "")
    )


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How one target does. ``health`` is ``up``, ``down``, or ``unknown`` before its first scrape."""

    job: str
    instance: str
    labels: Labels
    discovered: Labels
    url: str
    health: str
    interval_seconds: float
    timeout_seconds: float
    last_scrape: datetime | None = None
    duration_seconds: float = 0.0
    samples: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A target that lacks a label which the runbook asks of every target.

    ``series_without`` of its ``series`` do not carry the label themselves either; both are 0 as long as it
    has not answered.
    """

    job: str
    instance: str
    url: str
    label: str
    series_without: int
    series: int

    def __str__(self) -> str:
        what = f"target {self.instance} of job {self.job} has no label {self.label}"
        if self.series:
            what += f"; {self.series_without} of its {self.series} series have none either"
        return f"{what}. Add it under static_configs.labels or in the discovery file."


def lacking(labels: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The required labels that are not among ``labels``."""
    present = {name for name, _ in labels}
    return tuple(name for name in REQUIRED_LABELS if name not in present)
