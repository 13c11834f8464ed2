"""``watchkeeper silences``: who asked not to hear of what, until when and why. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.places import DATA_HELP, StoreOption, data_directory, state
from watchkeeper.cli.remote import Remote, ServerOption, chosen, sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from watchkeeper.monitoring.maintenance import Opening
    from watchkeeper.monitoring.silences import Silence
    from watchkeeper.runbook.models.monitoring import Monitoring, Silencing

app = typer.Typer(rich_markup_mode=None, help="Silences: alerts that nobody is told of, for a while.")
DataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP)]
AsOption = Annotated[str | None, typer.Option("--as", help="Your name. [default: who is logged in here]")]
_FIELDS = ("id", "state", "matchers", "starts_at", "ends_at", "owner", "reason", "created_by")
_MARKS = {"active": "◇", "planned": "◌", "over": "·"}


@app.callback(invoke_without_command=True)
def silences(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that are over (the newest 200).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of silences.")] = False,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """The silences that stand or are planned, and the maintenance windows of the runbook."""
    if context.invoked_subcommand is not None:
        return
    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            found = there.get("/api/silences", all="true" if everything else None)
            rows = [{name: row[name] for name in _FIELDS} for row in found["silences"]]
            _show(rows, found["windows"], as_json)
            return

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import silencing
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    now = SystemClock().now()
    try:
        where, kept = data_directory(data, store_url), state(data, store_url)
        with open_existing(kept) as store, store.read() as conn:
            found = silencing.everything(conn) if everything else silencing.load(conn)
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    shown = [_document(one, now) for one in found if everything or one.state(now) != "over"]
    _show(shown, [] if everything else [_window_document(*one) for one in _windows(where, now)], as_json)


def _show(shown: list[dict[str, Any]], windows: list[dict[str, Any]], as_json: bool) -> None:
    import json

    if as_json:
        documents = [*shown, *({name: one[name] for name in one if name != "when"} for one in windows)]
        typer.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    if not shown and not any(one["state"] == "active" for one in windows):
        typer.echo("no silence: everybody hears of everything")
    for one in shown:
        typer.echo(_lines(one))
    for one in windows:
        typer.echo(_window_lines(one))


@app.command("add")
def add(
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER...", help="service=api, env!=prod, region=~eu-.* …: all hold."),
    ],
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; whoever finds it at night wants to know.")
    ] = "",
    owner: Annotated[str | None, typer.Option("--owner", help="Who answers for it. [default: you]")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="When it begins, such as 2026-01-05T03:00Z. [default: now]")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what it would hide now.")] = False,
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """Make a silence, and show what it hides now."""
    import getpass

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import alert_list, silencing
    from watchkeeper.monitoring import silences as pure
    from watchkeeper.runbook.models.quantities import BadQuantityError, Duration
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            if person is not None:
                raise typer.BadParameter("with --server you are who the token says", param_hint="--as")
            asked = {"matchers": matchers, "duration": for_, "reason": reason, "owner": owner}
            if start is not None:
                asked["starts_at"] = _moment(start).isoformat()
            _add_there(there, {name: value for name, value in asked.items() if value is not None}, preview)
            return
    now = SystemClock().now()
    who = person or getpass.getuser()
    try:
        meant = tuple(pure.matcher(text) for text in matchers)
        begins = now if start is None else _moment(start)
        wanted = pure.Wanted(meant, begins, begins + Duration(for_), owner or who, reason or ("-" * preview))
        where, kept = data_directory(data, store_url), state(data, store_url)
        with open_existing(kept) as store, store.read() as conn:
            alerts = [one for one in alert_list.current(conn) if one.state != "resolved"]
        hidden = [one.alertname for one in alerts if pure.matches(meant, one.labels)]
        policy = _policy(where)
        if preview:
            pure.check(wanted, now, policy)
            typer.echo(f"it would hide {_hidden(hidden, len(hidden), len(alerts))}; nothing was changed")
            return
        with open_existing(kept, write=True) as store, store.write() as conn:
            made = silencing.create(conn, now, wanted, who, policy)
    except (pure.SilenceError, BadQuantityError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(_lines(_document(made, now)))
    typer.echo(f"it hides {_hidden(hidden, len(hidden), len(alerts))}")


def _add_there(there: Remote, asked: dict[str, object], preview: bool) -> None:
    done = there.post("/api/silences/preview" if preview else "/api/silences", asked)
    hides = _hidden([row["alertname"] for row in done["hidden"]], done["hidden_count"], done["alerts"])
    if preview:
        typer.echo(f"it would hide {hides}; nothing was changed")
        return
    typer.echo(_lines(done["silence"]))
    typer.echo(f"it hides {hides}")


@app.command("end")
def end(
    number: Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")],
    person: AsOption = None,
    data: DataOption = None,
    store_url: StoreOption = None,
    server: ServerOption = None,
) -> None:
    """End a silence now; what still fires is told at the next evaluation."""
    import getpass

    from watchkeeper.app.settings import SettingsError
    from watchkeeper.monitoring import silencing
    from watchkeeper.monitoring.silences import SilenceError
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_existing
    from watchkeeper.store.errors import StoreError

    with sentences():
        there = chosen(server, data, store_url)
        if there is not None:
            typer.echo(_lines(there.post(f"/api/silences/{number}/end")))
            return
    now = SystemClock().now()
    try:
        with open_existing(state(data, store_url), write=True) as store, store.write() as conn:
            ended = silencing.end(conn, now, number, person or getpass.getuser())
    except (SilenceError, SettingsError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(_lines(_document(ended, now)))


def _policy(data: Path) -> Silencing:
    """What the runbook in force there says of silences."""
    return _monitoring(data).silences


def _monitoring(data: Path) -> Monitoring:
    """The monitoring section of the runbook in force there; the defaults where none is in force yet."""
    from watchkeeper.app import inforce
    from watchkeeper.app.settings import read_settings
    from watchkeeper.runbook.models.monitoring import Monitoring

    loaded = inforce.kept(read_settings(data=data))
    return loaded.runbook.monitoring if loaded is not None else Monitoring()


def _windows(data: Path, now: datetime) -> list[tuple[str, Opening]]:
    """Each maintenance window that is open (``active``) or opens next (``planned``)."""
    from watchkeeper.monitoring.maintenance import next_opening, opening_at

    found: list[tuple[str, Opening]] = []
    for window in _monitoring(data).maintenance:
        if (current := opening_at(window, now)) is not None:
            found.append(("active", current))
        elif (following := next_opening(window, now)) is not None:
            found.append(("planned", following))
    return found


def _window_document(state: str, opening: Opening) -> dict[str, Any]:
    from watchkeeper.store.canonical import rfc3339

    return {
        "window": opening.window.id,
        "title": opening.window.title,
        "state": state,
        "matchers": list(opening.window.match),
        "starts_at": rfc3339(opening.start),
        "ends_at": rfc3339(opening.end),
        "reason": opening.window.reason,
        "when": opening.window.when,
    }


def _window_lines(window: Mapping[str, Any]) -> str:
    from datetime import datetime

    from watchkeeper.runbook.matchers import selector

    begins, ends = (datetime.fromisoformat(window[name]) for name in ("starts_at", "ends_at"))
    state = window["state"]
    head = f"{_MARKS[state]} {window['window']:<4} {state:<8} {selector(window['matchers'])}  "
    head += f"{begins:%Y-%m-%d %H:%M:%SZ} to {ends:%Y-%m-%d %H:%M:%SZ}"
    why = f": {window['reason']}" if window["reason"] else ""
    lines = (head, f"       maintenance window {window['title']}, {window['when']}{why}")
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines)


def _moment(text: str) -> datetime:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-01-05T03:00Z, or with an offset", param_hint="--from"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _document(silence: Silence, now: datetime) -> dict[str, Any]:
    from watchkeeper.store.canonical import rfc3339

    return {
        "id": silence.id,
        "state": silence.state(now),
        "matchers": [str(one) for one in silence.matchers],
        "starts_at": rfc3339(silence.starts_at),
        "ends_at": rfc3339(silence.until),
        "owner": silence.owner,
        "reason": silence.reason,
        "created_by": silence.created_by,
    }


def _hidden(alertnames: Sequence[str], count: int, all_of: int) -> str:
    if not alertnames:
        return f"none of the {all_of} alerts there are"
    names = sorted(set(alertnames))
    more = f" and {len(names) - 5} more names" if len(names) > 5 else ""
    return f"{count} of {all_of} alerts: {', '.join(names[:5])}{more}"


def _lines(silence: Mapping[str, Any]) -> str:
    """One silence for people; what came from outside cannot move the cursor."""
    from datetime import datetime

    state, words = silence["state"], "{" + ", ".join(silence["matchers"]) + "}"
    begins, ends = (datetime.fromisoformat(silence[name]) for name in ("starts_at", "ends_at"))
    span = f"{begins:%Y-%m-%d %H:%M:%SZ} to {ends:%Y-%m-%d %H:%M:%SZ}"
    head = f"{_MARKS[state]} {silence['id']:<4} {state:<8} {words}  {span}"
    lines = (head, f"       {silence['owner']}: {silence['reason']}")
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines)
