"""The runbook as Markdown for people: the reference document's shape, every figure from the policy itself.

Every clause and playbook has an anchor of its own (``#monitoring.api.error-rate.page``,
``#playbook-api-errors``), so that an alert can link to the very line it is about. Every clause is in the
document, and nothing that is written in the runbook becomes HTML (tests/runbook/test_rendering.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from watchkeeper.runbook.clauses import Clause, clauses, threshold_clause_id, threshold_words
from watchkeeper.runbook.matchers import selector
from watchkeeper.runbook.models.backups import Encryption, ObjectBackups, PostgresBackups, Restore
from watchkeeper.runbook.models.base import Part
from watchkeeper.runbook.models.drills import Drills
from watchkeeper.runbook.models.incidents import Incidents
from watchkeeper.runbook.models.launches import Launches
from watchkeeper.runbook.models.monitoring import SEVERITIES, Layer, Monitoring
from watchkeeper.runbook.models.playbooks import Playbook, Step
from watchkeeper.runbook.models.reviews import Reviews
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.redaction import MASK, SECRET_KEYS
from watchkeeper.runbook.sentences import fill


def render(runbook: Runbook) -> str:
    """The whole document. Ends with one line end."""
    fenced, lines = False, []
    for line in "\n".join(_Document(runbook).lines()).splitlines():
        fenced ^= line.startswith("```")
        lines.append(line if fenced else _FOREIGN_TAG.sub("&lt;", line))
    return "\n".join(lines).rstrip("\n") + "\n"


_FOREIGN_TAG = re.compile(r'<(?=[A-Za-z/!?])(?!a id="[A-Za-z0-9._-]+"></a>|/a>)')
"""The start of anything that Markdown would pass through as HTML, but for our own anchors."""


def anchor(name: str) -> str:
    """An HTML anchor, which Markdown passes through. Names are ids of clauses and playbooks."""
    return f'<a id="{name}"></a>'


def playbook_anchor(playbook: str) -> str:
    """The anchor's name for a playbook: what an alert's ``runbook_url`` ends with after ``#``."""
    return f"playbook-{playbook}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    yield ""


def _numbered(items: Sequence[str]) -> Iterator[str]:
    yield from (f"{number}. {item}" for number, item in enumerate(items, 1))
    yield ""


