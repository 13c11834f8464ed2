"""``watchkeeper playbook``: what playbooks there are, runs of them, and answers to what they ask. No server
is needed but for the role ``work``, which carries runs out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory, state
from watchkeeper.cli.plain import plain
from watchkeeper.cli.playbook_view import head, plain_lines, plan_table, question, step_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from watchkeeper.playbooks.plan import Planned
    from watchkeeper.playbooks.reading import RunView
    from watchkeeper.runbook.models.runbook import Runbook

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Playbooks: run them, follow them, answer what they ask.",
)
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document.")]
FOLLOW_SECONDS = 0.5
WAKE_SECONDS = 1.0


class Said(StrEnum):
    """What may be answered to a step."""

    CONFIRM = "confirm"
    SKIP = "skip"
    RETRY = "retry"
    ABORT = "abort"


@app.command("list")
def list_(data: DataOption = None) -> None:
    """The playbooks of the runbook in force."""
    with _sentences():
        book = _runbook(data)
    width = max(map(len, book.playbooks), default=0)
    for name, playbook in book.playbooks.items():
        typer.echo(plain(f"{name:<{width}}  {playbook.title} ({len(playbook.steps)} steps)"))


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="The playbook.")], data: DataOption = None) -> None:
    """One playbook: its inputs, its steps, and who carries each out here."""
    with _sentences():
        book = _runbook(data)
        playbook = _playbook(book, name)
        lines = [f"{name}: {playbook.title}", *([playbook.summary] if playbook.summary else [])]
        for key, one in playbook.inputs.items():
            given = f" [default: {one.default}]" if one.default is not None else ""
            lines.append(f"  -i {key}=...  {one.title}{given}" + ("" if one.required else " (optional)"))
        typer.echo(plain_lines(lines))
        _print_plan(_planned(data, book, name, None))


@app.command("run")
def run(
    name: Annotated[str, typer.Argument(help="The playbook.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("-i", "--input", metavar="KEY=VALUE", help="An input; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show the steps until the run is over.")] = False,
    subject: Annotated[
        str | None, typer.Option("--for", metavar="SUBJECT", help="What it is for, such as incident:12.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--id", help="The run's id: with it, it starts once.")] = None,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Start a playbook. The role ``work`` of ``watchkeeper serve`` carries it out."""
    from watchkeeper.playbooks import starting

    given = _inputs(inputs or [])
    with _sentences():
        book = _runbook(data)
        if dry_run:
            _print_plan(_planned(data, book, name, given, subject, run_id))
            typer.echo("nothing was changed")
            return
        started = _write(
            state(data, store_url),
            lambda conn, now: starting.start(conn, now, book, name, given, _person(person), subject, run_id),
        )
        woken = _wake(data)
    typer.echo(f"run {started} was started")
    if not woken:
        typer.echo(
            "nothing carries out runs here now; `watchkeeper serve` does, from where it stands", err=True
        )
    if follow:
        _follow(state(data, store_url), started)


