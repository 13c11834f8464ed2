"""``watchkeeper oncall``: who has the watch, the schedule, standing in, and whether pages reach somebody.

Always true here: nothing needs a server. Without a store the runbook alone answers; with a store that cannot
be read it still does, and the command says that overrides are unknown and ends with exit code 1. Bad input
ends in a sentence, never in a traceback (tests/cli/test_oncall.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli import remote_oncall
from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory
from watchkeeper.cli.remote import ServerOption, chosen, sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from watchkeeper.oncall.overrides import Stored
    from watchkeeper.oncall.rota import Override
    from watchkeeper.oncall.verification import Verified
    from watchkeeper.runbook.models.people import Rota
    from watchkeeper.runbook.models.runbook import Runbook
    from watchkeeper.store.database import Store

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Who is on call, and standing in.")

_LARGEST_ID = 2**63 - 1
RunbookOption = Annotated[
    Path | None,
    typer.Option("--runbook", "-r", help="The runbook. [env: WATCHKEEPER_RUNBOOK; default: runbook.yaml]"),
]
OverlayOption = Annotated[
    Path | None, typer.Option("--overlay", help="Merged over the runbook. [env: WATCHKEEPER_OVERLAY]")
]
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
RotaOption = Annotated[
    str | None, typer.Option("--rota", help="The rota's id.", show_default="the runbook's default")
]


@app.command("now")
def now_(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of rotas.")] = False,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """Who is on call now in each rota, until when, how they are reached, and who is next."""
    from watchkeeper.oncall.report import watch
    from watchkeeper.oncall.wording import watch_lines
    from watchkeeper.store.clock import SystemClock

    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            remote_oncall.now(there, as_json)
            return
    with _sentences():
        book, place = _policy(runbook, overlay, data, store_url)
        now = SystemClock().now()
        stored, problem = _stored(book, place, now)
        found = [watch(rota, stored(rota), now) for rota in book.oncall.rotas]
        ways = {} if problem else _verified(place)
    if as_json:
        _json([one.to_json(book, ways) for one in found])
    else:
        if not found:
            typer.echo("the runbook has no rota; add one under oncall.rotas")
        for one in found:
            typer.echo("\n".join(watch_lines(one, book, ways)))
    _finish(problem)


@app.command("schedule")
def schedule(
    rota: RotaOption = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="A time: 2026-11-27 18:00, or with offset.", show_default="now"),
    ] = None,
    weeks: Annotated[int, typer.Option("--weeks", min=1, max=104, help="How many weeks.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of shifts.")] = False,
    as_ical: Annotated[bool, typer.Option("--ical", help="An iCalendar feed (RFC 5545).")] = False,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """The shifts of a rota, in its local time and in UTC; where nobody is on call it says so."""
    from datetime import timedelta

    from watchkeeper.oncall import wording
    from watchkeeper.oncall.overrides import find_rota
    from watchkeeper.oncall.report import shift_json
    from watchkeeper.oncall.rota import shifts, whole_shifts
    from watchkeeper.store.clock import SystemClock

    if as_json and as_ical:
        raise typer.BadParameter("choose one of --json and --ical")
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            remote_oncall.schedule(there, rota, start, weeks, as_json, as_ical)
            return
    with _sentences():
        book, place = _policy(runbook, overlay, data, store_url)
        one = find_rota(book, rota)
        now = SystemClock().now()
        begin = now if start is None else wording.read_moment(start, one.timezone)
        end = begin + timedelta(weeks=weeks)
        stored, problem = _stored(book, place, begin)
        overrides = stored(one)
    if as_ical:
        from watchkeeper.oncall.ical import feed

        typer.echo(feed(book, one, overrides, now, begin, end), nl=False)
    elif as_json:
        _json([shift_json(shift, book) for shift in whole_shifts(one, overrides, begin, end)])
    else:
        found = whole_shifts(one, overrides, begin, end)
        if any(shift.endless for shift in found):
            found = shifts(one, overrides, begin, end)  # a gap without end is shown as far as was asked
        typer.echo("\n".join(wording.schedule_lines(found, one.timezone, book)))
    _finish(problem)


@app.command("override")
def override(
    contact: Annotated[
        str | None, typer.Argument(metavar="CONTACT", help="Who stands in: a contact's id.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="A time: 2026-11-27 18:00, or with offset.", show_default="now"),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="A time, as for --from.")] = None,
    rota: RotaOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why, for the schedule and the journal.")
    ] = None,
    cancel: Annotated[
        int | None,
        typer.Option("--cancel", min=1, max=_LARGEST_ID, help="Cancel the override of this number."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="The overrides that stand or will.")] = False,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """Let CONTACT stand in for whoever has the watch; or cancel an override, or list them."""
    from watchkeeper.oncall.overrides import Wanted, create, find_rota, upcoming
    from watchkeeper.oncall.overrides import cancel as cancel_
    from watchkeeper.oncall.wording import read_moment
    from watchkeeper.store.clock import SystemClock

    if sum((contact is not None, cancel is not None, listed)) != 1:
        raise typer.BadParameter("name who stands in (CONTACT --to TIME), or use --cancel ID, or --list")
    if contact is not None and end is None:
        raise typer.BadParameter("say until when with --to", param_hint="--to")
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            remote_oncall.override(there, contact, start, end, rota, reason, cancel)
            return
    with _sentences():
        book, place = _policy(runbook, overlay, data, store_url)
        now = SystemClock().now()
        if listed:
            one = None if rota is None else find_rota(book, rota).id
            with _existing(place) as store, store.read() as conn:
                found = upcoming(conn, now, one)
            typer.echo("\n".join(_shown(stored, book) for stored in found) or "no override stands or will")
        elif cancel is not None:
            with _writable(place) as store, store.write() as conn:
                gone = cancel_(conn, now, cancel, _actor())
            typer.echo(f"cancelled: {_shown(gone, book)}")
        elif contact is not None and end is not None:
            wanted = find_rota(book, rota)
            begin = now if start is None else read_moment(start, wanted.timezone)
            asked = Wanted(wanted.id, contact, begin, read_moment(end, wanted.timezone), reason)
            with _writable(place) as store, store.write() as conn:
                made = create(conn, now, book, asked, _actor())
            typer.echo(f"made: {_shown(made, book)}")
            typer.echo(f"take it back with: watchkeeper oncall override --cancel {made.id}")


@app.command("verify")
def verify(
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="A contact's id.")],
    code: Annotated[
        str | None, typer.Option("--code", help="The six digits that came; without: send some.")
    ] = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Send CONTACT a code through every way that pages them, or enter one that came."""
    from watchkeeper.oncall.verification import ask, confirm
    from watchkeeper.store.clock import SystemClock

    with _sentences():
        book, place = _policy(runbook, overlay, data, store_url)
        now = SystemClock().now()
        if code is None:
            with _writable(place) as store, store.write() as conn:
                asked = ask(conn, now, book, contact, _actor())
            _say("a code goes out through each of these, as soon as `watchkeeper serve` runs:")
            for way in asked:
                _say(f"  {way.name}")
            _say(f"enter each within 15 minutes: watchkeeper oncall verify {contact} --code CODE")
            return
        with _writable(place) as store, store.write() as conn:
            done = confirm(conn, now, book, contact, code, _actor())
    if not done.ways:
        _finish(f"that is none of the codes that were sent to {contact}; {done.left} more may be tried")
    for name in done.ways:
        _say(f"verified: {name}")


