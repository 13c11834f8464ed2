"""Escalations in the store: read, and written with the journal entries and outbox rows that they mean.

Always true here: all that one decision means is one transaction, the caller's; who was paged hears that
somebody has it and that it is over, once each and in that order (tests/app/test_escalating.py,
test_escalating_crashes.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update

from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification, NotifyError, personal_key
from watchkeeper.oncall.escalation import Escalation, Page, State
from watchkeeper.oncall.steps import Recipient
from watchkeeper.store.models import alerts, outbox
from watchkeeper.store.models import escalations as table


def load(conn: Connection, only: str | None = None) -> dict[str, Escalation]:
    """The escalations that have not ended, by ``dedup_key``; and the ended ones of pages that fire again.

    With ``only``, that of this page alone, however it stands.
    """
    firing = select(alerts.c.group_key).where(*_pages(), alerts.c.state == "firing")
    again = (table.c.state == State.ENDED.value) & table.c.dedup_key.in_(firing)
    wanted = or_(table.c.state != State.ENDED.value, again) if only is None else table.c.dedup_key == only
    query = select(table).where(wanted)
    return {row.dedup_key: _escalation(row) for row in conn.execute(query)}


def pages(conn: Connection, known: Iterable[str], only: str | None = None) -> list[Page]:
    """Every page that fires and was told of, and what has become of those ``known``; with ``only``, of this
    page alone."""
    fires = alerts.c.state == "firing"
    query = (
        select(
            alerts.c.group_key,
            func.sum(case((fires, 1), else_=0)).label("firing"),
            func.sum(case((fires & alerts.c.inhibited_by.is_(None), 1), else_=0)).label("audible"),
            func.sum(case((fires & alerts.c.acked_at.is_(None), 1), else_=0)).label("open"),
            func.sum(
                case((fires & alerts.c.acked_at.is_(None) & alerts.c.inhibited_by.is_(None), 1), else_=0)
            ).label("heard_and_open"),
            func.sum(case((alerts.c.acked_at.is_(None), 1), else_=0)).label("never"),
            func.min(case((fires, alerts.c.last_sent_at))).label("paged_at"),
            func.max(case((fires, alerts.c.acked_at))).label("acked_at"),
            func.max(alerts.c.acked_at).label("was_acked_at"),
            func.max(alerts.c.resolved_at).label("ended_at"),
        )
        .where(*_pages())
        .group_by(alerts.c.group_key)
    )
    if only is not None:
        query = query.where(alerts.c.group_key == only)
    wanted = set(known)
    found = {}
    for row in conn.execute(query):
        if row.firing or row.group_key in wanted:
            found[row.group_key] = _page(conn, row)
    gone = [Page(key, firing=False) for key in sorted(wanted - set(found))]
    return [*(found[key] for key in sorted(found)), *gone]


def _pages() -> tuple[Any, ...]:
    return (alerts.c.severity == "page", alerts.c.group_key.is_not(None), alerts.c.state != "pending")


def _page(conn: Connection, row: Any) -> Page:
    if row.firing:  # whom everybody heard of counts: one that is silenced asks for no answer
        open_ = row.heard_and_open if row.audible else row.open
        acked_at = row.acked_at if not open_ else None
    else:
        acked_at = row.was_acked_at if not row.never else None
    by = None
    if acked_at is not None:
        mine = select(alerts.c.acked_by).where(
            alerts.c.group_key == row.group_key, alerts.c.acked_at == acked_at
        )
        by = conn.execute(mine.order_by(alerts.c.fingerprint).limit(1)).scalar()
    return Page(row.group_key, bool(row.firing), bool(row.audible), row.paged_at, acked_at, by, row.ended_at)


def save(conn: Connection, escalation: Escalation, about: Notification) -> None:
    """Keep it as it is now; ``about`` is what is said of it."""
    values = {
        "rota": escalation.rota,
        "state": escalation.state.value,
        "paged_at": escalation.paged_at,
        "started_at": escalation.started_at,
        "step": escalation.step,
        "round": escalation.round,
        "due_at": escalation.due_at,
        "scheduled_at": escalation.scheduled_at,
        "verdict": escalation.verdict,
        "acked_at": escalation.acked_at,
        "acked_by": escalation.acked_by,
        "ended_at": escalation.ended_at,
        "told": [[one.contact, one.receiver, one.to] for one in escalation.told],
        "about": about.to_json(),
        "problem": escalation.problem,
    }
    mine = table.c.dedup_key == escalation.dedup_key
    if not conn.execute(update(table).where(mine).values(**values)).rowcount:
        conn.execute(insert(table).values(dedup_key=escalation.dedup_key, **values))


def ended_before(conn: Connection, before: datetime) -> bool:
    """Whether :func:`prune` would find something."""
    return conn.execute(select(table.c.dedup_key).where(_ended(before)).limit(1)).first() is not None


def prune(conn: Connection, before: datetime) -> None:
    """Forget what ended before ``before``; the journal keeps what happened."""
    conn.execute(delete(table).where(_ended(before)))


def _ended(before: datetime) -> Any:
    return (table.c.state == State.ENDED.value) & (table.c.ended_at < before)


def problems(conn: Connection) -> list[tuple[str, str]]:
    """What keeps open pages from reaching anybody: what they are about, and why."""
    query = select(table.c.about, table.c.problem).where(
        table.c.state == State.OPEN.value, table.c.problem.is_not(None)
    )
    return [(str(row.about.get("summary", "")), row.problem) for row in conn.execute(query)]


def about(conn: Connection, dedup_key: str) -> Notification:
    """What is said of a page: in the words that its receivers were told last, else in its alerts' own."""
    newest = select(outbox.c.payload).where(outbox.c.dedup_key == dedup_key)
    kept = select(table.c.about).where(table.c.dedup_key == dedup_key)
    for query in (newest.order_by(outbox.c.id.desc()).limit(1), kept):
        payload = conn.execute(query).scalar()
        if payload is not None:
            with suppress(NotifyError):  # of another version: whom to page does not wait for it
                return Notification.from_json(payload)
    return _own_words(conn, dedup_key)


