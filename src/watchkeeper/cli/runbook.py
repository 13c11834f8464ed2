"""``watchkeeper runbook``: write, check, lint, render and explain the policy, and say how it stands.

Bad input of any kind ends in a message and exit code 1, never in a traceback (tests/cli/test_runbook.py).
Everything heavy is imported inside the commands, so that the command line starts fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, state

if TYPE_CHECKING:
    from watchkeeper.monitoring.compile import Compiled
    from watchkeeper.runbook.clauses import Clause
    from watchkeeper.runbook.loading import LoadedRunbook
    from watchkeeper.runbook.status import ClauseStatus

app = typer.Typer(
    rich_markup_mode=None, help="The policy: check it, read it, see how it stands.", no_args_is_help=True
)

RunbookOption = Annotated[
    Path | None,
    typer.Option(
        "--runbook",
        "-r",
        envvar="WATCHKEEPER_RUNBOOK",
        help="The runbook.",
        show_envvar=True,
        show_default="runbook.yaml",
    ),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option(
        "--overlay", envvar="WATCHKEEPER_OVERLAY", help="This deployment's metrics and notifications."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_RUNBOOK = Path("runbook.yaml")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_RUNBOOK,
) -> None:
    """Write the default runbook, to be edited. Never overwrites."""
    from watchkeeper.runbook.loading import default_text

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(default_text())
    except FileExistsError:
        _fail(f"{path} is there already and was not touched; name another file, or remove it first")
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror}")
    typer.echo(f"wrote {path}. Next: edit it, then `watchkeeper runbook check --runbook {path}`")


@app.command()
def check(runbook: RunbookOption = None, overlay: OverlayOption = None, as_json: JsonOption = False) -> None:
    """Report every mistake with its place, and what would be valid. Exit code 1 if there is any."""
    from watchkeeper.runbook.clauses import clauses
    from watchkeeper.runbook.errors import RunbookError

    try:
        loaded = _load(runbook, overlay, strict=True)
    except RunbookError as error:
        if as_json:
            _json({"valid": False, "problems": [problem.as_json() for problem in error.problems]})
        else:
            typer.echo(error.render(), err=True)
        raise typer.Exit(1) from None
    if as_json:
        _json({"valid": True, "problems": [], "clauses": len(clauses(loaded.runbook))})
    else:
        typer.echo(f"{runbook or DEFAULT_RUNBOOK} is valid: {len(clauses(loaded.runbook))} clauses")


@app.command()
def lint(runbook: RunbookOption = None, overlay: OverlayOption = None, as_json: JsonOption = False) -> None:
    """Find what is valid and yet will not do what is expected. Exit code 1 if anything is found."""
    from watchkeeper.runbook.lint import lint as find

    with problems_shown():
        loaded = _load(runbook, overlay)
        found = find(loaded, result_labels=_result_labels(), today=_now().date())
    if as_json:
        _json({"findings": [finding.as_json() for finding in found]})
    else:
        for finding in found:
            typer.echo(finding.render())
        typer.echo(f"{len(found)} finding{'s'[: len(found) != 1]}" if found else "nothing found")
    if found:
        raise typer.Exit(1)


@app.command()
def render(
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
) -> None:
    """Write the runbook as Markdown, for people."""
    from watchkeeper.runbook.rendering import render as as_markdown

    with problems_shown():
        document = as_markdown(load_or_default(runbook, overlay).runbook)
    if output is None:
        typer.echo(document, nl=False)
        return
    try:
        output.write_text(document, encoding="utf-8")
    except OSError as error:
        _fail(f"{output} cannot be written: {error.strerror}")
    typer.echo(f"wrote {output}")


@app.command()
def status(
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help=DATA_HELP),
    ] = None,
    store_url: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every clause: its verdict, the last evidence, and when the next is due."""
    from watchkeeper.runbook.clauses import clauses
    from watchkeeper.runbook.status import clause_statuses, counts

    with problems_shown():
        found = clauses(load_or_default(runbook, overlay).runbook)
    evidence, note = _evidence(data, store_url)
    now = _now()
    rows = clause_statuses(found, evidence, now)
    if as_json:
        _json({"note": note, "counts": counts(rows), "clauses": [row.as_json() for row in rows]})
        return
    if note:
        typer.echo(note, err=True)
    _print_status(rows)
    typer.echo(" · ".join(f"{number} {verdict}" for verdict, number in counts(rows).items()))


@app.command()
def explain(
    clause: Annotated[str, typer.Argument(help="A clause id, such as monitoring.api.error-rate.page.")],
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
) -> None:
    """Say what a clause asks, where it stands, how it is enforced and what proves it."""
    from watchkeeper.runbook.clauses import clauses
    from watchkeeper.runbook.errors import nearest

    with problems_shown():
        loaded = load_or_default(runbook, overlay)
    found = {one.id: one for one in clauses(loaded.runbook)}
    if clause not in found:
        below = [name for name in found if name.startswith(f"{clause}.")]
        hint = f"below it are: {', '.join(below)}" if below else nearest(clause, found)
        _fail(f"there is no clause `{clause}`; {hint}")
    _print_clause(found[clause], loaded)


