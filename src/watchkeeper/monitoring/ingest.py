"""From one target's body to samples in the store: all of it or, if anything is wrong, nothing of it.

Always true: after every scrape, failed or not, the target's report series (``up`` and ``scrape_*``) have a
sample at its time, and every other series of the target has one or ends there; nothing is registered in the
store before the whole body was read and within its limits. ``ingest`` needs neither network nor clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from watchkeeper.monitoring.exposition.layout import ExpositionError
from watchkeeper.monitoring.exposition.metadata import Family
from watchkeeper.monitoring.exposition.reader import Reader, Reading
from watchkeeper.monitoring.labels import METRIC_NAME, Ints, Labels, Mask, label_set
from watchkeeper.monitoring.relabel import relabel
from watchkeeper.monitoring.samples.frame import Floats
from watchkeeper.monitoring.targets import Finding, Limits, Target, lacking

REPORT_SERIES: Final = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
_DROPPED = -1


class Appended(Protocol):
    """What became of the samples of one append."""

    @property
    def out_of_order(self) -> int:
        """Not stored: older than the newest of their series."""

    @property
    def duplicates(self) -> int:
        """Not stored: their series has another value at that time."""


class GroupSink(Protocol):
    """Where the samples of one target go: series that share the times of its scrapes."""

    @property
    def generation(self) -> int:
        """Changes when columns are renumbered."""

    def columns(self, labels: Sequence[Labels]) -> Ints:
        """The column of each series, registered if it is new."""

    def renumbered(self, columns: Ints, generation: int) -> Ints | None:
        """Where columns of an earlier generation are now (-1: gone); None if that is not known any more."""

    def append(self, ts_ms: int, columns: Ints | None, values: Floats) -> Appended:
        """One scrape; series that are not in it end at ``ts_ms``. Columns None: those of the last append."""

    def mark_stale(self, ts_ms: int) -> object:
        """All series end at ``ts_ms``."""


class SampleSink(Protocol):
    """Where all samples go; the sample store is one."""

    def group(self, key: str) -> GroupSink:
        """The group of that name, made if there is none."""

    def append_samples(self, key: str, samples: Sequence[tuple[Labels, int, float]]) -> Appended:
        """Samples that carry their own times (milliseconds)."""

    def set_metadata(self, family: str, type: str, help: str, unit: str = "") -> None:  # noqa: A002
        """What the target says of a metric family."""


class LimitError(ValueError):
    """A scrape brought more than its limits allow; nothing of it was stored."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one scrape brought.

    ``added`` series were not in the scrape before; ``repeated`` samples were of a series that the body had
    already; ``out_of_order`` and ``duplicates`` are what the store refused.
    """

    scraped: int = 0
    kept: int = 0
    added: int = 0
    repeated: int = 0
    out_of_order: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body that was read and is within its limits; ``labels`` are the final ones of the fresh samples.

    A label set of None is dropped by relabelling.
    """

    body: bytes
    content_type: str
    epoch: int
    reading: Reading
    labels: list[Labels | None]


