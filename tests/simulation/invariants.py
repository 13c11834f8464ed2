"""What must be true of a simulated deployment, whatever went wrong in it: checked after every event.

Always true: the auditor reads the store past the product, with its own queries, and judges by the script of
the platform, by what the targets took in and by the journal; it changes nothing; a test breaks a part of
the product for each invariant and sees it caught (tests/simulation/test_invariants.py).

Where a fault may excuse lateness, a bound counts from the end of the fault (:meth:`Auditor.calm`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.deployment import Site
from tests.simulation.network import Arrival, Mood, Network
from tests.simulation.platform import Key, Platform, ScriptedSource
from watchkeeper.monitoring.compile import METRICS_UNREACHABLE, RULE_FAILED, CompiledRule, compile_runbook
from watchkeeper.store.journal import GENESIS, entry_hash

INTERVAL = 30.0
SLACK = 2 * INTERVAL
"""How far the start of something can lie from the first evaluation that sees it, at both of its ends."""
FORGOTTEN_SECONDS = 23 * 3600.0
PATIENCE = 300.0
DELIVERY_BOUND = 20 * 60.0
"""A notification waits at most so long after the last fault: backoff, probe and a claim that runs out."""
TOLD_BOUND = 240.0
ESCALATED_BOUND = 90.0
DEADLINE = 300.0
MOST = 20
INCIDENT = "watchkeeper/incident/"
"""What the keys begin with under which an incident is spoken of: it may be open for days."""


@dataclass
class _Story:
    """What the journal says of one escalation."""

    paged_at: float
    verdicts: list[str] = field(default_factory=list)
    acknowledged: bool = False
    ended_at: float | None = None
    step: int = 0
    round: int = 1


class Auditor:
    """Reads along, and writes down what must not be."""

    def __init__(
        self,
        site: Site,
        reader: sqlite3.Connection,
        platform: Platform,
        source: ScriptedSource,
        network: Network,
    ) -> None:
        self._site = site
        self._reader = reader
        self._platform = platform
        self._source = source
        self._network = network
        self.violations: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.entries, self.head = 0, GENESIS
        self.listeners: list[Callable[[str, str, dict[str, Any], list[tuple[str, str]]], None]] = []
        """Called with kind, subject, facts and evidence of each entry: further invariants."""
        self._firing: dict[str, str] = {}
        self._fired_at: dict[str, float] = {}
        self._fired_page: dict[str, float] = {}
        self._unanswered: dict[str, float] = {}
        self._stories: dict[str, _Story] = {}
        self._rows = 0
        self._undelivered: dict[int, tuple[str, float, bool]] = {}
        self._delivered: set[int] = set()
        self._said: Counter[tuple[str, str, str]] = Counter()
        self._last: dict[tuple[str, str], str] = {}
        self._looked_at_outbox = 0.0
        self._rules = {rule.name: rule for rule in compile_runbook(site.runbook).rules}

    # -- what calls it -------------------------------------------------------------------------

    def committed(self) -> None:
        """Something was committed since the last time."""
        self._read_journal()
        self._read_outbox()
        self._compare_alerts()

    def evaluated(self) -> None:
        """An evaluation was recorded: whatever the script says must fire, fires."""
        for key, value in self._platform.values.items():
            for rule in self._rules.values():
                if rule.value_expr == key[0]:
                    self._must_fire(rule, key, value)

    def heard(self, target: str, arrival: Arrival) -> None:
        """A target took something in."""
        if arrival.late or target == "chat":
            return
        key = (target, arrival.dedup_key)
        before = self._last.get(key)
        if before is None and arrival.kind != "trigger":
            self.violated(f"{target} hears {arrival.kind} of {arrival.dedup_key} before its trigger")
        again = arrival.kind == "trigger" and arrival.dedup_key.startswith(INCIDENT)  # the next reminder
        if before == "resolve" and arrival.kind != "resolve" and not again:
            self.violated(f"{target} hears {arrival.kind} of {arrival.dedup_key} after its resolve")
        self._last[key] = arrival.kind

    def violated(self, what: str) -> None:
        """Write down that an invariant does not hold."""
        if len(self.violations) < MOST:
            self.violations.append(f"{self._site.moment()}  {what}")
            self._site.tell(f"VIOLATED: {what}")

    def finish(self) -> None:
        """Everything is well again and some hours have passed: nothing may be left over."""
        self.committed()
        self._late_rows(0.0)
        for table, where, said in (
            ("alerts", "state = 'firing'", "an alert still fires"),
            ("escalations", "state != 'ended'", "an escalation is still open"),
            ("outbox", "state = 'dead'", "a notification was given up"),
            ("outbox", "state = 'pending' AND due_at <= enqueued_at", "a notification still waits"),
        ):
            (found,) = self._reader.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()
            if found:
                self.violated(f"at the end: {said} ({found})")
        for number, (receiver, _, may_be_replaced) in self._undelivered.items():
            if not may_be_replaced:
                self.violated(f"row {number} for {receiver} was never delivered")
        for (target, key), kind in self._last.items():
            if kind != "resolve" and target != "cleo-phone" and not key.startswith(INCIDENT):
                self.violated(f"{target} never heard that {key} is over (last: {kind})")
        for key, story in self._stories.items():
            self._judge_story(key, story)

    # -- the journal ---------------------------------------------------------------------------

    def _read_journal(self) -> None:
        query = "SELECT seq, at, kind, actor, subject, facts, hash FROM journal WHERE seq > ? ORDER BY seq"
        rows = self._reader.execute(query, (self.entries,)).fetchall()
        if not rows:
            return
        cited: dict[int, list[tuple[str, str]]] = {}
        query = "SELECT seq, clause, verdict FROM journal_clauses WHERE seq > ? ORDER BY seq, clause, verdict"
        for seq, clause, verdict in self._reader.execute(query, (self.entries,)):
            cited.setdefault(seq, []).append((clause, verdict))
        for seq, at, kind, actor, subject, text, digest in rows:
            facts = json.loads(text)
            values = {
                "seq": seq,
                "at": at,
                "kind": kind,
                "actor": actor,
                "subject": subject,
                "facts": facts,
            }
            evidence = cited.get(seq, [])
            if seq != self.entries + 1 or entry_hash(self.head, values, sorted(evidence)) != digest:
                self.violated(f"the journal's chain is broken at entry {seq}")
            self.entries, self.head = seq, digest
            self.kinds[kind] += 1
            self._site.tell(f"{kind}: {facts.get('summary', subject)}")
            self._entry(kind, subject, facts, evidence)

    def _entry(self, kind: str, subject: str, facts: dict[str, Any], evidence: list[tuple[str, str]]) -> None:
        if kind == "alert.firing":
            self._fires(subject.removeprefix("alert:"), facts)
        elif kind == "alert.resolved":
            self._resolves(subject.removeprefix("alert:"), facts)
        elif kind == "notification.delivered":
            self._is_delivered(facts)
        elif kind == "notification.failed":
            self.violated(f"a notification was given up: {facts.get('summary')}")
        elif kind.startswith("escalation."):
            self._escalation(kind.removeprefix("escalation."), facts)
        for listener in self.listeners:
            listener(kind, subject, facts, evidence)

    # -- alerts --------------------------------------------------------------------------------

    def _fires(self, fingerprint: str, facts: dict[str, Any]) -> None:
        if fingerprint in self._firing:
            self.violated(f"{facts['alertname']} {fingerprint} fires, and fired already")
        self._firing[fingerprint] = facts["episode"]
        self._fired_at[fingerprint] = self._site.timeline.now
        problem = self._unjustified(facts["alertname"], facts["labels"], firing=True)
        if problem:
            self.violated(f"{facts['alertname']} of {facts['labels']} fires, but {problem}")

    def _resolves(self, fingerprint: str, facts: dict[str, Any]) -> None:
        if self._firing.pop(fingerprint, None) != facts["episode"]:
            self.violated(f"{facts['alertname']} {fingerprint} ends, and did not fire")
        self._fired_at.pop(fingerprint, None)
        problem = self._unjustified(facts["alertname"], facts["labels"], firing=False)
        if problem:
            self.violated(f"{facts['alertname']} of {facts['labels']} ends, but {problem}")

    def _unjustified(self, alertname: str, labels: dict[str, str], *, firing: bool) -> str | None:
        """Why the script does not allow what an alert just did."""
        at, answered, broken = self._source.asked[-1]
        if alertname == METRICS_UNREACHABLE:
            return "the metrics can be read" if firing == answered else None
        if alertname == RULE_FAILED:
            metric = self._rules[labels["rule"]].value_expr
            return "the rule does not fail so" if firing != (metric == broken) else None
        rule = self._rules[alertname]
        key = (rule.value_expr, labels["service"])
        value = self._platform.at(key, at)
        if rule.kind == "missing":
            return self._missing_unjustified(key, at, firing=firing)
        line, clear = _figures(rule)
        if firing:
            held = self._seen(key, at - rule.hold.total_seconds() + SLACK)
            if value is None or value <= line:
                return f"it is {value}"
            return "it was well meanwhile" if any(v is not None and v <= line for v in held) else None
        if value is None:
            silent = self._seen(key, at - PATIENCE + SLACK)
            return "it is silent for a moment only" if any(v is not None for v in silent) else None
        kept = self._seen(key, at - rule.keep_firing_for.total_seconds() + SLACK)
        still = [v for v in [*kept, value] if v is not None and v > clear]
        return f"it is, or was a moment ago, {still[0]}" if still else None

    def _missing_unjustified(self, key: Key, at: float, *, firing: bool) -> str | None:
        value = self._platform.at(key, at)
        if firing:
            there = [v for v in self._seen(key, at - PATIENCE + SLACK) if v is not None]
            return "it gives data" if value is not None or there else None
        since = self._platform.since(key, lambda v: v is None)
        if value is None and (since is None or at - since < FORGOTTEN_SECONDS):
            return "it gives no data"
        return None

    def _seen(self, key: Key, since: float) -> Iterator[float | None]:
        """What the source answered of a signal, from now back to ``since``.

        Also what it would have answered in the evaluations that the deployment left out, because nothing had
        changed; not in those that a dead process could not hold.
        """
        later = self._source.asked[-1][0]
        for at, answered, broken in reversed(self._source.asked):
            if self.calm("watch", "store") < at:
                while later - at > 1.5 * INTERVAL and later - INTERVAL > since:
                    later -= INTERVAL
                    yield self._platform.at(key, later)
            if at <= since:
                return
            if answered and broken != key[0]:
                yield self._platform.at(key, at)
            later = at

    def _must_fire(self, rule: CompiledRule, key: Key, value: float | None) -> None:
        line, _ = _figures(rule)
        missing = rule.kind == "missing"
        if (value is not None) if missing else (value is None or value <= line):
            return

        def beyond(one: float | None) -> bool:
            return one is None if missing else one is not None and one > line

        since = self._platform.since(key, beyond)
        assert since is not None
        now = self._site.timeline.now
        if missing and now - since > FORGOTTEN_SECONDS:
            return
        for at, answered, broken in reversed(self._source.asked):
            if at < since:
                break
            if not answered or broken == key[0]:
                since = at
                break
        waited = now - max(since, self.calm("watch", "store", "clock"))
        hold = rule.hold.total_seconds() + (PATIENCE if missing else 0.0)
        if waited <= hold + 2 * SLACK:
            return
        query = (
            "SELECT count(*) FROM alerts WHERE rule = ? AND state = 'firing' "
            "AND json_extract(labels, '$.service') = ?"
        )
        if self._reader.execute(query, (rule.name, key[1])).fetchone()[0] != 1:
            self.violated(f"{rule.name} of {key[1]} must fire for {waited - hold:.0f} s, and does not")

    def _compare_alerts(self) -> None:
        query = (
            "SELECT fingerprint, episode, severity, inhibited_by, group_key, acked_at, alertname "
            "FROM alerts WHERE state = 'firing'"
        )
        rows = self._reader.execute(query).fetchall()
        if {row[0]: row[1] for row in rows} != self._firing:
            self.violated("the alerts that fire are not those that the journal says")
            self._firing = {row[0]: row[1] for row in rows}
        now = self._site.timeline.now
        untold: dict[str, float] = {}
        unanswered: dict[str, float] = {}
        for fingerprint, _, severity, quiet, key, acked, name in rows:
            if severity != "page" or quiet is not None:
                continue
            if key is None:
                untold[fingerprint] = since = self._fired_page.get(fingerprint, now)
                if now - max(since, self.calm("watch", "store", "clock")) > TOLD_BOUND:
                    self.violated(f"the page {name} {fingerprint} fires, and nobody was told")
            elif acked is None:
                unanswered[key] = self._unanswered.get(key, now)
        self._fired_page, self._unanswered = untold, unanswered
        for key, since in unanswered.items():
            if now - max(since, self.calm("work", "store", "clock")) > ESCALATED_BOUND:
                query = "SELECT state FROM escalations WHERE dedup_key = ?"
                found = self._reader.execute(query, (key,)).fetchone()
                if found is None or found[0] != "open":
                    self.violated(f"the page {key} is not acknowledged, and its escalation is {found}")

    # -- notifications -------------------------------------------------------------------------

    def _read_outbox(self) -> None:
        now = self._site.timeline.now
        query = "SELECT id, receiver, coalesce_key, due_at > enqueued_at FROM outbox WHERE id > ? ORDER BY id"
        for number, receiver, replaced, later in self._reader.execute(query, (self._rows,)):
            self._rows = number
            if number not in self._delivered:
                self._undelivered[number] = (receiver, now, replaced is not None or bool(later))
        if now - self._looked_at_outbox >= 300.0:
            self._looked_at_outbox = now
            self._late_rows(DELIVERY_BOUND)

    def _late_rows(self, bound: float) -> None:
        now = self._site.timeline.now
        for number, (receiver, since, excused) in list(self._undelivered.items()):
            target = self._network.targets[receiver]
            troubled = now if target.mood is not Mood.WELL and not self._network.calm else target.troubled_at
            if excused or now - max(since, troubled, self.calm("work", "store", "clock")) <= bound:
                continue
            query = "SELECT state, attempts, last_error FROM outbox WHERE id = ?"
            found = self._reader.execute(query, (number,)).fetchone()
            self.violated(f"row {number} for {receiver} waits since {now - since:.0f} s: {found}")
            del self._undelivered[number]

    def _is_delivered(self, facts: dict[str, Any]) -> None:
        number, receiver = facts["outbox"], facts["receiver"]
        if number in self._delivered:
            self.violated(f"row {number} for {receiver} is journaled as delivered twice")
        self._delivered.add(number)
        self._undelivered.pop(number, None)
        chat = receiver == "chat"
        kind, key = ("message", "") if chat else (facts["notification"], facts["dedup_key"])
        self._said[(receiver, key, kind)] += 1
        if self._network.targets[receiver].taken[(key, kind)] < self._said[(receiver, key, kind)]:
            self.violated(f"row {number}: {receiver} was told {kind} of {key}, says the journal, and was not")

    # -- escalations ---------------------------------------------------------------------------

    def _escalation(self, what: str, facts: dict[str, Any]) -> None:
        now, key = self._site.timeline.now, facts["dedup_key"]
        story = self._stories.get(key)
        if story is None:
            story = self._stories[key] = _Story(now)
        if story.ended_at is not None:
            self.violated(f"the escalation of {key} goes on ({what}) after it ended")
        if what == "deadline":
            story.verdicts.append(facts["verdict"])
            if len(story.verdicts) > 1:
                self.violated(f"the deadline of {key} has verdicts {story.verdicts}")
            early = now - story.paged_at < DEADLINE - SLACK and self.calm("clock") < story.paged_at
            if facts["verdict"] == "missed" and early:
                self.violated(f"the deadline of {key} is missed after {now - story.paged_at:.0f} s")
        elif what == "acknowledged":
            story.acknowledged = True
        elif what == "reopened":
            story.step = 0
        elif what == "paged":
            self._paged(key, story, facts)
        elif what == "ended":
            story.ended_at = now
            self._judge_story(key, story)

    def _paged(self, key: str, story: _Story, facts: dict[str, Any]) -> None:
        step, turn = facts["step"], facts["round"]
        begun_anew = (step, turn) == (1, 1)
        following = (step, turn) in ((story.step + 1, story.round), (1, story.round + 1))
        if not begun_anew and not following:
            self.violated(
                f"the escalation of {key} goes from step {story.step}/{story.round} to {step}/{turn}"
            )
        story.step, story.round = step, turn

    def _judge_story(self, key: str, story: _Story) -> None:
        ended = story.ended_at if story.ended_at is not None else self._site.timeline.now
        due = story.acknowledged or ended - story.paged_at > DEADLINE + SLACK
        if due and len(story.verdicts) != 1 and self.calm("clock") < story.paged_at:
            self.violated(f"the deadline of {key} has the verdicts {story.verdicts}, and not one")

    # -- excuses -------------------------------------------------------------------------------

    def calm(self, *what: str) -> float:
        """Since when nothing is wrong with ``what``."""
        if "store" in what and self._site.faults.trouble is not None:
            return self._site.timeline.now
        return max((self._site.disturbed.get(name, 0.0) for name in what), default=0.0)


def _figures(rule: CompiledRule) -> tuple[float, float]:
    """The line of a rule, and the figure at which its alert may end."""
    if rule.kind == "missing":
        return 0.0, 0.0
    line = float(rule.line_expr.partition(" > ")[2])
    return line, line if rule.clear_expr is None else float(rule.clear_expr.partition(" > ")[2])
