"""A way is verified by whoever got its code: in time, in few attempts, and never with the code on record."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.oncall.rotas import utc
from watchkeeper.notify.models import Notification
from watchkeeper.oncall.overrides import OnCallError
from watchkeeper.oncall.verification import (
    ATTEMPTS,
    CODE_LASTS,
    Confirmation,
    ask,
    confirm,
    verified,
)
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.database import Store
from watchkeeper.store.models import contact_ways, outbox

TEXT = """
runbook: 1
platform: Island
notifications:
  receivers:
    - {id: mail, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}
    - {id: pager, pagerduty: {routing_key: {env: KEY}}}
contacts:
  - {id: ada, name: Ada, email: ada@example.org, receivers: [pager]}
  - {id: cleo, name: Cleo, phone: "+49 30 1"}
"""
NOW = utc("2026-03-04 03:00")
MAIL, PAGER = ("ada", "email:ada@example.org"), ("ada", "receiver:pager")


@pytest.fixture
def runbook() -> Runbook:
    return load_bytes("runbook.yaml", TEXT.encode()).runbook


def _ask(store: Store, runbook: Runbook) -> dict[str, str]:
    """Ask Ada; the codes by receiver, as they were sent."""
    with store.write() as conn:
        ask(conn, NOW, runbook, "ada", "person:root")
    with store.read() as conn:
        rows = conn.execute(select(outbox.c.receiver, outbox.c.payload).order_by(outbox.c.id)).all()
    found = {}
    for row in rows:
        code = re.search(r"the code is ([0-9]{6});", Notification.from_json(row.payload).note)
        if code is not None:
            found[row.receiver] = code[1]
    return found


def _confirm(store: Store, runbook: Runbook, code: str, after: timedelta = timedelta(0)) -> Confirmation:
    with store.write() as conn:
        return confirm(conn, NOW + after, runbook, "ada", code, "person:ada")


def _wrong(codes: dict[str, str]) -> str:
    return next(f"{n:06d}" for n in range(10) if f"{n:06d}" not in codes.values())


def test_each_way_gets_a_code_of_its_own_and_is_verified_by_it(store: Store, runbook: Runbook) -> None:
    codes = _ask(store, runbook)
    assert set(codes) == {"mail", "pager"}
    assert len(set(codes.values())) == 2
    assert _confirm(store, runbook, codes["mail"], timedelta(minutes=1)) == Confirmation((MAIL[1],))
    with store.read() as conn:
        assert verified(conn) == {MAIL: NOW + timedelta(minutes=1)}
        row = conn.execute(select(contact_ways).where(contact_ways.c.way == MAIL[1])).one()
        assert (row.verified_by, row.code_hash) == ("person:ada", None)
    assert _confirm(store, runbook, f" {codes['pager'][:3]} {codes['pager'][3:]} ").ways == (PAGER[1],)


def test_the_test_message_goes_to_the_person_and_is_no_page(store: Store, runbook: Runbook) -> None:
    _ask(store, runbook)
    with store.read() as conn:
        rows = {row.receiver: row for row in conn.execute(select(outbox))}
    said = {name: Notification.from_json(row.payload) for name, row in rows.items()}
    assert said["mail"].to == "ada@example.org"
    assert said["pager"].to is None
    assert not any(one.is_page for one in said.values())
    assert {row.give_up_at for row in rows.values()} == {NOW + CODE_LASTS}


def test_codes_are_in_no_entry_of_the_journal_and_hashed_in_their_table(
    store: Store, runbook: Runbook
) -> None:
    codes = _ask(store, runbook)
    _confirm(store, runbook, _wrong(codes))
    _confirm(store, runbook, codes["mail"])
    with store.read() as conn:
        entries = journal.entries(conn)
        kept = [row.code_hash for row in conn.execute(select(contact_ways))]
    assert [entry.kind for entry in entries] == [
        "oncall.way_asked",
        "oncall.way_not_verified",
        "oncall.way_verified",
    ]
    assert {entry.subject for entry in entries} == {"contact:ada"}
    recorded = json.dumps([entry.facts for entry in entries]) + str(kept)
    assert not any(code in recorded for code in (*codes.values(), _wrong(codes)))


def test_a_code_counts_for_fifteen_minutes_and_not_on_a_clock_that_went_back(
    store: Store, runbook: Runbook
) -> None:
    codes = _ask(store, runbook)
    for after in (CODE_LASTS, -CODE_LASTS):
        with pytest.raises(OnCallError, match=r"no code for Ada counts any more: .* oncall verify ada"):
            _confirm(store, runbook, codes["mail"], after)
    assert _confirm(store, runbook, codes["mail"], CODE_LASTS - timedelta(seconds=1)).ways


def test_after_five_wrong_codes_the_right_one_counts_no_more(store: Store, runbook: Runbook) -> None:
    codes = _ask(store, runbook)
    wrong = _wrong(codes)
    assert [_confirm(store, runbook, wrong).left for _ in range(ATTEMPTS)] == [4, 3, 2, 1, 0]
    with pytest.raises(OnCallError, match="counts any more"):
        _confirm(store, runbook, codes["mail"])
    fresh = _ask(store, runbook)
    assert _confirm(store, runbook, fresh["mail"]).ways == (MAIL[1],)


def test_a_code_counts_once_and_the_one_before_not_at_all(store: Store, runbook: Runbook) -> None:
    old = _ask(store, runbook)
    codes = _ask(store, runbook)
    if old["mail"] not in codes.values():
        assert _confirm(store, runbook, old["mail"]).ways == ()
    assert _confirm(store, runbook, codes["mail"]).ways
    assert _confirm(store, runbook, codes["mail"]).ways == ()


def test_asking_again_leaves_what_was_verified_so(store: Store, runbook: Runbook) -> None:
    _confirm(store, runbook, _ask(store, runbook)["mail"])
    _ask(store, runbook)
    with store.read() as conn:
        assert verified(conn) == {MAIL: NOW}


def test_another_address_is_not_verified(store: Store, runbook: Runbook) -> None:
    from watchkeeper.oncall.report import ways_of

    _confirm(store, runbook, _ask(store, runbook)["mail"])
    moved = load_bytes("runbook.yaml", TEXT.replace("ada@", "countess@").encode()).runbook
    with store.read() as conn:
        known = verified(conn)
    assert dict(ways_of(runbook.contacts[0], runbook, known))[MAIL[1]] == NOW
    assert set(dict(ways_of(moved.contacts[0], moved, known)).values()) == {None}


def test_the_incident_that_the_test_has_opened_at_a_pager_is_ended(store: Store, runbook: Runbook) -> None:
    codes = _ask(store, runbook)
    _confirm(store, runbook, codes["pager"])
    _confirm(store, runbook, codes["mail"])
    with store.read() as conn:
        rows = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    pager = [(row.dedup_key, row.payload["kind"]) for row in rows if row.receiver == "pager"]
    assert [kind for _, kind in pager] == ["trigger", "resolve"]
    assert len({key for key, _ in pager}) == 1
    assert [row.payload["kind"] for row in rows if row.receiver == "mail"] == ["trigger"]


@pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "", "１２３４５６"])
def test_what_is_no_code_is_refused_and_not_counted(store: Store, runbook: Runbook, code: str) -> None:
    _ask(store, runbook)
    with pytest.raises(OnCallError, match="six digits"):
        _confirm(store, runbook, code)
    with store.read() as conn:
        assert {row.attempts for row in conn.execute(select(contact_ways))} == {0}


def test_whoever_is_not_there_or_cannot_be_reached_is_not_asked(store: Store, runbook: Runbook) -> None:
    for who, why in (("adda", "did you mean `ada`"), ("cleo", "no receiver of the runbook leads to Cleo")):
        with store.write() as conn, pytest.raises(OnCallError, match=why):
            ask(conn, NOW, runbook, who, "person:root")
    with store.read() as conn:
        assert journal.entries(conn) == []