@app.command("runs")
def runs(
    live: Annotated[bool, typer.Option("--live", help="Only those that are not over.")] = False,
    playbook: Annotated[str | None, typer.Option("--playbook", help="Only those of one playbook.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """The newest runs, and what they wait for."""
    from watchkeeper.playbooks import reading

    with _sentences():
        found = _read(state(data, store_url), lambda conn: reading.runs(conn, live=live, playbook=playbook))
    if as_json:
        _json([_fields(one) for one in found])
        return
    if not found:
        typer.echo("no run")
    for one in found:
        began = f"{one.started_at:%Y-%m-%d %H:%M:%SZ}"
        problem = f"  {one.problem}" if one.problem else ""
        typer.echo(plain(f"{one.state.value:<8} {one.id:<44} {began}  {one.started_by}{problem}"))


@app.command("status")
def status(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    as_json: JsonOption = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """One run: each step, what came of it, and what is asked."""
    with _sentences():
        found = _run(state(data, store_url), run_id)
    if as_json:
        _json(_fields(found))
        return
    typer.echo(plain_lines(head(found)))
    for step in (*found.steps, *found.undos):
        typer.echo(plain_lines(step_lines(step)))
    typer.echo(plain_lines(question(found)), nl=bool(question(found)))


@app.command("answer")
def answer(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    step: Annotated[str, typer.Argument(help="The step that asks.")],
    verdict: Annotated[Said, typer.Argument(help="What you say.")],
    note: Annotated[
        str, typer.Option("--note", help="Why, or what was asked for; it stands in the journal.")
    ] = "",
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Answer what a step asks. Whoever may write to the data directory may answer everything."""
    from watchkeeper.playbooks import answers

    with _sentences():
        words = _write(
            state(data, store_url),
            lambda conn, now: answers.answer(
                conn, now, run_id, step, verdict.value, _person(person), note, role="admin"
            ),
        )
        _wake(data)
    typer.echo(words)


@app.command("abort")
def abort(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the journal.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Stop a run, and take back what it did: the undo of each step, last first."""
    from watchkeeper.playbooks import starting

    with _sentences():
        new = _write(
            state(data, store_url),
            lambda conn, now: starting.abort(conn, now, run_id, _person(person), reason),
        )
        _wake(data)
    typer.echo(f"run {run_id} " + ("is being aborted" if new else "was being aborted already"))


def _runbook(data: Path | None) -> Runbook:
    """The runbook in force there, else the one on disk."""
    from watchkeeper.app import inforce
    from watchkeeper.app.settings import read_settings

    settings = read_settings(data=data_directory(data))
    found = inforce.kept(settings) or inforce.usable(settings)
    return found.runbook


def _playbook(book: Runbook, name: str) -> Any:
    from watchkeeper.playbooks.models import PlaybookError

    found = book.playbooks.get(name)
    if found is None:
        raise PlaybookError(f"there is no playbook {name!r}; there is {', '.join(book.playbooks) or 'none'}")
    return found


def _planned(
    data: Path | None,
    book: Runbook,
    name: str,
    given: Mapping[str, Any] | None,
    subject: str | None = None,
    run_id: str | None = None,
) -> tuple[Planned, ...]:
    """The steps with ``given``; None: with the inputs' names where their values will stand."""
    from watchkeeper.app.settings import read_settings
    from watchkeeper.app.verbs import verbs_of
    from watchkeeper.playbooks import plan

    playbook = _playbook(book, name)
    if given is None:
        inputs = {
            key: f"<{key}>" if one.default is None else one.default for key, one in playbook.inputs.items()
        }
    else:
        inputs = plan.inputs_of(name, playbook, given)
    verbs = verbs_of(read_settings(data=data_directory(data)), book)
    return plan.plan(name, playbook, inputs, run_id or f"{name}-<time>", subject, verbs)


def _print_plan(planned: tuple[Planned, ...]) -> None:
    from rich.console import Console

    Console(soft_wrap=False).print(plan_table(planned))


def _follow(place: Path | str, run_id: str) -> None:
    """Print what changes until the run is over; the exit code is 1 where it did not end well."""
    from watchkeeper.playbooks.models import RunState
    from watchkeeper.store.clock import SystemClock

    told: set[tuple[Any, ...]] = set()
    while True:
        with _sentences():
            found = _run(place, run_id)
        for step in (*found.steps, *found.undos):
            seen = (step.id, step.undo, step.state, step.attempts, step.question)
            if step.state.value != "pending" and seen not in told:
                told.add(seen)
                typer.echo(plain_lines(step_lines(step)))
                if step.verdicts:
                    typer.echo(plain_lines(question(found)))
        if found.state.over:
            typer.echo(plain_lines(head(found)[:1]))
            raise typer.Exit(0 if found.state is RunState.DONE else 1)
        SystemClock().sleep(FOLLOW_SECONDS)


def _run(place: Path | str, run_id: str) -> RunView:
    from watchkeeper.playbooks import reading
    from watchkeeper.playbooks.starting import UnknownRunError

    found: RunView | None = _read(place, lambda conn: reading.run(conn, run_id))
    if found is None:
        raise UnknownRunError(f"there is no run {run_id!r}; `watchkeeper playbook runs` lists them")
    return found


def _read(place: Path | str, look: Callable[[Connection], Any]) -> Any:
    from watchkeeper.store.database import open_existing

    with open_existing(place) as store, store.read() as conn:
        return look(conn)


def _write(place: Path | str, change: Callable[[Connection, datetime], Any]) -> Any:
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing

    with open_existing(place, write=True) as store, store.write() as conn:
        return change(conn, SystemClock().now())


def _wake(data: Path | None) -> bool:
    """Tell the role ``work``; whether it runs."""
    from watchkeeper.app.settings import read_settings
    from watchkeeper.app.wire import WireError, ask_blocking

    try:
        ask_blocking(read_settings(data=data_directory(data)).work_socket, "wake", {}, WAKE_SECONDS)
    except WireError:
        return False
    return True


class _sentences:  # noqa: N801 - reads as `with _sentences():`
    """What cannot be done ends the command with its words and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from watchkeeper.app import inforce
        from watchkeeper.app.settings import SettingsError
        from watchkeeper.playbooks.models import PlaybookError
        from watchkeeper.store.errors import StoreError

        if isinstance(error, (PlaybookError, SettingsError, StoreError, *inforce.UNUSABLE)):
            typer.echo(plain_lines(str(error).split("\n")), err=True)
            raise typer.Exit(1) from None


def _inputs(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"{text!r} is no input; write key=value", param_hint="-i")
        found[key] = value
    return found


def _person(given: str | None) -> str:
    import getpass

    return f"person:{given or getpass.getuser()}"


def _fields(value: Any) -> Any:
    import dataclasses

    return dataclasses.asdict(value)


def _json(value: Any) -> None:
    import json

    from watchkeeper.store import canonical

    typer.echo(json.dumps(canonical.plain(value), indent=2, ensure_ascii=False))
