"""A store with incidents in it, and people who work on them: what the tests of incidents share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine, event, select

from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import Author, Incident, Story
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import FILE_NAME, Store, open_store
from watchkeeper.store.models import metadata, outbox

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ADA, BEN = Author.person("ada"), Author.person("ben")
TEXT = """
runbook: 1
platform: Island
notifications:
  receivers:
    - id: mail
      email: {host: 127.0.0.1, port: 25, security: none, sender: wk@example.org, to: ops@example.org}
    - {id: status, slack: {token: {env: SLACK}, channel: "#status"}}
    - {id: random, slack: {token: {env: SLACK}, channel: "#random"}}
contacts:
  - {id: ada, name: Ada, email: ada@example.org}
  - {id: ben, name: Ben, email: ben@example.org}
  - {id: product, name: Product, email: product@example.org}
  - {id: boss, name: Boss, email: boss@example.org}
oncall:
  rotas:
    - id: platform
      title: Platform
      layers:
        - {id: weekly, participants: [ada, ben], start: "2026-01-05T09:00:00+00:00"}
incidents:
  severities:
    - {id: SEV-1, definition: All is lost}
    - {id: SEV-2, definition: Much is lost}
    - {id: SEV-3, definition: Little is lost, pages: false}
  rota: platform
  deadlines:
    acknowledge: 5m
    triage: 10m
    update: {every: 15m, severities: [SEV-1, SEV-2], channel: "#status"}
    document: 24h
  stakeholders:
    - {id: product, title: product, contacts: [product]}
    - {id: leadership, title: leadership, contacts: [boss], severities: [SEV-1]}
  audiences:
    - id: internal
      title: Inside the company
      stakeholders: [product, leadership]
      template: "{{ severity }}: {{ status }}. Impact: {{ impact }}. ETA: {{ eta }}. Next: {{ next_update }}."
    - {id: customers, title: Customers, template: "{{ impact }} Next update: {{ next_update }}."}
  document:
    sections: [timeline, root cause, follow-up actions]
    follow_ups_need: [owner, due date]
"""


def runbook_of(text: str = TEXT) -> Runbook:
    """The runbook of a text."""
    return load_bytes("runbook.yaml", text.encode()).runbook


class DeathError(Exception):
    """The process is gone; what was begun is undone by the database."""


@contextmanager
def statements(die_at: int | None = None) -> Iterator[list[str]]:
    """The statements that are begun inside, of all engines; the one of number ``die_at`` is never run."""
    seen: list[str] = []

    def before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)
        if len(seen) == die_at:
            raise DeathError

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@cache
def _empty_store() -> bytes:
    """The file of a store in which nothing is; made once, because every migration takes its time."""
    with TemporaryDirectory() as place:
        open_store(place, ManualClock(NOW)).close()
        return (Path(place) / FILE_NAME).read_bytes()


def _begin_with_an_empty_store(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / FILE_NAME).exists():
        (directory / FILE_NAME).write_bytes(_empty_store())


class Desk:
    """A store, a clock, a runbook, and short ways to what people do."""

    def __init__(self, directory: Path | str, text: str = TEXT) -> None:
        self.clock = ManualClock(NOW)
        if "://" not in str(directory):
            _begin_with_an_empty_store(Path(directory))
        self.store: Store = open_store(directory, self.clock)
        self.runbook = runbook_of(text)
        self.acknowledged: list[tuple[str, ...]] = []

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def later(self, minutes: float) -> None:
        self.clock.advance(timedelta(minutes=minutes).total_seconds())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.store.read() as conn:
            yield conn

    def do(self, function: Callable[..., Any], *args: Any, **given: Any) -> Any:
        """Call a function of the service in a transaction of its own."""
        with self.store.write() as conn:
            return function(conn, self.now, self.runbook, *args, **given)

    def open(self, title: str = "Uploads fail", by: Author = ADA, **given: Any) -> Incident:
        found: Incident = self.do(service.open_by_hand, by, title, **given)
        return found

    def story(self, number: int = 1) -> Story:
        with self.read() as conn:
            return reading.story(conn, self.now, self.runbook, number)

    def everything(self) -> list[Any]:
        """Every row of every table; the journal is intact."""
        with self.read() as conn:
            assert journal.verify(conn).intact
            return [[tuple(row) for row in conn.execute(select(table))] for table in metadata.sorted_tables]

    def entries(self, kind: str = "*", subject: str | None = None) -> list[journal.Entry]:
        """The journal's entries of a kind; the whole journal is intact."""
        with self.read() as conn:
            assert journal.verify(conn).intact
            return journal.entries(conn, journal.Filter(kind=kind, subject=subject), 1000)

    def evidence(self, clause: str) -> list[str]:
        """The verdicts on a clause, oldest first."""
        return [v for entry in self.entries() for c, v in entry.evidence if c == f"incidents.{clause}"]

    def told(self) -> list[tuple[str, str | None, str]]:
        """Everything that was put in the outbox: receiver, address, kind."""
        with self.read() as conn:
            rows = conn.execute(select(outbox.c.receiver, outbox.c.payload).order_by(outbox.c.id))
            return [(row.receiver, row.payload.get("to"), row.payload["kind"]) for row in rows]