class Intake:
    """What is remembered of one target between its scrapes.

    :meth:`prepare` may run in another thread than the rest, but never beside it. Per sample of the last
    body there is a code: a column of the group (0 and up), dropped (-1), or a series with times of its own
    (-2 and down, its labels in ``_timed[-2 - code]``).
    """

    def __init__(self, target: Target, sink: SampleSink) -> None:
        self.target = target
        self.families: Mapping[str, Family] = {}
        self._sink = sink
        self._group = sink.group(target.key)
        self._reader = Reader()
        self._lacking = lacking(target.labels)
        self._reports = [label_set([(METRIC_NAME, name), *target.labels]) for name in REPORT_SERIES]
        self._epoch = 0
        self._begin()

    def _begin(self) -> None:
        """Know nothing of earlier bodies: the next one is read as if it were the first."""
        self._epoch += 1
        self._reader.forget()
        self._codes: Ints = np.zeros(0, np.int64)
        self._timed: list[Labels] = []
        self._lacks: Mask = np.zeros((len(self._lacking), 0), np.bool_)
        self._take: Ints | None = None
        self._repeated = 0
        self._findings: list[Finding] | None = None
        self._report: Ints = self._group.columns(self._reports)
        self._columns: Ints = self._report
        self._appended: Ints | None = None
        self._generation = self._group.generation

    # -- reading -------------------------------------------------------------------------------

    def prepare(self, body: bytes, content_type: str) -> Prepared:
        """Read ``body``. Raises :class:`ExpositionError` or :class:`LimitError`."""
        limits = self.target.job.limits
        early = 0 if self.target.job.metric_relabel else limits.samples
        reading = self._reader.read(body, content_type, early)
        labels = [self._final(exposed) for exposed in reading.fresh]
        for final in labels:
            if final is not None:
                _check(final, limits)
        return Prepared(body, content_type, self._epoch, reading, labels)

    def _final(self, exposed: Labels) -> Labels | None:
        """The labels under which a sample is stored; None if relabelling drops it."""
        job = self.target.job
        merged = merge(exposed, self.target.labels, honor_labels=job.config.honor_labels)
        if not job.metric_relabel:
            return merged
        kept = relabel(merged, job.metric_relabel)
        if kept and kept[0][0] != METRIC_NAME and METRIC_NAME not in dict(kept):
            raise LimitError("metric_relabel_configs leave a series without a metric name")
        return kept or None

    # -- storing -------------------------------------------------------------------------------

    def store(self, prepared: Prepared, ts_ms: int, duration_seconds: float) -> Outcome:
        """Append what was read, at ``ts_ms`` wherever a sample has no time of its own.

        Raises :class:`LimitError` if more samples than allowed are left after relabelling; then, nothing
        was stored.
        """
        self._renew()
        if prepared.epoch != self._epoch:
            prepared = self.prepare(prepared.body, prepared.content_type)
        reading = prepared.reading
        stamped = self._stamped(reading)
        if reading.origin is not None:
            self._check_count(reading.origin, prepared.labels)
            self._resolve(reading.origin, prepared.labels, stamped)
        if not self._agrees(stamped):  # a series has begun or ceased to bring its own times
            self._begin()
            prepared = self.prepare(prepared.body, prepared.content_type)
            reading = prepared.reading
            assert reading.origin is not None
            self._resolve(reading.origin, prepared.labels, stamped)
        self._reader.keep(reading)
        self._describe(reading.families)
        kept = int(np.count_nonzero(self._codes != _DROPPED))
        added = sum(final is not None for final in prepared.labels)
        report = [1.0, duration_seconds, len(reading.values), kept, added]
        values = reading.values if self._take is None else reading.values[self._take]
        done = self._append(ts_ms, self._columns, np.concatenate([report, values]))
        out_of_order, duplicates = done.out_of_order, done.duplicates
        if len(stamped):
            own = [
                (self._timed[-2 - code], stamp, value)
                for code, stamp, value in zip(
                    self._codes[stamped].tolist(),
                    reading.stamps_ms.tolist(),
                    reading.values[stamped].tolist(),
                    strict=True,
                )
                if code != _DROPPED
            ]
            late = self._sink.append_samples(self.target.key, own)
            out_of_order, duplicates = out_of_order + late.out_of_order, duplicates + late.duplicates
        return Outcome(len(reading.values), kept, added, self._repeated, out_of_order, duplicates)

    def fail(self, ts_ms: int, duration_seconds: float, scraped: int = 0) -> None:
        """The scrape at ``ts_ms`` failed: ``up`` is 0 and every series of the target ends."""
        self._renew()
        self._append(ts_ms, self._report, np.array([0.0, duration_seconds, scraped, 0, 0]))

    def end(self, ts_ms: int) -> None:
        """The target is not scraped any more: every series ends, ``up`` too."""
        self._group.mark_stale(ts_ms)

    def findings(self) -> list[Finding]:
        """The required labels that the target lacks, and how many of its series have them nevertheless."""
        if self._findings is None:
            self._findings = self._find()
        return self._findings

    def _find(self) -> list[Finding]:
        target, live = self.target, self._codes != _DROPPED
        return [
            Finding(
                target.job.name,
                target.instance,
                target.shown_url,
                label,
                int(np.count_nonzero(lacks & live)),
                int(np.count_nonzero(live)),
            )
            for label, lacks in zip(self._lacking, self._lacks, strict=True)
        ]

    # -- inside --------------------------------------------------------------------------------

    def _describe(self, families: Mapping[str, Family]) -> None:
        if families is self.families:
            return
        for name, family in families.items():
            if self.families.get(name) != family:
                self._sink.set_metadata(name, family.type, family.help, family.unit)
        self.families = families

    def _append(self, ts_ms: int, columns: Ints, values: Floats) -> Appended:
        same = columns is self._appended
        self._appended = None  # stays so if the store raises
        done = self._group.append(ts_ms, None if same else columns, values)
        self._appended = columns
        return done

    def _renew(self) -> None:
        """Follow the group if it has renumbered its columns."""
        if self._generation == self._group.generation:
            return
        plain = self._codes >= 0
        moved = self._group.renumbered(self._codes[plain], self._generation)
        if moved is None or (moved < 0).any():
            self._begin()
            return
        self._codes[plain] = moved
        self._report = self._group.columns(self._reports)
        self._generation = self._group.generation
        self._arrange()

    def _stamped(self, reading: Reading) -> Ints:
        """The samples that bring their own times, as far as that is honoured."""
        return reading.stamped if self.target.job.config.honor_timestamps else np.zeros(0, np.int64)

    def _agrees(self, stamped: Ints) -> bool:
        """Do exactly the samples ``stamped`` (and some dropped ones) have the code of a timed series?"""
        if not self._timed and not len(stamped):
            return True
        timed = np.zeros(len(self._codes), np.bool_)
        timed[stamped] = True
        return not ((self._codes >= 0) & timed).any() and not ((self._codes < _DROPPED) & ~timed).any()

    def _check_count(self, origin: Ints, labels: list[Labels | None]) -> None:
        known = origin[origin >= 0]
        kept = int(np.count_nonzero(self._codes[known] != _DROPPED)) + sum(one is not None for one in labels)
        limit = self.target.job.limits.samples
        if 0 < limit < kept:
            raise LimitError(f"{kept} samples are left after relabelling; sample_limit is {limit}")

    def _resolve(self, origin: Ints, labels: list[Labels | None], stamped: Ints) -> None:
        """Give every sample of the new body its code, registering new series."""
        known = origin >= 0
        at = np.flatnonzero(~known)
        codes = np.full(len(origin), _DROPPED, np.int64)
        codes[known] = self._codes[origin[known]]
        timed = np.zeros(len(origin), np.bool_)
        timed[stamped] = True
        plain = np.array([one is not None for one in labels], np.bool_) & ~timed[at]
        if plain.any():
            codes[at[plain]] = self._group.columns([labels[i] or () for i in np.flatnonzero(plain).tolist()])
        names = (
            [self._timed[-2 - code] if code < _DROPPED else () for code in codes.tolist()]
            if self._timed
            else []
        )
        self._timed = []
        if names or len(stamped):
            fresh = dict(zip(at.tolist(), labels, strict=True))
            for i in np.flatnonzero((codes < _DROPPED) | timed).tolist():
                own = fresh.get(i) or (names[i] if names else ())
                if own:
                    codes[i] = -2 - len(self._timed)
                    self._timed.append(own)
        if self._lacking:
            lacks = np.zeros((len(self._lacking), len(origin)), np.bool_)
            lacks[:, known] = self._lacks[:, origin[known]]
            for row, label in enumerate(self._lacking):
                lacks[row, at] = [one is not None and all(name != label for name, _ in one) for one in labels]
            self._lacks = lacks
        self._codes = codes
        self._findings = None
        self._arrange()

    def _arrange(self) -> None:
        """Which samples go into the row of the group, and into which columns: the first of each series."""
        take = np.flatnonzero(self._codes >= 0)
        columns = self._codes[take]
        seen = np.zeros(int(columns.max()) + 1 if len(columns) else 0, np.bool_)
        seen[columns] = True
        self._repeated = len(columns) - int(np.count_nonzero(seen))
        if self._repeated:
            _, first = np.unique(columns, return_index=True)
            first.sort()
            take, columns = take[first], columns[first]
        self._take = None if len(take) == len(self._codes) else take
        self._columns = np.concatenate([self._report, columns])
        self._appended = None


