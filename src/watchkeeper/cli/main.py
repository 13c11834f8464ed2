"""``watchkeeper``: every command, and the one place where an error becomes a sentence and an exit code.

Exit codes: 0 done; 1 the answer is no (a check found something, a command could not be carried out);
2 the command was called wrongly. A traceback is shown only for a defect of ours.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from watchkeeper import __version__
from watchkeeper.cli import (
    alerts,
    changes,
    demo,
    evidence,
    incidents,
    jobs,
    journal,
    oncall,
    playbooks,
    receivers,
    roles,
    rules,
    runbook,
    serve,
    silences,
    store,
    tokens,
    top,
    users,
)

app = typer.Typer(
    name="watchkeeper",
    help="Your operations runbook, running.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich's help takes a quarter of a second to import
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runbook.app, name="runbook")
app.command("serve")(serve.serve)
app.command("top")(top.top)
app.add_typer(alerts.app, name="alerts")
app.add_typer(changes.app, name="changes")
app.add_typer(incidents.app, name="incidents")
app.add_typer(silences.app, name="silences")
app.add_typer(oncall.app, name="oncall")
app.add_typer(playbooks.app, name="playbook")
app.add_typer(receivers.app, name="receivers")
app.add_typer(rules.app, name="rules")
app.add_typer(journal.app, name="journal")
app.add_typer(evidence.app, name="evidence")
app.add_typer(jobs.app, name="jobs")
app.add_typer(store.app, name="store")
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(demo.app, name="demo")
app.command("role", hidden=True)(roles.role)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"watchkeeper {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Your operations runbook, running."""


def main() -> None:
    """The console script."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `| head` does
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
