"""Runs the monitoring section: each evaluation is read, decided, and written in one transaction.

Always true: what an evaluation decided (alerts, journal, evidence, outbox) is in the store whole or not at
all; when it could not be written, the next evaluation decides again from what the store then holds, so
nothing is told twice or lost (tests/monitoring/test_service.py, test_service_restart.py); of several services
over one store one evaluates and the others follow it (test_service_shared.py). A runbook that cannot be used
leaves the one before it running, and the journal says so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.monitoring import journaling, maintenance_log, records, silencing
from watchkeeper.monitoring.alerts import Alert
from watchkeeper.monitoring.clauses import Standing
from watchkeeper.monitoring.compile import Compiled, CompileError, compile_runbook
from watchkeeper.monitoring.evaluation import Decision, Observation, Policy, decide, queries_of
from watchkeeper.monitoring.inhibition import Inhibited
from watchkeeper.monitoring.journaling import ACTOR
from watchkeeper.monitoring.rules import AlertSeries, RuleHealth, Slot
from watchkeeper.monitoring.samples.errors import SampleStoreError
from watchkeeper.monitoring.silences import Silence
from watchkeeper.monitoring.source import Answer, Source, SourceError, TimedSource
from watchkeeper.monitoring.wording import Wording, severity
from watchkeeper.runbook.errors import RunbookError
from watchkeeper.runbook.loading import LoadedRunbook
from watchkeeper.store import journal
from watchkeeper.store.clock import Clock, to_ms
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError
from watchkeeper.store.leases import Lease, described
from watchkeeper.store.owners import this_process

log = logging.getLogger(__name__)

SHOWN_EVERY = timedelta(minutes=1)
"""How often signals without thresholds are read: nobody is told of them, and some read a whole day."""
LEASE = "monitoring.evaluation"
SHORTEST_LEASE = timedelta(seconds=20)
EAGER_EVALUATIONS = 6
"""So many evaluations after a start or a reload read them all, so that nobody waits a minute to see one."""
Findings = Callable[[datetime], Mapping[str, Standing]]
"""Further clauses and how they stand (labels of targets, links, heartbeat); asked at every evaluation."""


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What became of a reload: the digest in force, and why the new runbook is not, if it is not."""

    digest: str
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the new runbook is in force."""
        return not self.problems


class MonitoringService:
    """The monitoring section of one runbook, over one store and one source of answers.

    ``external_url`` is where people reach us: the links in alerts that begin with ``/`` go there. ``owner``
    is who this is among those that share the store: this process, if nobody says otherwise.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        source: Source,
        loaded: LoadedRunbook,
        *,
        external_url: str = "",
        series: AlertSeries | None = None,
        findings: Iterable[Findings] = (),
        owner: str | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._source = source
        self._external_url = external_url
        self._series = series
        self._findings = tuple(findings)
        self._monotonic: float | None = None
        self._shown: Mapping[str, Answer] = {}
        self._shown_at: datetime | None = None
        self._use(loaded, compile_runbook(loaded.runbook, external_url))
        self.health: dict[str, RuleHealth] = {}
        self.standings: Mapping[str, Standing] = {}
        self.quiet: Mapping[str, Inhibited] = {}
        self.last_seconds = 0.0
        self.seen: Observation | None = None
        """What the last recorded evaluation was answered."""
        self.totals: Counter[str] = Counter()
        self._silences: tuple[Silence, ...] = ()
        self._lease = Lease(LEASE, owner or this_process(), clock)
        self._in_doubt = False
        with store.read() as conn:
            self.state = records.load(conn)

    # -- what others ask -----------------------------------------------------------------------

    @property
    def compiled(self) -> Compiled:
        """The rules in force."""
        return self._policy.compiled

    @property
    def policy(self) -> Policy:
        """What decides at present."""
        return self._policy

    @property
    def interval(self) -> timedelta:
        """How often rules are evaluated."""
        return self._policy.interval

    @property
    def digest(self) -> str:
        """The digest of the runbook in force."""
        return self._loaded.digest

    @property
    def stands_by(self) -> str | None:
        """Who evaluates the rules over this store instead, if somebody does."""
        holder = self._lease.holder
        return None if holder is None or self._lease.held else described(holder)

    @property
    def in_doubt(self) -> bool:
        """Whether the store could not be read or written when that was last tried."""
        return self._in_doubt

    def alerts(self) -> list[Alert]:
        """Every alert there is, pages first, then the oldest first."""
        return sorted(
            self.state.every_alert(), key=lambda alert: (severity(alert.labels) != "page", alert.active_at)
        )

    def annotations(self, alert: Alert) -> dict[str, str]:
        """What is said about ``alert``."""
        return self._wording.annotations(alert)

    # -- what happens --------------------------------------------------------------------------

    async def evaluate(self, slot: Slot | datetime) -> Decision | None:
        """Evaluate every rule for the time ``slot``.

        None where the store could not be written, or where another process evaluates (:attr:`stands_by`).
        """
        if not self._is_ours():
            return None
        at, missed = (slot.at, slot.missed) if isinstance(slot, Slot) else (slot, 0)
        begun = self._clock.monotonic()
        seen = await self._observe(at, begun)
        decision = self._decide(seen)
        try:
            self._act(decision, seen)
        except StoreError as error:
            # A connection that broke in a commit leaves it open whether that took place.
            self._in_doubt = True
            self.totals["not_written"] += 1
            log.error("an evaluation could not be recorded, and is decided again at the next one: %s", error)
            return None
        except _TakenOverError:
            log.warning("the rules are evaluated by %s from now on", self.stands_by)
            return None
        self.state, self.quiet, self.standings = decision.state, decision.quiet, decision.standings
        self._monotonic = begun
        self._write_series(at)
        self._note(decision, seen, missed, self._clock.monotonic() - begun)
        return decision

    def _is_ours(self) -> bool:
        """Whether this process evaluates. Where another does, what that one recorded is followed."""
        if self._lease.held and not self._in_doubt:
            return True
        try:
            with self._store.write() as conn:
                ours = self._lease.take(conn, self._lease_lasts)
                self.state = records.load(conn)
        except StoreError as error:
            self._in_doubt = True
            self.totals["not_written"] += 1
            log.error("the rules are not evaluated, because that could not be recorded: %s", error)
            return False
        self._in_doubt = False
        return ours

    @property
    def _lease_lasts(self) -> timedelta:
        return max(SHORTEST_LEASE, 2 * self.interval)

    async def _observe(self, at: datetime, begun: float) -> Observation:
        silences = self._current_silences()
        watched = None if self._monotonic is None else timedelta(seconds=begun - self._monotonic)
        queries = self._policy.rule_queries
        if self._eager > 0 or self._shown_at is None or abs(at - self._shown_at) >= SHOWN_EVERY:
            queries = self._policy.queries
            self._eager -= 1
        try:
            answers = await self._source.evaluate(queries, to_ms(at))
        except SourceError as error:
            return Observation(at, unreachable=str(error), watched=watched, silences=silences)
        found = dict(zip(queries, answers, strict=True))
        if queries is self._policy.queries:
            self._shown_at, self._shown = at, found
        return Observation(at, {**self._shown, **found}, watched=watched, silences=silences)

    def _current_silences(self) -> tuple[Silence, ...]:
        """As the store has them; where it cannot be read, as they were last, until their time is over."""
        try:
            with self._store.read() as conn:
                self._silences = silencing.load(conn)
        except StoreError as error:
            log.error("the silences cannot be read; those known before go on: %s", error)
        return self._silences

    def _decide(self, seen: Observation) -> Decision:
        extra: dict[str, Standing] = {}
        for ask in self._findings:
            try:
                extra.update(ask(seen.at))
            except Exception:
                # What only looks at labels and links must never keep a rule from being decided.
                log.exception("a check of hygiene met a defect; its clauses stay as they were")
        return decide(self.state, seen, self._policy, extra)

    def _act(self, decision: Decision, seen: Observation) -> None:
        context = journaling.Context(self._policy, self._wording, seen)
        with self._store.write() as conn:
            if not self._lease.take(conn, self._lease_lasts):
                raise _TakenOverError
            records.save(conn, self.state, decision, self._describe)
            journaling.record(conn, decision, context)
            runbook = self._policy.runbook
            silencing.settle(conn, seen.at, seen.silences, runbook)
            maintenance_log.settle(conn, seen.at, runbook.monitoring.maintenance)

    def _write_series(self, at: datetime) -> None:
        if self._series is None:
            return
        try:
            self._series.write(at, self.state.every_alert())
        except SampleStoreError as error:
            log.error("ALERTS cannot be written; the alerts themselves are recorded: %s", error)

    def _describe(self, rule: str, alert: Alert) -> dict[str, Any]:
        return {
            "clause": self._wording.clause(alert),
            "severity": severity(alert.labels),
            "annotations": self._wording.annotations(alert),
        }

    def _note(self, decision: Decision, seen: Observation, missed: int, seconds: float) -> None:
        self.last_seconds, self.seen = seconds, seen
        self.totals["evaluations"] += 1
        self.totals["missed"] += missed
        self.totals["failures"] += len(decision.failed)
        self.totals["notifications"] += len(decision.sends)
        costs = _costs(self._source, self.compiled, seconds)
        self.health = {
            rule.name: RuleHealth(
                health="err" if rule.name in decision.failed else "ok",
                last_error=decision.failed.get(rule.name, ""),
                last_evaluation=seen.at,
                seconds=costs[rule.name],
            )
            for rule in self.compiled.rules
        }
        for name, why in decision.newly_failed.items():
            log.error("the rule %s cannot be evaluated: %s", name, why)

    # -- the runbook ---------------------------------------------------------------------------

    def announce(self) -> None:
        """Journal which runbook is in force; to be called once after a start."""
        now = self._clock.now()
        with self._store.write() as conn:
            facts = _loaded_facts(self._loaded, self.compiled)
            journal.append(conn, now, "runbook.loaded", ACTOR, "runbook", facts)

    def reload(self, load: Callable[[], LoadedRunbook]) -> ReloadResult:
        """Put the runbook that ``load`` gives in force, or keep the one there is and say why.

        Alerts whose rules are gone resolve with the next evaluation; the others go on as they are.
        """
        now = self._clock.now()
        try:
            loaded = load()
            compiled = compile_runbook(loaded.runbook, self._external_url)
        except (RunbookError, CompileError) as error:
            return self._refuse(now, str(error))
        names = {signal.identity for signal in compiled.signals}
        facts = {**_loaded_facts(loaded, compiled), "before": self._loaded.digest}
        with self._store.write() as conn:
            # Where another process evaluates, its runbook says which signals there are.
            kept = self.state if self.stands_by else records.forget_signals(conn, self.state, names)
            journal.append(conn, now, "runbook.loaded", ACTOR, "runbook", facts)
        self.state = kept
        self._use(loaded, compiled)
        return ReloadResult(loaded.digest)

    def _use(self, loaded: LoadedRunbook, compiled: Compiled) -> None:
        self._loaded = loaded
        self._shown, self._shown_at = {}, None
        self._eager = EAGER_EVALUATIONS
        self._wording = Wording(compiled)
        self._policy = Policy(
            runbook=loaded.runbook,
            compiled=compiled,
            interval=loaded.runbook.metrics.evaluation_interval,
            failure_hold=self._source.failure_hold,
        )

    def _refuse(self, now: datetime, problem: str) -> ReloadResult:
        lines = tuple(line for line in problem.splitlines() if line.strip())
        log.error("the runbook was not loaded; the one before stays in force: %s", problem)
        facts = {
            "summary": "a changed runbook cannot be used; the one before stays in force",
            "problems": list(lines[: journaling.LISTED]),
            "in_force": self._loaded.digest,
        }
        with self._store.write() as conn:
            journal.append(conn, now, "runbook.refused", ACTOR, "runbook", facts)
        return ReloadResult(self._loaded.digest, lines or (problem,))


class _TakenOverError(Exception):
    """Another process took the evaluation over while this one was at it."""


def _costs(source: Source, compiled: Compiled, seconds: float) -> dict[str, float]:
    """Seconds of the last evaluation by rule; in equal parts where the source does not know."""
    asked = {rule.name: queries_of(rule) for rule in compiled.rules}
    if not isinstance(source, TimedSource) or not source.seconds:
        return dict.fromkeys(asked, seconds / max(1, len(asked)))
    users = Counter(query for queries in asked.values() for query in queries)
    return {
        name: sum(source.seconds.get(query, 0.0) / users[query] for query in queries)
        for name, queries in asked.items()
    }


def _loaded_facts(loaded: LoadedRunbook, compiled: Compiled) -> dict[str, Any]:
    rules, digest = len(compiled.rules), loaded.digest
    return {
        "summary": f"the runbook {digest[:12]} is in force, with {rules} alerting rules",
        "digest": digest,
        "rules": rules,
    }
