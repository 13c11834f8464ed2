"""Receivers, from the lines of the runbook."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from watchkeeper.notify.apprise import AppriseReceiver
from watchkeeper.notify.email import EmailReceiver
from watchkeeper.notify.pagerduty import EVENTS_URL, PagerDutyReceiver
from watchkeeper.notify.receivers import RememberingReceiver, build_receivers
from watchkeeper.notify.slack import SlackBotReceiver, SlackWebhookReceiver
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.notify.webhook import WebhookReceiver
from watchkeeper.runbook.models.notifications import RECEIVER_KINDS, Receiver

LINES = [
    {"id": "oncall", "pagerduty": {"routing_key": {"env": "PD_KEY"}}},
    {
        "id": "slow",
        "pagerduty": {
            "routing_key": {"file": "/run/secrets/pd"},
            "url": "http://127.0.0.1:9990/v2/enqueue",
            "rate_limit": "30/min",
            "timeout": "3s",
        },
    },
    {
        "id": "hook",
        "webhook": {"url": "https://hooks.example/x", "secret": {"env": "HOOK"}, "rate_limit": "2/s"},
    },
    {
        "id": "mail",
        "email": {
            "host": "smtp.example",
            "username": "wk",
            "password": {"env": "SMTP"},
            "sender": "wk@example.org",
            "to": "ops@example.org",
            "timeout": "7s",
        },
    },
    {"id": "chat", "slack": {"webhook_url": {"env": "SLACK"}}},
    {"id": "bot", "slack": {"token": {"env": "BOT"}, "channel": "#ops", "timeout": "4s"}},
    {"id": "any", "apprise": {"url": {"env": "APPRISE"}}},
]


def test_each_line_becomes_a_receiver_with_its_own_limits() -> None:
    environ = {"PD_KEY": "k"}
    lines = [Receiver.model_validate(line) for line in LINES]
    receivers, problems = build_receivers(
        lines, HttpTransport(), environ, platform="Treazr Island", client_url="http://127.0.0.1:8321"
    )
    oncall, slow, hook = receivers["oncall"], receivers["slow"], receivers["hook"]
    assert isinstance(oncall, PagerDutyReceiver)
    assert (oncall.url, oncall.rate_per_minute, oncall.timeout_seconds) == (EVENTS_URL, 120, 10)
    assert (oncall.client, oncall.client_url) == ("Watchkeeper (Treazr Island)", "http://127.0.0.1:8321")
    assert oncall.routing_key.read(environ) == "k"
    assert isinstance(slow, PagerDutyReceiver)
    assert (slow.url, slow.rate_per_minute, slow.timeout_seconds) == (
        "http://127.0.0.1:9990/v2/enqueue",
        30,
        3,
    )
    assert isinstance(hook, WebhookReceiver)
    assert (hook.url, hook.rate_per_minute) == ("https://hooks.example/x", 120)
    mail = receivers["mail"]
    assert isinstance(mail, EmailReceiver)
    assert (mail.host, mail.port, mail.security, mail.to) == (
        "smtp.example",
        587,
        "starttls",
        ("ops@example.org",),
    )
    assert (mail.username, mail.rate_per_minute, mail.timeout_seconds) == ("wk", 60, 7)
    chat, bot = receivers["chat"], receivers["bot"]
    assert isinstance(chat, SlackWebhookReceiver)
    assert isinstance(bot, SlackBotReceiver)
    assert (bot.channel, bot.api_url, bot.timeout_seconds) == ("#ops", "https://slack.com/api/", 4)
    assert isinstance(bot, RememberingReceiver)
    assert not isinstance(chat, RememberingReceiver)
    assert isinstance(receivers["any"], AppriseReceiver)
    assert receivers["any"].timeout_seconds == 20
    assert problems == []


def test_every_kind_of_the_runbook_has_a_receiver() -> None:
    assert {Receiver.model_validate(line).kind for line in LINES} == set(RECEIVER_KINDS)


def test_a_bot_token_needs_a_channel() -> None:
    with pytest.raises(ValidationError, match="needs a channel"):
        Receiver.model_validate({"id": "bot", "slack": {"token": {"env": "BOT"}}})
