"""``watchkeeper rules``: the runbook's rules as a Prometheus rule file, and unit tests of rule files.

The exit codes of ``test`` are promtool's: 0 every file passed, 1 one did not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Export the runbook's rules for Prometheus; test rule files.",
)


@app.command("export")
def export(
    runbook: Annotated[
        Path, typer.Option("--runbook", "-r", envvar="WATCHKEEPER_RUNBOOK", help="The runbook.")
    ] = Path("runbook.yaml"),
    overlay: Annotated[
        Path | None, typer.Option("--overlay", envvar="WATCHKEEPER_OVERLAY", help="Merged over the runbook.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to the terminal.")
    ] = None,
    external_url: Annotated[
        str, typer.Option("--external-url", help="Where links of the runbook that begin with / lead to.")
    ] = "",
) -> None:
    """Write the rules as a file that Prometheus loads and `promtool check rules` accepts."""
    from watchkeeper.app.policy import check_expr
    from watchkeeper.monitoring.compile import CompileError, compile_runbook
    from watchkeeper.monitoring.export import rule_groups
    from watchkeeper.monitoring.rulefile import write_rules
    from watchkeeper.runbook.errors import RunbookError
    from watchkeeper.runbook.loading import load

    try:
        loaded = load(runbook, overlay=overlay, check_expr=check_expr)
        compiled = compile_runbook(loaded.runbook, external_url)
        text = write_rules(rule_groups(compiled, loaded.runbook.metrics.evaluation_interval))
    except RunbookError as error:
        typer.echo(error.render(), err=True)
        raise typer.Exit(1) from None
    except CompileError as error:
        typer.echo(f"{runbook}: {error}", err=True)
        raise typer.Exit(1) from None
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"{output} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"wrote {output}", err=True)


@app.command("test")
def test(
    files: Annotated[list[Path], typer.Argument(help="Files in promtool's format for unit tests.")],
) -> None:
    """Run unit tests of rule files, as `promtool test rules` does, with Watchkeeper's engine."""
    from watchkeeper.monitoring.unittests import run_file

    failed = False
    for path in files:
        typer.echo(f"Unit Testing:  {path}")
        report = run_file(path)
        for warning in report.warnings:
            typer.echo(warning, err=True)
        if report.passed:
            typer.echo("  SUCCESS")
        else:
            failed = True
            typer.echo("  FAILED:", err=True)
            for failure in report.failures:
                typer.echo(failure, err=True)
        typer.echo("")
    if failed:
        raise typer.Exit(1)
