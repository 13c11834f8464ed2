"""Forms about incidents: the fields that people filled, and what each form does.

Always true: a form does one thing in the caller's transaction; a field that is too long or that is no number
or time is refused with a sentence that names it, before anything is changed
(tests/console/test_incident_forms.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.console.people import FormError, sentence
from watchkeeper.incidents import records, service
from watchkeeper.incidents.models import Author, IncidentError, Role, Status
from watchkeeper.playbooks import answers, starting
from watchkeeper.playbooks import reading as runs
from watchkeeper.playbooks.models import VERDICTS
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.canonical import storable
from watchkeeper.store.deadlines import DeadlineError

LONGEST_NOTE = 500
LONGEST_LINE = 1000
LONGEST_TEXT = 4000
LONGEST_SECTION = 50_000
LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: each field's values, in their order."""

    fields: Mapping[str, Sequence[str]]

    def text(self, name: str, longest: int = LONGEST_LINE) -> str:
        """The text of a field, without what no store keeps. Raises :class:`FormError`."""
        given = next(iter(self.fields.get(name, ())), "").replace("\r\n", "\n")
        said = "".join(char if char in "\n\t" or ord(char) >= 32 else " " for char in storable(given)).strip()
        if len(said) > longest:
            raise FormError(f"{_words(name)} has {len(said):,} characters; at most {longest:,} are taken")
        return said

    def number(self, name: str) -> int:
        """The whole number in a field. Raises :class:`FormError`."""
        said = self.text(name, 20)
        if not (said.isascii() and said.isdecimal()) or int(said) > LARGEST:
            raise FormError(f"{_words(name)} is {said[:40]!r}, which is no number of anything here")
        return int(said)

    @property
    def revision(self) -> int | None:
        """The incident as whoever filled the form saw it; None where the form does not say."""
        return self.number("revision") if self.fields.get("revision") else None

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [storable(value) for value in self.fields.get(name, ())][:200]

    def day(self, name: str) -> datetime | None:
        """The end of the day in a field, UTC; None where it is empty. Raises :class:`FormError`."""
        said = self.text(name, 40)
        if not said:
            return None
        try:
            found = datetime.strptime(said, "%Y-%m-%d").replace(hour=23, minute=59, tzinfo=UTC)
        except ValueError:
            found = None
        if found is None or not 2000 <= found.year < 2200:
            raise FormError(f"{said!r} is no day; write it like 2026-11-27")
        return found


def _words(name: str) -> str:
    return f"the field {name.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class Doing:
    """One form, and what it needs: part of the caller's transaction."""

    conn: Connection
    now: datetime
    runbook: Runbook
    number: int
    by: Author
    form: Form
    role: str = "responder"
    """What whoever sends it is here: what a step may ask for."""


@dataclass(frozen=True, slots=True)
class Done:
    """What whoever sent the form is told, and where they are led; empty: back to the incident."""

    said: str
    where: str = ""


def acknowledge(do: Doing) -> Done:
    """Take the incident, and the alerts that fire for it."""
    note = do.form.text("note", LONGEST_NOTE)
    before = records.load(do.conn, do.number)
    after = service.acknowledge(do.conn, do.now, do.runbook, do.number, do.by, acknowledge_alerts, note)
    if before.acknowledged_by:
        return Done(f"{before.acknowledged_by} has it already; what fired without anybody is yours now.")
    return Done(f"You have it{', and lead it' if after.commander == do.by.name else ''}.")


def severity(do: Doing) -> Done:
    """How bad it is."""
    form = do.form
    chosen, note = form.text("severity", 20), form.text("note", LONGEST_NOTE)
    if not chosen:
        raise FormError("choose a severity")
    service.set_severity(
        do.conn, do.now, do.runbook, do.number, do.by, chosen, revision=form.revision, note=note
    )
    return Done(f"It is {chosen}.")


def roles(do: Doing) -> Done:
    """Who leads, who speaks and who writes."""
    wanted = {role: do.form.text(role.value, 100) for role in Role if role.value in do.form.fields}
    records.check_revision(do.conn, records.load(do.conn, do.number, lock=True), do.form.revision)
    changed = []
    for role, person in wanted.items():
        before = records.load(do.conn, do.number)
        after = service.assign(do.conn, do.now, do.runbook, do.number, do.by, role, person or None)
        changed += [role.value] if after.revision != before.revision else []
    return Done(f"Changed: {', '.join(changed)}." if changed else "Nothing was changed.")


def describe(do: Doing) -> Done:
    """Title, scope and impact."""
    form = do.form

    def given(name: str, longest: int) -> str | None:
        return form.text(name, longest) if name in form.fields else None

    service.describe(
        do.conn,
        do.now,
        do.runbook,
        do.number,
        do.by,
        revision=form.revision,
        title=given("title", 300),
        scope=given("scope", LONGEST_LINE),
        impact=given("impact", LONGEST_TEXT),
    )
    return Done("Saved.")


