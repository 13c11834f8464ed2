"""An SMTP server on loopback that keeps the mails it took, and holds clients to RFC 5321's order of commands.

It speaks STARTTLS, TLS and AUTH (PLAIN, LOGIN), and misbehaves where it is told to: ``replies`` gives the
answer to a command (or to ``GREETING``, ``BODY``, or one ``RCPT <address>``), ``hang_at`` and ``drip_at``
name the one at which it says nothing more, or a byte at a time.
"""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast


@dataclass(frozen=True)
class Mail:
    """One mail that was taken, with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=default)

    def part(self, subtype: str) -> str:
        body = self.message.get_body((subtype,))
        assert isinstance(body, EmailMessage)
        return str(body.get_content())


@dataclass
class FakeSmtp:
    """What the server is and what it took."""

    context: ssl.SSLContext | None = None
    tls_from_the_start: bool = False
    users: dict[str, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    hang_at: str | None = None
    drip_at: str | None = None
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):  # the client has had enough
            self._handle()

    def _handle(self) -> None:
        self.fake = cast("_Server", self.server).fake
        self.encrypted = False
        self.user: str | None = None
        self.sender: str | None = None
        self.recipients: list[str] = []
        if self.fake.tls_from_the_start:
            self._encrypt()
        self._say("GREETING", "220 fake ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            verb, _, rest = line.partition(" ")
            self.fake.commands.append(line)
            if verb.upper() == "QUIT":
                self._say("QUIT", "221 bye")
                break
            self._obey(verb.upper(), rest)

    def _encrypt(self) -> None:
        assert self.fake.context
        self.request = self.fake.context.wrap_socket(self.request, server_side=True)
        self.setup()
        self.encrypted = True

    def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "EHLO":
                offers = ["250-fake"]
                if self.fake.context and not self.encrypted:
                    offers.append("250-STARTTLS")
                if self.fake.users:
                    offers.append("250-AUTH PLAIN LOGIN")
                self._say(verb, "\r\n".join([*offers, "250 8BITMIME"]))
            case "STARTTLS":
                self._say(verb, "220 go on")
                if verb not in self.fake.replies:
                    self._encrypt()
            case "AUTH":
                self._authenticate(rest)
            case "MAIL" if self.fake.users and self.user is None:
                self._say(verb, "530 5.7.0 authentication required")
            case "MAIL":
                self.sender, self.recipients = rest.partition("<")[2].partition(">")[0], []
                self._say(verb, "250 ok")
            case "RCPT" if self.sender is not None:
                address = rest.partition("<")[2].partition(">")[0]
                reply = self.fake.replies.get(f"RCPT {address}", "250 ok")
                if reply.startswith("250"):
                    self.recipients.append(address)
                self._say(verb, reply)
            case "DATA" if self.recipients:
                self._say(verb, "354 go on")
                self._take()
            case "RSET":
                self.sender, self.recipients = None, []
                self._say(verb, "250 ok")
            case _:
                self._say(verb, "503 bad sequence of commands")

    def _authenticate(self, rest: str) -> None:
        method, _, given = rest.partition(" ")
        if method == "PLAIN":
            _, user, password = base64.b64decode(given).decode().split("\0")
        else:
            user = base64.b64decode(given).decode()
            self.wfile.write(b"334 UGFzc3dvcmQ6\r\n")
            given = self.rfile.readline().decode().strip()
            password = base64.b64decode(given).decode()
        if self.fake.users.get(user) == password:
            self.user = user
            return self._say("AUTH", "235 welcome")
        return self._say("AUTH", f"535 5.7.8 no: {given} {password}")  # echoes what a client must not repeat

    def _take(self) -> None:
        raw = b""
        while (line := self.rfile.readline()) != b".\r\n":
            assert line.endswith(b"\r\n"), "a bare line end, or the connection ended"
            assert len(line) <= 1000, "a line longer than RFC 5321 allows"
            raw += line.removeprefix(b".") if line.startswith(b"..") else line
        reply = self.fake.replies.get("BODY", "250 queued")
        if reply.startswith("250"):
            mail = Mail(str(self.sender), tuple(self.recipients), raw, self.encrypted, self.user)
            self.fake.mails.append(mail)
        self._say("BODY", reply)

    def _say(self, at: str, reply: str) -> None:
        reply = self.fake.replies.get(at, reply) + "\r\n"
        if at == self.fake.hang_at:
            self.fake.ended.wait(30)
        if at == self.fake.drip_at:
            for byte in f"{reply[:3]}-{'x' * 400}\r\n{reply}".encode():
                self.wfile.write(bytes([byte]))
                if self.fake.ended.wait(0.05):
                    return
        else:
            self.wfile.write(reply.encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    fake: FakeSmtp

    def handle_error(self, request: object, client_address: object) -> None:
        """A failed handshake is the client's to report; a failed assertion shows as a missing answer."""


@contextmanager
def serving(fake: FakeSmtp) -> Iterator[FakeSmtp]:
    """Run the server; its port is in ``fake.port``."""
    with _Server(("127.0.0.1", 0), _Talk) as server:
        server.fake = fake
        fake.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.ended.set()
            server.shutdown()
            thread.join(5)
