"""Every enforceable line of the runbook, with an id that stays the same while the line means the same.

An id is made of names that stand in the file, never of positions, so that evidence keeps pointing at its
clause when lines move. Two thresholds of one severity differ by their ``id``, or by their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from watchkeeper.runbook.models.backups import ObjectBackups, PostgresBackups
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.drills import Drills
from watchkeeper.runbook.models.incidents import Incidents
from watchkeeper.runbook.models.launches import Launches
from watchkeeper.runbook.models.monitoring import SEVERITIES, Layer, Monitoring, Severity, Signal, Threshold
from watchkeeper.runbook.models.quantities import Period
from watchkeeper.runbook.models.reviews import Reviews
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.models.waivers import Waiver
from watchkeeper.runbook.sentences import Loc, fill


class Proof(StrEnum):
    """What shows that a clause is kept."""

    RULE = "rule"
    SAMPLES = "samples"
    JOB = "job"
    DEADLINE = "deadline"
    RUN = "run"
    REVIEW = "review"
    CHECK = "check"


PROOF_WORDS = {
    Proof.RULE: "an alerting rule: the line is kept while it has data and does not fire",
    Proof.SAMPLES: "samples of the signal arrive",
    Proof.JOB: "a scheduled job that ended well within the cadence",
    Proof.DEADLINE: "a deadline that starts with its subject and is met or missed",
    Proof.RUN: "a run of the playbook that ended well",
    Proof.REVIEW: "a line of a review that a person or a source has answered",
    Proof.CHECK: "a check of the live configuration",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One line. ``cadence``: how often it needs fresh evidence; ``deadline``: how long it may take."""

    id: str
    section: str
    title: str
    sentence: str
    proof: Proof
    loc: Loc
    cadence: timedelta | None = None
    deadline: timedelta | None = None
    grace: timedelta = timedelta(0)
    """How much later than its cadence evidence may come before the clause is missed."""
    waiver: Waiver | None = None


def clauses(runbook: Runbook) -> list[Clause]:
    """Every clause of ``runbook``, in the order of the document. Ids are unique."""
    waivers = {waiver.clause: waiver for waiver in runbook.waivers}
    found = [
        *_monitoring(runbook.monitoring),
        *(_postgres(runbook.backups.postgres) if runbook.backups.postgres else ()),
        *(_objects(runbook.backups.objects) if runbook.backups.objects else ()),
        *(_incidents(runbook.incidents) if runbook.incidents else ()),
        *(_drills(runbook.drills) if runbook.drills else ()),
        *(_reviews(runbook.reviews, runbook) if runbook.reviews else ()),
        *(_launches(runbook.launches) if runbook.launches else ()),
    ]
    return [
        replace(clause, waiver=waivers[clause.id]) if clause.id in waivers else clause for clause in found
    ]


def threshold_clause_id(layer: Layer, signal: Signal, severity: Severity, index: int) -> str:
    """The id of a signal's ``index``-th threshold of ``severity``: ``monitoring.api.error-rate.page``."""
    threshold = signal.thresholds(severity)[index]
    base = f"monitoring.{layer.id}.{signal.id}.{severity}"
    if threshold.id is not None:
        return f"{base}.{threshold.id}"
    return base if index == 0 else f"{base}.{index + 1}"


def _timed(clause: Clause, cadence: Cadence | Period | None) -> Clause:
    if isinstance(cadence, Cadence):
        return replace(clause, cadence=cadence.every, grace=cadence.grace or timedelta(0))
    return replace(clause, cadence=cadence)


_WORDS = {
    "above": "above",
    "below": "below",
    "at_least": "at or above",
    "at_most": "at or below",
    "equals": "at",
}


def threshold_words(threshold: Threshold) -> str:
    """``above 5% over 2 minutes``: the comparison as people say it."""
    words = f"{_WORDS[threshold.comparison]} {threshold.figure.words}"
    if threshold.over is not None:
        words += f" over {threshold.over.words}"
    if threshold.for_ is not None:
        words += f" for {threshold.for_.words}"
    return words