class _Document:
    def __init__(self, runbook: Runbook) -> None:
        self.runbook = runbook
        self.clauses: dict[str, Clause] = {clause.id: clause for clause in clauses(runbook)}

    def say(self, template: str, *scopes: Part) -> str:
        return " ".join(fill(template, (*scopes, self.runbook)).split())

    def mark(self, *ids: str) -> str:
        """The anchors of clauses, and a word for each that is waived."""
        marks = ""
        for clause in (self.clauses[name] for name in ids if name in self.clauses):
            marks += anchor(clause.id)
            if clause.waiver is not None:
                until = clause.waiver.until.isoformat()
                marks += f"**waived until {until}** by {clause.waiver.owner}: {clause.waiver.reason} "
        return marks

    def lines(self) -> Iterator[str]:
        book = self.runbook
        yield from ("# Operations Runbook", "")
        if book.about is not None:
            yield from (self.say(book.about), "")
        yield from self.monitoring(book.monitoring)
        if book.backups.postgres or book.backups.objects:
            yield from ("## Backup Strategy", "")
        if book.backups.postgres:
            yield from self.postgres(book.backups.postgres)
        if book.backups.objects:
            yield from self.objects(book.backups.objects)
        if book.incidents:
            yield from self.incidents(book.incidents)
        if book.drills:
            yield from self.drills(book.drills)
        if book.reviews:
            yield from self.reviews(book.reviews)
        if book.launches:
            yield from self.launches(book.launches)
        yield from self.people()
        yield from self.playbooks()
        yield from self.waivers()

    # ── Monitoring ──

    def monitoring(self, monitoring: Monitoring) -> Iterator[str]:
        yield from ("## Monitoring Checks", "")
        rows = []
        for layer in monitoring.layers:
            covers = self.say(layer.covers, layer, monitoring) if layer.covers else self.titles(layer)
            alerts = self.say(layer.alerts, layer, monitoring) if layer.alerts else self.thresholds(layer)
            rows.append((layer.title, covers, alerts, self.layer_action(layer)))
        yield from _table(("Layer", "Signal", "Thresholds & Alerts", "Action Playbook"), rows)
        hygiene = monitoring.hygiene
        yield from ("**Monitoring hygiene**", "")
        marks = ("labels", "dashboards", "links")
        rules = [self.say(rule, hygiene, monitoring) for rule in hygiene.rules]
        if not rules:
            names = [f"monitoring.hygiene.{mark}" for mark in marks]
            rules = [self.clauses[name].sentence for name in names if name in self.clauses]
        anchors = "".join(self.mark(f"monitoring.hygiene.{mark}") for mark in marks)
        yield from _numbered([*rules[:-1], rules[-1] + anchors] if rules else [])
        for layer in monitoring.layers:
            yield from self.layer(layer, monitoring)
        if monitoring.heartbeat is not None:
            yield from (
                f"{self.mark('monitoring.heartbeat')}{self.clauses['monitoring.heartbeat'].sentence}",
                "",
            )
        if monitoring.maintenance:
            yield from ("**Maintenance windows**, in which alerts that match tell nobody:", "")
        for window in monitoring.maintenance:
            why = f": {window.reason}" if window.reason else ""
            yield " ".join(
                f"- **{window.title}**, {window.when}, {_code(selector(window.match))}{why}".split()
            )
        if monitoring.maintenance:
            yield ""
        for rule in monitoring.inhibition.causes:
            causes, symptoms = ", ".join(rule.cause), ", ".join(rule.symptom)
            same = ", ".join(rule.equal)
            yield f"- While {causes} pages, {symptoms} stays quiet (same {same}): {rule.reason}"
        if monitoring.inhibition.causes:
            yield ""

    @staticmethod
    def titles(layer: Layer) -> str:
        return ", ".join(signal.title for signal in layer.signals)

    @staticmethod
    def thresholds(layer: Layer) -> str:
        said = (
            f"{severity.capitalize()} when {signal.title} is {threshold_words(threshold)}."
            for signal in layer.signals
            for severity in SEVERITIES
            for threshold in signal.thresholds(severity)
        )
        return " ".join(said)

    def layer_action(self, layer: Layer) -> str:
        playbook = self.runbook.playbooks.get(layer.playbook) if layer.playbook else None
        if playbook is None or layer.playbook is None:
            return ""
        action = self.say(playbook.summary, playbook) if playbook.summary else playbook.title
        return f"{action} [Playbook](#{playbook_anchor(layer.playbook)})"

    def layer(self, layer: Layer, monitoring: Monitoring) -> Iterator[str]:
        yield from (f"### {layer.title}", "")
        rows = []
        for signal in layer.signals:
            cells = []
            for severity in SEVERITIES:
                said = []
                for index, threshold in enumerate(signal.thresholds(severity)):
                    mark = self.mark(threshold_clause_id(layer, signal, severity, index))
                    said.append(mark + threshold_words(threshold))
                cells.append("; ".join(said) or "-")
            policy = monitoring.missing_policy(signal)
            present = self.mark(f"monitoring.{layer.id}.{signal.id}.present")
            missing = f"{policy.as_} after {policy.after.words}"
            rows.append((present + signal.title, *cells, missing))
        yield from _table(("Signal", "Warn", "Page", "Without data"), rows)

    # ── Backups ──

    def postgres(self, postgres: PostgresBackups) -> Iterator[str]:
        at = "backups.postgres"
        yield from (f"### {postgres.title}", "")
        cadences = (
            f"{at}.dump.cadence",
            f"{at}.base-backup.cadence",
            f"{at}.wal.cadence",
            f"{at}.point-in-time",
        )
        yield self.bullet("Snapshot cadence", postgres.says, cadences, postgres)
        if postgres.base_backup and postgres.point_in_time:
            base = self.clauses[f"{at}.base-backup.cadence"].sentence
            window = self.clauses[f"{at}.point-in-time"].sentence
            yield f"  - {base} Point-in-time recovery starts from it."
            yield f"  - WAL cannot be replayed onto a dump. {window}"
        keep = postgres.retention
        kept = [f"{at}.retention.{name}" for name in ("daily", "weekly", "wal")]
        yield self.bullet("Retention", keep.says, kept, keep, postgres)
        if keep.keep_wal_of_kept_backups and postgres.base_backup:
            yield "  - Each kept base backup also keeps the WAL from its own start to its own stop."
        test = postgres.restore_test
        yield self.bullet("Validation", test.says, (f"{at}.restore-test",), test, postgres)
        yield from self.encryption(postgres.encryption, at, postgres)
        yield from self.restore(postgres.restore)

    def objects(self, objects: ObjectBackups) -> Iterator[str]:
        at = "backups.objects"
        yield from (f"### {objects.title}", "")
        cadences = (f"{at}.replication.cadence", f"{at}.scan.cadence")
        yield self.bullet("Snapshot cadence", objects.says, cadences, objects)
        yield f"  - {self.clauses[f'{at}.replication.cadence'].sentence}"
        keep = objects.retention
        kept = (f"{at}.retention.replicated", f"{at}.retention.delete-markers")
        yield self.bullet("Retention", keep.says, kept, keep, objects)
        tests = (f"{at}.compare", f"{at}.restore-test")
        yield self.bullet("Validation", objects.compare.says, tests, objects.compare, objects)
        if objects.restore_test.says:
            yield f"  - {self.say(objects.restore_test.says, objects.restore_test, objects)}"
        yield from self.encryption(objects.encryption, at, objects)
        yield from self.restore(objects.restore)

    def bullet(self, title: str, says: str | None, ids: Sequence[str], *scopes: Part) -> str:
        there = [self.clauses[name].sentence for name in ids if name in self.clauses]
        said = self.say(says, *scopes) if says else " ".join(there)
        return f"- **{title}**: {self.mark(*ids)}{said}"

    def encryption(self, encryption: Encryption, at: str, owner: Part) -> Iterator[str]:
        ids = (f"{at}.encryption", f"{at}.encryption.rotation")
        yield self.bullet("Encryption", encryption.says, ids, encryption, owner)

    def restore(self, restore: Restore) -> Iterator[str]:
        within = f" (within {restore.rto.words})" if restore.rto else ""
        yield f"- **Restore playbook**{within}: [{restore.playbook}](#{playbook_anchor(restore.playbook)})"
        playbook = self.runbook.playbooks.get(restore.playbook)
        if playbook is not None:
            yield from (f"  {number}. {line}" for number, line in enumerate(self.outline(playbook), 1))
        yield ""

    # ── Incidents, drills, reviews, launches ──

    def incidents(self, incidents: Incidents) -> Iterator[str]:
        yield from ("## Incident Response Steps", "")
        marks = {
            "detect": ("acknowledge",),
            "triage": ("triage",),
            "stabilize": ("update",),
            "communicate": ("communicate",),
            "resolve": ("resolve",),
            "document": ("document", "follow-ups"),
        }
        own = {step.id for step in incidents.steps}
        items = [
            f"**{step.title}**: {self.mark(*(f'incidents.{m}' for m in marks.get(step.id, ())))}"
            f"{self.say(step.says, step, incidents)}"
            for step in incidents.steps
        ]
        yield from _numbered(items)
        left = [f"incidents.{name}" for step, names in marks.items() if step not in own for name in names]
        for name in left:
            yield f"- {self.mark(name)}{self.clauses[name].sentence}"
        if left:
            yield ""
        levels = [
            (level.id, level.definition, "yes" if level.pages else "no") for level in incidents.severities
        ]
        yield from _table(("Severity", "Definition", "Pages"), levels)
        rows = [
            (who.title, ", ".join(who.severities) or "all", ", ".join(who.told))
            for who in incidents.stakeholders
        ]
        if rows:
            yield from _table(("Stakeholder", "Severities", "Is told"), rows)

    def drills(self, drills: Drills) -> Iterator[str]:
        yield from ("## Disaster Recovery (DR) Drill Procedures", "")
        yield "".join(self.mark(name) for name in self.clauses if name.startswith("drills."))
        yield ""
        for number, step in enumerate(drills.steps, 1):
            said = f" {self.say(step.says, step, drills)}" if step.says else ""
            yield f"{number}. **{step.title}**:{said}"
            yield from (f"   - {self.say(part, step, drills)}" for part in step.parts)
        yield ""
        turns = {scenario: str(turn) for turn, scenario in enumerate(drills.rotation, 1)}
        rows = [
            (
                turns.get(scenario.id, "-"),
                scenario.title,
                self.say(scenario.simulate, scenario, drills) if scenario.simulate else "",
                f"[{scenario.playbook}](#{playbook_anchor(scenario.playbook)})",
            )
            for scenario in drills.scenarios
        ]
        yield from _table(("Turn", "Scenario", "Simulated by", "Playbook"), rows)

    def reviews(self, reviews: Reviews) -> Iterator[str]:
        name = reviews.cadence.words.capitalize()
        yield from (f"## {name} Hygiene Review Checklist", "", self.mark("reviews.cadence"), "")
        checks = reviews.checks
        yield from _numbered(
            [f"✅ {self.mark(f'reviews.{c.id}')}{self.say(c.says, c, reviews)}" for c in checks]
        )

    def launches(self, launches: Launches) -> Iterator[str]:
        yield from ("## Launch Logbook Template", "", self.mark("launches.logbook"), "")
        if launches.says:
            yield from (self.say(launches.says, launches), "")
        yield from ("```", f"# {launches.heading}")
        yield from (f"- {field.title}:" for field in launches.fields)
        yield from ("```", "")

    # ── People and playbooks ──

    def people(self) -> Iterator[str]:
        book = self.runbook
        if not book.contacts:
            return
        yield from ("## Contacts and On Call", "")
        rows = [(c.name, c.role or "", ", ".join(c.methods)) for c in book.contacts]
        yield from _table(("Name", "Role", "Reached by"), rows)
        names = {contact.id: contact.name for contact in book.contacts}
        for rota in book.oncall.rotas:
            yield from (f"**{rota.title}** ({rota.timezone})", "")
            for layer in rota.layers:
                turns = ", then ".join(names.get(who, who) for who in layer.participants) or "nobody"
                hand = layer.handover
                day = f" on {hand.weekday}" if hand.by_weekday else ""
                hours = f"; only {', '.join(layer.hours)}" if layer.hours else ""
                yield f"- {turns}; handover {hand.every.words}{day} at {hand.at}{hours}"
            for number, step in enumerate(rota.escalation, 1):
                told = ", ".join(_notified(who, names, book) for who in step.notify)
                yield f"- Escalation {number}: {told}; after {step.wait.words} without an answer, the next"
            yield ""

    def playbooks(self) -> Iterator[str]:
        if not self.runbook.playbooks:
            return
        yield from ("## Playbooks", "")
        for name, playbook in self.runbook.playbooks.items():
            yield from (f"{anchor(playbook_anchor(name))}", "", f"### Playbook: {playbook.title}", "")
            if playbook.summary:
                yield from (self.say(playbook.summary, playbook), "")
            if playbook.inputs:
                yield from (
                    f"- Input `{key}`{'' if given.required else ' (optional)'}: {given.title}"
                    for key, given in playbook.inputs.items()
                )
                yield ""
            yield from _numbered([_step_line(step) for step in playbook.steps])

    def outline(self, playbook: Playbook) -> list[str]:
        if playbook.outline:
            return [self.say(line.says, line, playbook) for line in playbook.outline]
        return [step.words for step in playbook.steps]

    def waivers(self) -> Iterator[str]:
        if not self.runbook.waivers:
            return
        yield from ("## Waivers", "")
        rows = [(f"`{w.clause}`", w.reason, w.owner, w.until.isoformat()) for w in self.runbook.waivers]
        yield from _table(("Clause", "Reason", "Owner", "Until"), rows)


