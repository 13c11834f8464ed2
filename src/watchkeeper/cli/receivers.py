"""``watchkeeper receivers``: whether those who are told can be told, and a test message to one of them.

Always true here: nothing but the store and the runbook is needed; no secret is shown; what came from a
receiver cannot move the cursor (tests/cli/test_receivers.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.oncall import OverlayOption, RunbookOption
from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from watchkeeper.notify.report import Receipt, Standing
    from watchkeeper.runbook.models.notifications import Receiver
    from watchkeeper.store.database import Store

app = typer.Typer(rich_markup_mode=None, help="Receivers: who is told, how that fares, and a test message.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]
POLL_SECONDS = 0.5
_MARKS = {"ok": "●", "failing": "▲", "unknown": "◌", "gone": "▲", "delivered": "●", "dead": "▲"}


@app.callback(invoke_without_command=True)
def receivers(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of receivers.")] = False,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """The receivers of the runbook: last success, failing since, and what waits for them."""
    if context.invoked_subcommand is not None:
        return
    import json

    from watchkeeper.notify.report import standings
    from watchkeeper.store.database import open_existing

    with _sentences():
        lines, where = _lines(runbook, overlay, data, store_url)
        with open_existing(where) as store, store.read() as conn:
            found = standings(conn, lines)
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2))
    elif not found:
        typer.echo("the runbook has no receiver: nobody is told; add one under notifications.receivers")
    else:
        for one in found:
            typer.echo(_clean(_words(one)))


@app.command("test")
def send(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The receiver's id in the runbook.")],
    wait: Annotated[
        float, typer.Option("--wait", min=0, max=600, help="Wait so many seconds for what becomes of it.")
    ] = 15,
    person: AsOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Send a test message through the outbox: it begins, and ends by itself."""
    import getpass

    from watchkeeper.notify.trial import send_test
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing

    clock = SystemClock()
    with _sentences():
        lines, where = _lines(runbook, overlay, data, store_url)
        with open_existing(where, write=True) as store:
            with store.write() as conn:
                ids = send_test(conn, clock.now(), lines, name, f"person:{person or getpass.getuser()}")
            until = clock.monotonic() + wait
            found = _outcome(store, ids)
            while clock.monotonic() < until and any(one.state in ("pending", "retrying") for one in found):
                clock.sleep(POLL_SECONDS)
                found = _outcome(store, ids)
    for one in found:
        typer.echo(_clean(_receipt(one, clock.now())))
    if any(one.state != "delivered" for one in found):
        if not any(one.attempts for one in found):
            typer.echo("nobody has tried yet: is `watchkeeper serve` running?", err=True)
        raise typer.Exit(1)


def _outcome(store: Store, ids: tuple[int, int]) -> list[Receipt]:
    from watchkeeper.notify.report import outcome

    with store.read() as conn:
        return outcome(conn, ids)


def _words(one: Standing) -> str:
    title = f" ({one.title})" if one.title else ""
    parts = [f"{_MARKS[one.state]} {one.id}{title}  {one.kind or 'not in the runbook'}"]
    if one.failing_since is not None:
        parts.append(f"failing since {one.failing_since:%Y-%m-%d %H:%M:%SZ}: {one.last_error}")
    elif one.state == "unknown":
        parts.append(f"never told anything; `watchkeeper receivers test {one.id}` does")
    if one.last_success_at is not None:
        parts.append(f"last success {one.last_success_at:%Y-%m-%d %H:%M:%SZ}")
    if one.oldest is not None:
        parts.append(f"{one.waiting} waiting, since {one.oldest:%Y-%m-%d %H:%M:%SZ}")
    return " · ".join(parts)


def _receipt(one: Receipt, now: datetime) -> str:
    what = "the end" if one.kind == "resolve" else "the test"
    head = f"{_MARKS.get(one.state, '◌')} {what} (row {one.id}): {one.state}"
    if one.state == "delivered" and one.settled_at is not None:
        return f"{head} after {(one.settled_at - one.enqueued_at).total_seconds():.1f} s"
    tries = f" after {one.attempts} attempt{'' if one.attempts == 1 else 's'}" if one.attempts else ""
    return f"{head}{tries}" + (f": {one.error}" if one.error else "")


def _lines(
    runbook: Path | None, overlay: Path | None, data: Path | None, store_url: str | None
) -> tuple[tuple[Receiver, ...], Path | str]:
    """The receivers of the runbook in force (else of the one on disk), and where state is kept."""
    from watchkeeper.app import inforce
    from watchkeeper.app.settings import read_settings

    settings = read_settings(runbook, overlay, data_directory(data, store_url), store=store_url)
    loaded = inforce.kept(settings) if runbook is None and overlay is None else None
    return (loaded or inforce.choose(settings).loaded).runbook.notifications.receivers, settings.state


@contextmanager
def _sentences() -> Iterator[None]:
    from watchkeeper.app.inforce import UNUSABLE
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.notify.models import NotifyError
    from watchkeeper.store.errors import StoreError

    try:
        yield
    except (*UNUSABLE, SettingsError, NotifyError, StoreError) as error:
        typer.echo(_clean(str(error)), err=True)
        raise typer.Exit(1) from None


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
