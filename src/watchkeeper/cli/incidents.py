"""``watchkeeper incidents``: what is broken for whom, what is next, and doing it. Needs no server.

Always true here: every change is one transaction with its journal entry, in the name of whoever typed it;
what is refused is refused with its reasons and exit code 1 (tests/cli/test_incidents.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli import incident_document
from watchkeeper.cli.incident_store import (
    AsOption,
    DataOption,
    NoteOption,
    Number,
    OverlayOption,
    RunbookOption,
    act_as,
    policy,
    reading_store,
    say,
    say_json,
)
from watchkeeper.cli.places import StoreOption

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from watchkeeper.incidents.models import Author, Incident
    from watchkeeper.runbook.models.runbook import Runbook

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Incidents: what is broken, what is next, and doing it."
)
app.add_typer(incident_document.followup, name="followup")
for _name, _command in incident_document.COMMANDS.items():
    app.command(_name)(_command)


@app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over (the newest 200).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of incidents.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """The incidents that are not closed, newest first."""
    from watchkeeper.incidents import reading, wording
    from watchkeeper.incidents.models import State

    with reading_store(data, store_url) as (conn, _):
        states = None if everything else (State.OPEN, State.MITIGATED, State.RESOLVED)
        found = reading.listed(conn, states=states, limit=200)
    if as_json:
        say_json([wording.incident_json(one) for one in found])
        return
    lines = [line for one in found for line in wording.listed_lines(one)]
    typer.echo("\n".join(lines or ["● no incident"]))


@app.command("show")
def show(
    number: Number,
    timeline: Annotated[bool, typer.Option("--timeline", help="Everything that happened, too.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """One incident: what is next, which clock runs out, what is missing."""
    from watchkeeper.incidents import reading, wording

    book = policy(runbook, overlay, data, store_url)
    with reading_store(data, store_url) as (conn, now):
        lines = wording.story_lines(reading.story(conn, now, book, number), now)
        if timeline:
            for one in reading.timeline_of(conn, number):
                mark, star = "●" if one.by_person else "○", "★" if one.key else " "
                lines.append(f"{one.seq:>7} {one.at:%m-%d %H:%M:%SZ} {star} {mark} {one.who}: {one.summary}")
    typer.echo("\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines))


@app.command("open")
def open_(
    title: Annotated[str, typer.Argument(help="What is broken, for whom.")],
    severity: Annotated[str | None, typer.Option("--severity", help="SEV-1, SEV-2, …")] = None,
    service: Annotated[str | None, typer.Option("--service", help="Alerts of it will join.")] = None,
    env: Annotated[str | None, typer.Option("--env", help="Its environment.")] = None,
    impact: Annotated[str, typer.Option("--impact", help="What customers feel.")] = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Open one by hand: you noticed it before a signal did, and lead it."""
    from watchkeeper.incidents import service as doing

    given = {"severity": severity, "service": service, "env": env, "impact": impact}

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return doing.open_by_hand(conn, now, book, by, title, **given)  # type: ignore[arg-type]

    done = act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {done.id}: {done.title}; {done.commander} leads it")