def _load(runbook: Path | None, overlay: Path | None, *, strict: bool = False) -> LoadedRunbook:
    """The runbook with its expressions checked; ``strict`` also refuses waivers that are over."""
    from watchkeeper.app.policy import read_policy

    return read_policy(runbook or DEFAULT_RUNBOOK, overlay, today=_now().date() if strict else None)


def load_or_default(runbook: Path | None, overlay: Path | None) -> LoadedRunbook:
    """The runbook; or, where none is named and none is here, the default one, with a note that says so.

    Only for commands that show: a check that silently judged another file would be worse than an error.
    """
    if runbook is not None or DEFAULT_RUNBOOK.exists():
        return _load(runbook, overlay)
    from importlib import resources

    typer.echo(f"there is no {DEFAULT_RUNBOOK} here: this is the default runbook", err=True)
    with resources.as_file(resources.files("watchkeeper.runbook").joinpath("default.yaml")) as path:
        return _load(path, overlay)


@contextmanager
def problems_shown() -> Iterator[None]:
    from watchkeeper.runbook.errors import RunbookError

    try:
        yield
    except RunbookError as error:
        typer.echo(error.render(), err=True)
        raise typer.Exit(1) from None


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _now() -> Any:
    from watchkeeper.store.clock import SystemClock

    return SystemClock().now()


def _result_labels() -> Callable[[str], frozenset[str] | None]:
    from watchkeeper.monitoring.expressions import result_labels
    from watchkeeper.monitoring.promql.parser import parse

    return lambda text: result_labels(parse(text))


def _evidence(data: Path | None, store_url: str | None) -> tuple[dict[str, Any], str]:
    """The latest evidence of each clause, and a note when there is none to be had."""
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError, StoreMissingError
    from watchkeeper.store.evidence import latest_verdicts

    try:
        with open_existing(state(data, store_url)) as store:
            return dict(latest_verdicts(store)), ""
    except StoreMissingError as error:
        return {}, f"no evidence: {error}. Every clause is unknown."
    except (SettingsError, StoreError) as error:
        return {}, f"the evidence cannot be read: {error}. Every clause is unknown."


_MARKS = {"met": "●", "missed": "▲", "unknown": "◌", "waived": "◇"}


def _print_status(rows: list[ClauseStatus]) -> None:
    width = max((len(row.clause.id) for row in rows), default=0)
    section = ""
    for row in rows:
        if row.clause.section != section:
            section = row.clause.section
            typer.echo(f"\n{section}")
        last = f"#{row.seq} {row.at:%Y-%m-%d %H:%M}Z {row.summary}" if row.at is not None else "no evidence"
        due = f" · next {row.due:%Y-%m-%d %H:%M}Z" if row.due is not None else ""
        line = f"  {_MARKS[row.verdict]} {row.verdict:<7} {row.clause.id:<{width}}  {last}{due}"
        typer.echo("".join(c if c.isprintable() else " " for c in line))
    typer.echo("")


def _print_clause(clause: Clause, loaded: LoadedRunbook) -> None:
    from watchkeeper.runbook.clauses import PROOF_WORDS

    place = loaded.place(clause.loc)
    typer.echo(f"{clause.id}\n\n{clause.sentence}\n")
    typer.echo(f"stands at    {place}\n             {place.text.strip()}")
    typer.echo(f"proved by    {PROOF_WORDS[clause.proof]}")
    if clause.cadence is not None:
        typer.echo(f"evidence     needed again {_every(clause)}")
    if clause.deadline is not None:
        typer.echo(f"deadline     {getattr(clause.deadline, 'words', clause.deadline)}")
    if clause.waiver is not None:
        waiver = clause.waiver
        over = "" if waiver.active(_now().date()) else " (over: the clause holds again)"
        typer.echo(f"waived       until {waiver.until.isoformat()} by {waiver.owner}: {waiver.reason}{over}")
    if clause.section != "monitoring":
        return
    compiled = _compiled(loaded)
    for rule in compiled.rules:
        if rule.clause != clause.id:
            continue
        typer.echo(f"enforced by  the alerting rule {rule.name}, severity {rule.severity}")
        if rule.hold:
            typer.echo(f"             fires after it has held for {int(rule.hold.total_seconds())} s")
        if rule.playbook:
            typer.echo(f"playbook     {rule.playbook}")
        _print_expr(rule.expr)
    for signal in compiled.signals:
        if not signal.clauses or signal.clauses[0] != clause.id or not clause.id.endswith(".present"):
            continue
        typer.echo("measured by")
        _print_expr(signal.expr)


def _every(clause: Clause) -> str:
    words = getattr(clause.cadence, "words", None)
    return words or f"every {clause.cadence}"


def _print_expr(expr: str) -> None:
    indented = expr.strip().replace("\n", "\n    ")
    typer.echo(f"\n    {indented}")


def _compiled(loaded: LoadedRunbook) -> Compiled:
    from watchkeeper.monitoring.compile import CompileError, compile_runbook

    try:
        return compile_runbook(loaded.runbook)
    except CompileError as error:
        _fail(str(error))