def _notified(who: str, names: Mapping[str, str], book: Runbook) -> str:
    """Whom a step of an escalation tells, as people say it."""
    if who.startswith("rota:"):
        rota = book.oncall.rota(who.removeprefix("rota:"))
        return f"whoever is on call in {rota.title if rota else who}"
    words = {
        "oncall": "whoever is on call",
        "next": "the next of the rota",
        "everybody": "everybody of the rota",
    }
    return words.get(who) or names.get(who, who)


def _step_line(step: Step) -> str:
    words = step.words
    facts = [f"{step.kind}: `{step.verb}`" if step.verb else "a person confirms"]
    if step.needs:
        facts.append("only after " + ", ".join(f"`{needed}`" for needed in step.needs))
    if step.with_:
        facts.append("with " + ", ".join(f"{key} {_value(value, key)}" for key, value in step.with_.items()))
    if step.expect:
        facts.append("expects " + ", ".join(f"{key} {_value(value)}" for key, value in step.expect.items()))
    if step.role:
        facts.append(f"role {step.role}")
    if step.four_eyes:
        facts.append("two people")
    if step.deadline:
        facts.append(f"by {step.deadline.words} after it starts")
    if step.timeout:
        facts.append(f"at most {step.timeout.words}")
    if step.undo:
        facts.append(f"undone by `{step.undo.action}`")
    if step.on_failure != "stop":
        facts.append(f"on failure {step.on_failure}")
    manual = f" {step.manual}." if step.title and step.manual else ""
    return f"`{step.id}` **{words}**{manual} ({'; '.join(facts)})"


def _code(text: str) -> str:
    """``text`` as code, whatever stands in it (CommonMark 0.31, 6.1)."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _value(value: object, key: str = "") -> str:
    if key.lower() in SECRET_KEYS and not isinstance(value, dict):
        return f"`{MASK}`"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(item, str(name))}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return f"`{value}`"