def _monitoring(monitoring: Monitoring) -> Iterator[Clause]:
    for layer_index, layer in enumerate(monitoring.layers):
        for signal_index, signal in enumerate(layer.signals):
            loc: Loc = ("monitoring", "layers", layer_index, "signals", signal_index)
            yield from _signal(layer, signal, loc)
    hygiene = monitoring.hygiene
    at: Loc = ("monitoring", "hygiene")
    labels = ", ".join(hygiene.required_labels)
    yield Clause(
        "monitoring.hygiene.labels",
        "monitoring",
        "Consistent labels",
        f"Every target publishes metrics with the labels {labels}.",
        Proof.CHECK,
        (*at, "required_labels"),
    )
    if hygiene.dashboards is not None:
        yield Clause(
            "monitoring.hygiene.dashboards",
            "monitoring",
            "Dashboards",
            f"Dashboards live under {hygiene.dashboards}.",
            Proof.CHECK,
            (*at, "dashboards"),
        )
    yield Clause(
        "monitoring.hygiene.links",
        "monitoring",
        "Alert links",
        f"Every alert links to its playbook; the links are validated {hygiene.link_check.every.words}.",
        Proof.JOB,
        (*at, "link_check"),
        cadence=hygiene.link_check.every,
    )
    if monitoring.heartbeat is not None:
        every = monitoring.heartbeat.every
        yield Clause(
            "monitoring.heartbeat",
            "monitoring",
            "Heartbeat",
            f"A heartbeat leaves {every.every}, so that silence is noticed.",
            Proof.JOB,
            ("monitoring", "heartbeat"),
            cadence=every,
        )


def _signal(layer: Layer, signal: Signal, loc: Loc) -> Iterator[Clause]:
    if not signal.warn and not signal.page:
        yield Clause(
            f"monitoring.{layer.id}.{signal.id}.present",
            "monitoring",
            f"{layer.title}: {signal.title}",
            f"{signal.title} is measured.",
            Proof.SAMPLES,
            loc,
        )
    for severity in SEVERITIES:
        for index, threshold in enumerate(signal.thresholds(severity)):
            verb = "Warn" if severity == "warn" else "Page"
            yield Clause(
                threshold_clause_id(layer, signal, severity, index),
                "monitoring",
                f"{layer.title}: {signal.title}",
                f"{verb} when {signal.title} is {threshold_words(threshold)}.",
                Proof.RULE,
                (*loc, severity, index),
            )


def _postgres(postgres: PostgresBackups) -> Iterator[Clause]:
    at: Loc = ("backups", "postgres")

    def clause(
        name: str, title: str, sentence: str, proof: Proof, *loc: str, cadence: Cadence | Period | None = None
    ) -> Clause:
        title = f"{postgres.title}: {title}"
        one = Clause(f"backups.postgres.{name}", "backups", title, sentence, proof, (*at, *loc))
        return _timed(one, cadence)

    if dump := postgres.dump:
        said = f"A full logical dump ({dump.method}) is made {dump.cadence.words}."
        yield clause("dump.cadence", "logical dump", said, Proof.JOB, "dump", "cadence", cadence=dump.cadence)
    if base := postgres.base_backup:
        said = f"A physical base backup is made {base.cadence.words}."
        yield clause(
            "base-backup.cadence",
            "base backup",
            said,
            Proof.JOB,
            "base_backup",
            "cadence",
            cadence=base.cadence,
        )
    if wal := postgres.wal:
        said = f"WAL reaches durable object storage {wal.cadence.words}, at the latest."
        yield clause("wal.cadence", "WAL archiving", said, Proof.JOB, "wal", "cadence", cadence=wal.cadence)
    keep = postgres.retention
    if postgres.point_in_time:
        said = f"Any moment of the last {keep.wal.words} can be restored."
        yield clause("point-in-time", "point in time", said, Proof.CHECK, "point_in_time")
    for name in ("daily", "weekly", "wal"):
        what = "WAL segments" if name == "wal" else f"{name.capitalize()} backups"
        said = f"{what} are retained {getattr(keep, name).words}."
        yield clause(f"retention.{name}", f"{name} retention", said, Proof.CHECK, "retention", name)
    test = postgres.restore_test
    said = f"A restore into {test.into} is tested {test.cadence.words}."
    yield clause("restore-test", "restore test", said, Proof.RUN, "restore_test", cadence=test.cadence)
    rotation = postgres.encryption.rotation
    said = "Every backup is encrypted with keys that a key management service wraps."
    yield clause("encryption", "encryption", said, Proof.CHECK, "encryption")
    said = f"Encryption keys are rotated {rotation.words}."
    yield clause(
        "encryption.rotation", "key rotation", said, Proof.JOB, "encryption", "rotation", cadence=rotation
    )


