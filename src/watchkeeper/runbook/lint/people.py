"""Lint of people: somebody must be there, reachable, told in time, and keep secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from watchkeeper.runbook.lint.findings import Hit, Subject
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.redaction import SECRET_KEYS
from watchkeeper.runbook.ways import ways


def empty_rota(subject: Subject) -> Iterator[Hit]:
    """A rota without people is nobody on call."""
    for index, rota in enumerate(subject.runbook.oncall.rotas):
        if not any(layer.participants for layer in rota.layers):
            yield Hit(
                ("oncall", "rotas", index),
                f"oncall.{rota.id}",
                "nobody is on call: the rota has no participants",
                "add a layer with participants: layers: [{id: weekly, participants: [ada, ben]}]",
            )


def single_contact_method(subject: Subject) -> Iterator[Hit]:
    """One broken way is silence."""
    on_call = _on_call(subject.runbook)
    for index, contact in enumerate(subject.runbook.contacts):
        if contact.id in on_call and len(contact.methods) < 2:
            yield Hit(
                ("contacts", index),
                f"contacts.{contact.id}",
                f"{contact.name} is on call and can be reached in {len(contact.methods) or 'no'} way only",
                "give at least two of email, phone, slack, receivers",
            )


def unreachable_on_call(subject: Subject) -> Iterator[Hit]:
    """A page can only take the ways that receivers go: a telephone number alone calls nobody."""
    on_call = _on_call(subject.runbook)
    for index, contact in enumerate(subject.runbook.contacts):
        if contact.id in on_call and contact.methods and not ways(subject.runbook, contact):
            yield Hit(
                ("contacts", index),
                f"contacts.{contact.id}",
                f"{contact.name} is on call and no receiver leads there: {', '.join(contact.methods)} alone "
                "pages nobody",
                "give receivers: [<id of a receiver that pages them>], or add a receiver of the kind email",
            )


def _on_call(runbook: Runbook) -> set[str]:
    """Everybody who may be paged."""
    rotas = runbook.oncall.rotas
    turns = {who for rota in rotas for layer in rota.layers for who in layer.participants}
    named = {who for rota in rotas for step in rota.escalation for who in step.notify}
    return turns | named | {one.contact for rota in rotas for one in rota.overrides}


def acknowledge_and_escalation(subject: Subject) -> Iterator[Hit]:
    """The next person must hear of it when the deadline is missed: not after, and not never."""
    incidents = subject.runbook.incidents
    if incidents is None:
        return
    deadline = incidents.deadlines.acknowledge
    for index, rota in enumerate(subject.runbook.oncall.rotas):
        if not rota.escalation:
            continue
        total = sum((step.wait for step in rota.escalation), timedelta(0)) * (rota.repeat + 1)
        first = rota.escalation[0].wait
        if first > deadline:
            yield Hit(
                ("oncall", "rotas", index, "escalation", 0, "wait"),
                f"oncall.{rota.id}",
                f"the next person hears of a page after {first.words}, after acknowledge: {deadline}",
                f"let the first step wait at most {deadline}",
            )
        elif deadline > total:
            yield Hit(
                ("incidents", "deadlines", "acknowledge"),
                "incidents.acknowledge",
                f"acknowledge: {deadline} is longer than the whole escalation of rota {rota.id}: "
                "it has ended when the deadline is missed",
                "shorten the deadline, or lengthen the escalation",
            )


def nobody_is_told(subject: Subject) -> Iterator[Hit]:
    """Pages need a receiver."""
    runbook = subject.runbook
    pages = any(signal.page for layer in runbook.monitoring.layers for signal in layer.signals)
    if pages and not runbook.notifications.receivers:
        yield Hit(
            ("notifications",),
            "notifications",
            "there are pages and no receiver: nobody is told",
            "add one: receivers: [{id: pagerduty, pagerduty: {routing_key: {env: PAGERDUTY_KEY}}}]",
        )


def target_labels(subject: Subject) -> Iterator[Hit]:
    """Monitoring hygiene: every target carries the labels."""
    runbook = subject.runbook
    wanted = runbook.monitoring.hygiene.required_labels
    for job, config in enumerate(runbook.metrics.scrape_configs):
        for index, static in enumerate(config.static_configs):
            missing = [name for name in wanted if not static.labels.get(name)]
            if missing and not config.honor_labels:
                yield Hit(
                    ("metrics", "scrape_configs", job, "static_configs", index),
                    f"metrics.{config.job_name}",
                    f"its targets lack {', '.join(missing)}: alerts from them do not say where they belong",
                    "add labels: {service: ..., env: ..., region: ...}",
                )


def secrets_in_steps(subject: Subject) -> Iterator[Hit]:
    """The runbook is read by everybody, and kept in version control."""
    for name, playbook in subject.runbook.playbooks.items():
        for index, step in enumerate(playbook.steps):
            for path in _written_secrets(step.with_, ()):
                yield Hit(
                    ("playbooks", name, "steps", index, "with", *path),
                    f"playbooks.{name}.{step.id}",
                    f"`{path[-1]}` holds a secret in plain text, and everybody reads the runbook",
                    "name its place: {env: NAME} or {file: PATH}",
                )


def _written_secrets(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _written_secrets(item, (*path, str(key)))
    elif isinstance(value, str) and path and path[-1].lower() in SECRET_KEYS and "{{" not in value:
        yield path


def ended_waivers(subject: Subject) -> Iterator[Hit]:
    """A waiver that is over hides nothing any more."""
    if subject.today is None:
        return
    for index, waiver in enumerate(subject.runbook.waivers):
        if not waiver.active(subject.today):
            yield Hit(
                ("waivers", index, "until"),
                waiver.clause,
                f"the waiver ended on {waiver.until.isoformat()}; the clause holds again",
                "remove it, or give it a later `until` on purpose",
            )
