"""The receivers of the runbook's notifications section, ready to send.

Always true here: a receiver knows where its secrets are kept, never what they are; two receivers of the same
runbook line behave the same in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from watchkeeper.notify.answers import Answer
from watchkeeper.notify.apprise import AppriseReceiver
from watchkeeper.notify.email import EmailReceiver
from watchkeeper.notify.models import Notification
from watchkeeper.notify.pagerduty import PagerDutyReceiver
from watchkeeper.notify.transport import Transport
from watchkeeper.notify.webhook import WebhookReceiver
from watchkeeper.runbook.models.notifications import Apprise, Email, PagerDuty, Slack, Webhook
from watchkeeper.runbook.models.notifications import Receiver as ReceiverLine


class Receiver(Protocol):
    """A place that is told."""

    @property
    def id(self) -> str:
        """Its id in the runbook."""

    @property
    def rate_per_minute(self) -> float:
        """At most so many sends in any sixty seconds."""

    @property
    def timeout_seconds(self) -> float:
        """The longest that one request takes."""

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt. Says what came of it; raises only for a defect of ours."""


@runtime_checkable
class ParallelReceiver(Receiver, Protocol):
    """A place that takes several sends at the same time; all others get one after the other."""

    @property
    def in_flight(self) -> int:
        """How many sends may be under way, each in a thread of its own."""


@runtime_checkable
class RememberingReceiver(Receiver, Protocol):
    """A place where an incident is spoken of in one message, so that it must be known where that stands."""

    def send_with(
        self, notification: Notification, idempotency_key: str, now: datetime, kept: Mapping[str, Any] | None
    ) -> Answer:
        """As :meth:`Receiver.send`. ``kept``: what its last answer about the incident wanted kept."""


def build_receivers(
    lines: Iterable[ReceiverLine],
    transport: Transport,
    environ: Mapping[str, str],
    *,
    platform: str,
    client_url: str | None = None,
) -> tuple[dict[str, Receiver], list[str]]:
    """The receivers by id, and a sentence for each line that this version cannot send to.

    ``environ`` is where ``{env: NAME}`` secrets are read, at each send. What is enqueued for a receiver that
    is not in the answer waits in the outbox.
    """
    built: dict[str, Receiver] = {}
    problems: list[str] = []
    for line in lines:
        receiver = _build(line, transport, environ, platform, client_url)
        if receiver is not None:
            built[line.id] = receiver
        else:
            problems.append(
                f"receiver {line.id} is of the kind {line.kind}, which this version cannot send to; "
                "what is for it waits in the outbox"
            )
    return built, problems


def _build(
    line: ReceiverLine,
    transport: Transport,
    environ: Mapping[str, str],
    platform: str,
    client_url: str | None,
) -> Receiver | None:
    match line.settings:
        case PagerDuty() as settings:
            return PagerDutyReceiver(
                id=line.id,
                routing_key=settings.routing_key,
                transport=transport,
                environ=environ,
                url=str(settings.url),
                rate_per_minute=float(settings.rate_limit),
                timeout_seconds=settings.timeout.total_seconds(),
                client=f"Watchkeeper ({platform})",
                client_url=client_url,
            )
        case Webhook() as settings:
            return WebhookReceiver(
                id=line.id,
                url=str(settings.url),
                transport=transport,
                environ=environ,
                secret=settings.secret,
                rate_per_minute=float(settings.rate_limit),
                timeout_seconds=settings.timeout.total_seconds(),
                platform=platform,
            )
        case Email() as settings:
            return EmailReceiver(
                id=line.id,
                host=settings.host,
                sender=settings.sender,
                to=tuple(settings.to),
                environ=environ,
                port=settings.port,
                security=settings.security,
                username=settings.username,
                password=settings.password,
                rate_per_minute=float(settings.rate_limit),
                timeout_seconds=settings.timeout.total_seconds(),
            )
        case Slack() as settings:
            return _slack(line.id, settings, transport, environ)
        case Apprise() as settings:
            return AppriseReceiver(
                id=line.id,
                url=settings.url,
                environ=environ,
                rate_per_minute=float(settings.rate_limit),
                timeout_seconds=settings.timeout.total_seconds(),
            )


def _slack(
    receiver_id: str, settings: Slack, transport: Transport, environ: Mapping[str, str]
) -> Receiver | None:
    # Imported here: its library takes 8 MB of every process, also of those that have no Slack.
    from watchkeeper.notify.slack import SlackBotReceiver, SlackWebhookReceiver

    rate, timeout = float(settings.rate_limit), settings.timeout.total_seconds()
    if settings.webhook_url is not None:
        return SlackWebhookReceiver(receiver_id, settings.webhook_url, transport, environ, rate, timeout)
    if settings.token is not None and settings.channel is not None:
        return SlackBotReceiver(
            receiver_id, settings.token, settings.channel, environ, settings.api_url, rate, timeout
        )
    return None
