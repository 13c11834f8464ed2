"""Mail, against a real SMTP server on loopback: what is sent, what the answers mean, and where it ends."""

from __future__ import annotations

import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.certificates import certificate
from tests.fakes.smtp import FakeSmtp, serving
from tests.notify.conftest import Make
from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.email import EmailReceiver
from watchkeeper.notify.models import Kind, Link
from watchkeeper.runbook.models.secrets import Secret

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
PASSWORD = "hunter2-and-more"
PLENTY = 1.5


def receiver(fake: FakeSmtp, **given: Any) -> EmailReceiver:
    fields: dict[str, Any] = {
        "id": "mail",
        "host": "127.0.0.1",
        "port": fake.port,
        "security": "none",
        "sender": "Watchkeeper <wk@example.org>",
        "to": ("Ops <ops@example.org>",),
        "environ": {"SMTP_PASSWORD": PASSWORD},
        "timeout_seconds": 5.0,
    }
    return EmailReceiver(**{**fields, **given})


def send(fake: FakeSmtp, make: Make, **given: Any) -> Answer:
    """One page to a server that behaves as ``fake`` says."""
    with serving(fake):
        return receiver(fake, **given).send(make(), "mail-1-1", NOW)


def test_a_page_arrives_as_plain_text_and_html_with_a_subject_that_says_it_all(make: Make) -> None:
    fake = FakeSmtp()
    assert send(fake, make, to=("Ops <ops@example.org>", "b@example.org")).said is Said.ACCEPTED
    (mail,) = fake.mails
    assert (mail.sender, mail.recipients) == ("wk@example.org", ("ops@example.org", "b@example.org"))
    message = mail.message
    assert message["Subject"] == "[FIRING] PAGE: alert-1: 7.3 % of requests fail"
    assert message["From"] == "Watchkeeper <wk@example.org>"
    assert message["To"] == "Ops <ops@example.org>, b@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Mon, 05 Jan 2026 03:00:00 +0000"
    for body in (mail.part("plain"), mail.part("html")):
        for words in (
            "2026-01-05 03:00:00 UTC",
            "0.073",
            "env=prod",
            "https://wk.example/playbooks/api-errors",
        ):
            assert words in body


def test_a_page_for_one_person_goes_to_their_mailbox_alone(make: Make) -> None:
    with serving(FakeSmtp()) as fake:
        receiver(fake).send(make(to="Ada <ada@example.org>"), "mail-1-1", NOW)
        odd = receiver(fake).send(make(to="ada@example.org\r\nBcc: eve@example.org"), "mail-2-1", NOW)
    first, *others = fake.mails
    assert first.recipients == ("ada@example.org",)
    assert first.message["To"] == "Ada <ada@example.org>"
    assert not others or all("eve" not in str(other.recipients) for other in others), odd
    assert not any("eve" in command for command in fake.commands)


def test_mails_of_one_alert_are_one_thread_and_attempts_at_one_mail_are_the_same_mail(make: Make) -> None:
    with serving(FakeSmtp()) as fake:
        mail = receiver(fake)
        mail.send(make(), "mail-1-1", NOW)
        mail.send(make(), "mail-1-1", NOW + timedelta(minutes=1))
        mail.send(make(kind=Kind.RESOLVE, ends_at=NOW), "mail-2-1", NOW)
        mail.send(make("alert-2"), "mail-3-1", NOW)
    first, again, resolve, other = [sent.message for sent in fake.mails]
    assert first["Message-ID"] == again["Message-ID"] != resolve["Message-ID"]
    assert first["References"] == first["In-Reply-To"] == resolve["References"] != other["References"]
    assert resolve["Subject"].startswith("[RESOLVED] PAGE: ")