def ingest(
    intake: Intake, body: bytes, content_type: str, ts_ms: int, duration_seconds: float = 0.0
) -> Outcome:
    """Read and store one body of a target.

    Raises :class:`ExpositionError` or :class:`LimitError` when the scrape fails; then ``up`` is 0 and every
    series of the target has ended at ``ts_ms``.
    """
    try:
        return intake.store(intake.prepare(body, content_type), ts_ms, duration_seconds)
    except (ExpositionError, LimitError) as error:
        intake.fail(ts_ms, duration_seconds, getattr(error, "samples", 0))
        raise


def merge(exposed: Labels, target: Labels, *, honor_labels: bool) -> Labels:
    """The labels of a sample under those of its target.

    Where both have one, the target's wins and the sample's is renamed ``exported_...``; with
    ``honor_labels`` the sample's wins.
    """
    own = dict(exposed)
    clashes = [name for name, _ in target if name in own]
    if not clashes:
        return tuple(sorted(exposed + target))
    if honor_labels:
        return label_set({**dict(target), **own}.items())
    final = {**own, **dict(target)}
    for name in sorted(clashes, key=len):
        moved = f"exported_{name}"
        while moved in final:
            moved = f"exported_{moved}"
        final[moved] = own[name]
    return label_set(final.items())


def _check(labels: Labels, limits: Limits) -> None:
    """Raise :class:`LimitError` if ``labels`` are more or longer than allowed."""
    if 0 < limits.labels < len(labels):
        raise LimitError(
            f"a series of {_metric(labels)} has {len(labels)} labels; label_limit is {limits.labels}"
        )
    for name, value in labels:
        if 0 < limits.label_name_bytes < _size(name):
            raise LimitError(
                f"a series of {_metric(labels)} has a label name of {_size(name)} bytes, {name[:50]!r}...; "
                f"label_name_length_limit is {limits.label_name_bytes}"
            )
        if 0 < limits.label_value_bytes < _size(value):
            raise LimitError(
                f"a series of {_metric(labels)} has a value of {_size(value)} bytes in label {name[:50]!r}; "
                f"label_value_length_limit is {limits.label_value_bytes}"
            )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _metric(labels: Labels) -> str:
    return repr(dict(labels).get(METRIC_NAME, "")[:50])
