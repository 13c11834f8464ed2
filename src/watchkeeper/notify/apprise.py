"""Whatever Apprise knows (Teams, Telegram, Matrix, ntfy and a hundred others), as a title and plain text.

Always true here (tests/notify/test_apprise.py): only Apprise's own yes counts as delivered; an attempt ends
within ``timeout``; the receiver's URL, which holds credentials, is in no answer and no log.

Apprise says yes or no and keeps the reason for its log, which holds addresses and is therefore silenced. So
every no is tried again; for what can be said against a notification for good, there is no word. An attempt
that was given up cannot be called back: what it was to say may still arrive, and then arrives twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from watchkeeper.notify.answers import ACCEPTED, Answer, try_again
from watchkeeper.notify.bounded import Bounded, TooLongError
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.secret import SecretMissingError, SecretSource
from watchkeeper.notify.wording import shortened, words

MAX_TEXT = 3500
"""Characters of a body: most services take as much, and few take more than 4,096."""
Type = Literal["failure", "warning", "info", "success"]
_LIBRARIES = ("apprise", "urllib3", "requests")


@dataclass(frozen=True, slots=True)
class AppriseReceiver:
    """The services behind one Apprise URL."""

    id: str
    url: SecretSource
    environ: Mapping[str, str]
    rate_per_minute: float = 60.0
    timeout_seconds: float = 20.0
    _bounded: Bounded = field(default_factory=Bounded, repr=False, compare=False)

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt. Never raises for what Apprise or the service does."""
        try:
            url = self.url.read(self.environ).strip()
        except SecretMissingError as error:
            return try_again(f"Apprise's URL: {error}")
        told = words(notification)
        text = shortened(told.text(), MAX_TEXT)
        try:
            return self._bounded.run(
                lambda: _notify(url, told.title, text, type_of(notification)), self.timeout_seconds
            )
        except TooLongError as error:
            return try_again(f"Apprise: {error}")
        except Exception as error:  # noqa: BLE001 - plugins raise anything, in words that may hold the URL
            return try_again(f"Apprise failed ({type(error).__name__})")


def type_of(notification: Notification) -> Type:
    """Apprise's kind of notification, which some services show as an icon."""
    if notification.kind is Kind.RESOLVE:
        return "success"
    if notification.kind is Kind.ACKNOWLEDGE:
        return "info"
    return "failure" if notification.is_page else "warning"


def _notify(url: str, title: str, text: str, kind: Type) -> Answer:
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType  # half a second, for those who use it

    silence()
    # One thread: Apprise's own pool would outlive an attempt that was given up.
    services = Apprise(asset=AppriseAsset(async_mode=False, secure_logging=True))
    if not services.add(url) or not len(services):
        return try_again("the secret holds no URL that Apprise knows; correct it")
    said = services.notify(
        body=text, title=title, notify_type=NotifyType(kind), body_format=NotifyFormat.TEXT
    )
    return ACCEPTED if said else try_again("Apprise could not deliver it, and gives no reason")


def silence() -> None:
    """Keep what Apprise and the libraries under it log out of ours: it holds addresses with credentials."""
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.setLevel(logging.CRITICAL + 1)
        library.propagate = False
