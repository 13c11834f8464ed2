"""What people write after the fact: sections of the document, key events, follow-ups, ratings of alerts.

Always true here: text is replaced, never lost: each entry of the journal holds what was written, whole; an
alert's rating is the last one given (tests/incidents/test_documenting.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from watchkeeper.incidents import clocks, records
from watchkeeper.incidents.models import Author, FollowUp, Incident, IncidentError, Rating, State
from watchkeeper.incidents.policy import section
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal, journal_search
from watchkeeper.store.models import alert_ratings, follow_ups, incident_alerts

LONGEST = 50_000


def section_names(runbook: Runbook) -> tuple[str, ...]:
    """The sections that people may write, lower case: the runbook's, and a summary."""
    names = (name.lower() for name in section(runbook).document.sections)
    return tuple(dict.fromkeys(("summary", *names)))


def write_section(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    name: str,
    text: str,
    *,
    revision: int | None = None,
) -> Incident:
    """Write a section; what stood there before stays in the journal. Of a closed incident nothing is written
    over: then ``text`` is a correction, which stands below what it corrects."""
    incident = records.load(conn, number, lock=True)
    _not_merged(incident)
    records.check_revision(conn, incident, revision)
    wanted, known = name.strip().lower(), section_names(runbook)
    if wanted not in known:
        raise IncidentError(f"the document has no section {name!r}; it has {', '.join(known)}")
    if len(text) > LONGEST:
        raise IncidentError(f"a section is at most {LONGEST} characters; nothing was changed")
    before = incident.sections.get(wanted)
    corrects = incident.state is State.CLOSED
    if before is not None and before.text == text.strip():
        return incident
    if corrects and not text.strip():
        raise IncidentError("a correction needs its text; nothing was changed")
    verb = "corrected" if corrects else "rewrote" if before else "wrote"
    written = {"text": text.strip(), "by": by.name, "at": now.isoformat()}
    kept = records.document_of(incident)
    if corrects:
        kept["corrections"].append({"section": wanted, **written})
    else:
        kept["sections"][wanted] = written
    facts = {"section": wanted, "text": text.strip(), "correction": corrects}
    said = f"{by.name} {verb} the section {wanted}"
    return records.change(
        conn, now, incident, by, "section", said, revision=revision, facts=facts, document=kept
    )


def pick_event(
    conn: Connection, now: datetime, runbook: Runbook, number: int, by: Author, seq: int
) -> Incident:
    """The journal's entry ``seq`` is a key event of the incident."""
    return _picked(conn, now, number, by, seq, picked=True)


def unpick_event(
    conn: Connection, now: datetime, runbook: Runbook, number: int, by: Author, seq: int
) -> Incident:
    """The journal's entry ``seq`` is no key event of the incident."""
    return _picked(conn, now, number, by, seq, picked=False)


def _picked(conn: Connection, now: datetime, number: int, by: Author, seq: int, *, picked: bool) -> Incident:
    incident = records.load(conn, number, lock=True)
    _not_merged(incident)
    entry = journal_search.one(conn, seq)
    if entry is None:
        raise IncidentError(f"there is no entry {seq} in the journal; nothing was changed")
    if (seq in incident.key_events) == picked and (seq in incident.left_out) != picked:
        return incident
    key, out = set(incident.key_events) - {seq}, set(incident.left_out) - {seq}
    (key if picked else out).add(seq)
    verb = "picked" if picked else "took out"
    said = f"{by.name} {verb} a key event: {entry.facts.get('summary', entry.kind)}"
    document = records.document_of(incident, key_events=sorted(key), left_out=sorted(out))
    facts = {"entry": seq, "picked": picked}
    return records.change(conn, now, incident, by, "key_event", said, facts=facts, document=document)


def add_follow_up(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    title: str,
    *,
    owner: str | None = None,
    due_on: datetime | None = None,
    url: str | None = None,
) -> FollowUp:
    """Something is to be done after the incident, by ``owner`` until ``due_on``. Also of a closed one."""
    incident = records.load(conn, number, lock=True)
    _not_merged(incident)
    if not title.strip():
        raise IncidentError("a follow-up needs a title; nothing was added")
    values: dict[str, Any] = {
        "title": title.strip(),
        "owner": (owner or "").strip() or None,
        "due_on": due_on,
        "url": _web(url),
    }
    row = insert(follow_ups).values(incident_id=number, created_at=now, created_by=by.name, **values)
    key = conn.execute(row).inserted_primary_key
    assert key is not None
    one = _follow_up(conn, int(key[0]))
    records.change(
        conn, now, incident, by, "follow_up", f"follow-up {one.id}: {_says(one)}", facts=_facts(one, "added")
    )
    clocks.follow_up_changed(conn, now, runbook, one, by)
    return one


