"""What the outbox is told about a notification."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from tests.notify.conftest import Make
from watchkeeper.notify.enqueue import KEEP_TRYING, enqueue_notification, enqueue_notifications
from watchkeeper.notify.models import Kind
from watchkeeper.store.database import Store
from watchkeeper.store.models import outbox


def _rows(store: Store) -> list[Any]:
    with store.read() as conn:
        return list(conn.execute(select(outbox).order_by(outbox.c.id)))


def test_every_receiver_gets_one_row_however_often_it_is_named(
    store: Store, now: datetime, make: Make
) -> None:
    with store.write() as conn:
        ids = enqueue_notification(conn, now, ["pagerduty", "webhook", "pagerduty"], make())
    assert [(row.id, row.receiver) for row in _rows(store)] == [(ids[0], "pagerduty"), (ids[1], "webhook")]


def test_a_page_goes_before_a_warning_and_is_never_given_up(store: Store, now: datetime, make: Make) -> None:
    with store.write() as conn:
        enqueue_notification(conn, now, ["r"], make("warning", severity="warn"))
        enqueue_notification(conn, now, ["r"], make("page"))
        enqueue_notification(conn, now, ["r"], make("page", Kind.RESOLVE))
        enqueue_notification(conn, now, ["r"], make("warning", Kind.RESOLVE, severity="warn"))
    warning, page, page_end, warning_end = _rows(store)
    assert warning.priority == warning_end.priority > page.priority == page_end.priority
    assert warning.give_up_at == now + KEEP_TRYING
    assert [page.give_up_at, page_end.give_up_at, warning_end.give_up_at] == [None, None, None]


def test_only_a_repeat_replaces_only_the_repeat_before_it(store: Store, now: datetime, make: Make) -> None:
    with store.write() as conn:
        for repeat in (False, True, True, False):
            enqueue_notification(conn, now, ["r"], make(), repeat=repeat)
        enqueue_notification(conn, now, ["r"], make(kind=Kind.RESOLVE))
    assert [row.state for row in _rows(store)] == ["pending", "superseded", "pending", "pending", "pending"]


def test_many_at_once_are_the_rows_that_one_after_the_other_would_be(
    store: Store, now: datetime, make: Make
) -> None:
    told = [
        (["a", "b", "a"], make("page")),
        (["b"], make("warning", severity="warn")),
        (["a"], make("page", Kind.RESOLVE)),
    ]
    with store.write() as conn:
        for receivers, notification in told:
            enqueue_notification(conn, now, receivers, notification)
        enqueue_notifications(conn, now, told)
    rows = [tuple(row)[1:] for row in _rows(store)]
    assert len(rows) == 8
    assert rows[:4] == rows[4:]