def _own_words(conn: Connection, dedup_key: str) -> Notification:
    mine = select(alerts).where(alerts.c.group_key == dedup_key, *_pages())
    rows = conn.execute(mine.order_by(alerts.c.active_at, alerts.c.fingerprint)).all()
    first = rows[0]
    return Notification(
        kind=Kind.TRIGGER,
        dedup_key=dedup_key,
        order_key=dedup_key,
        subject=f"alert:{first.fingerprint}",
        alertname=first.alertname,
        severity="page",
        summary=first.annotations.get("summary", first.alertname),
        starts_at=first.active_at or first.fired_at or first.last_sent_at,
        clause=first.clause,
        labels=first.labels,
        annotations=first.annotations,
        alerts=len(rows) if len(rows) > 1 else 0,
    )


def tell(
    conn: Connection,
    now: datetime,
    recipients: Iterable[Recipient],
    said: Notification,
    kind: Kind,
    note: str,
    *,
    unless_told: bool = False,
) -> None:
    """Tell ``recipients``, each in an order of their own, and a receiver's own address as its alerts are.

    ``unless_told``: but not a receiver that was told of the page already, through its route.
    """
    ended = now if kind is Kind.RESOLVE else None
    for one in recipients:
        if one.to is None:
            key = said.dedup_key
            if _is_said(conn, one.receiver, key, kind, unless_told):
                continue
        else:
            key = personal_key(said.dedup_key, one.receiver, one.to)
        mine = replace(
            said,
            kind=kind,
            dedup_key=key,
            order_key=key,
            severity="page",
            ends_at=ended,
            note=note,
            to=one.to,
        )
        enqueue_notification(conn, now, [one.receiver], mine)


def _is_said(conn: Connection, receiver: str, key: str, kind: Kind, unless_told: bool) -> bool:
    """Whether the alerts' own way has told a receiver the same already."""
    query = select(outbox.c.payload).where(outbox.c.receiver == receiver, outbox.c.dedup_key == key)
    newest = conn.execute(query.order_by(outbox.c.id.desc()).limit(1)).scalar()
    if newest is None:
        return False
    if kind is Kind.TRIGGER:
        return unless_told and bool(newest["kind"] == kind.value)
    return newest["kind"] in (kind.value, Kind.RESOLVE.value)


def _escalation(row: Row[Any]) -> Escalation:
    return Escalation(
        dedup_key=row.dedup_key,
        rota=row.rota,
        state=State(row.state),
        paged_at=row.paged_at,
        started_at=row.started_at,
        step=row.step,
        round=row.round,
        due_at=row.due_at,
        scheduled_at=row.scheduled_at,
        verdict=row.verdict,
        acked_at=row.acked_at,
        acked_by=row.acked_by,
        ended_at=row.ended_at,
        told=tuple(Recipient(*one) for one in row.told),
        problem=row.problem,
    )
