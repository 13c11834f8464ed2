"""What receivers tell back, taken in by the role ``work``: it knows their secrets, the HTTP side does not."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from watchkeeper.app.wire import Handler, RefusedError
from watchkeeper.monitoring import acknowledgements
from watchkeeper.notify import pagerduty_webhook
from watchkeeper.notify.pagerduty_webhook import WebhookRefusedError
from watchkeeper.runbook.models.notifications import PagerDuty
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.models.secrets import Secret, SecretMissingError
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)


class InboundAnswers:
    """Takes in PagerDuty's webhooks. A refusal says what to look at, and holds no secret."""

    def __init__(self, store: Store, clock: Clock, runbook: Runbook) -> None:
        self._store = store
        self._clock = clock
        self.use(runbook)

    def use(self, runbook: Runbook) -> None:
        """The receivers of a runbook that was read again."""
        self._secrets: Mapping[str, Secret] = {
            line.id: line.settings.webhook_secret
            for line in runbook.notifications.receivers
            if isinstance(line.settings, PagerDuty) and line.settings.webhook_secret is not None
        }

    def handlers(self) -> dict[str, Handler]:
        """By the name of the question."""
        return {"pagerduty": self._pagerduty}

    async def _pagerduty(self, asked: dict[str, Any]) -> bytes:
        about = await asyncio.to_thread(
            self._take_in, asked["receiver"], asked.get("signature"), asked["body"].encode()
        )
        return json.dumps({"alerts": about}).encode()

    def _take_in(self, receiver: str, signature: str | None, body: bytes) -> int:
        secret = self._secrets.get(receiver)
        if secret is None:
            raise RefusedError("not_found", "no receiver of that id takes webhooks (webhook_secret)")
        try:
            now = self._clock.now()
            event = pagerduty_webhook.receive(signature, body, secret.read(os.environ), now)
        except (WebhookRefusedError, SecretMissingError) as error:
            log.warning("a webhook for receiver %s was refused: %s", receiver, error)
            raise RefusedError("forbidden", str(error)) from None
        if event is None:
            return 0
        try:
            with self._store.write() as conn:
                return acknowledgements.record(conn, now, receiver, event)
        except StoreError as error:  # PagerDuty sends it again
            raise RefusedError("unavailable", str(error)) from None
