"""Alerts as monitoring leaves them, and the role that responds: what the tests of responding share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from tests.incidents.desk import TEXT, Desk
from watchkeeper.app.responding import Responding
from watchkeeper.store import journal
from watchkeeper.store.models import alerts


class Watch(Desk):
    """A desk, with alerts in the store and the part of the role ``work`` that keeps incidents."""

    def __init__(self, directory: Path | str, text: str = TEXT) -> None:
        super().__init__(directory, text)
        self.restart()
        self.responding.look()

    def restart(self) -> None:
        """Begin as after a restart of the process."""
        self.responding = Responding(self.store, self.clock, self.runbook)

    def look(self, minutes: float = 0) -> int:
        """Let time pass, then look."""
        self.later(minutes)
        return self.responding.look()

    def fire(
        self,
        fingerprint: str = "one",
        service: str | None = "api",
        severity: str = "page",
        *,
        quiet: str | None = None,
        alertname: str = "ApiErrors",
        episode: str | None = None,
        **given: Any,
    ) -> str:
        """An alert fires, with its entry, as monitoring writes both; its episode."""
        now = self.now
        labels = {"alertname": alertname, "severity": severity, "env": "prod"}
        labels |= {"service": service} if service else {}
        episode = episode or f"{fingerprint}-{now:%H%M%S}"
        values = {
            "fingerprint": fingerprint,
            "rule": "R",
            "alertname": alertname,
            "severity": severity,
            "labels": labels,
            "annotations": {"summary": f"{alertname}: 7 % of requests fail"},
            "state": "firing",
            "group_key": f"key/{fingerprint}",
            "episode": episode,
            "active_at": now,
            "fired_at": now,
            "last_sent_at": now,
            "resolved_at": None,
            "acked_at": None,
            "acked_by": None,
            "inhibited_by": quiet,
            **given,
        }
        facts = {
            "summary": values["annotations"]["summary"],
            "alertname": alertname,
            "severity": severity,
            "labels": labels,
            "episode": episode,
            "active_at": now,
        } | ({"inhibited_by": quiet} if quiet else {})
        with self.store.write() as conn:
            mine = alerts.c.fingerprint == fingerprint
            if not conn.execute(update(alerts).where(mine).values(**values)).rowcount:
                conn.execute(insert(alerts).values(**values))
            journal.append(conn, now, "alert.firing", "component:monitoring", f"alert:{fingerprint}", facts)
        return episode

    def end(self, fingerprint: str = "one", *, well: bool = True) -> None:
        """An alert ends: measured well, or because there is no data any more."""
        now = self.now
        with self.store.write() as conn:
            mine = alerts.c.fingerprint == fingerprint
            row = conn.execute(alerts.select().where(mine)).one()
            conn.execute(update(alerts).where(mine).values(state="resolved", resolved_at=now))
            facts = {
                "summary": "it is over",
                "episode": row.episode,
                "because": "it is back within the line" if well else "it gives no data any more",
                "measured_well": well,
            }
            journal.append(conn, now, "alert.resolved", "component:monitoring", f"alert:{fingerprint}", facts)

    def change(self, fingerprint: str, **values: Any) -> None:
        """What monitoring writes of an alert."""
        with self.store.write() as conn:
            conn.execute(update(alerts).where(alerts.c.fingerprint == fingerprint).values(**values))