@app.command("ack")
def ack(
    number: Number,
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """You have it: its alerts are acknowledged, and you lead it if nobody does."""
    from watchkeeper.app.responding import acknowledge_alerts
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.acknowledge(conn, now, book, number, by, acknowledge_alerts, note)

    done = act_as(change, person, data, store_url, runbook, overlay)
    say(f"{done.acknowledged_by} has incident {number}")


@app.command("severity")
def severity_(
    number: Number,
    severity: Annotated[str, typer.Argument(help="SEV-1, SEV-2, …: as the runbook defines them.")],
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Triage: say how bad it is. Its deadlines follow."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.set_severity(conn, now, book, number, by, severity, note=note)

    say(f"incident {number} is {act_as(change, person, data, store_url, runbook, overlay).severity}")


@app.command("assign")
def assign(
    number: Number,
    role: Annotated[str, typer.Argument(help="commander, communications or scribe.")],
    who: Annotated[str, typer.Argument(metavar="PERSON", help="A name; '' for nobody.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Give somebody a role."""
    from watchkeeper.incidents import service
    from watchkeeper.incidents.models import Role

    known = [one.value for one in Role]
    if role not in known:
        raise typer.BadParameter(f"one of {', '.join(known)}", param_hint="ROLE")

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.assign(conn, now, book, number, by, Role(role), who)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"{role} of incident {number}: {who or 'nobody'}")


@app.command("update")
def update(
    number: Number,
    status: Annotated[str, typer.Argument(help="investigating, identified, monitoring or resolved.")],
    impact: Annotated[str, typer.Option("--impact", help="What customers feel.")] = "",
    eta: Annotated[str, typer.Option("--eta", help="When it will be over, in words.")] = "",
    note: Annotated[str, typer.Option("--note", help="For engineers alone.")] = "",
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Only this audience; again for others.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only show who would be told what.")] = False,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Say how it stands, to each audience in its words."""
    from watchkeeper.incidents import reading, service
    from watchkeeper.incidents.models import Status

    known = [one.value for one in Status]
    if status not in known:
        raise typer.BadParameter(f"one of {', '.join(known)}", param_hint="STATUS")
    given: dict[str, Any] = {"status": Status(status), "impact": impact, "eta": eta, "note": note}
    if preview:
        book = policy(runbook, overlay, data, store_url)
        with reading_store(data, store_url) as (conn, now):
            for one in service.preview(book, reading.one(conn, number), now, **given):
                ways = ", ".join(way.to or way.receiver for way in one.recipients) or "nobody"
                say(f"{one.title} ({ways}):")
                say(f"  {one.text}")
        return

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Any:
        return service.post_update(conn, now, book, number, by, to=to, **given)

    done = act_as(change, person, data, store_url, runbook, overlay)
    ways = ", ".join(way.to or way.receiver for way in done.told) or "nobody: no receiver leads to them"
    say(f"told: {ways}")


@app.command("mitigate")
def mitigate(
    number: Number,
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Customers are not hurt any more."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.mitigate(conn, now, book, number, by, note)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {number} is mitigated")


@app.command("resolve")
def resolve(
    number: Number,
    override: Annotated[
        str | None, typer.Option("--override", help="Why it is over although its signals do not say so.")
    ] = None,
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """It is over: its signals are back at their baseline."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.resolve(conn, now, book, number, by, override=override, note=note)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {number} is resolved; its document waits to be closed")


@app.command("close")
def close(
    number: Number,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """The document is complete."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.close(conn, now, book, number, by)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {number} is closed")


@app.command("reopen")
def reopen(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="What shows that it is not over.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """It was not over."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.reopen(conn, now, book, number, by, reason)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {number} is open again")


@app.command("merge")
def merge(
    number: Number,
    into: Annotated[int, typer.Option("--into", min=1, help="The incident that it is part of.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """It is part of another one: its alerts and follow-ups go there."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.merge(conn, now, book, number, by, into)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"incident {number} is part of incident {into}")


@app.command("split")
def split(
    number: Number,
    title: Annotated[str, typer.Option("--title", help="What the new incident is.")],
    alerts: Annotated[
        list[str], typer.Argument(metavar="ALERT...", help="Names or fingerprints, as `show` has.")
    ],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Some of its alerts are something else: they become an incident of their own."""
    from watchkeeper.incidents import records, service
    from watchkeeper.incidents.models import IncidentError

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        known = records.joined(conn, number)
        meant = [one for one in known if {one.alertname, one.fingerprint} & set(alerts)]
        strangers = set(alerts) - {name for one in known for name in (one.alertname, one.fingerprint)}
        if strangers:
            raise IncidentError(f"incident {number} has no alert {sorted(strangers)[0]!r}; nothing was split")
        chosen = [(one.fingerprint, one.episode) for one in meant]
        return service.split(conn, now, book, number, by, chosen, title)

    say(f"incident {act_as(change, person, data, store_url, runbook, overlay).id}: {title}")


@app.command("waive")
def waive(
    number: Number,
    deadline: Annotated[int, typer.Argument(metavar="DEADLINE", help="Its number, as `show` has it.", min=1)],
    reason: Annotated[str, typer.Option("--reason", help="Why it need not be kept.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Let one deadline go, in your name; the verdict is `waived`."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Any:
        return service.waive_deadline(conn, now, book, number, by, deadline, reason)

    say(f"waived: {act_as(change, person, data, store_url, runbook, overlay).title}")
