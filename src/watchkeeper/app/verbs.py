"""What carries out the step verbs: a provider per verb, gathered from the sections. Where a verb is wired.

A section adds its verbs with one line in :data:`CONTRIBUTORS`. Always true: a verb that no contributor names
is a question to a person, never a pretence; what is unknown is never at its baseline; what these verbs write
is written with the record of their step or not at all (tests/app/test_verbs.py).
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from watchkeeper.app import wire
from watchkeeper.app.response_verbs import response_verbs
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring import silences, silencing
from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.remote import RemoteSource
from watchkeeper.monitoring.source import Answer, Failure, SourceError
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification, dedup_key, personal_key
from watchkeeper.playbooks.ports import Atomic, Context, Outcome, Provider, StepFailed
from watchkeeper.playbooks.providers import own_providers
from watchkeeper.runbook.models.quantities import BadQuantityError, Duration
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import Way, ways
from watchkeeper.store.clock import Clock, SystemClock, to_ms
from watchkeeper.store.database import Store

LOGS_VARIABLE = "WATCHKEEPER_LOGS_URL"
MESSAGE_LASTS = timedelta(minutes=15)
"""So long a message of a playbook stands at its receiver before it ends by itself."""
_ANSWER_ROWS = 100


@dataclass(frozen=True, slots=True)
class Parts:
    """What providers are built from. ``store`` is None where nothing is carried out but only listed."""

    settings: Settings
    store: Store | None
    clock: Clock
    runbook: Runbook


Contributor = Callable[[Parts], Mapping[str, Provider]]


def build_verbs(parts: Parts) -> dict[str, Provider]:
    """Every verb that is carried out here, with its provider."""
    found: dict[str, Provider] = {}
    for contributor in CONTRIBUTORS:
        found.update(contributor(parts))
    return found


def verbs_of(settings: Settings, runbook: Runbook) -> frozenset[str]:
    """The verbs that are carried out here, for whoever only asks which."""
    return frozenset(build_verbs(Parts(settings, None, SystemClock(), runbook)))


def _own(_: Parts) -> Mapping[str, Provider]:
    return own_providers()


def _monitoring(parts: Parts) -> Mapping[str, Provider]:
    return {
        "monitoring.query": Query(parts),
        "monitoring.baseline": Baseline(parts),
        "monitoring.silence": Silence(parts),
    }


def _others(parts: Parts) -> Mapping[str, Provider]:
    return {"notify.send": Send(parts), "logs.link": LogsLink()}


def _responding(parts: Parts) -> Mapping[str, Provider]:
    return response_verbs(parts.store, parts.runbook)


CONTRIBUTORS: tuple[Contributor, ...] = (_own, _monitoring, _responding, _others)
"""Each section's verbs; of two for one verb the later one counts."""


def _ask(parts: Parts, context: Context, question: str, asked: Mapping[str, Any]) -> Any:
    try:
        raw = wire.ask_blocking(parts.settings.watch_socket, question, asked, max(1.0, context.remaining()))
    except wire.WireError as error:
        raise StepFailed(str(error)) from None
    return json.loads(raw)


