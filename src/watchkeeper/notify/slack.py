"""Slack: with a bot token one message per incident, edited in place; with an incoming webhook plain messages.

Always true here (tests/notify/test_slack.py, test_slack_delivery.py): of one ``dedup_key`` there is one
message in the channel, which says how things stand now, and a reply in its thread for each change; a request
ends within ``timeout``; nothing that stands in a label mentions people or hides an address behind a word;
severity and state are a word and a shape, never a colour alone; token and webhook address are in no answer
and no log.

Where the message stands (channel and ``ts``) is kept through ``Answer.keep``, in the transaction that settles
the attempt. A process that dies between posting and settling posts a second message, once, and speaks of the
incident in that one from then on: Slack has no key of idempotency for ``chat.postMessage``.

What Slack's answers mean (docs.slack.dev/reference/methods/chat.postMessage): ``ok`` is delivered; errors
about the text itself (``_NEVER``) are final; all others, ``invalid_auth`` and ``channel_not_found`` among
them, are tried again, because a person can mend them and the notification waits for it.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from watchkeeper.notify.answers import ACCEPTED, Answer, Said, redacted, rejected, retry_after, try_again
from watchkeeper.notify.bounded import Bounded, TooLongError
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.secret import SecretMissingError, SecretSource
from watchkeeper.notify.transport import Response, Transport, TransportError
from watchkeeper.notify.wording import Words, words

MAX_TEXT = 3500
"""Characters of a message; Slack recommends at most 4,000."""
_NEVER = ("invalid_blocks", "invalid_payload", "msg_too_long", "no_text", "too_many_attachments")
_NOT_EDITABLE = ("cant_update_message", "edit_window_closed", "message_not_found")
_STATE_SHAPES = {Kind.ACKNOWLEDGE: "◐", Kind.RESOLVE: "✔"}
_SEVERITY_SHAPES = {"page": "■", "warn": "▲"}

# What the library logs holds addresses and whole answers. Everything worth saying is in our own answers.
_silent = logging.Logger("slack_sdk", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class SlackBotReceiver:
    """A channel, or the member that a notification names, through Slack's Web API."""

    id: str
    token: SecretSource
    channel: str
    environ: Mapping[str, str]
    api_url: str = "https://slack.com/api/"
    rate_per_minute: float = 60.0
    timeout_seconds: float = 10.0
    _bounded: Bounded = field(default_factory=Bounded, repr=False, compare=False)

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt at an incident of which nothing is known yet."""
        return self.send_with(notification, idempotency_key, now, None)

    def send_with(
        self,
        notification: Notification,
        idempotency_key: str,
        now: datetime,
        kept: Mapping[str, Any] | None,
    ) -> Answer:
        """One attempt, at most two requests. Never raises for what Slack does.

        An attempt that edited the message and could not reply is tried again as a whole: editing twice is
        harmless.
        """
        try:
            token = self.token.read(self.environ).strip()
        except SecretMissingError as error:
            return try_again(f"Slack's token: {error}")
        told, shape = words(notification), _shape(notification)
        text = message(told, shape)
        channel = notification.to or self.channel
        if kept is None or kept.get("asked") != channel:
            return self._post(token, channel, text, now)
        place = {"channel": kept["channel"], "ts": kept["ts"]}
        edited, refusal = self._call(token, "chat.update", {**place, "text": text}, now)
        if refusal in _NOT_EDITABLE:
            return self._post(token, channel, text, now)
        if edited.said is not Said.ACCEPTED:
            return edited
        reply = {"channel": place["channel"], "thread_ts": place["ts"], "text": change(told, shape)}
        replied, _ = self._call(token, "chat.postMessage", {**reply, **_PLAIN}, now)
        if replied.said is Said.TRY_AGAIN:
            return replied
        return Answer(Said.ACCEPTED, replied.reason, keep=kept)  # the message itself says it

    def _post(self, token: str, channel: str, text: str, now: datetime) -> Answer:
        arguments = {"channel": channel, "text": text, **_PLAIN}
        answer, _ = self._call(token, "chat.postMessage", arguments, now)
        return Answer(answer.said, answer.reason, answer.retry_after, _with_asked(answer.keep, channel))

    def _call(
        self, token: str, method: str, arguments: Mapping[str, Any], now: datetime
    ) -> tuple[Answer, str]:
        """What came of one request, and Slack's word for the error."""
        client = WebClient(
            token,
            self.api_url,
            timeout=max(1, round(self.timeout_seconds)),
            logger=_silent,
            retry_handlers=[],  # whether to repeat a request that may have arrived is for delivery to say
        )
        try:
            response = self._bounded.run(
                lambda: client.api_call(method, json=dict(arguments)), self.timeout_seconds
            )
            place = {"channel": str(response["channel"]), "ts": str(response["ts"])}
        except SlackApiError as error:
            return judge(error, token, now)
        except TooLongError as error:
            return try_again(f"Slack: {error}"), ""
        except OSError as error:
            cause = getattr(error, "reason", error)  # URLError wraps what happened
            words_of = getattr(cause, "verify_message", "") or getattr(cause, "strerror", "")
            return try_again(redacted(f"Slack: {words_of or type(cause).__name__}", token)), ""
        except (
            SlackClientError,
            http.client.HTTPException,
            ValueError,
            AttributeError,
            TypeError,
            KeyError,
        ) as error:
            # The library takes whatever JSON comes for an answer, and trips over it. Its texts hold answers.
            return try_again(f"what came is no answer of Slack's ({type(error).__name__})"), ""
        return Answer(Said.ACCEPTED, keep=place), ""


