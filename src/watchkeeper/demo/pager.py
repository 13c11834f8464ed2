"""The demo's pager: receives Watchkeeper's webhook as a phone's service would, and keeps every page.

A notification is kept in ``pages.jsonl`` before it is answered with 204, and once however often it is sent.
One whose signature is wrong or old is refused, and not kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from watchkeeper.notify.models import Kind, Notification, NotifyError
from watchkeeper.notify.webhook import IDEMPOTENCY_HEADER, SIGNATURE_HEADER, decode, verify_signature
from watchkeeper.store.clock import Clock


class Pager:
    """Keeps what arrives in ``path``, and gives ``show`` a line for each."""

    def __init__(self, path: Path, secret: str, clock: Clock, show: Callable[[str], None]) -> None:
        self.path = path
        self._secret = secret
        self._clock = clock
        self._show = show
        self._seen: set[str] = set()
        self.pages = 0
        self.received = 0
        self.heartbeats = 0

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """The webhook."""
        body = await request.read()
        now = self._clock.now()
        if not verify_signature(request.headers.get(SIGNATURE_HEADER, ""), body, self._secret, now):
            return web.json_response({"error": "the signature is missing, wrong or old"}, status=401)
        try:
            notification = decode(body)
        except (ValueError, TypeError, KeyError, NotifyError) as error:
            return web.json_response({"error": f"not a notification: {error}"}, status=400)
        key = request.headers.get(IDEMPOTENCY_HEADER, "")
        if not key or key not in self._seen:
            line = {"received": now.isoformat(), "event": json.loads(body)}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._seen.add(key)
            self.received += 1
            self.pages += notification.is_page and notification.kind is Kind.TRIGGER
            self._show(sentence(notification))
        return web.Response(status=204)

    async def heartbeat(self, request: web.Request) -> web.StreamResponse:
        """The dead man's switch's other end."""
        self.heartbeats += 1
        return web.Response(status=204)


def sentence(notification: Notification) -> str:
    """A notification in one line, as a phone would show it."""
    if notification.kind is Kind.TRIGGER:
        word = "PAGE" if notification.is_page else "warning"
    else:
        word = "resolved" if notification.kind is Kind.RESOLVE else "acknowledged"
    service = notification.labels.get("service", "")
    where = f" [{service}]" if service else ""
    return f"pager: {word} {notification.alertname}{where} {notification.summary}".rstrip()