class Query:
    """``monitoring.query``: ``query``, now; ``value`` is that of the first series, ``count`` how many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(self, context: Context) -> Outcome:
        context.only("query")
        query, at_ms = context.text("query"), to_ms(context.clock.now())
        remote = self._parts.runbook.metrics.url is not None
        series = self._elsewhere(query, at_ms) if remote else self._here(context, query, at_ms)
        outputs: dict[str, Any] = {"count": len(series), "series": series[:_ANSWER_ROWS]}
        if series:
            outputs["value"] = series[0]["value"]
        return Outcome(outputs, f"{outputs.get('value', 'no data')} ({len(series)} series)")

    def _here(self, context: Context, query: str, at_ms: int) -> list[dict[str, Any]]:
        seconds = max(1.0, min(30.0, context.remaining()))
        asked = {"query": query, "time_ms": at_ms, "timeout_ms": int(seconds * 1000), "limit": _ANSWER_ROWS}
        data = _ask(self._parts, context, "query", asked)["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [{"labels": {}, "value": _figure(float(result[1]))}]
        if kind == "vector":
            return [
                {"labels": one["metric"], "value": _figure(float(one["value"][1]))}
                for one in result
                if "value" in one
            ]
        raise StepFailed(f"the query gives a {kind}; ask for one value per series")

    def _elsewhere(self, query: str, at_ms: int) -> list[dict[str, Any]]:
        async def ask() -> Answer:
            async with HttpFetcher(os.environ, self._parts.settings.runbook.parent) as fetcher:
                (answer,) = await RemoteSource(fetcher, self._parts.runbook.metrics).evaluate([query], at_ms)
                return answer

        try:
            answer = asyncio.run(ask())
        except SourceError as error:
            raise StepFailed(str(error)) from None
        if isinstance(answer, Failure):
            raise StepFailed(answer.message)
        return [{"labels": dict(labels), "value": _figure(value)} for labels, value in answer.items()]


def _figure(value: float) -> float | str:
    """JSON has no word for what is not finite; an expectation is never met by it."""
    return value if math.isfinite(value) else str(value)


class Baseline:
    """``monitoring.baseline``: succeeds where nothing that matters is pending or firing, and all is known.

    With ``signals`` those named count; else those of ``service`` (by default the run's input of that name);
    with neither, every page. A signal that is unknown is not at its baseline.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(self, context: Context) -> Outcome:
        context.only("signals", "service")
        signals = context.with_.get("signals", [])
        if not isinstance(signals, list) or not all(isinstance(one, str) for one in signals):
            raise StepFailed("signals of `with` is a list such as [api.error-rate]")
        service = context.with_.get("service", context.inputs.get("service"))
        picture = _ask(self._parts, context, "overview", {})
        if picture.get("halted"):
            raise StepFailed(f"rules are not evaluated now: {picture['halted']}")
        above = _loud(picture["alerts"], signals, None if service is None else str(service))
        unknown = _unknown(picture["layers"], signals)
        if above or unknown:
            raise StepFailed("; ".join([*above[:10], *unknown[:10]]), {"firing": above, "unknown": unknown})
        what = ", ".join(signals) or (f"what fires of service {service}" if service else "every page")
        return Outcome({"firing": [], "unknown": []}, f"at the baseline: {what}")


def _loud(alerts: list[dict[str, Any]], signals: list[str], service: str | None) -> list[str]:
    found = []
    for alert in alerts:
        labels = alert["labels"]
        if signals:
            counts = f"{labels.get('layer')}.{labels.get('signal')}" in signals
            counts = counts and (service is None or labels.get("service") in (None, service))
        elif service is not None:
            counts = labels.get("service") == service
        else:
            counts = alert["severity"] == "page"
        if counts:
            found.append(f"{alert['summary'] or alert['alertname']} ({alert['state']})")
    return found


def _unknown(layers: list[dict[str, Any]], signals: list[str]) -> list[str]:
    """Named signals that nobody can see, or that are not there."""
    states = {f"{layer['id']}.{one['id']}": one for layer in layers for one in layer["signals"]}
    found = []
    for name in signals:
        known = states.get(name)
        if known is None:
            found.append(f"there is no signal {name}")
        elif known["state"] == "unknown":
            found.append(f"{name} is unknown" + (f": {known['why']}" if known.get("why") else ""))
    return found


class Silence(Atomic):
    """``monitoring.silence``: keep what ``matchers`` match quiet ``for`` so long, with a ``reason``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(self, context: Context) -> Outcome:
        context.only("matchers", "for", "reason", "owner")
        written = context.with_.get("matchers")
        if not isinstance(written, list) or not written:
            raise StepFailed("monitoring.silence needs matchers, such as [service=api]")
        owner = context.text("owner", f"playbook {context.playbook}")
        reason = context.text("reason", f"run {context.run}")
        policy = self._parts.runbook.monitoring.silences
        now = context.clock.now()
        try:
            matchers = tuple(silences.matcher(str(text)) for text in written)
            wanted = silences.Wanted(matchers, now, now + Duration(context.with_.get("for")), owner, reason)
            silences.check(wanted, now, policy)
        except (silences.SilenceError, BadQuantityError) as error:
            raise StepFailed(str(error)) from None

        def write(conn: Connection, at: datetime) -> None:
            silencing.create(conn, at, wanted, owner, policy, actor="component:playbooks")

        until = f"{wanted.ends_at:%Y-%m-%d %H:%M:%SZ}"
        return Outcome({"until": until}, f"quiet until {until}", write)


class Send(Atomic):
    """``notify.send``: tell ``to`` (a receiver or a contact of the runbook) the ``text``.

    A message is a warning that ends by itself after a quarter of an hour; with ``page: true`` it wakes.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(self, context: Context) -> Outcome:
        context.only("to", "text", "page")
        to, text = context.text("to"), context.text("text")
        page = context.with_.get("page", False)
        if not isinstance(page, bool):
            raise StepFailed("page of `with` is true or false")
        reached = _ways(self._parts.runbook, to)

        def write(conn: Connection, at: datetime) -> None:
            for way in reached:
                for kind in (Kind.TRIGGER, Kind.RESOLVE):
                    said = _message(context, way, kind, text, "page" if page else "warn", at)
                    due = None if kind is Kind.TRIGGER else at + MESSAGE_LASTS
                    enqueue_notification(conn, at, [way.receiver], said, due_at=due)

        return Outcome({"ways": [way.name for way in reached]}, f"told {to}", write)


def _ways(runbook: Runbook, to: str) -> tuple[Way, ...]:
    if runbook.notifications.receiver(to) is not None:
        return (Way(to),)
    contact = runbook.contact(to)
    if contact is None:
        known = [*(one.id for one in runbook.notifications.receivers), *(one.id for one in runbook.contacts)]
        raise StepFailed(f"there is no receiver or contact {to!r}; there is {', '.join(known) or 'none'}")
    found = ways(runbook, contact)
    if not found:
        raise StepFailed(f"no receiver of the runbook leads to {to}")
    return found


def _message(context: Context, way: Way, kind: Kind, text: str, severity: str, at: datetime) -> Notification:
    key = dedup_key(f"run-{context.run}", context.step)
    mine = key if way.to is None else personal_key(key, way.receiver, way.to)
    return Notification(
        kind=kind,
        dedup_key=mine,
        order_key=mine,
        subject=f"run:{context.run}",
        alertname="Playbook",
        severity=severity,
        summary=text,
        starts_at=at,
        ends_at=at + MESSAGE_LASTS if kind is Kind.RESOLVE else None,
        playbook=context.playbook,
        to=way.to,
    )


class LogsLink:
    """``logs.link``: where the logs of ``service`` of the last ``minutes`` are, at ``level``.

    The address comes from ``url``, else from WATCHKEEPER_LOGS_URL, with ``{service}``, ``{level}``,
    ``{from_ms}`` and ``{to_ms}`` in it.
    """

    def run(self, context: Context) -> Outcome:
        context.only("service", "level", "minutes", "url")
        service, level = context.text("service", "all"), context.text("level", "error")
        minutes = context.with_.get("minutes", 30)
        if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not 0 < minutes < 100_000:
            raise StepFailed("minutes of `with` is a number above 0")
        until = context.clock.now()
        since = min(context.started_at, until) - timedelta(minutes=minutes)
        about = {"service": service, "level": level, "from_ms": to_ms(since), "to_ms": to_ms(until)}
        template = context.text("url", os.environ.get(LOGS_VARIABLE) or "none")
        if template == "none":
            span = f"{since:%Y-%m-%d %H:%M} to {until:%H:%M} UTC"
            said = f"look for level {level} of service {service}, {span} (no {LOGS_VARIABLE} is set)"
            return Outcome({**about, "text": said}, said)
        for name, value in about.items():
            template = template.replace(f"{{{name}}}", quote(str(value), safe=""))
        return Outcome({**about, "url": template, "text": template}, template)