def _objects(objects: ObjectBackups) -> Iterator[Clause]:
    at: Loc = ("backups", "objects")

    def clause(
        name: str, title: str, sentence: str, proof: Proof, *loc: str, cadence: Cadence | Period | None = None
    ) -> Clause:
        title = f"{objects.title}: {title}"
        one = Clause(f"backups.objects.{name}", "backups", title, sentence, proof, (*at, *loc))
        return _timed(one, cadence)

    resync = " and failed or pending objects are sent again" if objects.replication.resync else ""
    said = f"Replication to the DR cluster is checked {objects.replication.check.words}{resync}."
    yield clause(
        "replication.cadence",
        "replication",
        said,
        Proof.JOB,
        "replication",
        "check",
        cadence=objects.replication.check,
    )
    said = f"A full consistency scan runs {objects.scan.cadence.words}."
    yield clause(
        "scan.cadence", "consistency scan", said, Proof.JOB, "scan", "cadence", cadence=objects.scan.cadence
    )
    keep = objects.retention
    said = f"Replicated data is retained {keep.replicated.words}."
    yield clause("retention.replicated", "retention", said, Proof.CHECK, "retention", "replicated")
    said = f"Delete markers are retained {keep.delete_markers.words}, to allow undelete."
    yield clause(
        "retention.delete-markers", "delete markers", said, Proof.CHECK, "retention", "delete_markers"
    )
    compare = objects.compare
    said = f"Primary and DR are compared by {compare.by.replace('-', ' ')} {compare.cadence.words}."
    yield clause("compare", "checksum comparison", said, Proof.JOB, "compare", cadence=compare.cadence)
    test = objects.restore_test
    said = f"A representative sample of objects is restored {test.cadence.words}."
    yield clause("restore-test", "restore test", said, Proof.RUN, "restore_test", cadence=test.cadence)
    said = f"Objects are encrypted at rest with keys per {objects.encryption.scope}."
    yield clause("encryption", "encryption", said, Proof.CHECK, "encryption")
    rotation = objects.encryption.rotation
    said = f"Encryption keys are rotated {rotation.words}."
    yield clause(
        "encryption.rotation", "key rotation", said, Proof.JOB, "encryption", "rotation", cadence=rotation
    )


