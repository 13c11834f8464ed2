"""The ways in which a contact can be paged: their own receivers, their mailbox, their Slack.

Always true here: a way is named by what it reaches, so that another address is another way; a phone number
alone is none, because a number is called by a receiver (tests/runbook/test_ways.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.runbook.models.notifications import Notifications
from watchkeeper.runbook.models.people import Contact
from watchkeeper.runbook.models.runbook import Runbook


@dataclass(frozen=True, slots=True)
class Way:
    """One way to page somebody: through ``receiver``, to ``to`` instead of the receiver's own address."""

    receiver: str
    to: str | None = None
    kind: str = "receiver"

    @property
    def name(self) -> str:
        """``email:ada@example.org``, ``slack:U1``, ``receiver:ada-phone``."""
        return f"{self.kind}:{self.receiver if self.to is None else self.to}"


def ways(runbook: Runbook, contact: Contact) -> tuple[Way, ...]:
    """Every way to page ``contact``, each once; none where no receiver of ``runbook`` reaches them.

    ``email`` goes through the first e-mail receiver of the runbook, ``slack`` through the first with a bot
    token: an incoming webhook has its own channel.
    """
    notifications = runbook.notifications
    found = [Way(receiver) for receiver in contact.receivers if notifications.receiver(receiver) is not None]
    mailer, bot = _mailer(notifications), _bot(notifications)
    if contact.email and mailer is not None:
        found.append(Way(mailer, contact.email, "email"))
    if contact.slack and bot is not None:
        found.append(Way(bot, contact.slack, "slack"))
    return tuple(dict.fromkeys(found))


def _mailer(notifications: Notifications) -> str | None:
    return next((one.id for one in notifications.receivers if one.email is not None), None)


def _bot(notifications: Notifications) -> str | None:
    bots = (
        one.id for one in notifications.receivers if one.slack is not None and one.slack.token is not None
    )
    return next(bots, None)
