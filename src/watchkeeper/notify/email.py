"""Mail through an SMTP server: plain text and HTML, one thread per alert.

Always true here (tests/notify/test_email.py): only the server's 250 after the data counts as delivered; an
attempt ends within ``timeout``, even with a server that sends a byte a second, and one that was given up
sends nothing more; TLS is only spoken to a certificate that is valid for the host; every attempt at one
notification has the same ``Message-ID``; all mails of one ``dedup_key`` refer to the same thread; nothing
that stands in a label becomes a header or markup; the password is in no answer and no log.

What the server's answers mean (RFC 5321, 4.2.1; RFC 3463 for the enhanced codes):

- delivered: 250 to the data. Recipients refused beside others that were accepted are named in the answer.
- never: 5xx to all recipients, or to the data.
- try again: everything else. That includes a refused login, sender, or policy (530 to 538, 5.7.x: "relay
  access denied"): those are about us, a person can mend them, and the page waits for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from html import escape
from typing import Literal

from watchkeeper.notify.answers import ACCEPTED, Answer, Said, redacted, rejected, try_again
from watchkeeper.notify.bounded import Bounded, TooLongError
from watchkeeper.notify.models import Notification
from watchkeeper.notify.secret import SecretMissingError, SecretSource
from watchkeeper.notify.wording import Words, one_line, words

Refused = Mapping[str, tuple[int, bytes]]
_OURS_TO_MEND = (530, 534, 535, 538)
_MAX_NAMED = 3
_POLICY = re.compile(r"\s*5\.7\.\d+")


@dataclass(frozen=True, slots=True)
class EmailReceiver:
    """Some mailboxes, or the one that a notification names, told with one mail.

    ``context`` says whom to trust; else whom the system does.
    """

    id: str
    host: str
    sender: str
    to: tuple[str, ...]
    environ: Mapping[str, str]
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretSource | None = None
    rate_per_minute: float = 60.0
    timeout_seconds: float = 20.0
    context: ssl.SSLContext | None = None
    _bounded: Bounded = field(default_factory=Bounded, repr=False, compare=False)

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt. Never raises for what the server does."""
        password = ""
        if self.password is not None:
            try:
                password = self.password.read(self.environ)
            except SecretMissingError as error:
                return try_again(f"the mail server's password: {error}")
        to = self.to if notification.to is None else (notification.to,)
        try:
            mail = message(notification, idempotency_key, self.sender, to, now).as_bytes()
        except (MessageError, ValueError, IndexError, AttributeError) as error:
            # Besides the two documented, the parser of address headers raises these for odd addresses.
            return try_again(f"the addresses make no mail ({type(error).__name__}); correct sender and to")
        attempt = _Attempt(self, password, to, mail)
        try:
            answer = judge_refused(self._bounded.run(attempt.run, self.timeout_seconds, attempt.abandon))
        except (smtplib.SMTPException, OSError, ValueError, TooLongError) as error:
            answer = judge(error)
        reason = f"{self.host}: {answer.reason}" if answer.reason else ""
        return Answer(answer.said, redacted(reason, *_forms(self, password)))