def _incidents(incidents: Incidents) -> Iterator[Clause]:
    limits = incidents.deadlines
    update = limits.update
    levels = "/".join(update.severities)
    sections = ", ".join(incidents.document.sections) or "what happened"
    needs = " and ".join(incidents.document.follow_ups_need)
    audiences = ", ".join(who.title for who in incidents.stakeholders) or "stakeholders"
    rows: tuple[tuple[str, str, str, Loc, timedelta | None], ...] = (
        (
            "acknowledge",
            "Acknowledge",
            f"A page is acknowledged within {limits.acknowledge.words}.",
            ("deadlines", "acknowledge"),
            limits.acknowledge,
        ),
        (
            "triage",
            "Triage",
            "The on-call engineer assigns a severity"
            + (f" within {limits.triage.words}." if limits.triage else "."),
            ("deadlines", "triage") if limits.triage else ("severities",),
            limits.triage,
        ),
        (
            "update",
            "Updates",
            f"{levels}: an update in {update.channel} {update.every.every}.",
            ("deadlines", "update"),
            update.every,
        ),
        (
            "communicate",
            "Communicate",
            f"Notified within {(limits.communicate or update.every).words}: {audiences}.",
            ("deadlines", "communicate") if limits.communicate else ("stakeholders",),
            limits.communicate or update.every,
        ),
        (
            "resolve",
            "Resolve",
            "Health metrics are back at their baseline before an incident resolves.",
            (),
            None,
        ),
        (
            "document",
            "Document",
            f"The incident document is closed within {limits.document.words}, with {sections}.",
            ("deadlines", "document"),
            limits.document,
        ),
        (
            "follow-ups",
            "Follow-ups",
            f"Every follow-up has {needs}, and is done by its date.",
            ("document", "follow_ups_need"),
            None,
        ),
    )
    for name, title, sentence, loc, deadline in rows:
        at: Loc = ("incidents", *loc)
        proof = Proof.DEADLINE if deadline is not None else Proof.CHECK
        yield Clause(f"incidents.{name}", "incidents", title, sentence, proof, at, deadline=deadline)


def _drills(drills: Drills) -> Iterator[Clause]:
    def clause(name: str, title: str, sentence: str, proof: Proof, *loc: str | int) -> Clause:
        return Clause(f"drills.{name}", "drills", title, sentence, proof, ("drills", *loc))

    said = f"A disaster is practised {drills.cadence.words}, in rotation."
    yield replace(clause("cadence", "Cadence", said, Proof.RUN, "cadence"), cadence=drills.cadence)
    for index, scenario in enumerate(drills.scenarios):
        if scenario.id in drills.rotation:
            turn = drills.cadence * len(drills.rotation)
            said = f"{scenario.title} is practised when its turn comes."
            one = clause(f"scenario.{scenario.id}", scenario.title, said, Proof.RUN, "scenarios", index)
            yield replace(one, cadence=turn)
    ahead = drills.preparation.announce
    said = f"A drill is announced {ahead.words} before."
    yield replace(
        clause("announce", "Announcement", said, Proof.DEADLINE, "preparation", "announce"), deadline=ahead
    )
    if drills.preparation.freeze:
        said = "Risky deploys are frozen around a drill."
        yield clause("freeze", "Freeze", said, Proof.CHECK, "preparation", "freeze")
    said = f"Measured: {', '.join(timing.title for timing in drills.timings)}."
    yield clause("timings", "Timings", said, Proof.RUN, "timings")
    said = f"Validated: {', '.join(check.title for check in drills.validation)}."
    yield clause("validation", "Validation", said, Proof.RUN, "validation")
    after = drills.retrospective
    said = f"The retrospective is written within {after.words}."
    yield replace(
        clause("retrospective", "Retrospective", said, Proof.DEADLINE, "retrospective"), deadline=after
    )


def _reviews(reviews: Reviews, runbook: Runbook) -> Iterator[Clause]:
    said = f"The hygiene review is done {reviews.cadence.words}."
    whole = Clause("reviews.cadence", "reviews", "Review", said, Proof.REVIEW, ("reviews", "cadence"))
    yield _timed(whole, reviews.cadence)
    for index, check in enumerate(reviews.checks):
        said = fill(check.says, (check, reviews, runbook))
        at: Loc = ("reviews", "checks", index)
        title = check.id.replace("-", " ").capitalize()
        one = Clause(f"reviews.{check.id}", "reviews", title, said, Proof.REVIEW, at)
        yield _timed(one, reviews.cadence)


def _launches(launches: Launches) -> Iterator[Clause]:
    needed = sum(1 for field in launches.fields if field.required)
    said = f"Every launch has a logbook entry with its {needed} required fields filled."
    yield Clause("launches.logbook", "launches", "Launch logbook", said, Proof.CHECK, ("launches", "fields"))