def test_nothing_in_an_alert_becomes_a_header_a_line_or_markup(make: Make) -> None:
    nasty = "x\r\nBcc: thief@example.org\r\n\r\n<script>alert(1)</script>\x00\u202e\u2028y"
    with serving(FakeSmtp()) as fake:
        notification = make(
            summary=nasty,
            severity=nasty,
            alertname=nasty,
            labels={nasty: nasty},
            dedup_key=nasty,
            links=(
                Link("javascript:alert(1)", "x"),
                Link('https://x/"><b>', "x"),
                Link("https://y/?a&b", nasty),
            ),
        )
        assert receiver(fake).send(notification, "k\r\nBcc: thief@example.org", NOW).said is Said.ACCEPTED
    (mail,) = fake.mails
    message = mail.message
    assert message["Bcc"] is None
    assert mail.recipients == ("ops@example.org",)
    assert "\n" not in str(message["Subject"])
    assert "<script" not in mail.part("html")
    assert "&lt;script&gt;" in mail.part("html")
    assert "javascript:" not in mail.part("html") + mail.part("plain")
    assert 'href="https://y/?a&amp;b"' in mail.part("html")
    for body in (mail.part("plain"), mail.part("html")):
        assert not set("\x00\u202e\u2028") & set(body)


def test_a_storm_with_huge_labels_is_a_mail_of_bounded_size(make: Make) -> None:
    with serving(FakeSmtp()) as fake:
        huge = make(summary="x" * 1_000_000, labels={f"l{i}": "y" * 1_000_000 for i in range(40)})
        assert receiver(fake).send(huge, "k", NOW).said is Said.ACCEPTED
    assert len(fake.mails[0].raw) < 50_000


# --- what the answers mean


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ({"GREETING": "421 not now"}, Said.TRY_AGAIN),
        ({"GREETING": "554 no service here"}, Said.TRY_AGAIN),
        ({"EHLO": "421 not now", "HELO": "421 not now"}, Said.TRY_AGAIN),
        ({"MAIL": "451 later"}, Said.TRY_AGAIN),
        ({"MAIL": "550 sender unknown"}, Said.TRY_AGAIN),
        ({"RCPT ops@example.org": "450 mailbox busy"}, Said.TRY_AGAIN),
        ({"RCPT ops@example.org": "421 closing"}, Said.TRY_AGAIN),
        ({"RCPT ops@example.org": "554 5.7.1 relay access denied"}, Said.TRY_AGAIN),
        ({"RCPT ops@example.org": "550 5.1.1 no such user"}, Said.REJECTED),
        ({"DATA": "451 later"}, Said.TRY_AGAIN),
        ({"BODY": "452 disk full"}, Said.TRY_AGAIN),
        ({"BODY": "552 5.3.4 too large"}, Said.REJECTED),
        ({"BODY": "554 no"}, Said.REJECTED),
        ({"GREETING": "HTTP/1.1 400 Bad Request"}, Said.TRY_AGAIN),
    ],
)
def test_what_an_answer_means(make: Make, replies: dict[str, str], said: Said) -> None:
    fake = FakeSmtp(replies=replies)
    answer = send(fake, make)
    assert (answer.said, fake.mails) == (said, [])
    assert answer.reason.startswith("127.0.0.1: ")


def test_recipients_refused_beside_others_are_named_and_the_rest_are_told(make: Make) -> None:
    fake = FakeSmtp(replies={"RCPT gone@example.org": "550 5.1.1 no such user"})
    answer = send(fake, make, to=("gone@example.org", "ops@example.org"))
    assert answer == Answer(Said.ACCEPTED, "127.0.0.1: not by gone@example.org (550 5.1.1 no such user)")
    assert fake.mails[0].recipients == ("ops@example.org",)


def test_when_some_recipients_may_be_accepted_later_it_is_tried_again(make: Make) -> None:
    fake = FakeSmtp(replies={"RCPT a@example.org": "550 no", "RCPT b@example.org": "450 later"})
    assert send(fake, make, to=("a@example.org", "b@example.org")).said is Said.TRY_AGAIN


def test_a_server_that_never_says_goodbye_has_the_mail_all_the_same(make: Make) -> None:
    fake = FakeSmtp(hang_at="QUIT")
    began = time.monotonic()
    assert send(fake, make).said is Said.ACCEPTED
    assert time.monotonic() - began < PLENTY


