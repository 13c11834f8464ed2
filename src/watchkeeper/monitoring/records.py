"""What the monitoring section remembers, in the store: alerts, groups, presence, the last evaluation.

Always true: :func:`load` gives back what :func:`save` was given, as far as it decides anything later, so a
restart neither pages again nor forgets (tests/monitoring/test_service_restart.py). Both are part of the
caller's transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.clauses import Recorded
from watchkeeper.monitoring.evaluation import Decision, State
from watchkeeper.monitoring.grouping import Group
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.missing import Presence
from watchkeeper.store.clock import from_us, to_us
from watchkeeper.store.evidence import latest_verdicts
from watchkeeper.store.models import alerts as alerts_table
from watchkeeper.store.models import section_state

log = logging.getLogger(__name__)

SECTION = "monitoring"
_GROUP, _PRESENCE, _EVALUATION = "group:", "presence:", "evaluation"

Describe = Callable[[str, Alert], Mapping[str, Any]]
"""The columns of an alert that the rule says: clause, severity, annotations. Given the rule's name."""


def load(conn: Connection) -> State:
    """What was known after the last evaluation that was recorded."""
    alerts: dict[str, dict[str, Alert]] = {}
    for row in conn.execute(select(alerts_table)):
        alerts.setdefault(row.rule, {})[row.fingerprint] = _alert(row)
    groups: dict[str, Group] = {}
    presence: dict[str, Presence] = {}
    evaluation: dict[str, Any] = {}
    query = select(section_state.c.name, section_state.c.document).where(section_state.c.section == SECTION)
    for name, document in conn.execute(query):
        try:
            if name.startswith(_GROUP):
                groups[name.removeprefix(_GROUP)] = _group(name.removeprefix(_GROUP), document)
            elif name.startswith(_PRESENCE):
                presence[name.removeprefix(_PRESENCE)] = _presence(document)
            elif name == _EVALUATION:
                evaluation = dict(document)
        except (KeyError, TypeError, ValueError) as error:
            log.error("the remembered state %s cannot be read and is begun anew (%s)", name, error)
    at = evaluation.get("at_us")
    evaluated_at = from_us(at) if isinstance(at, int) else None
    return State(
        alerts=alerts,
        presence={name: Presence(known.elements, evaluated_at) for name, known in presence.items()},
        groups=groups,
        recorded={
            clause: Recorded(found.verdict, found.at) for clause, found in latest_verdicts(conn).items()
        },
        failed=dict(evaluation.get("failed", {})),
        evaluated_at=evaluated_at,
    )


def save(conn: Connection, before: State, decision: Decision, describe: Describe) -> None:
    """Write what ``decision`` changed, and always when it was: that is what a restart counts from."""
    after = decision.state
    assert after.evaluated_at is not None
    _save_alerts(conn, before, decision, describe)
    _forget_all(conn, [_GROUP + key for key in before.groups if key not in after.groups])
    changed = {key: group for key, group in after.groups.items() if before.groups.get(key) != group}
    _put_all(conn, {_GROUP + key: _group_document(group) for key, group in changed.items()})
    for name, known in after.presence.items():
        old = before.presence.get(name)
        if old is None or old.elements != known.elements:
            _put(conn, _PRESENCE + name, _presence_document(known))
    _put(conn, _EVALUATION, {"at_us": to_us(after.evaluated_at), "failed": dict(after.failed)})


def forget_signals(conn: Connection, state: State, names: set[str]) -> State:
    """``state`` without the presence of signals that are not in ``names`` any more."""
    gone = [name for name in state.presence if name not in names]
    _forget_all(conn, [_PRESENCE + name for name in gone])
    kept = {name: known for name, known in state.presence.items() if name in names}
    return State(state.alerts, kept, state.groups, state.recorded, state.failed, state.evaluated_at)


