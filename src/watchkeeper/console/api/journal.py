"""``/api/journal``: what happened, newest first or as it happens, and the proof that nobody changed it."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import journal as reading
from watchkeeper.console.api.problems import Answer, problems
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.parameters import LARGEST_ID
from watchkeeper.store import journal, journal_search
from watchkeeper.store.journal import Anchor, ChainReport, Entry
from watchkeeper.store.journal_search import Found

LONGEST_PAGE = 1000
SeqInPath = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The entry's number.")]


class PagedQuestion(reading.Question):
    """As pages ask, and how much."""

    limit: int = Field(50, ge=1, le=LONGEST_PAGE, description="How many at most.")


class Evidence(Answer):
    """A clause that an entry cites, and what it says of it."""

    clause: str
    verdict: Literal["met", "missed", "waived", "unknown"]


class JournalEntry(Answer):
    """One entry of the journal, as it was recorded."""

    seq: int = Field(description="1, 2, 3, ... without gaps.")
    at: datetime
    kind: str = Field(description="For example `alert.firing`.")
    actor: str = Field(description="`person:<username>`, `token:<name>` or `component:<name>`.")
    subject: str = Field(description="What it is about, for example `alert:<fingerprint>`.")
    summary: str = Field(description="What happened, as a sentence.")
    facts: dict[str, Any]
    evidence: list[Evidence]
    hash: str = Field(description="SHA-256 over this entry and the hash before it.")


class JournalPage(Answer):
    """Entries, newest first."""

    entries: list[JournalEntry]
    before: int | None = Field(description="Ask with `before` for what is older; null: that was all.")
    searched_to: int | None = Field(
        description="The question ended because it had looked at enough, down to here. Go on with `before`."
    )


class JournalTail(Answer):
    """Entries after a number, oldest first."""

    entries: list[JournalEntry]
    head: int = Field(description="The newest entry's number.")


class WholeEntry(Answer):
    """One entry, and what stands around it."""

    entry: JournalEntry
    previous_hash: str = Field(description="The hash that the entry is chained to.")
    older_of_subject: int | None = Field(description="The entry about the same subject before it.")
    newer_of_subject: int | None = Field(description="And the one after it.")


class Verification(Answer):
    """Whether every entry is as it was written."""

    intact: bool
    entries: int = Field(description="So many are as they were written.")
    head: str
    broken: int | None = Field(description="The first entry that is not.")
    problem: str | None


class Kinds(Answer):
    """Every kind of entry that there is."""

    kinds: list[str]


def entry_document(entry: Entry) -> JournalEntry:
    """An entry as the API shows it."""
    return JournalEntry(
        seq=entry.seq,
        at=entry.at,
        kind=entry.kind,
        actor=entry.actor,
        subject=entry.subject,
        summary=reading.summary(entry),
        facts=entry.facts,
        evidence=[Evidence.model_validate({"clause": c, "verdict": v}) for c, v in entry.evidence],
        hash=entry.hash,
    )


def page_of(found: Found) -> JournalPage:
    """What was found, as the API shows it."""
    return JournalPage(
        entries=[entry_document(entry) for entry in found.entries],
        before=found.before,
        searched_to=found.searched_to,
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/journal", tags=["journal"])
    verifying = threading.Lock()

    def search(question: PagedQuestion) -> JournalPage:
        wanted = question.filter(console.clock.now())
        with console.store.read() as conn:
            found = journal_search.search(conn, wanted, question.limit)
        return page_of(found)

    @routes.get("", operation_id="searchJournal", responses=problems())
    async def entries(
        identity: Reader,
        question: Annotated[PagedQuestion, Query()],
    ) -> JournalPage:
        """Entries that fit everything that is asked, newest first."""
        return await run_in_threadpool(search, question)

    def read_tail(after: int, limit: int) -> JournalTail:
        with console.store.read() as conn:
            found, head = journal.tail(conn, after, limit), journal.head(conn).seq
        return JournalTail(entries=[entry_document(entry) for entry in found], head=head)

    @routes.get("/tail", operation_id="tailJournal", responses=problems())
    async def tail(
        identity: Reader,
        after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The last one you have.")] = 0,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
    ) -> JournalTail:
        """What happened after an entry, oldest first: for programs that follow the journal."""
        return await run_in_threadpool(read_tail, after, limit)

    def read_kinds() -> Kinds:
        with console.store.read() as conn:
            return Kinds(kinds=journal_search.kinds(conn))

    @routes.get("/kinds", operation_id="listJournalKinds", responses=problems())
    async def kinds(identity: Reader) -> Kinds:
        """Every kind of entry that there is."""
        return await run_in_threadpool(read_kinds)

    def recompute(anchor: Anchor | None) -> ChainReport | None:
        if not verifying.acquire(blocking=False):
            return None
        try:
            with console.store.read() as conn:
                return journal.verify(conn, anchor)
        finally:
            verifying.release()

    @routes.get("/verify", operation_id="verifyJournal", responses=problems())
    async def verify(
        identity: Reader,
        anchor: Annotated[
            str | None,
            Query(
                pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$",
                description="`SEQ:HASH`, a head that was noted earlier: it must still be there.",
            ),
        ] = None,
    ) -> Verification:
        """Recompute every hash. It reads the whole journal, so it is done for one at a time."""
        known = Anchor(int(anchor.split(":")[0]), anchor.split(":")[1]) if anchor else None
        report = await run_in_threadpool(recompute, known)
        if report is None:
            raise HTTPException(
                503, "the journal is being verified for somebody else; ask again when that is done"
            )
        return Verification.model_validate(report)

    def read_one(seq: int) -> WholeEntry | None:
        with console.store.read() as conn:
            found = reading.whole(conn, seq)
        if found is None:
            return None
        return WholeEntry(
            entry=entry_document(found.entry),
            previous_hash=found.previous_hash,
            older_of_subject=found.older_of_subject,
            newer_of_subject=found.newer_of_subject,
        )

    @routes.get("/{seq}", operation_id="getJournalEntry", responses=problems(404))
    async def one(identity: Reader, seq: SeqInPath) -> WholeEntry:
        """One entry, whole."""
        found = await run_in_threadpool(read_one, seq)
        if found is None:
            raise HTTPException(404, f"there is no entry {seq} in the journal")
        return found

    return routes