def edit_follow_up(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    follow_up_id: int,
    by: Author,
    *,
    title: str | None = None,
    owner: str | None = None,
    due_on: datetime | None = None,
    url: str | None = None,
) -> FollowUp:
    """Change a follow-up; what is None stays as it is."""
    one = _follow_up(conn, follow_up_id)
    if one.done_at is not None:
        raise IncidentError(f"follow-up {follow_up_id} is done; add another one")
    given = {"title": title, "owner": owner, "url": _web(url)}
    values: dict[str, Any] = {name: text.strip() for name, text in given.items() if text and text.strip()}
    values |= {"due_on": due_on} if due_on is not None else {}
    if not values:
        return one
    conn.execute(update(follow_ups).where(follow_ups.c.id == follow_up_id).values(**values))
    after = _follow_up(conn, follow_up_id)
    incident = records.load(conn, one.incident_id, lock=True)
    said = f"follow-up {one.id} is now: {_says(after)}"
    records.change(conn, now, incident, by, "follow_up", said, facts=_facts(after, "changed"))
    clocks.follow_up_changed(conn, now, runbook, after, by)
    return after


def complete_follow_up(
    conn: Connection, now: datetime, runbook: Runbook, follow_up_id: int, by: Author, note: str = ""
) -> FollowUp:
    """It is done."""
    one = _follow_up(conn, follow_up_id)
    if one.done_at is not None:
        return one
    mine = (follow_ups.c.id == follow_up_id) & follow_ups.c.done_at.is_(None)
    conn.execute(update(follow_ups).where(mine).values(done_at=now, done_by=by.name))
    after = _follow_up(conn, follow_up_id)
    incident = records.load(conn, one.incident_id, lock=True)
    said = f"{by.name} completed follow-up {one.id}: {one.title}" + (f" ({note})" if note else "")
    facts = {**_facts(after, "done"), "note": note}
    records.change(conn, now, incident, by, "follow_up", said, facts=facts)
    clocks.follow_up_changed(conn, now, runbook, after, by)
    return after


def rate_alert(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    fingerprint: str,
    episode: str,
    *,
    useful: bool,
    note: str = "",
) -> Rating:
    """Whether it was worth being woken for this episode of an alert of the incident."""
    incident = records.load(conn, number, lock=True)
    mine = (
        (incident_alerts.c.incident_id == number)
        & (incident_alerts.c.fingerprint == fingerprint)
        & (incident_alerts.c.episode == episode)
    )
    row = conn.execute(select(incident_alerts).where(mine)).first()
    if row is None:
        raise IncidentError(f"incident {number} has no such alert; nothing was rated")
    rating = Rating(
        fingerprint, episode, row.alertname, row.labels.get("service"), useful, note.strip(), now, by.name
    )
    values = {name: getattr(rating, name) for name in Rating.__slots__} | {"useful": int(useful)}
    known = (alert_ratings.c.fingerprint == fingerprint) & (alert_ratings.c.episode == episode)
    if not conn.execute(update(alert_ratings).where(known).values(**values)).rowcount:
        conn.execute(insert(alert_ratings).values(**values))
    word = "useful" if useful else "noise"
    facts = {
        "summary": f"{by.name} rated {row.alertname}: {word}" + (f", {rating.note}" if rating.note else ""),
        "fingerprint": fingerprint,
        "episode": episode,
        "useful": useful,
        "note": rating.note,
    }
    journal.append(conn, now, "incident.alert_rated", by.actor, incident.subject, facts)
    return rating


def _follow_up(conn: Connection, number: int) -> FollowUp:
    row = conn.execute(select(follow_ups).where(follow_ups.c.id == number)).first()
    if row is None:
        raise IncidentError(f"there is no follow-up {number}; nothing was changed")
    return FollowUp(*row)


def _says(one: FollowUp) -> str:
    owner = one.owner or "nobody"
    due = f"{one.due_on:%Y-%m-%d}" if one.due_on else "no date"
    return f"{one.title} ({owner}, {due})"


def _facts(one: FollowUp, what: str) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(one, name) for name in ("title", "owner", "due_on", "url")}
    return {"follow_up": one.id, "what": what, **facts}


def _web(url: str | None) -> str | None:
    text = (url or "").strip()
    if not text:
        return None
    if not text.startswith(("https://", "http://")) or not text.isprintable() or set(text) & set(' <>"'):
        raise IncidentError("the address of a follow-up starts with https:// or http:// and has no spaces")
    return text


def _not_merged(incident: Incident) -> None:
    if incident.state is State.MERGED:
        raise IncidentError(f"incident {incident.id} is part of incident {incident.merged_into}; go there")