def _save_alerts(conn: Connection, before: State, decision: Decision, describe: Describe) -> None:
    after = decision.state
    old = {alert.fingerprint: alert for alert in before.every_alert()}
    new = {
        alert.fingerprint: (rule, alert) for rule, group in after.alerts.items() for alert in group.values()
    }
    gone = [fingerprint for fingerprint in old if fingerprint not in new]
    for start in range(0, len(gone), 500):
        part = gone[start : start + 500]
        conn.execute(delete(alerts_table).where(alerts_table.c.fingerprint.in_(part)))
    sent = _sent(decision)
    seen: list[dict[str, Any]] = []
    changed: dict[tuple[bool, tuple[str, ...]], list[dict[str, Any]]] = {}
    for fingerprint, (rule, alert) in new.items():
        quiet = decision.quiet.get(fingerprint)
        known = old.get(fingerprint)
        mine = sent.get(alert.episode)
        if known is not None and mine is None and _same_but_value(known, alert):
            if alert.state is not AlertState.RESOLVED:
                seen.append(
                    {
                        "key": fingerprint,
                        "seen": after.evaluated_at,
                        "value": alert.value,
                        "quiet": quiet.by if quiet else None,
                    }
                )
            continue
        values = {
            "rule": rule,
            "alertname": dict(alert.labels).get("alertname", rule),
            "labels": dict(alert.labels),
            "state": alert.state.value,
            "active_at": alert.active_at,
            "fired_at": alert.fired_at,
            "resolved_at": alert.resolved_at,
            "keep_firing_since": alert.keep_firing_since,
            "last_seen_at": after.evaluated_at,
            "last_value": alert.value,
            "inhibited_by": quiet.by if quiet else None,
            "episode": alert.episode,
            **describe(rule, alert),
        }
        if known is None or known.episode != alert.episode:
            values |= {
                "episode_starts_at": alert.active_at,
                "last_sent_at": None,
                "group_key": None,
                "acked_at": None,
                "acked_by": None,
            }
        if mine is not None:
            values |= {"last_sent_at": after.evaluated_at, "group_key": mine}
        changed.setdefault((known is None, tuple(values)), []).append({"key": fingerprint, **values})
    for (unknown, columns), rows in changed.items():
        _write_alerts(conn, rows, columns, unknown=unknown)
    if seen:
        conn.execute(
            update(alerts_table)
            .where(alerts_table.c.fingerprint == bindparam("key"))
            .values(
                last_seen_at=bindparam("seen"), last_value=bindparam("value"), inhibited_by=bindparam("quiet")
            ),
            seen,
        )


def _write_alerts(
    conn: Connection, rows: Sequence[dict[str, Any]], columns: Sequence[str], *, unknown: bool
) -> None:
    """Write ``rows``, which have the same ``columns``. Of an ``unknown`` alert there may be an older row."""
    if unknown:
        keys = [row["key"] for row in rows]
        for start in range(0, len(keys), 500):
            part = alerts_table.c.fingerprint.in_(keys[start : start + 500])
            conn.execute(delete(alerts_table).where(part))
        statement: Any = insert(alerts_table).values(fingerprint=bindparam("key"))
    else:
        statement = update(alerts_table).where(alerts_table.c.fingerprint == bindparam("key"))
    bound: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    given = [{"key": row["key"], **{f"new_{name}": row[name] for name in columns}} for row in rows]
    conn.execute(statement.values(**bound), given)


def _sent(decision: Decision) -> dict[str, str]:
    """The episodes that something is told of now, and the key under which receivers know it."""
    return {alert.episode: send.group.dedup_key for send in decision.sends for alert in send.alerts}


def _same_but_value(one: Alert, other: Alert) -> bool:
    return (
        one.episode == other.episode
        and one.state is other.state
        and one.active_at == other.active_at
        and one.keep_firing_since == other.keep_firing_since
    )


def _alert(row: Any) -> Alert:
    return Alert(
        labels=label_set(row.labels.items()),
        fingerprint=row.fingerprint,
        state=AlertState(row.state),
        value=float("nan") if row.last_value is None else row.last_value,
        active_at=row.active_at,
        episode=row.episode,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        keep_firing_since=row.keep_firing_since,
    )


def _group_document(group: Group) -> dict[str, Any]:
    return {
        "receivers": list(group.receivers),
        "labels": dict(group.labels),
        "dedup_key": group.dedup_key,
        "opened_at_us": to_us(group.opened_at),
        "sent_at_us": None if group.sent_at is None else to_us(group.sent_at),
        "told": sorted(group.told),
        "storm": group.storm,
    }


def _group(key: str, document: Mapping[str, Any]) -> Group:
    sent = document["sent_at_us"]
    return Group(
        key=key,
        receivers=tuple(document["receivers"]),
        labels=label_set(document["labels"].items()),
        dedup_key=document["dedup_key"],
        opened_at=from_us(document["opened_at_us"]),
        sent_at=None if sent is None else from_us(sent),
        told=frozenset(document["told"]),
        storm=document.get("storm") is True,
    )


def _presence_document(known: Presence) -> dict[str, Any]:
    rows = [
        [dict(labels), None if since is None else to_us(since)] for labels, since in known.elements.items()
    ]
    return {"elements": rows}


def _presence(document: Mapping[str, Any]) -> Presence:
    elements: dict[Labels, datetime | None] = {}
    for labels, since in document["elements"]:
        elements[label_set(labels.items())] = None if since is None else from_us(since)
    return Presence(elements)


def _put(conn: Connection, name: str, document: Mapping[str, Any]) -> None:
    where = (section_state.c.section == SECTION) & (section_state.c.name == name)
    if not conn.execute(update(section_state).where(where).values(document=document)).rowcount:
        conn.execute(insert(section_state).values(section=SECTION, name=name, document=document))


def _put_all(conn: Connection, documents: Mapping[str, Mapping[str, Any]]) -> None:
    _forget_all(conn, list(documents))
    rows = [{"section": SECTION, "name": name, "document": kept} for name, kept in documents.items()]
    if rows:
        conn.execute(insert(section_state), rows)


def _forget_all(conn: Connection, names: Sequence[str]) -> None:
    for start in range(0, len(names), 500):
        part = section_state.c.name.in_(names[start : start + 500])
        conn.execute(delete(section_state).where(section_state.c.section == SECTION, part))
