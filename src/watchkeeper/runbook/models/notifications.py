"""Who is told, through what, and how often: receivers, and the routes that alerts take to them.

Routes are tried in order and the first that matches decides, unless it says ``continue``; an alert that no
route matches goes to ``default_receivers``, so that none is lost by a gap between routes.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Id, OneOrMore, Part, Several, Text
from watchkeeper.runbook.models.metrics import HttpUrl, LabelName
from watchkeeper.runbook.models.quantities import Duration, Rate
from watchkeeper.runbook.models.references import ReceiverRef
from watchkeeper.runbook.models.secrets import Secret


class PagerDuty(Part):
    """PagerDuty Events API v2. Its documented budget is 120 events a minute for an integration key."""

    routing_key: Secret
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    rate_limit: Rate = Rate("120/min")
    timeout: Duration = Duration("10s")
    webhook_secret: Secret | None = None
    """Signs the webhooks that PagerDuty sends back (acknowledged, resolved by a person)."""
    change_events: bool = True
    """Whether changes of the platform are told as change events, which wake nobody."""


class Webhook(Part):
    """CloudEvents-shaped JSON, signed with HMAC-SHA-256 over time and body."""

    url: HttpUrl
    secret: Secret | None = None
    rate_limit: Rate = Rate("600/min")
    timeout: Duration = Duration("10s")


class Slack(Part):
    """A channel, through an incoming webhook or a bot token."""

    webhook_url: Secret | None = None
    token: Secret | None = None
    channel: Text | None = None
    """Where a bot posts: the channel's id or ``#name``. An incoming webhook has its own."""
    rate_limit: Rate = Rate("60/min")
    timeout: Duration = Duration("10s")
    api_url: HttpUrl = "https://slack.com/api/"
    """Slack's Web API, for a bot token."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook_url is None) == (self.token is None):
            raise PydanticCustomError(
                "one_of",
                "say exactly one: {example}",
                {"example": "webhook_url: {env: NAME} or token: {env: NAME}"},
            )
        if self.token is not None and self.channel is None:
            raise PydanticCustomError(
                "needed_with",
                "a bot token needs a channel to post to: {example}",
                {"example": "channel: '#ops'"},
            )
        return self


class Email(Part):
    """Mail through an SMTP server."""

    host: Text
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Text | None = None
    password: Secret | None = None
    sender: Text
    to: OneOrMore[Text] = Field(min_length=1)
    rate_limit: Rate = Rate("60/min")
    timeout: Duration = Duration("20s")
    """For a whole mail, from the connection to the server's answer."""


class Apprise(Part):
    """Any service that Apprise knows; its URL holds credentials, so it is a secret."""

    url: Secret
    rate_limit: Rate = Rate("60/min")
    timeout: Duration = Duration("20s")


class Receiver(Part):
    """A place that is told. Exactly one kind."""

    id: Id
    title: Text | None = None
    pagerduty: PagerDuty | None = None
    webhook: Webhook | None = None
    slack: Slack | None = None
    email: Email | None = None
    apprise: Apprise | None = None
    send_resolved: bool = True

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in RECEIVER_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "one_of", "a receiver is exactly one of: {example}", {"example": ", ".join(RECEIVER_KINDS)}
            )
        return self

    @property
    def kind(self) -> str:
        """Which kind of receiver this is."""
        return next(kind for kind in RECEIVER_KINDS if getattr(self, kind) is not None)

    @property
    def settings(self) -> PagerDuty | Webhook | Slack | Email | Apprise:
        """The settings of its kind."""
        value: PagerDuty | Webhook | Slack | Email | Apprise = getattr(self, self.kind)
        return value


RECEIVER_KINDS = ("pagerduty", "webhook", "slack", "email", "apprise")


class Grouping(Part):
    """Which alerts share one notification; ``by`` are label names."""

    by: Several[LabelName] = ("alertname", "service", "env", "region")
    wait: Duration = Duration("0s")
    interval: Duration = Duration("1m")
    storm: Annotated[int, Field(ge=2, le=100_000)] = 30
    """More new groups at once than this, of one severity and for the same receivers, are told as one."""


class Route(Part):
    """Alerts whose labels all match go to these receivers. ``severity: page`` is a label like any other."""

    match: dict[LabelName, OneOrMore[str]] = Field(default_factory=dict)
    receivers: OneOrMore[ReceiverRef] = Field(min_length=1)
    continue_: bool = Field(default=False, alias="continue")
    grouping: Grouping | None = None
    repeat_interval: Duration | None = None


class Notifications(Part):
    """The notifications section."""

    receivers: Several[Receiver] = ()
    routes: Several[Route] = ()
    default_receivers: Several[ReceiverRef] = ()
    """For alerts that no route matches; empty means all receivers."""
    grouping: Grouping = Grouping()
    repeat_interval: Duration = Duration("4h")
    """How often a notification is repeated while its alert still fires."""

    def receiver(self, receiver_id: str) -> Receiver | None:
        """The receiver of that id, if there is one."""
        return next((receiver for receiver in self.receivers if receiver.id == receiver_id), None)
