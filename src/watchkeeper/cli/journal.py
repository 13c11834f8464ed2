"""``watchkeeper journal``: read the log of everything that happened, and prove that nobody changed it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, state
from watchkeeper.cli.remote import Remote, ServerOption, chosen, sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.store.database import Store
    from watchkeeper.store.journal import Anchor, Entry

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Read and verify the journal.")

POLL_SECONDS = 0.5
PAGE = 1000
"""So many entries are asked for at once of another Watchkeeper."""
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
LinesOption = Annotated[
    int, typer.Option("--lines", "-n", min=1, max=100_000, help="At most so many entries.")
]


@app.command("tail")
def tail(
    data: DataOption = None,
    store_url: StoreOption = None,
    lines: LinesOption = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as entries arrive, to Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """The newest entries."""
    from watchkeeper.store import journal
    from watchkeeper.store.clock import SystemClock

    clock = SystemClock()
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            head: int = there.get("/api/journal/tail", limit=1)["head"]
            _print(_search_there(there, lines, {"before": head + 1}), as_json)
            while follow:
                clock.sleep(POLL_SECONDS)
                fresh = _entries(there.get("/api/journal/tail", after=head, limit=PAGE)["entries"])
                _print(fresh, as_json)
                head = fresh[-1].seq if fresh else head
            return
    with _store(data, store_url) as store:
        with store.read() as conn:
            newest = journal.entries(conn, limit=lines)
            last = journal.head(conn).seq
        _print(newest, as_json)
        while follow:
            clock.sleep(POLL_SECONDS)
            with store.read() as conn:
                fresh = journal.tail(conn, last)
            _print(fresh, as_json)
            last = fresh[-1].seq if fresh else last


@app.command("search")
def search(
    subject: Annotated[str | None, typer.Option("--subject", help="Entries about exactly this.")] = None,
    clause: Annotated[str | None, typer.Option("--clause", help="Entries that cite this clause.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Entries of this kind; alert.* means all that begin so.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="A time (2026-01-05T03:00Z) or an age (90s, 15m, 24h, 7d).")
    ] = None,
    after: Annotated[int | None, typer.Option("--after", help="Entries after this number.")] = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    lines: LinesOption = 100,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """The newest entries that fit every condition given, oldest first."""
    from watchkeeper.store import journal

    start = None if since is None else moment(since)
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            asked = {"subject": subject, "clause": clause, "kind": kind, "after": after}
            found = _search_there(there, lines, {**asked, "since": start.isoformat() if start else None})
    if there is None:
        wanted = journal.Filter(subject=subject, clause=clause, kind=kind, since=start, after=after)
        with _store(data, store_url) as store, store.read() as conn:
            found = journal.entries(conn, wanted, lines)
    _print(found, as_json)
    if not found and not as_json:
        typer.echo("no entry fits", err=True)


@app.command("verify")
def verify(
    data: DataOption = None,
    store_url: StoreOption = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="SEQ:HASH, as an earlier verify printed it: it must still be there."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Recompute every hash. Exit code 1 if an entry was changed, removed or slipped in.

    Keep the head that this prints somewhere else, and give it as --anchor later: only so can entries cut off
    at the end be found out.
    """
    import json

    from watchkeeper.store import journal

    known = None if anchor is None else _anchor(anchor)
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            said = there.get("/api/journal/verify", anchor=f"{known.seq}:{known.hash}" if known else None)
            report = journal.ChainReport(said["entries"], said["head"], said["broken"], said["problem"])
    if there is None:
        with _store(data, store_url) as store, store.read() as conn:
            report = journal.verify(conn, known)
    if as_json:
        shown = {
            "intact": report.intact,
            "entries": report.entries,
            "head": report.head,
            "broken": report.broken,
            "problem": report.problem,
        }
        typer.echo(json.dumps(shown))
    elif report.intact:
        typer.echo(f"{report.entries} entries, the chain is intact; head {report.entries}:{report.head}")
    else:
        typer.echo(
            f"the journal is broken at entry {report.broken}: {report.problem}. "
            f"Entries 1 to {report.entries} are as they were written; keep a copy of the store as it is.",
            err=True,
        )
    if not report.intact:
        raise typer.Exit(1)


@contextmanager
def _store(data: Path | None, store_url: str | None) -> Iterator[Store]:
    """The store, for reading; a problem ends the command with its sentence."""
    from watchkeeper.app.settings import SettingsError
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    try:
        with open_existing(state(data, store_url)) as store:
            yield store
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _search_there(there: Remote, lines: int, asked: dict[str, object]) -> list[Entry]:
    """The newest ``lines`` entries of another Watchkeeper that fit, oldest first, page by page."""
    found: list[Entry] = []
    before = asked.get("before")
    while True:
        question = {**asked, "before": before, "limit": min(PAGE, lines - len(found))}
        page = there.get("/api/journal", **question)
        found += _entries(page["entries"])
        before = page["before"]
        if before is None or len(found) >= lines:
            return found[::-1]


def _entries(rows: list[dict[str, Any]]) -> list[Entry]:
    from watchkeeper.store.journal import Entry

    return [
        Entry(
            row["seq"],
            datetime.fromisoformat(row["at"]),
            row["kind"],
            row["actor"],
            row["subject"],
            row["facts"],
            row["hash"],
            tuple((one["clause"], one["verdict"]) for one in row["evidence"]),
        )
        for row in rows
    ]


def _print(entries: list[Entry], as_json: bool) -> None:
    import json

    from watchkeeper.store.canonical import rfc3339

    for entry in entries:
        if as_json:
            shown = {
                "seq": entry.seq,
                "at": rfc3339(entry.at),
                "kind": entry.kind,
                "actor": entry.actor,
                "subject": entry.subject,
                "facts": entry.facts,
                "evidence": [{"clause": clause, "verdict": verdict} for clause, verdict in entry.evidence],
                "hash": entry.hash,
            }
            typer.echo(json.dumps(shown, ensure_ascii=False))
        else:
            typer.echo(_line(entry))


def _line(entry: Entry) -> str:
    """One entry for people, on one line; what came from outside cannot move the cursor."""
    told = entry.facts.get("summary") or " ".join(
        f"{key}={value}" for key, value in sorted(entry.facts.items())
    )
    verdicts = " ".join(f"[{clause} {verdict}]" for clause, verdict in entry.evidence)
    when = entry.at.strftime("%Y-%m-%d %H:%M:%S")
    text = f"{entry.seq:>6}  {when}Z  {entry.kind:<24} {entry.subject}  {told}  {verdicts}".rstrip()
    return "".join(char if char.isprintable() else " " for char in text)


def moment(text: str, option: str = "--since") -> datetime:
    """A time, or now minus an age, as the ``option`` takes it."""
    import re
    from datetime import UTC, timedelta

    from watchkeeper.store.clock import SystemClock

    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    age = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if age:
        return SystemClock().now() - timedelta(**{units[age[2]]: int(age[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a time (2026-01-05T03:00Z) nor an age (90s, 15m, 24h, 7d)",
            param_hint=option,
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _anchor(text: str) -> Anchor:
    from watchkeeper.store.journal import Anchor

    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or len(digest) != 64:
        raise typer.BadParameter("write it as verify printed it, SEQ:HASH", param_hint="--anchor")
    return Anchor(int(seq), digest)
