"""``/settings/receivers``: who is told, whether that works, what became of the last messages, and a test.

Always true: nothing of a receiver's settings but its name and kind is on the page
(tests/console/test_receivers.py).
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.people import sentence
from watchkeeper.console.rendering import seen_other
from watchkeeper.notify.models import NotifyError
from watchkeeper.notify.report import Receipt, Standing, receipts, standings
from watchkeeper.notify.trial import send_test
from watchkeeper.runbook.models.notifications import Receiver

RECEIPTS = 50


def router(console: Console) -> APIRouter:
    """``/settings/receivers`` and ``/settings/receivers/{name}/test``."""
    routes = APIRouter(include_in_schema=False)

    def look(lines: tuple[Receiver, ...], only: str | None) -> tuple[list[Standing], list[Receipt]]:
        with console.store.read() as conn:
            return standings(conn, lines), receipts(conn, only, RECEIPTS)

    @routes.get("/settings/receivers")
    async def page(request: Request, identity: Reader, receiver: str = "") -> Response:
        picture = await console.pictures.now()
        lines = picture.policy.runbook.notifications.receivers if picture.policy else ()
        found, sent = await run_in_threadpool(look, lines, receiver[:100] or None)
        return await console.page(
            request,
            identity,
            "receivers.html",
            picture=picture,
            receivers=found,
            receipts=sent,
            only=receiver[:100],
        )

    @routes.post("/settings/receivers/{name}/test")
    async def test(name: str, identity: Responder) -> Response:
        picture = await console.pictures.now()
        lines = picture.policy.runbook.notifications.receivers if picture.policy else ()
        try:
            await run_in_threadpool(send, lines, name, identity)
        except NotifyError as error:
            return seen_other("/settings/receivers", sentence(str(error)))
        console.pictures.outdated()
        return seen_other(
            "/settings/receivers", f"A test message is on its way to {name}; below is what becomes of it."
        )

    def send(lines: tuple[Receiver, ...], name: str, identity: Identity) -> None:
        with console.store.write() as conn:
            send_test(conn, console.clock.now(), lines, name, identity.actor)

    return routes
