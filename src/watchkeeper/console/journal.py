"""The journal as pages and the API read it: what is asked for, who an actor is, where a subject is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from watchkeeper.console import parameters
from watchkeeper.store import journal, journal_search
from watchkeeper.store.canonical import storable
from watchkeeper.store.journal import Entry, Filter

Seq = Annotated[int, Field(ge=0, le=parameters.LARGEST_ID)]


class Question(BaseModel):
    """Which entries somebody wants to see. What is empty is not asked."""

    text: str = Field("", max_length=journal_search.LONGEST_TEXT, description=(
        "Words that must each stand in the subject, the actor, the kind or the summary."
    ))  # fmt: skip
    kind: str = Field("", max_length=100, description="A kind; `alert.*` means all that begin so.")
    subject: str = Field("", max_length=300, description="Entries about exactly this, such as `user:ada`.")
    clause: str = Field("", max_length=300, description="Entries that cite this clause.")
    by: Literal["", "person", "component", "token"] = Field("", description="Whose doing it was.")
    since: str = Field("", max_length=40, description="From this time, or an age (90s, 15m, 24h, 7d).")
    until: str = Field("", max_length=40, description="Before this time, or an age.")
    after: Seq | None = Field(None, description="Entries after this number.")
    before: Seq | None = Field(None, description="Entries before this number: how to page on.")

    def filter(self, now: datetime) -> Filter:
        """As the journal takes it. Raises :class:`ParameterError` for a time that is none."""
        return Filter(
            subject=storable(self.subject.strip()) or None,
            clause=storable(self.clause.strip()) or None,
            kind=storable(self.kind.strip()) or None,
            since=parameters.moment("since", self.since, now),
            until=parameters.moment("until", self.until, now),
            after=self.after,
            before=self.before,
            actor_kind=self.by or None,
            words=journal_search.words(storable(self.text)),
        )

    def address(self, **other: object) -> str:
        """The address of the page that shows this, with ``other`` instead of what it had."""
        asked = {**self.model_dump(), **other}
        query = urlencode({name: value for name, value in asked.items() if value not in ("", None)})
        return f"/journal?{query}" if query else "/journal"

    @property
    def narrowed(self) -> bool:
        """Whether anything is asked for but a page."""
        return any(value not in ("", None) for name, value in self.model_dump().items() if name != "before")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: a person, a component of ours or an API token, by name."""

    kind: str
    name: str

    @property
    def human(self) -> bool:
        """Whether it was a person."""
        return self.kind == "person"


def actor(text: str) -> Actor:
    """The journal's ``person:ada`` in its parts."""
    kind, found, name = text.partition(":")
    return Actor(kind, name) if found else Actor("component", text)


def summary(entry: Entry) -> str:
    """What an entry says in a sentence; its facts where it has none."""
    told = entry.facts.get("summary")
    return str(told) if told else " ".join(f"{name}={value}" for name, value in sorted(entry.facts.items()))


def place(subject: str) -> str | None:
    """The page that shows a subject, if one does."""
    kind, _, name = subject.partition(":")
    segment = quote(name, safe="")
    if not name:
        return "/runbook" if subject == "runbook" else None
    return {
        "alert": f"/alerts/{segment}",
        "incident": f"/incidents/{segment}",
        "silence": "/silences",
        "rota": f"/oncall?rota={segment}",
        "clause": f"/clauses/{segment}",
        "user": "/settings/users",
        "token": "/settings/tokens",
        "target": f"/targets?text={segment}",
        "rule": f"/rules#{segment}",
        "runbook": "/runbook",
    }.get(kind)


@dataclass(frozen=True, slots=True)
class Whole:
    """An entry with what stands around it: the hash that it is chained to, and its neighbours' numbers."""

    entry: Entry
    previous_hash: str
    older: int | None
    newer: int | None
    older_of_subject: int | None
    newer_of_subject: int | None


def whole(conn: Connection, seq: int) -> Whole | None:
    """The entry ``seq`` whole; None where there is none."""
    entry = journal_search.one(conn, seq)
    if entry is None:
        return None
    before = journal_search.one(conn, seq - 1) if seq > 1 else None
    after = journal_search.one(conn, seq + 1)
    mine = journal.entries(conn, Filter(subject=entry.subject, before=seq), 1)
    return Whole(
        entry,
        before.hash if before else journal.GENESIS,
        before.seq if before else None,
        after.seq if after else None,
        mine[0].seq if mine else None,
        journal.next_of(conn, entry.subject, seq),
    )
