"""What is told, apart from how: one :class:`Notification` is one change of one alert, or group of alerts.

Always true here: a notification survives JSON unchanged (it waits in the outbox as that), holds no secret,
and two notifications of one alert's episode have the same ``dedup_key`` and ``order_key``, whatever restarts
lie between them (tests/notify/test_models.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchkeeper.store.canonical import rfc3339


class NotifyError(Exception):
    """Something about telling somebody that a person must put right; the message says what. No secrets."""


class Kind(StrEnum):
    """What is said about the alert."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    CHANGE = "change"
    """Not an alert: something was changed. PagerDuty shows it beside its incidents."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where to read on; ``href`` is an http or https address, others are left out of what is sent."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Member:
    """One alert of a group, as it stands."""

    fingerprint: str
    state: str
    labels: Mapping[str, str]
    starts_at: datetime
    value: float | str | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell.

    ``severity`` is the rule's label (``page`` or ``warn``); ``subject`` the journal's subject of the alert;
    ``dedup_key`` names the incident at the receiver (one per episode of an alert or group, see
    :func:`dedup_key`); of one ``order_key`` everything goes out in the order in which it was enqueued.
    ``members`` are the alerts of a group, or the first of very many; empty for a single alert. ``alerts`` is
    how many there are in all (0 where nobody counted beyond ``members``). ``to`` is one person's address at
    the receiver, instead of the receiver's own: a mailbox, a Slack member or channel. ``status`` is said in
    place of FIRING: how an incident stands.
    """

    kind: Kind
    dedup_key: str
    order_key: str
    subject: str
    alertname: str
    severity: str
    summary: str
    starts_at: datetime
    ends_at: datetime | None = None
    clause: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    value: float | str | None = None
    playbook: str | None = None
    links: tuple[Link, ...] = ()
    members: tuple[Member, ...] = ()
    note: str = ""
    alerts: int = 0
    to: str | None = None
    status: str | None = None

    @property
    def total(self) -> int:
        """How many alerts it speaks of."""
        return max(1, self.alerts, len(self.members))

    @property
    def is_page(self) -> bool:
        """Whether somebody is to be woken; such a notification is never given up."""
        return self.severity == "page"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for the outbox."""
        return {
            "kind": self.kind.value,
            "dedup_key": self.dedup_key,
            "order_key": self.order_key,
            "subject": self.subject,
            "alertname": self.alertname,
            "severity": self.severity,
            "summary": self.summary,
            "starts_at": rfc3339(self.starts_at),
            "ends_at": rfc3339(self.ends_at) if self.ends_at else None,
            "clause": self.clause,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "value": self.value,
            "playbook": self.playbook,
            "links": [{"href": link.href, "text": link.text} for link in self.links],
            "members": [_member_json(member) for member in self.members],
            "note": self.note,
            "alerts": self.alerts,
            **({} if self.to is None else {"to": self.to}),
            **({} if self.status is None else {"status": self.status}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Notification:
        """What :meth:`to_json` wrote. Raises :class:`NotifyError` for anything else."""
        try:
            given = dict(document)
            given["kind"] = Kind(given["kind"])
            given["starts_at"] = datetime.fromisoformat(given["starts_at"])
            given["ends_at"] = datetime.fromisoformat(given["ends_at"]) if given["ends_at"] else None
            given["links"] = tuple(Link(**link) for link in given["links"])
            given["members"] = tuple(_member(member) for member in given["members"])
            return cls(**given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotifyError(
                f"a row of the outbox is not a notification of this version ({type(error).__name__}); "
                "it stays there, and is delivered by the version that wrote it"
            ) from error


def dedup_key(name: str, episode: str) -> str:
    """The receivers' key of one episode of an alert (its fingerprint) or group (its key).

    The same after any restart, another one for the next episode, never longer than PagerDuty's 255.
    """
    plain = f"watchkeeper/{name}/{episode}"
    if len(plain) <= 255 and plain.isascii() and plain.isprintable():
        return plain
    return f"watchkeeper/{hashlib.sha256(plain.encode()).hexdigest()}"


def personal_key(dedup_key: str, receiver: str, to: str) -> str:
    """The key of the same incident as it is told to one address: a thread and an order of its own."""
    return f"{dedup_key}/to/{hashlib.sha256(f'{receiver}/{to}'.encode()).hexdigest()[:16]}"


def _member_json(member: Member) -> dict[str, Any]:
    return {
        "fingerprint": member.fingerprint,
        "state": member.state,
        "labels": dict(member.labels),
        "starts_at": rfc3339(member.starts_at),
        "value": member.value,
        "summary": member.summary,
    }


def _member(document: Mapping[str, Any]) -> Member:
    return Member(**{**document, "starts_at": datetime.fromisoformat(document["starts_at"])})