def status_page(do: Doing) -> Done:
    """Whether the public sees it, and at which components."""
    form = do.form
    shown = bool(form.text("public", 10))
    parts = [part.strip() for part in form.text("components", 500).split(",") if part.strip()]
    service.describe(
        do.conn, do.now, do.runbook, do.number, do.by,
        revision=form.revision, public=shown, components=parts,
    )  # fmt: skip
    return Done("The status page shows it." if shown else "The status page does not show it.")


@dataclass(frozen=True, slots=True)
class UpdateForm:
    """An update as somebody composed it."""

    status: Status
    impact: str
    eta: str
    note: str
    next_update_at: datetime | None

    @classmethod
    def read(cls, form: Form, now: datetime) -> UpdateForm:
        """The composer's fields. Raises :class:`FormError`."""
        try:
            status = Status(form.text("status", 40))
        except ValueError:
            raise FormError(f"choose a status: {', '.join(one.value for one in Status)}") from None
        minutes = form.number("next_in") if form.text("next_in", 10) else 0
        if minutes > 7 * 24 * 60:
            raise FormError("the next update comes within a week")
        return cls(
            status,
            form.text("impact", LONGEST_TEXT),
            form.text("eta", 200),
            form.text("note", LONGEST_TEXT),
            now + timedelta(minutes=minutes) if minutes else None,
        )


def said_of(form: Form) -> dict[str, str]:
    """The words for each audience that somebody changed after the preview."""
    found = {}
    for name in form.fields:
        kind, _, audience = name.partition(".")
        if kind == "said" and form.text(name, LONGEST_TEXT) != form.text(f"made.{audience}", LONGEST_TEXT):
            found[audience] = form.text(name, LONGEST_TEXT)
    return found


def update(do: Doing) -> Done:
    """Say how it stands, in the words of the preview where there was one."""
    form, asked = do.form, UpdateForm.read(do.form, do.now)
    seen = any(name.startswith("said.") for name in form.fields)
    posted = service.post_update(
        do.conn,
        do.now,
        do.runbook,
        do.number,
        do.by,
        status=asked.status,
        impact=asked.impact,
        eta=asked.eta,
        note=asked.note,
        next_update_at=asked.next_update_at,
        to=form.all("to") if seen else None,
        said={name: text for name, text in said_of(form).items() if name in form.all("to")} if seen else None,
        revision=form.revision,
    )
    heard = sorted({one.receiver for one in posted.told})
    goes = f"It goes to {', '.join(heard)}." if heard else "No receiver belongs to its audiences."
    return Done(f"Posted. {goes}")


def mitigated(do: Doing) -> Done:
    """Customers feel nothing any more."""
    note = do.form.text("note", LONGEST_NOTE)
    service.mitigate(do.conn, do.now, do.runbook, do.number, do.by, note, revision=do.form.revision)
    return Done("It is mitigated.")


def resolve(do: Doing) -> Done:
    """It is over, or somebody says why it counts as over."""
    form = do.form
    reason, note = form.text("override"), form.text("note", LONGEST_NOTE)
    service.resolve(
        do.conn, do.now, do.runbook, do.number, do.by,
        override=reason or None, note=note, revision=form.revision,
    )  # fmt: skip
    return Done("It is resolved. Now the document.")


def close(do: Doing) -> Done:
    """The document is complete."""
    service.close(do.conn, do.now, do.runbook, do.number, do.by, revision=do.form.revision)
    return Done("It is closed.")


def reopen(do: Doing) -> Done:
    """It was not over."""
    form = do.form
    service.reopen(do.conn, do.now, do.runbook, do.number, do.by, form.text("reason"), revision=form.revision)
    return Done("It is open again.")


def merge(do: Doing) -> Done:
    """It is part of another incident."""
    into = do.form.number("into")
    service.merge(do.conn, do.now, do.runbook, do.number, do.by, into, revision=do.form.revision)
    return Done(f"Incident {do.number} is part of this one now.", f"/incidents/{into}")


def split(do: Doing) -> Done:
    """Some of its alerts are an incident of their own."""
    form = do.form
    pairs = [(one.partition(" ")[0], one.partition(" ")[2]) for one in form.all("alert")]
    made = service.split(
        do.conn, do.now, do.runbook, do.number, do.by, pairs, form.text("title", 300), revision=form.revision
    )
    return Done(f"Split from incident {do.number}.", f"/incidents/{made.id}")


def pick(do: Doing) -> Done:
    """An entry stands in the document."""
    service.pick_event(do.conn, do.now, do.runbook, do.number, do.by, do.form.number("seq"))
    return Done("")


def unpick(do: Doing) -> Done:
    """An entry does not stand in the document."""
    service.unpick_event(do.conn, do.now, do.runbook, do.number, do.by, do.form.number("seq"))
    return Done("")


def write(do: Doing) -> Done:
    """A section of the document."""
    form = do.form
    name, text = form.text("name", 100), form.text("text", LONGEST_SECTION)
    service.write_section(do.conn, do.now, do.runbook, do.number, do.by, name, text, revision=form.revision)
    return Done(f"Saved: {name}.")