class _Line(smtplib.SMTP):
    """An SMTP connection that says nothing more once ``ended`` is set."""

    def __init__(self, ended: threading.Event, context: ssl.SSLContext | None, timeout: float) -> None:
        self._ended = ended
        self._tls = context
        super().__init__(timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        raw = socket.create_connection((host, port), timeout)
        if self._tls is None:
            return raw
        try:
            return self._tls.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def send(self, s: bytes | str) -> None:  # type: ignore[override]
        if self._ended.is_set():
            raise smtplib.SMTPServerDisconnected("this attempt was given up")
        super().send(s)


class _Attempt:
    """One conversation with the server."""

    def __init__(self, receiver: EmailReceiver, password: str, to: tuple[str, ...], mail: bytes) -> None:
        self._receiver = receiver
        self._password = password
        self._recipients = to
        self._mail = mail
        self._ended = threading.Event()
        self._line: _Line | None = None

    def run(self) -> Refused:
        """The recipients that were refused while others were not; raises where none was accepted."""
        to = self._receiver
        context = None if to.security == "none" else to.context or ssl.create_default_context()
        line = self._line = _Line(self._ended, context if to.security == "tls" else None, to.timeout_seconds)
        try:
            code, said = line.connect(to.host, to.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, said)
            line._host = to.host  # type: ignore[attr-defined]  # noqa: SLF001 - starttls checks this name
            if to.security == "starttls":
                line.starttls(context=context)
            if to.username is not None:
                line.login(to.username, self._password)
            refused: Refused = line.sendmail(
                parseaddr(to.sender)[1], [parseaddr(one)[1] for one in self._recipients], self._mail
            )
            with suppress(smtplib.SMTPException, OSError):
                line.putcmd("QUIT")  # the mail is delivered: whether the server says goodbye is all the same
            return refused
        finally:
            line.close()

    def abandon(self) -> None:
        """Make :meth:`run`, in its thread, end."""
        self._ended.set()
        sock = self._line.sock if self._line is not None else None
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def message(
    notification: Notification, idempotency_key: str, sender: str, to: tuple[str, ...], now: datetime
) -> EmailMessage:
    """The mail for a notification."""
    told = words(notification)
    domain = one_line(parseaddr(sender)[1].rpartition("@")[2], 255) or "watchkeeper.invalid"
    if not re.fullmatch(r"[A-Za-z0-9.-]+", domain):
        domain = "watchkeeper.invalid"
    thread = f"<{_digest('thread', notification.dedup_key)}@{domain}>"
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Subject"] = told.title
    mail["From"] = one_line(sender)
    mail["To"] = ", ".join(one_line(one) for one in to)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{_digest('mail', notification.dedup_key, idempotency_key)}@{domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies are not wanted
    mail["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    if notification.is_page:
        mail["Importance"] = "high"
    mail.set_content(f"{told.title}\n\n{told.text()}\n")
    mail.add_alternative(html(told), subtype="html")
    return mail


def html(told: Words) -> str:
    """The same as the plain text. No styles from outside, no images: it reads the same in every client."""
    rows = "".join(
        f'<tr><th align="left" valign="top">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in told.facts
    )
    alerts = "".join(f"<li>{escape(line)}</li>" for line in (*told.alerts, *told.more()))
    links = "".join(
        f'<li><a href="{escape(link.href, quote=True)}">{escape(link.text)}</a></li>' for link in told.links
    )
    lists = "".join(f"<ul>{items}</ul>" for items in (alerts, links) if items)
    heading = escape(told.title)
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{heading}</title></head>'
        f'<body><h3>{heading}</h3><table cellpadding="4">{rows}</table>{lists}</body></html>\n'
    )


def judge_refused(refused: Refused) -> Answer:
    """The mail was taken, for all recipients but ``refused``."""
    return Answer(Said.ACCEPTED, f"not by {_named(refused)}") if refused else ACCEPTED


def judge(error: Exception) -> Answer:
    """What it means that the server did not take the mail. The reason may hold what the server echoed."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            final = all(_final(code, said) for code, said in error.recipients.values())
            return (rejected if final else try_again)(
                f"it refuses every recipient: {_named(error.recipients)}"
            )
        case smtplib.SMTPDataError():
            said = _text(error.smtp_error)
            final = _final(error.smtp_code, error.smtp_error)
            return (rejected if final else try_again)(f"it refuses the mail: {error.smtp_code} {said}")
        case smtplib.SMTPAuthenticationError():
            said = _text(error.smtp_error)
            return try_again(f"it refuses the login ({error.smtp_code} {said}); correct username or password")
        case smtplib.SMTPNotSupportedError():
            return try_again(f"it cannot do what the runbook asks of it: {error}")
        case smtplib.SMTPSenderRefused():
            return try_again(f"it refuses the sender: {error.smtp_code} {_text(error.smtp_error)}")
        case smtplib.SMTPResponseException():
            return try_again(f"it answered {error.smtp_code} {_text(error.smtp_error)}")
        case smtplib.SMTPServerDisconnected():
            return try_again("it ended the connection")
        case ssl.SSLCertVerificationError():
            return try_again(f"its certificate is not accepted ({error.verify_message})")
        case ssl.SSLError():
            return try_again(f"TLS failed ({error.reason or type(error).__name__})")
        case TooLongError():
            return try_again(str(error))
        case socket.gaierror():
            return try_again("the name cannot be resolved")
        case smtplib.SMTPException():
            return try_again(f"no login is possible ({type(error).__name__}): {error}")
        case TimeoutError():
            return try_again("it does not answer")
        case OSError():
            return try_again(error.strerror or type(error).__name__)
        case _:
            # UnicodeError among them: its text would hold what could not be said, a password perhaps
            return try_again(f"an address or password holds what SMTP cannot carry ({type(error).__name__})")


def _final(code: int, said: bytes | str) -> bool:
    """Whether no later attempt and no person can make the server take this mail."""
    return 500 <= code < 600 and code not in _OURS_TO_MEND and not _POLICY.match(_text(said))


def _named(refused: Refused) -> str:
    shown = [f"{name} ({code} {_text(said)})" for name, (code, said) in list(refused.items())[:_MAX_NAMED]]
    left_out = len(refused) - len(shown)
    return redacted(", ".join(shown + ([f"and {left_out} more"] if left_out else [])))


def _text(said: bytes | str) -> str:
    return one_line(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 150)


def _forms(receiver: EmailReceiver, password: str) -> tuple[str, ...]:
    """The password in every form in which it goes over the line, for a server that echoes."""
    plain = f"\0{receiver.username}\0{password}"
    return (password, *(base64.b64encode(form.encode()).decode() for form in (password, plain) if password))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
