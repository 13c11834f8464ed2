"""What the journal proves about each clause."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.store import journal
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.evidence import clause_history, latest_verdicts
from watchkeeper.store.journal import VERDICTS


def test_a_store_without_evidence_proves_nothing(store: Store, now: datetime) -> None:
    with store.write() as conn:
        journal.append(conn, now, "k", "a", "s", {})
    assert latest_verdicts(store) == {}
    assert clause_history(store, "any") == []


def test_evidence_says_what_happened_or_what_it_was(store: Store, now: datetime) -> None:
    with store.write() as conn:
        journal.append(conn, now, "k", "a", "s", {"summary": "500s above 5 %"}, [("c", "missed")])
        journal.append(conn, now + timedelta(seconds=1), "job.done", "a", "job/1", {}, [("d", "met")])
        latest = latest_verdicts(conn)
    assert (latest["c"].summary, latest["c"].verdict, latest["c"].at) == ("500s above 5 %", "missed", now)
    assert latest["d"].summary == "job.done: job/1"


CITATIONS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "b.c", "ü", "z'"]), st.sampled_from(VERDICTS), max_size=3),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(CITATIONS)
def test_the_latest_verdict_of_every_clause_is_the_last_one_cited(cited: list[dict[str, str]]) -> None:
    now = datetime.fromisoformat("2026-01-05T03:00:00Z")
    expected: dict[str, tuple[int, str]] = {}
    history: dict[str, list[int]] = {}
    with TemporaryDirectory() as where, open_store(Path(where)) as store:
        with store.write() as conn:
            for number, verdicts in enumerate(cited, 1):
                journal.append(conn, now, "k", "a", "s", {}, list(verdicts.items()))
                for clause, verdict in verdicts.items():
                    expected[clause] = (number, verdict)
                    history.setdefault(clause, []).insert(0, number)
        found = latest_verdicts(store)
        assert {clause: (e.seq, e.verdict) for clause, e in found.items()} == expected
        for clause, seqs in history.items():
            assert [e.seq for e in clause_history(store, clause, 2)] == seqs[:2]
