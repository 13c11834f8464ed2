"""Following a search finds every entry that fits, once, newest first, however little is read at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.store import journal, journal_search
from watchkeeper.store.database import Store
from watchkeeper.store.journal import Filter

NAMES = ("api", "queue")


def _fill(store: Store, now: datetime, count: int = 40) -> None:
    with store.write() as conn:
        for number in range(1, count + 1):
            journal.append(
                conn,
                now + timedelta(seconds=number),
                "alert.firing" if number % 4 else "user.created",
                "person:ada" if number % 3 else "component:monitoring",
                f"alert:{number % 5}",
                {"summary": f"{NAMES[number % 2]} burns at {number} %", "label": "everywhere"},
                [("clause.a", "met")] if number % 10 == 0 else [],
            )


def _all(store: Store, wanted: Filter, limit: int, looked_at: int) -> list[int]:
    """Every entry that following the search finds."""
    found: list[int] = []
    with store.read() as conn:
        while True:
            answer = journal_search.search(conn, wanted, limit, looked_at=looked_at)
            found += [entry.seq for entry in answer.entries]
            if answer.before is None:
                return found
            assert len(answer.entries) <= limit
            wanted = Filter(
                **{name: getattr(wanted, name) for name in Filter.__slots__} | {"before": answer.before}
            )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([None, "alert.firing", "alert.*", "user.*", "nothing"]),
    by=st.sampled_from([None, "person", "component", "token"]),
    words=st.sampled_from([(), ("api",), ("API", "burns"), ("queue", "ada"), ("everywhere",), ("%",)]),
    subject=st.sampled_from([None, "alert:1"]),
    clause=st.sampled_from([None, "clause.a"]),
    limit=st.integers(1, 7),
    looked_at=st.integers(1, 50),
)
def test_following_a_search_finds_everything_once(
    store: Store,
    now: datetime,
    kind: str | None,
    by: str | None,
    words: tuple[str, ...],
    subject: str | None,
    clause: str | None,
    limit: int,
    looked_at: int,
) -> None:
    with store.read() as conn:
        empty = not journal.head(conn).seq
    if empty:
        _fill(store, now)
    wanted = Filter(kind=kind, actor_kind=by, words=words, subject=subject, clause=clause)
    with store.read() as conn:
        everything = journal.entries(conn, Filter(), 1000)
    fits = [
        entry.seq
        for entry in reversed(everything)
        if (
            kind is None or entry.kind.startswith(kind[:-1])
            if kind is None or kind.endswith("*")
            else entry.kind == kind
        )
        and (by is None or entry.actor.startswith(f"{by}:"))
        and all(
            word.lower() in f"{entry.subject} {entry.actor} {entry.kind} {entry.facts['summary']}".lower()
            for word in words
        )
        and (subject is None or entry.subject == subject)
        and (clause is None or clause in dict(entry.evidence))
    ]
    assert _all(store, wanted, limit, looked_at) == fits


def test_a_search_that_looked_at_enough_says_back_to_where(store: Store, now: datetime) -> None:
    _fill(store, now)
    with store.read() as conn:
        found = journal_search.search(conn, Filter(words=("nowhere",)), 10, looked_at=15)
        assert (found.entries, found.before, found.searched_to) == ((), 26, 26)
        assert found.searched_at == now + timedelta(seconds=26)
        rest = journal_search.search(conn, Filter(words=("nowhere",), before=26), 10, looked_at=100)
        assert (rest.before, rest.searched_to) == (None, None)


def test_times_are_found_whatever_the_clock_did(store: Store, now: datetime) -> None:
    with store.write() as conn:
        for seconds in (0, 100, 50, 200):  # the clock was set back between the second and the third
            journal.append(conn, now + timedelta(seconds=seconds), "a.b", "component:x", "s", {})
    wanted = Filter(since=now + timedelta(seconds=40), until=now + timedelta(seconds=150))
    assert _all(store, wanted, 10, 100) == [3, 2]
    assert _all(store, Filter(until=now), 10, 100) == []


@pytest.mark.parametrize("word", ['say "no"', "back\\slash", "50%", "under_score", "naïve", "x'y"])
def test_words_are_taken_as_they_are(store: Store, now: datetime, word: str) -> None:
    with store.write() as conn:
        journal.append(conn, now, "a.b", "component:x", "s", {"summary": f"it is {word} here"})
        journal.append(conn, now, "a.b", "component:x", "s", {"summary": "it is underXscore 50 back here"})
    assert _all(store, Filter(words=(word,)), 10, 100) == [1]


def test_what_stands_in_other_facts_is_not_found(store: Store, now: datetime) -> None:
    _fill(store, now, 3)
    assert _all(store, Filter(words=("everywhere",)), 10, 100) == []


def test_the_kinds_there_are(store: Store, now: datetime) -> None:
    with store.read() as conn:
        assert journal_search.kinds(conn) == []
    _fill(store, now)
    with store.read() as conn:
        assert journal_search.kinds(conn) == ["alert.firing", "user.created"]


def test_one_entry(store: Store, now: datetime) -> None:
    _fill(store, now, 3)
    with store.read() as conn:
        found = journal_search.one(conn, 2)
        assert found is not None
        assert found.seq == 2
        assert journal_search.one(conn, 4) is None


def test_words_of_a_text_are_few_and_short() -> None:
    assert journal_search.words("  api   API api ") == ("api", "API")
    assert len(journal_search.words("a b c d e f g h i")) == journal_search.MOST_WORDS
    assert len("".join(journal_search.words("x" * 5000))) == journal_search.LONGEST_TEXT
