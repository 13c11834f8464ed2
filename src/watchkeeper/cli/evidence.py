"""``watchkeeper evidence``: the auditor's package, and what proves one clause. Needs no server."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from watchkeeper.cli.journal import moment
from watchkeeper.cli.places import DATA_HELP, StoreOption
from watchkeeper.cli.plain import plain
from watchkeeper.cli.runbook import OverlayOption, RunbookOption, load_or_default, problems_shown
from watchkeeper.cli.users import now, store_of

if TYPE_CHECKING:
    from watchkeeper.app.evidence_package import Package

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Proof: export it, list it.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]


class Format(StrEnum):
    """What an auditor may want."""

    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    PDF = "pdf"


@app.command("export")
def export(
    since: Annotated[
        str, typer.Option("--since", help="A day (2026-01-01, UTC), a time, or an age (24h, 90d).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")],
    until: Annotated[
        str | None, typer.Option("--until", help="A day (all of it), a time or an age. [default: now]")
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", help="Only this section, such as backups.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How it is written.")] = Format.JSON,
    font: Annotated[
        Path | None, typer.Option("--font", help="A TrueType font for the PDF, where names need one.")
    ] = None,
    runbook: RunbookOption = None,
    overlay: OverlayOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """Write every clause, its verdict at the end and its evidence. Exit code 1 if the journal is broken."""
    from watchkeeper.app.evidence_package import gather, sections
    from watchkeeper.runbook.clauses import clauses

    start, end = moment(since), _end(until)
    if start >= end:
        _fail(f"the period is empty: it begins at {start.isoformat()} and ends at {end.isoformat()}")
    with problems_shown():
        loaded = load_or_default(runbook, overlay)
    known = sections(clauses(loaded.runbook))
    if section is not None and section not in known:
        _fail(f"there is no section {section!r}; there are {', '.join(known)}")
    with store_of(data, store_url, write=False) as store, store.read() as conn:
        package = gather(conn, loaded, start, end, section)
    _write(output, _rendered(package, form, font))
    number = sum(len(one.evidence) for one in package.clauses)
    said = f"{len(package.clauses)} clauses with {number} pieces of evidence"
    typer.echo(f"{said}; the journal is {package.chain.words}", err=True)
    if package.chain.broken is not None:
        raise typer.Exit(1)


@app.command("list")
def list_evidence(
    clause: Annotated[str, typer.Argument(help="A clause id, such as monitoring.api.error-rate.page.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="At most so many.")] = 20,
    data: DataOption = None,
    store_url: StoreOption = None,
) -> None:
    """What proves a clause, newest first."""
    from watchkeeper.store.evidence import clause_history

    with store_of(data, store_url, write=False) as store, store.read() as conn:
        found = clause_history(conn, clause, lines)
    for one in found:
        line = f"{one.seq:>6}  {one.at:%Y-%m-%d %H:%M:%S}Z  {one.verdict:<7}  {one.summary}"
        typer.echo(plain(line))
    if not found:
        typer.echo(
            f"nothing has ever proved {plain(clause)!r}; `watchkeeper runbook status` lists the clauses",
            err=True,
        )


def _rendered(package: Package, form: Format, font: Path | None) -> bytes:
    from watchkeeper.app import evidence_text
    from watchkeeper.app.evidence_pdf import PdfUnavailableError, as_pdf

    if form is Format.PDF:
        try:
            return as_pdf(package, font)
        except PdfUnavailableError as error:
            _fail(str(error))
    as_text = {
        Format.JSON: evidence_text.as_json,
        Format.CSV: evidence_text.as_csv,
        Format.MARKDOWN: evidence_text.as_markdown,
    }
    return as_text[form](package).encode()


def _write(output: Path, content: bytes) -> None:
    """The whole file or none."""
    if str(output) == "-":
        typer.get_binary_stream("stdout").write(content)
        return
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        _fail(f"{output} cannot be written: {error.strerror}")


def _end(until: str | None) -> datetime:
    if until is None:
        return now().replace(microsecond=0)
    day = len(until) == 10 and until[4] == until[7] == "-"
    return moment(until, "--until") + (timedelta(days=1) if day else timedelta(0))


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)
