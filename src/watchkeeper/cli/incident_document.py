"""``watchkeeper incidents``, after the fact: sections, key events, follow-ups, ratings, document and figures.

Always true here: as of the other commands (tests/cli/test_incidents.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.incident_store import (
    AsOption,
    DataOption,
    NoteOption,
    Number,
    OverlayOption,
    RunbookOption,
    act_as,
    end_of_day,
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

followup = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="What is to be done after it.")


def write(
    number: Number,
    section: Annotated[str, typer.Argument(help="Its name: root cause, timeline, …")],
    text: Annotated[str, typer.Argument(help="Markdown; - reads standard input.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Write a section of the document; of a closed incident it is a correction."""
    import sys

    from watchkeeper.incidents import service

    written = sys.stdin.read() if text == "-" else text

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return service.write_section(conn, now, book, number, by, section, written)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"written: {section} of incident {number}")


def pick(
    number: Number,
    entry: Annotated[int, typer.Argument(metavar="ENTRY", help="As `show --timeline` has it.", min=1)],
    out: Annotated[bool, typer.Option("--out", help="It is no key event.")] = False,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Pick a key event of the timeline into the document, or take it out."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Incident:
        return (service.unpick_event if out else service.pick_event)(conn, now, book, number, by, entry)

    act_as(change, person, data, store_url, runbook, overlay)
    say(f"entry {entry} {'does not stand' if out else 'stands'} in the document of incident {number}")


def rate(
    number: Number,
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="Its name or fingerprint, as `show` has it.")],
    rating: Annotated[str, typer.Argument(help="useful or noise.")],
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Say whether it was worth being woken for an alert."""
    from watchkeeper.incidents import records, service
    from watchkeeper.incidents.models import IncidentError

    if rating not in ("useful", "noise"):
        raise typer.BadParameter("useful or noise", param_hint="RATING")

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> int:
        meant = [one for one in records.joined(conn, number) if alert in (one.alertname, one.fingerprint)]
        if not meant:
            raise IncidentError(f"incident {number} has no alert {alert!r}; nothing was rated")
        for one in meant:
            args = (number, by, one.fingerprint, one.episode)
            service.rate_alert(conn, now, book, *args, useful=rating == "useful", note=note)
        return len(meant)

    say(f"rated {rating}: {act_as(change, person, data, store_url, runbook, overlay)} episode(s) of {alert}")


@followup.command("add")
def followup_add(
    number: Number,
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    owner: Annotated[
        str | None, typer.Option("--owner", help="Who does it: a contact of the runbook.")
    ] = None,
    due: Annotated[str | None, typer.Option("--due", help="Until when: 2026-11-27.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Where it is tracked.")] = None,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Something to do after the incident, with an owner and a due date."""
    from watchkeeper.incidents import service

    until = None if due is None else end_of_day(due)

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Any:
        return service.add_follow_up(conn, now, book, number, by, title, owner=owner, due_on=until, url=url)

    say(f"follow-up {act_as(change, person, data, store_url, runbook, overlay).id}: {title}")


@followup.command("done")
def followup_done(
    number: Annotated[int, typer.Argument(metavar="FOLLOW-UP", help="Its number.", min=1)],
    note: NoteOption = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """It is done."""
    from watchkeeper.incidents import service

    def change(conn: Connection, now: datetime, book: Runbook, by: Author) -> Any:
        return service.complete_follow_up(conn, now, book, number, by, note)

    done = act_as(change, person, data, store_url, runbook, overlay)
    say(f"follow-up {number} is done, by {done.done_by}")


def document(
    number: Number,
    key_events: Annotated[bool, typer.Option("--key-events", help="Without the whole timeline.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """The incident document, as Markdown."""
    from watchkeeper.incidents import reading

    book = policy(runbook, overlay, data, store_url)
    with reading_store(data, store_url) as (conn, now):
        typer.echo(reading.document_of(conn, now, book, number, whole=not key_events), nl=False)


def figures(
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How far back.")] = 366,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Times to detect, acknowledge, mitigate, resolve; how useful pages were; by service and quarter."""
    import dataclasses
    from datetime import timedelta

    from watchkeeper.incidents import reading, wording

    with reading_store(data, store_url) as (conn, now):
        found = reading.figures_since(conn, now - timedelta(days=days))
    if as_json:
        say_json([{**dataclasses.asdict(one), "useful_ratio": one.useful_ratio} for one in found])
        return
    typer.echo("\n".join(wording.figures_lines(found)))


COMMANDS: dict[str, Callable[..., None]] = {
    "write": write,
    "pick": pick,
    "rate": rate,
    "document": document,
    "figures": figures,
}
