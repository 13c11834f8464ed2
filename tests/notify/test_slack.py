"""Slack, against a workspace on loopback that keeps its messages: what is said, and what the answers mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.slack import TOKEN, WEBHOOK_PATH, FakeSlack, Fault, serving
from tests.notify.conftest import Make
from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.models import Kind, Link, Member
from watchkeeper.notify.slack import MAX_TEXT, SlackBotReceiver, SlackWebhookReceiver
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.models.secrets import Secret

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
PLENTY = 1.5


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with serving(FakeSlack()) as fake:
        yield fake


def bot(fake: FakeSlack, **given: Any) -> SlackBotReceiver:
    fields: dict[str, Any] = {"channel": "#ops", "environ": {"TOKEN": TOKEN}, "api_url": fake.api_url}
    return SlackBotReceiver(**{"id": "chat", "token": Secret(env="TOKEN"), **fields, **given})


def hook(fake: FakeSlack, **given: Any) -> SlackWebhookReceiver:
    environ = {"HOOK": fake.webhook_url}
    return SlackWebhookReceiver("chat", Secret(env="HOOK"), HttpTransport(), environ, **given)


# --- a bot


def test_an_incident_is_one_message_edited_in_place_with_a_reply_for_each_change(
    slack: FakeSlack, make: Make
) -> None:
    first = bot(slack).send_with(make(), "k1", NOW, None)
    assert first == Answer(
        Said.ACCEPTED, keep={"asked": "#ops", "channel": "C0OPS", "ts": "1767582000.000000"}
    )
    for kind in (Kind.ACKNOWLEDGE, Kind.RESOLVE):
        answer = bot(slack).send_with(make(kind=kind, note="by Ada"), "k2", NOW, first.keep)
        assert answer == first
    (message,) = slack.in_channel()
    assert message.text.startswith("✔ *[RESOLVED] PAGE: alert-1: 7.3 % of requests fail*\n")
    assert [text.split(" ")[:2] for text in message.before] == [["■", "*[FIRING]"], ["◐", "*[ACKNOWLEDGED]"]]
    assert slack.replies() == [
        "◐ [ACKNOWLEDGED] PAGE: alert-1: 7.3 % of requests fail\nby Ada",
        "✔ [RESOLVED] PAGE: alert-1: 7.3 % of requests fail\nby Ada",
    ]


def test_a_message_says_since_when_where_and_where_to_read_on(slack: FakeSlack, make: Make) -> None:
    bot(slack).send(make(), "k", NOW)
    text = slack.in_channel()[0].text
    for words in (
        "*Since:* 2026-01-05 03:00:00 UTC",
        "*Value:* 0.073",
        "env=prod",
        "<https://wk.example/playbooks/api-errors|Playbook>",
    ):
        assert words in text


def test_severity_is_a_word_and_a_shape(slack: FakeSlack, make: Make) -> None:
    for severity in ("page", "warn", "info"):
        bot(slack).send(make(severity=severity), "k", NOW)
    begins = [" ".join(message.text.split()[:3]) for message in slack.in_channel()]
    assert begins == ["■ *[FIRING] PAGE:", "▲ *[FIRING] WARN:", "● *[FIRING] INFO:"]


def test_nothing_in_an_alert_is_markup_and_everything_has_an_end(slack: FakeSlack, make: Make) -> None:
    nasty = "<!channel> <@U1> <https://evil|here> & \x00\u202e\n" * 10_000
    members = tuple(Member(f"f{i}", nasty, {nasty: nasty}, NOW, nasty, nasty) for i in range(10_000))
    links = (Link("https://wk.example/?a&b", nasty), Link("https://x/|y>", "x"))
    storm = make(summary=nasty, labels={nasty: nasty}, members=members, links=links, note=nasty)
    first = bot(slack).send(storm, "k", NOW)  # the workspace asserts that it is escaped
    second = bot(slack).send_with(storm, "k", NOW, first.keep)
    assert (first.said, second.said) == (Said.ACCEPTED, Said.ACCEPTED)
    text = slack.in_channel()[0].text
    assert len(text) <= MAX_TEXT + 10
    assert "10000 alerts" in text
    assert "<!" not in text
    assert "<https://wk.example/?a&amp;b|" in text


def test_a_message_that_is_gone_or_stands_in_another_channel_is_posted_anew(
    slack: FakeSlack, make: Make
) -> None:
    slack.channels["#sre"] = "C0SRE"
    kept = bot(slack).send(make(), "k", NOW).keep
    slack.messages.clear()
    again = bot(slack).send_with(make(), "k", NOW, kept)
    assert [message.channel for message in slack.in_channel()] == ["C0OPS"]
    moved = bot(slack, channel="#sre").send_with(make(), "k", NOW, again.keep)
    assert [message.channel for message in slack.in_channel()] == ["C0OPS", "C0SRE"]
    assert moved.keep is not None
    assert moved.keep["channel"] == "C0SRE"


@pytest.mark.parametrize(
    "error", ["invalid_auth", "channel_not_found", "not_in_channel", "fatal_error", "new_one"]
)
def test_what_a_person_can_mend_or_may_pass_is_tried_again(slack: FakeSlack, make: Make, error: str) -> None:
    slack.faults.append(error)
    answer = bot(slack).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert answer.reason.startswith(f"Slack says {error}")


@pytest.mark.parametrize("error", ["msg_too_long", "invalid_blocks", "no_text"])
def test_what_is_about_the_text_is_final(slack: FakeSlack, make: Make, error: str) -> None:
    slack.faults.append(error)
    assert bot(slack).send(make(), "k", NOW).said is Said.REJECTED


def test_slack_says_when_to_come_back(slack: FakeSlack, make: Make) -> None:
    slack.faults += [(429, {"Retry-After": "30"}), (503, {"Retry-After": "5"}), (500, {})]
    answers = [bot(slack).send(make(), "k", NOW) for _ in range(3)]
    assert [answer.said for answer in answers] == [Said.TRY_AGAIN] * 3
    assert [answer.retry_after for answer in answers] == [30, 5, None]
    assert len(slack.requests) == 3  # the library repeats nothing on its own


@pytest.mark.parametrize("fault", ["cut", "page", "list"])
def test_no_answer_of_slacks_is_tried_again_without_a_secret(
    slack: FakeSlack, make: Make, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    slack.faults.append(fault)
    answer = bot(slack).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert answer.reason
    assert TOKEN not in answer.reason + caplog.text


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_slack_that_hangs_or_drips_is_left_in_time(slack: FakeSlack, make: Make, fault: str) -> None:
    slack.faults.append(fault)
    began = time.monotonic()
    answer = bot(slack, timeout_seconds=0.3).send(make(), "k", NOW)
    assert time.monotonic() - began < 0.3 + PLENTY
    assert answer == Answer(Said.TRY_AGAIN, "Slack: no complete answer within 0.3 s")


def test_a_reply_that_fails_is_tried_again_with_the_edit_and_makes_no_second_message(
    slack: FakeSlack, make: Make
) -> None:
    kept = bot(slack).send(make(), "k", NOW).keep
    resolve = make(kind=Kind.RESOLVE, ends_at=NOW)
    slack.faults += ["cut", (429, {"Retry-After": "1"})]
    assert bot(slack).send_with(resolve, "k", NOW, kept).said is Said.TRY_AGAIN
    slack.faults.clear()
    assert bot(slack).send_with(resolve, "k", NOW, kept).said is Said.ACCEPTED
    assert len(slack.in_channel()) == 1
    assert len(slack.replies()) == 1


def test_a_wrong_or_missing_token_is_tried_again_and_stands_nowhere(
    slack: FakeSlack, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = bot(slack, environ={"TOKEN": "xoxb-wrong"}).send(make(), "k", NOW)
    assert answer == Answer(Said.TRY_AGAIN, "Slack says invalid_auth; correct the token")
    assert "xoxb" not in caplog.text
    assert "TOKEN" in bot(slack, environ={}).send(make(), "k", NOW).reason
    odd = bot(slack, environ={"TOKEN": "xoxb-\nInjected: yes"}).send(make(), "k", NOW)
    assert odd.said is Said.TRY_AGAIN
    assert "Injected" not in odd.reason
    assert slack.messages == {}


# --- an incoming webhook


def test_an_incoming_webhook_gets_one_message_per_notification(slack: FakeSlack, make: Make) -> None:
    assert hook(slack).send(make(), "k", NOW).said is Said.ACCEPTED
    assert hook(slack).send(make(kind=Kind.RESOLVE), "k", NOW).said is Said.ACCEPTED
    assert [text.split(":")[0] for text in slack.hooked] == ["■ *[FIRING] PAGE", "✔ *[RESOLVED] PAGE"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("invalid_payload", Said.REJECTED),
        ("no_text", Said.REJECTED),
        ("user_not_found", Said.TRY_AGAIN),
        ((413, {}), Said.REJECTED),
        ((403, {}), Said.TRY_AGAIN),
        ((404, {}), Said.TRY_AGAIN),
        ((410, {}), Said.TRY_AGAIN),
        ((500, {}), Said.TRY_AGAIN),
        ("page", Said.TRY_AGAIN),
        ("cut", Said.TRY_AGAIN),
    ],
)
def test_what_the_answer_to_a_webhook_means(slack: FakeSlack, make: Make, fault: Fault, said: Said) -> None:
    slack.faults.append(fault)
    answer = hook(slack).send(make(), "k", NOW)
    assert answer.said is said
    assert WEBHOOK_PATH not in answer.reason


def test_a_webhook_waits_as_long_as_slack_asks_and_hangs_for_no_longer_than_its_timeout(
    slack: FakeSlack, make: Make
) -> None:
    slack.faults += [(429, {"Retry-After": "30"}), "drip"]
    assert hook(slack).send(make(), "k", NOW).retry_after == 30
    began = time.monotonic()
    assert hook(slack, timeout_seconds=0.3).send(make(), "k", NOW).said is Said.TRY_AGAIN
    assert time.monotonic() - began < 0.3 + PLENTY
    missing = SlackWebhookReceiver("chat", Secret(env="UNSET"), HttpTransport(), {})
    assert "UNSET" in missing.send(make(), "k", NOW).reason
