"""What the commands of ``watchkeeper incidents`` share: their options, and the way into the store.

Always true here: a change is one transaction; what goes wrong is a sentence on standard error and exit code
1; nothing that somebody wrote can move the cursor (tests/cli/test_incidents.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, data_directory, state
from watchkeeper.cli.plain import plain

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from watchkeeper.incidents.models import Author
    from watchkeeper.runbook.models.runbook import Runbook

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The incident's number.", min=1)]
NoteOption = Annotated[str, typer.Option("--note", help="A sentence for the timeline and the channel.")]
RunbookOption = Annotated[
    Path | None,
    typer.Option("--runbook", "-r", help="The runbook. [env: WATCHKEEPER_RUNBOOK; default: runbook.yaml]"),
]
OverlayOption = Annotated[
    Path | None, typer.Option("--overlay", help="Merged over the runbook. [env: WATCHKEEPER_OVERLAY]")
]
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]


def act_as(
    act: Callable[[Connection, datetime, Runbook, Author], Any],
    person: str | None,
    data: Path | None,
    store_url: str | None,
    runbook: Path | None,
    overlay: Path | None,
) -> Any:
    """Do it, in one transaction, as whoever typed it."""
    import getpass

    from watchkeeper.incidents.models import Author
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing

    book = policy(runbook, overlay, data, store_url)
    by = Author.person(person or getpass.getuser())
    with sentences(), open_existing(state(data, store_url), write=True) as store, store.write() as conn:
        return act(conn, SystemClock().now(), book, by)


@contextmanager
def reading_store(data: Path | None, store_url: str | None) -> Iterator[tuple[Connection, datetime]]:
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing

    with sentences(), open_existing(state(data, store_url)) as store, store.read() as conn:
        yield conn, SystemClock().now()


def policy(runbook: Path | None, overlay: Path | None, data: Path | None, store_url: str | None) -> Runbook:
    """The runbook, or the copy that was in force last, where the file cannot be used."""
    from watchkeeper.app import inforce
    from watchkeeper.app.policy import load_policy
    from watchkeeper.app.settings import read_settings
    from watchkeeper.runbook.errors import RunbookError

    with sentences():
        settings = read_settings(runbook, overlay, data_directory(data, store_url), store=store_url)
        try:
            return load_policy(settings).runbook
        except RunbookError:
            return inforce.choose(settings).loaded.runbook


@contextmanager
def sentences() -> Iterator[None]:
    """What goes wrong is said in its own words, with exit code 1."""
    from watchkeeper.app.inforce import UNUSABLE
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.incidents.models import IncidentError
    from watchkeeper.store.errors import StoreError

    try:
        yield
    except (*UNUSABLE, SettingsError, IncidentError, StoreError, OSError) as error:
        say(str(error), err=True)
        raise typer.Exit(1) from None


def end_of_day(text: str) -> datetime:
    """The end of a day, UTC: a follow-up may be done on the day that it is due."""
    from datetime import UTC, datetime, time

    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise typer.BadParameter("a day such as 2026-11-27", param_hint="--due") from None
    return datetime.combine(day, time(23, 59, 59), UTC)


def say(text: str, *, err: bool = False) -> None:
    typer.echo("\n".join(map(plain, text.split("\n"))), err=err)


def say_json(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2, ensure_ascii=True))
