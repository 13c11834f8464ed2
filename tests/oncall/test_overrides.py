"""Overrides: each change with its journal entry, and nothing changed by what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from tests.oncall.rotas import RUNBOOK, utc
from watchkeeper.oncall.overrides import (
    OnCallError,
    Wanted,
    cancel,
    create,
    find_rota,
    standing,
    upcoming,
)
from watchkeeper.oncall.rota import on_call
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.database import Store
from watchkeeper.store.models import oncall_overrides

NOW = utc("2026-03-03 12:00")
SWAP = Wanted("platform", "cleo", utc("2026-03-04"), utc("2026-03-06"), " dentist ")
ME = "person:ada"


def _who(store: Store, runbook: Runbook, at: datetime) -> str | None:
    rota = find_rota(runbook, "platform")
    with store.read() as conn:
        return on_call(rota, standing(conn, runbook, "platform", at), at).contact


def test_an_override_stands_and_is_in_the_journal(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        made = create(conn, NOW, runbook, SWAP, ME)
    assert _who(store, runbook, utc("2026-03-05")) == "cleo"
    assert _who(store, runbook, utc("2026-03-06")) == "ada"
    with store.read() as conn:
        assert upcoming(conn, NOW) == [made]
        assert upcoming(conn, NOW, "office") == []
        assert upcoming(conn, utc("2026-03-06")) == []
        (entry,) = journal.entries(conn)
    assert (entry.kind, entry.actor, entry.subject) == ("oncall.override_created", ME, "rota:platform")
    assert entry.facts == {
        "summary": "cleo stands in on rota platform, "
        "from 2026-03-04T00:00:00Z to 2026-03-06T00:00:00Z (dentist)",
        "override": made.id,
        "rota": "platform",
        "contact": "cleo",
        "start": "2026-03-04T00:00:00Z",
        "end": "2026-03-06T00:00:00Z",
        "reason": "dentist",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"contact": "clio"}, r"no contact `clio`: did you mean `cleo`\? Valid here: ada, ben, cleo"),
        ({"rota": "plattform"}, r"no rota `plattform`: did you mean `platform`\?"),
        ({"end": SWAP.start}, "before it starts"),
        ({"start": utc("2026-03-01"), "end": NOW}, "would have ended at 2026-03-03T12:00:00Z"),
        ({"end": SWAP.start + timedelta(days=90, seconds=1)}, "longer than 90 days; change the rota"),
        ({"reason": "x" * 501}, "longer than 500 characters"),
    ],
)
def test_what_cannot_be_taken_is_refused_and_changes_nothing(
    store: Store, runbook: Runbook, change: dict[str, object], said: str
) -> None:
    wanted = replace(SWAP, **change)  # type: ignore[arg-type]
    with pytest.raises(OnCallError, match=said), store.write() as conn:
        create(conn, NOW, runbook, wanted, ME)
    with store.read() as conn:
        assert journal.entries(conn) == []
        assert conn.execute(select(func.count()).select_from(oncall_overrides)).scalar() == 0


def test_a_state_change_and_its_entry_are_one_transaction(store: Store, runbook: Runbook) -> None:
    def fails() -> None:
        with store.write() as conn:
            create(conn, NOW, runbook, SWAP, ME)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with store.read() as conn:
        assert (upcoming(conn, NOW), journal.entries(conn)) == ([], [])


def test_ninety_days_are_taken(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        create(conn, NOW, runbook, replace(SWAP, end=SWAP.start + timedelta(days=90)), ME)


def test_cancelled_before_it_began_it_never_stood(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        made = create(conn, NOW, runbook, SWAP, ME)
        gone = cancel(conn, NOW + timedelta(hours=1), made.id, "person:ben")
    assert (gone.cancelled_by, gone.cancelled_at) == ("person:ben", NOW + timedelta(hours=1))
    assert _who(store, runbook, utc("2026-03-05")) == "ada"
    with store.read() as conn:
        assert upcoming(conn, NOW) == []
        entry = journal.entries(conn)[-1]
    assert (entry.kind, entry.actor) == ("oncall.override_cancelled", "person:ben")
    assert (entry.facts["start"], entry.facts["end"]) == ("2026-03-04T00:00:00Z", "2026-03-06T00:00:00Z")


def test_cancelled_while_it_stands_what_is_past_stays_as_it_was(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        made = create(conn, NOW, runbook, SWAP, ME)
        cancel(conn, utc("2026-03-05"), made.id, ME)
    assert _who(store, runbook, utc("2026-03-04 23:59")) == "cleo"
    assert _who(store, runbook, utc("2026-03-05")) == "ada"


def test_what_is_not_there_is_over_or_was_cancelled_cannot_be_cancelled(
    store: Store, runbook: Runbook
) -> None:
    with store.write() as conn:
        made = create(conn, NOW, runbook, SWAP, ME)
    for when, number, said in (
        (NOW, made.id + 1, "there is no override 2"),
        (SWAP.end, made.id, "was over at 2026-03-06T00:00:00Z"),
    ):
        with pytest.raises(OnCallError, match=said), store.write() as conn:
            cancel(conn, when, number, ME)
    with store.write() as conn:
        cancel(conn, NOW, made.id, ME)
    with pytest.raises(OnCallError, match="cancelled before, by person:ada"), store.write() as conn:
        cancel(conn, NOW, made.id, ME)


def test_the_override_of_a_contact_who_left_the_runbook_stands_over_nobody(
    store: Store, runbook: Runbook
) -> None:
    with store.write() as conn:
        create(conn, NOW, runbook, SWAP, ME)
    without = load_bytes("r", RUNBOOK.replace("cleo", "carl").encode()).runbook
    assert _who(store, without, utc("2026-03-05")) == "ada"


def test_the_shift_after_an_override_begins_where_that_ended(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        create(conn, NOW, runbook, SWAP, ME)
    later = SWAP.end + timedelta(hours=30)
    with store.read() as conn:
        found = on_call(find_rota(runbook, "platform"), standing(conn, runbook, "platform", later), later)
    assert (found.contact, found.start) == ("ada", SWAP.end)


def test_the_one_made_last_stands(store: Store, runbook: Runbook) -> None:
    with store.write() as conn:
        create(conn, NOW, runbook, SWAP, ME)
        create(conn, NOW, runbook, replace(SWAP, contact="ben"), ME)
    assert _who(store, runbook, utc("2026-03-05")) == "ben"


def test_a_rota_is_found_by_its_id_or_as_the_default(runbook: Runbook) -> None:
    assert find_rota(runbook, None).id == "platform"
    assert find_rota(runbook, "office").id == "office"
    with pytest.raises(OnCallError, match="valid here: office, platform"):
        find_rota(runbook, "nights")
    undecided = load_bytes("r", RUNBOOK.replace("  default: platform\n", "").encode()).runbook
    with pytest.raises(OnCallError, match="name one: platform, office"):
        find_rota(undecided, None)
    with pytest.raises(OnCallError, match="has no rota"):
        find_rota(Runbook(runbook=1, platform="x"), None)