def test_no_server_is_tried_again(make: Make) -> None:
    fake = FakeSmtp()
    with serving(fake):
        pass
    answer = receiver(fake).send(make(), "k", NOW)
    assert answer == Answer(Said.TRY_AGAIN, "127.0.0.1: Connection refused")


# --- an end


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "BODY"])
@pytest.mark.parametrize("how", ["hang_at", "drip_at"])
def test_a_server_that_hangs_or_drips_is_left_in_time_and_told_nothing_more(
    make: Make, at: str, how: str
) -> None:
    with serving(FakeSmtp(**{how: at})) as fake:  # type: ignore[arg-type]
        began = time.monotonic()
        answer = receiver(fake, timeout_seconds=0.3).send(make(), "k", NOW)
        assert time.monotonic() - began < 0.3 + PLENTY
        assert answer.said is Said.TRY_AGAIN
        told = len(fake.commands)
        time.sleep(0.1)
        assert len(fake.commands) == told
        if at != "BODY":  # a server that took the body before it hung may have the mail
            assert fake.mails == []


# --- TLS and login


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_login_and_mail_go_over_tls(make: Make, tmp_path: Path, security: str) -> None:
    path, context = certificate(tmp_path, "localhost")
    fake = FakeSmtp(context=context, tls_from_the_start=security == "tls", users={"wk": PASSWORD})
    answer = send(
        fake,
        make,
        host="localhost",
        security=security,
        username="wk",
        password=Secret(env="SMTP_PASSWORD"),
        context=ssl.create_default_context(cafile=str(path)),
    )
    assert answer.said is Said.ACCEPTED
    assert (fake.mails[0].encrypted, fake.mails[0].user) == (True, "wk")


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_that_is_not_valid_for_the_host_gets_no_password(
    make: Make, tmp_path: Path, security: str, host: str
) -> None:
    path, context = certificate(tmp_path, "localhost")
    trusted = {} if host == "localhost" else {"context": ssl.create_default_context(cafile=str(path))}
    fake = FakeSmtp(context=context, tls_from_the_start=security == "tls", users={"wk": PASSWORD})
    password = Secret(env="SMTP_PASSWORD")
    answer = send(fake, make, host=host, security=security, username="wk", password=password, **trusted)
    assert answer.said is Said.TRY_AGAIN
    assert "certificate is not accepted" in answer.reason
    assert not any("AUTH" in command for command in fake.commands)


def test_a_server_without_starttls_is_told_nothing(make: Make) -> None:
    fake = FakeSmtp()
    answer = send(fake, make, security="starttls")
    assert answer.said is Said.TRY_AGAIN
    assert "STARTTLS" in answer.reason
    assert not any(command.startswith("MAIL") for command in fake.commands)


def test_a_wrong_password_is_tried_again_and_stands_nowhere(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeSmtp(users={"wk": "another"})
    answer = send(fake, make, username="wk", password=Secret(env="SMTP_PASSWORD"))
    assert answer.said is Said.TRY_AGAIN
    assert "correct username or password" in answer.reason
    assert "[secret]" in answer.reason
    for text in (answer.reason, caplog.text):
        assert PASSWORD not in text
        assert "aHVudGVy" not in text  # nor in base64


def test_a_missing_password_is_tried_again_without_a_word_to_the_server(make: Make) -> None:
    fake = FakeSmtp()
    answer = send(fake, make, username="wk", password=Secret(env="UNSET"))
    assert answer.said is Said.TRY_AGAIN
    assert "UNSET" in answer.reason
    assert fake.commands == []


@pytest.mark.parametrize(
    "address", ["nobody", "a@b@c", "", "ö@example.org", "a\r\nBcc: b@example.org", "<", '"']
)
def test_odd_addresses_make_no_defect(make: Make, address: str) -> None:
    fake = FakeSmtp()
    answer = send(fake, make, to=(address,))
    assert answer.said in (Said.TRY_AGAIN, Said.ACCEPTED)
    assert all(mail.message["Bcc"] is None for mail in fake.mails)
    assert send(FakeSmtp(), make, sender=address).said in (Said.TRY_AGAIN, Said.ACCEPTED)
