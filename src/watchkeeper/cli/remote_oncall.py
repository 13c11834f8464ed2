"""``watchkeeper oncall --server``: what another Watchkeeper says of its rotas, shown as one's own is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from watchkeeper.cli.remote import Remote
    from watchkeeper.oncall.overrides import Stored
    from watchkeeper.oncall.rota import Shift
    from watchkeeper.runbook.models.runbook import Runbook


def now(there: Remote, as_json: bool) -> None:
    """Print who is on call in each rota."""
    from watchkeeper.oncall.report import Watch
    from watchkeeper.oncall.wording import told_lines
    from watchkeeper.runbook.models.people import Rota

    rows = there.get("/api/oncall/now")["rotas"]
    if as_json:
        first = ("rota", "title", "timezone")
        _json(
            [
                {name: row[name] for name in first} | _trimmed({**row, "next": _trimmed(row["next"])})
                for row in rows
            ]
        )
        return
    if not rows:
        typer.echo("the runbook has no rota; add one under oncall.rotas")
    for row in rows:
        rota = Rota.model_construct(id=row["rota"], title=row["title"], timezone=row["timezone"])
        watch = Watch(rota, _shift(row), _shift(row["next"]))
        typer.echo("\n".join(told_lines(watch, _book([row, row["next"]]), _ways(row))))


def schedule(
    there: Remote, rota: str | None, start: str | None, weeks: int, as_json: bool, as_ical: bool
) -> None:
    """Print the shifts of a rota."""
    from watchkeeper.oncall.wording import schedule_lines

    asked: dict[str, object] = {"rota": rota, "from": start, "weeks": weeks}
    if as_ical:
        typer.echo(there.text("/api/oncall/schedule.ics", **asked), nl=False)
        return
    found = there.get("/api/oncall/schedule", **asked)
    rows = found["shifts"]
    if as_json:
        _json([_trimmed(row) for row in rows])
        return
    typer.echo("\n".join(schedule_lines([_shift(row) for row in rows], found["timezone"], _book(rows))))


def override(
    there: Remote,
    contact: str | None,
    start: str | None,
    end: str | None,
    rota: str | None,
    reason: str | None,
    cancel: int | None,
) -> None:
    """Make an override, or cancel one, or print those that stand."""
    zones = {row["rota"]: row["timezone"] for row in there.get("/api/oncall/now")["rotas"]}

    def shown(row: dict[str, Any]) -> str:
        from watchkeeper.oncall.wording import override_line

        return override_line(_stored(row), zones.get(row["rota"], "UTC"))

    if cancel is not None:
        typer.echo(f"cancelled: {shown(there.post(f'/api/oncall/overrides/{cancel}/cancel'))}")
    elif contact is not None:
        asked = {"contact": contact, "start": start, "end": end, "rota": rota, "reason": reason}
        made = there.post("/api/oncall/overrides", {k: v for k, v in asked.items() if v is not None})
        typer.echo(f"made: {shown(made)}")
        typer.echo(f"take it back with: watchkeeper oncall override --cancel {made['id']}")
    else:
        rows = there.get("/api/oncall/overrides", rota=rota)["overrides"]
        typer.echo("\n".join(shown(row) for row in rows) or "no override stands or will")


def _shift(row: dict[str, Any]) -> Shift:
    from datetime import UTC

    from watchkeeper.oncall.rota import REACH, Override, Shift

    if row["start"] is None or row["end"] is None:  # nobody, for as long as anybody looked
        begin = datetime(2000, 1, 1, tzinfo=UTC)
        return Shift(None, begin, begin + REACH)
    begin, end = datetime.fromisoformat(row["start"]), datetime.fromisoformat(row["end"])
    made = row["override"]
    contact = row["contact"]["id"] if row["contact"] else None
    stood = Override(contact or "", begin, end, made["reason"], made["id"]) if made else None
    return Shift(contact, begin, end, row["layer"], stood)


def _ways(row: dict[str, Any]) -> list[tuple[str, datetime | None]]:
    found = (row["contact"] or {}).get("ways") or ()
    return [
        (one["way"], datetime.fromisoformat(one["verified_at"]) if one["verified_at"] else None)
        for one in found
    ]


def _book(rows: Iterable[dict[str, Any]]) -> Runbook:
    """As much of the other's runbook as names people."""
    from watchkeeper.runbook.models.people import Contact
    from watchkeeper.runbook.models.runbook import Runbook

    people = {row["contact"]["id"]: row["contact"] for row in rows if row["contact"]}
    contacts = [
        Contact.model_construct(
            **{name: person[name] for name in ("id", "name", "phone", "email", "slack")},
            receivers=tuple(person["receivers"]),
        )
        for person in people.values()
    ]
    return Runbook.model_construct(runbook=1, platform="", contacts=tuple(contacts))


def _stored(row: dict[str, Any]) -> Stored:
    from watchkeeper.oncall.overrides import Stored
    from watchkeeper.oncall.rota import Override

    begin, end = datetime.fromisoformat(row["start"]), datetime.fromisoformat(row["end"])
    stood = Override(row["contact"], begin, end, row["reason"], row["id"])
    made = datetime.fromisoformat(row["created_at"])
    return Stored(row["id"], row["rota"], stood, made, row["created_by"])


def _trimmed(shift: dict[str, Any]) -> dict[str, Any]:
    """A shift as the command writes it: without the ways to reach somebody that there are not."""
    contact = shift["contact"]
    kept = contact and {
        name: value
        for name, value in contact.items()
        if value is not None and (name, value) != ("receivers", [])
    }
    return {**shift, "contact": kept}


def _json(document: object) -> None:
    import json

    text = json.dumps(document, indent=2, ensure_ascii=False)
    shown = (c if c.isprintable() or c == "\n" or c > "\uffff" else f"\\u{ord(c):04x}" for c in text)
    typer.echo("".join(shown))