@dataclass(frozen=True, slots=True)
class SlackWebhookReceiver:
    """A channel, through an incoming webhook: one message per notification, none is edited."""

    id: str
    webhook_url: SecretSource
    transport: Transport
    environ: Mapping[str, str]
    rate_per_minute: float = 60.0
    timeout_seconds: float = 10.0

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt. Never raises for what Slack does."""
        try:
            url = self.webhook_url.read(self.environ).strip()
        except SecretMissingError as error:
            return try_again(f"Slack's webhook address: {error}")
        text = message(words(notification), _shape(notification))
        body = json.dumps({"text": text, **_PLAIN}).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "Watchkeeper"}
        try:
            response = self.transport.post(url, headers, body, self.timeout_seconds)
        except TransportError as error:
            return try_again(redacted(str(error), url))
        return judge_webhook(response, url, now)


_PLAIN = {"unfurl_links": False, "unfurl_media": False}


def message(told: Words, shape: str) -> str:
    """The message that says how things stand, in Slack's markup, at most ``MAX_TEXT`` characters."""
    lines = [f"{shape} *{escaped(told.title)}*"]
    lines += [f"*{escaped(name)}:* {escaped(value)}" for name, value in told.facts if name != "What"]
    links = " · ".join(f"<{escaped(link.href)}|{escaped(link.text)}>" for link in told.links[:4])
    # Links come before a group's alerts: those are what is left out where all does not fit.
    lines += [links] if links else []
    lines += [f"• {escaped(line)}" for line in (*told.alerts, *told.more())]
    text = ""
    for line in lines:
        if len(text) + len(line) + 3 > MAX_TEXT:
            return text + "\n…"
        text += ("\n" if text else "") + line
    return text


def change(told: Words, shape: str) -> str:
    """The reply in the thread: what changed."""
    note = [value for name, value in told.facts if name == "Note"]
    return "\n".join([f"{shape} {escaped(told.title)}", *(escaped(value) for value in note)])


def escaped(text: str) -> str:
    """``text`` as Slack shows it and as nothing else (docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def judge(error: SlackApiError, token: str, now: datetime) -> tuple[Answer, str]:
    """What Slack's refusal means, and its own word for it."""
    response = error.response
    status = int(response.status_code)
    said = str(response.data.get("error", "")) if isinstance(response.data, dict) else ""
    known = said if re.fullmatch(r"[a-z0-9_]{1,60}", said) else ""
    headers = {str(name).lower(): str(value) for name, value in dict(response.headers).items()}
    wait = retry_after(Response(status, headers), now)
    if status == 429 or known in ("ratelimited", "rate_limited"):
        return try_again("Slack takes no more for now (429)", wait), known
    if status == 200 and known:
        verdict = rejected if known in _NEVER else try_again
        return verdict(redacted(f"Slack says {known}{_ADVICE.get(known, '')}", token)), known
    return try_again(f"Slack answered {status} without a reason that we know", wait), known


_ADVICE = {
    "account_inactive": "; correct the token",
    "channel_not_found": "; correct the channel, or invite the bot to it",
    "invalid_auth": "; correct the token",
    "is_archived": "; the channel is archived, name another",
    "missing_scope": "; the bot needs the scope chat:write",
    "not_in_channel": "; invite the bot to the channel",
    "token_expired": "; correct the token",
    "token_revoked": "; correct the token",
}


def judge_webhook(response: Response, url: str, now: datetime) -> Answer:
    """What the answer of an incoming webhook means; Slack says ``ok`` in plain text."""
    said = redacted(response.body[:300].decode("utf-8", "replace"), url).strip()
    if response.status == 200 and said == "ok":
        return ACCEPTED
    if response.status == 429:
        return try_again("Slack takes no more for now (429)", retry_after(response, now))
    if response.status == 413 or (response.status == 400 and said in _NEVER):
        return rejected(f"Slack answered {response.status}: {said}")
    return try_again(f"Slack answered {response.status}: {said}", retry_after(response, now))


def _shape(notification: Notification) -> str:
    by_severity = _SEVERITY_SHAPES.get(notification.severity, "●")
    return _STATE_SHAPES.get(notification.kind, by_severity)


def _with_asked(place: Mapping[str, Any] | None, channel: str) -> Mapping[str, Any] | None:
    """With the channel as the runbook names it: another one there later means another message."""
    return None if place is None else {**place, "asked": channel}
