"""``watchkeeper jobs``: scheduled work: when it runs next, how it went, run it now. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory
from watchkeeper.cli.plain import plain
from watchkeeper.cli.serve import OverlayOption, RunbookOption
from watchkeeper.cli.users import AsOption, actor, now, store_of

if TYPE_CHECKING:
    from watchkeeper.store.job_rows import Known
    from watchkeeper.store.jobs import Job

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Scheduled work: list, run, pause.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `jobs list` shows it.")]


@app.command("list")
def list_jobs(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of jobs.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Every job: how its last run went, and when the next one is."""
    import json

    from watchkeeper.store import job_rows

    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = job_rows.listing(conn)
    if as_json:
        typer.echo(json.dumps([_document(known) for known in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("no jobs yet; `watchkeeper serve` registers them when it begins")
    for known in found:
        typer.echo(_line(known))


@app.command("run")
def run(
    name: NameArgument,
    person: AsOption = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Run a job here and now, beside its schedule. Exit code 1 if it does not end well."""
    from watchkeeper.app.scheduling import run_now
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.errors import StoreError
    from watchkeeper.store.jobs import JobError

    by = actor(person)
    job = _job(name, runbook, overlay, data, store_url)
    with store_of(data, store_url, write=True) as store:
        try:
            outcome = run_now(store, SystemClock(), job, by)
        except (JobError, StoreError) as error:
            typer.echo(f"{name}: {error}", err=True)
            raise typer.Exit(1) from None
    if outcome is None:
        typer.echo(f"{name} is running already; `watchkeeper jobs list` says since when", err=True)
        raise typer.Exit(1)
    typer.echo(plain(f"{name}: {outcome.summary}"), err=not outcome.ok)
    if not outcome.ok:
        raise typer.Exit(1)


@app.command("pause")
def pause(
    name: NameArgument, person: AsOption = None, data: DataOption = None, store_url: StoreOption = None
) -> None:
    """Begin a job no more until it is resumed; a run under way goes on."""
    from watchkeeper.store import job_rows

    with store_of(data, store_url, write=True) as store, store.write() as conn:
        found = job_rows.pause(conn, now(), name, actor(person))
        known = job_rows.load(conn, name)
    _shown(name, known if found else None)


@app.command("resume")
def resume(
    name: NameArgument, person: AsOption = None, data: DataOption = None, store_url: StoreOption = None
) -> None:
    """Let a paused job go on at its next time; what it missed meanwhile is not made up for."""
    from watchkeeper.store import job_rows

    with store_of(data, store_url, write=True) as store, store.write() as conn:
        found = job_rows.resume(conn, now(), name, actor(person))
        known = job_rows.load(conn, name)
    _shown(name, known if found else None)


@app.command("history")
def history(
    name: NameArgument,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="At most so many.")] = 20,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """What became of a job, from the journal, oldest first."""
    from watchkeeper.store import job_rows

    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = job_rows.history(conn, name, lines)
    for entry in found:
        verdicts = " ".join(f"[{clause} {verdict}]" for clause, verdict in entry.evidence)
        said = entry.facts.get("summary", "")
        line = f"{entry.seq:>6}  {entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.kind:<12} {said}  {verdicts}"
        typer.echo(plain(line).rstrip())
    if not found:
        typer.echo(f"the journal knows nothing of a job {plain(name)!r}", err=True)


def _job(
    name: str, runbook: Path | None, overlay: Path | None, data: Path | None, store_url: str | None
) -> Job:
    from watchkeeper.app import inforce
    from watchkeeper.app.jobs import jobs_of
    from watchkeeper.app.settings import SettingsError, read_settings

    try:
        settings = read_settings(runbook, overlay, data_directory(data, store_url), store=store_url)
        policy = inforce.kept(settings) if runbook is None and not settings.runbook.exists() else None
        known = jobs_of(settings, (policy or inforce.choose(settings).loaded).runbook)
    except (SettingsError, *inforce.UNUSABLE) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    job = next((one for one in known if one.name == name), None)
    if job is None:
        names = ", ".join(one.name for one in known)
        typer.echo(f"there is no job {plain(name)!r}; there are {names}", err=True)
        raise typer.Exit(1)
    return job


def _shown(name: str, known: Known | None) -> None:
    if known is None:
        typer.echo(
            f"there is no job {plain(name)!r}; `watchkeeper jobs list` shows which there are", err=True
        )
        raise typer.Exit(1)
    typer.echo(_line(known))


def _line(known: Known) -> str:
    state = known.state
    if known.paused_by is not None:
        coming = f"paused by {known.paused_by}"
    elif state.running:
        coming = f"running since {state.running_since:%Y-%m-%d %H:%M:%S}Z"
    else:
        again = " (tried again)" if state.attempt else ""
        coming = f"next {state.due_at:%Y-%m-%d %H:%M:%S}Z{again}"
    last = "never ran"
    if known.last_ended_at is not None:
        last = f"{known.last_outcome} {known.last_ended_at:%Y-%m-%d %H:%M:%S}Z"
    error = f": {known.last_error}" if known.last_error else ""
    return plain(f"{known.name:<18} {coming:<34} {last}{error}")


def _document(known: Known) -> dict[str, object]:
    from watchkeeper.store.canonical import rfc3339

    def moment(value: object) -> str | None:
        return None if value is None else rfc3339(value)  # type: ignore[arg-type]  # every one is a datetime

    return {
        "name": known.name,
        "title": known.title,
        "schedule": known.schedule,
        "next": None if known.paused_by else moment(known.state.due_at),
        "paused_by": known.paused_by,
        "running_since": moment(known.state.running_since if known.state.running else None),
        "attempt": known.state.attempt,
        "last_due": moment(known.state.last_due),
        "last_started_at": moment(known.last_started_at),
        "last_ended_at": moment(known.last_ended_at),
        "last_outcome": known.last_outcome,
        "last_error": known.last_error,
    }