def _shown(stored: Stored, book: Runbook) -> str:
    from watchkeeper.oncall.wording import override_line

    rota = book.oncall.rota(stored.rota)  # which may have left the runbook since
    return override_line(stored, "UTC" if rota is None else rota.timezone)


def _policy(
    runbook: Path | None, overlay: Path | None, data: Path | None, store_url: str | None
) -> tuple[Runbook, Path | str]:
    """The runbook (the one that was in force last, where the file cannot be used) and where state is kept."""
    from watchkeeper.app import inforce
    from watchkeeper.app.policy import load_policy
    from watchkeeper.app.settings import read_settings
    from watchkeeper.runbook.errors import RunbookError

    settings = read_settings(runbook, overlay, data_directory(data, store_url), store=store_url)
    try:
        return load_policy(settings).runbook, settings.state
    except RunbookError:
        return inforce.choose(settings).loaded.runbook, settings.state


def _stored(
    book: Runbook, place: Path | str, since: datetime
) -> tuple[Callable[[Rota], list[Override]], str | None]:
    """The stored overrides of each rota after ``since``, and what kept us from reading them, if anything."""
    from watchkeeper.oncall.overrides import standing
    from watchkeeper.store.errors import StoreError, StoreMissingError

    found: dict[str, list[Override]] = {}
    problem = None
    try:
        with _existing(place) as store, store.read() as conn:
            found = {rota.id: standing(conn, book, rota.id, since) for rota in book.oncall.rotas}
    except StoreMissingError:
        pass  # nobody can have made an override yet
    except (StoreError, OSError) as error:
        problem = f"this is by the runbook alone, overrides are unknown: {error}"
    return lambda rota: found.get(rota.id, []), problem


def _verified(place: Path | str) -> Verified:
    from watchkeeper.oncall.verification import verified
    from watchkeeper.store.errors import StoreMissingError

    try:
        with _existing(place) as store, store.read() as conn:
            return verified(conn)
    except StoreMissingError:
        return {}  # nobody can have entered a code yet


def _existing(place: Path | str) -> Store:
    from watchkeeper.store.database import open_existing

    return open_existing(place)


def _writable(place: Path | str) -> Store:
    """The store, for writing. One that is not there, or of another version, is left to `serve`."""
    from watchkeeper.store.database import open_existing

    return open_existing(place, write=True)


def _actor() -> str:
    """``person:`` and the login name of this process' user, which no environment variable can change."""
    import os
    import pwd

    try:
        return f"person:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"person:uid-{os.getuid()}"


@contextmanager
def _sentences() -> Iterator[None]:
    """What goes wrong is said in its own words, with exit code 1."""
    from watchkeeper.app.inforce import UNUSABLE
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.oncall.overrides import OnCallError
    from watchkeeper.store.errors import StoreError

    try:
        yield
    except (*UNUSABLE, SettingsError, OnCallError, StoreError, OSError) as error:
        _complain(str(error))
        raise typer.Exit(1) from None


def _json(document: object) -> None:
    """Readable in any language, and yet nothing in it that a terminal would obey."""
    import json

    text = json.dumps(document, indent=2, ensure_ascii=False)
    shown = (c if c.isprintable() or c == "\n" or c > "\uffff" else f"\\u{ord(c):04x}" for c in text)
    typer.echo("".join(shown))


def _say(text: str) -> None:
    from watchkeeper.oncall.wording import clean

    typer.echo(clean(text))


def _finish(problem: str | None) -> None:
    if problem is not None:
        _complain(problem)
        raise typer.Exit(1)


def _complain(text: str) -> None:
    from watchkeeper.oncall.wording import clean

    typer.echo("\n".join(clean(line) for line in text.split("\n")), err=True)