def follow_up(do: Doing) -> Done:
    """Something to do, new or changed."""
    form = do.form
    title, owner, due = form.text("title", 300), form.text("owner", 100), form.day("due")
    url = form.text("url")
    if form.fields.get("follow_up"):
        one = _own_follow_up(do)
        service.edit_follow_up(
            do.conn, do.now, do.runbook, one, do.by, title=title, owner=owner, due_on=due, url=url or None
        )
        return Done("Saved.")
    service.add_follow_up(
        do.conn, do.now, do.runbook, do.number, do.by, title, owner=owner, due_on=due, url=url or None
    )
    return Done("Added.")


def done(do: Doing) -> Done:
    """A follow-up is done."""
    service.complete_follow_up(do.conn, do.now, do.runbook, _own_follow_up(do), do.by)
    return Done("Done.")


def _own_follow_up(do: Doing) -> int:
    number = do.form.number("follow_up")
    if all(one.id != number for one in records.follow_ups_of(do.conn, do.number)):
        raise IncidentError(f"incident {do.number} has no follow-up {number}; nothing was changed")
    return number


def rate(do: Doing) -> Done:
    """Whether it was worth being woken for an alert."""
    form = do.form
    if form.text("useful", 10) not in ("yes", "no"):
        raise FormError("say whether it was useful or noise")
    service.rate_alert(
        do.conn,
        do.now,
        do.runbook,
        do.number,
        do.by,
        form.text("fingerprint", 200),
        form.text("episode", 200),
        useful=form.text("useful", 10) == "yes",
        note=form.text("note", LONGEST_NOTE),
    )
    return Done("Rated; the figures count it.")


def waive(do: Doing) -> Done:
    """A deadline need not be kept."""
    reason = do.form.text("reason")
    if not reason:
        raise FormError("say why it need not be kept")
    try:
        service.waive_deadline(
            do.conn, do.now, do.runbook, do.number, do.by, do.form.number("deadline"), reason
        )
    except DeadlineError as error:
        raise IncidentError(str(error)) from None
    return Done("Waived.")


def run(do: Doing) -> Done:
    """Start a playbook for the incident."""
    form, name = do.form, do.form.text("playbook", 200)
    playbook = do.runbook.playbooks.get(name)
    given = {
        one: form.text(f"input.{one}")
        for one in (playbook.inputs if playbook else ())
        if form.text(f"input.{one}")
    }
    subject = records.load(do.conn, do.number).subject
    starting.start(do.conn, do.now, do.runbook, name, given, do.by.actor, subject)
    return Done(f"Started: {playbook.title if playbook else name}.")


def answer(do: Doing) -> Done:
    """Say to a step what it asks: do it, skip it, try it again."""
    form, chosen = do.form, do.form.text("verdict", 20)
    verdict = next((one for one in VERDICTS if one == chosen), None)
    if verdict is None:
        raise FormError(f"answer with one of {', '.join(VERDICTS)}")
    note = form.text("note")
    if verdict == "skip" and not note:
        raise FormError("say why the step is skipped: whoever reads the incident wants to know")
    said = answers.answer(
        do.conn, do.now, _own_run(do), form.text("step", 200), verdict, do.by.actor, note, do.role
    )
    return Done(sentence(said))


def abort(do: Doing) -> Done:
    """Stop a run, and take back what it did."""
    run_id, reason = _own_run(do), do.form.text("reason")
    asked = starting.abort(do.conn, do.now, run_id, do.by.actor, reason)
    return Done("It is stopped; what can be taken back is." if asked else "Somebody asked for that already.")


def _own_run(do: Doing) -> str:
    run_id = do.form.text("run", 200)
    found = runs.run(do.conn, run_id)
    if found is None or found.subject != records.load(do.conn, do.number).subject:
        raise IncidentError(f"incident {do.number} has no run {run_id[:80]!r}; nothing was changed")
    return run_id


FORMS: Mapping[str, Callable[[Doing], Done]] = {
    "acknowledge": acknowledge, "severity": severity, "roles": roles, "describe": describe,
    "status-page": status_page, "update": update, "mitigated": mitigated, "resolve": resolve,
    "close": close, "reopen": reopen, "merge": merge, "split": split, "pick": pick, "unpick": unpick,
    "section": write, "follow-up": follow_up, "done": done, "rate": rate, "waive": waive,
    "run": run, "answer": answer, "abort": abort,
}  # fmt: skip
"""What each form does, by the last part of the address that it is sent to."""
PLACES = {
    "severity": "about", "roles": "about", "describe": "about", "status-page": "others", "update": "updates",
    "pick": "timeline", "unpick": "timeline", "section": "document", "follow-up": "follow-ups",
    "done": "follow-ups", "rate": "alerts", "waive": "clocks", "merge": "others", "split": "others",
    "reopen": "others", "run": "playbooks", "answer": "playbooks", "abort": "playbooks",
}  # fmt: skip
"""Where on the page each form stands; those that are not here stand at the top."""
