"""``/alerts/<fingerprint>``: one alert, from its first moment to its end, and taking it.

Always true: what is shown belongs to one life of the alert; whoever takes an alert that is over, or that
somebody has, is told so and nothing is changed (tests/console/test_alert.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from watchkeeper.access.models import Identity, printable
from watchkeeper.console import alert_story
from watchkeeper.console.alert_story import Story
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder, local_path
from watchkeeper.console.pages.alerts import Row, is_silence, kind_of, short_labels
from watchkeeper.console.picture import Picture
from watchkeeper.console.policy import Policy
from watchkeeper.console.rendering import seen_other
from watchkeeper.console.signal_charts import alert_chart
from watchkeeper.monitoring import acknowledgements
from watchkeeper.monitoring.acknowledgements import Acknowledged
from watchkeeper.monitoring.alert_list import Listed
from watchkeeper.monitoring.compile import RULE_FAILED, CompiledRule
from watchkeeper.monitoring.figures import figure

LONGEST_NOTE = 500
LABELS_SHOWN = 60
MATCHER_LENGTH = 200
MATCHERS = 15
_NOT_FOR_SILENCES = ("severity", "layer", "signal", "clause")
UNKNOWN = (
    "No alert of this fingerprint is known: neither the store nor the journal has one. "
    "The list of alerts has those that are."
)


def rule_of(policy: Policy | None, labels: Mapping[str, str]) -> CompiledRule | None:
    """The rule that an alert is of, or that it says could not be evaluated; None where it is gone."""
    if policy is None:
        return None
    name = labels.get("alertname", "")
    return policy.compiled.rule(labels.get("rule", "") if name == RULE_FAILED else name)


def value_in_words(alert: Listed, rule: CompiledRule | None) -> str:
    """The value against its line: ``7.2 %, page above 5 % over 2 minutes``."""
    if rule is not None and (rule.kind == "missing" or alert.alertname == RULE_FAILED):
        return f"{alert.severity}: {rule.words}"
    value = float(alert.value) if alert.value is not None else None
    said = figure(value, rule.unit if rule else "count")
    return said if rule is None else f"{said}, {alert.severity} {rule.words}"


def silence_address(alert: Listed) -> str:
    """The form for a silence of this alert, filled in with what tells it apart."""
    pairs = sorted({"alertname": alert.alertname, **alert.labels}.items())
    matchers = [
        f'{name}="{value}"'
        for name, value in pairs
        if name not in _NOT_FOR_SILENCES and len(value) <= MATCHER_LENGTH and value.isprintable()
    ]
    return f"/silences/new?{urlencode([('matcher', one) for one in matchers[:MATCHERS]])}"


def said_of(done: Acknowledged, name: str) -> tuple[str, bool]:
    """What whoever acknowledged is told, and whether anything was changed."""
    if done.alertnames:
        heard = (
            f"Told: {', '.join(done.receivers)}." if done.receivers else "No receiver had been told of it."
        )
        return f"You have {', '.join(done.alertnames[:5])}. {heard}", True
    if done.already:
        who = "You have" if done.already == (name,) else f"{', '.join(done.already)} has"
        return f"{who} it already; nothing was changed.", False
    return "It no longer fires, so there is nothing to acknowledge; nothing was changed.", False


def _name(identity: Identity) -> str:
    """Under which name somebody has an alert."""
    return identity.name if identity.kind == "person" else identity.actor


Looked = tuple[Story, CompiledRule | None, tuple[Markup | None, str]]
"""The story of an alert, the rule that it is of, its chart and why there is none."""


class _Looks:
    """What everybody sees who looks at one alert while one picture stands: read and drawn once for all.

    Always true: a look belongs to the picture of the page around it, so after a change here it is made anew.
    """

    def __init__(self, look: Callable[[Picture, str, str], Coroutine[Any, Any, Looked]]) -> None:
        self._look = look
        self._picture: Picture | None = None
        self._known: dict[tuple[str, str], asyncio.Task[Looked]] = {}

    async def at(self, picture: Picture, fingerprint: str, episode: str) -> Looked:
        """The look at that life of the alert. Raises what :meth:`look` raises."""
        if picture is not self._picture:
            self._picture, self._known = picture, {}
        key = (fingerprint, episode)
        if key not in self._known:
            self._known[key] = asyncio.create_task(self._look(picture, fingerprint, episode))
        return await asyncio.shield(self._known[key])


def router(console: Console) -> APIRouter:
    """``/alerts/<fingerprint>`` and what can be done there."""
    routes = APIRouter(include_in_schema=False)

    def read(fingerprint: str, episode: str) -> Story:
        found = None
        if len(fingerprint) <= 200:
            with console.store.read() as conn:
                found = alert_story.read(conn, fingerprint, episode, console.clock.now())
        if found is None:
            raise HTTPException(404, UNKNOWN)
        return found

    async def look(picture: Picture, fingerprint: str, episode: str) -> Looked:
        story = await run_in_threadpool(read, fingerprint, episode)
        rule = rule_of(picture.policy, {"alertname": story.alert.alertname, **story.alert.labels})
        return story, rule, await alert_chart(console.roles, story, rule, picture)

    looks = _Looks(look)

    async def show(
        request: Request,
        identity: Identity,
        fingerprint: str,
        episode: str = "",
        *,
        status: int = 200,
        problem: str = "",
        note: str = "",
    ) -> Response:
        picture = await console.pictures.now()
        story, rule, (drawn, chart_problem) = await looks.at(picture, fingerprint, episode)
        return await console.page(
            request,
            identity,
            "alert.html",
            status=status,
            picture=picture,
            chart=drawn,
            chart_problem=chart_problem,
            problem=problem,
            note=note[: LONGEST_NOTE * 4],
            **_context(story, rule, picture.policy),
        )

    @routes.get("/alerts/{fingerprint}")
    async def alert(
        request: Request,
        identity: Reader,
        fingerprint: str,
        episode: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        return await show(request, identity, fingerprint, episode)

    def take(identity: Identity, fingerprint: str, note: str) -> Acknowledged:
        with console.store.write() as conn:
            return acknowledgements.acknowledge(
                conn, console.clock.now(), [fingerprint], _name(identity), note, actor=identity.actor
            )

    @routes.post("/alerts/{fingerprint}/acknowledge")
    async def acknowledge(
        request: Request,
        identity: Responder,
        fingerprint: str,
        note: Annotated[str, Form(max_length=20_000)] = "",
        next: Annotated[str, Form(max_length=2000)] = "",  # noqa: A002 - the field's usual name
    ) -> Response:
        if len(note.strip()) > LONGEST_NOTE:
            said = (
                f"The note has {len(note.strip()):,} characters; receivers are told at most {LONGEST_NOTE}."
            )
            return await show(request, identity, fingerprint, status=400, problem=said, note=note)
        await run_in_threadpool(read, fingerprint, "")
        done = await run_in_threadpool(take, identity, fingerprint, printable(note, LONGEST_NOTE))
        console.pictures.outdated()
        said, changed = said_of(done, _name(identity))
        if not changed:
            return await show(request, identity, fingerprint, status=409, problem=said, note=note)
        return seen_other(local_path(next) if next else f"/alerts/{quote(fingerprint, safe='')}", said)

    return routes


def _context(story: Story, rule: CompiledRule | None, policy: Policy | None) -> dict[str, Any]:
    alert = story.alert
    playbook = policy.runbook.playbooks.get(rule.playbook) if policy and rule and rule.playbook else None
    labels = short_labels(alert.labels.items(), len(alert.labels), 1000)
    kind = kind_of(alert)
    return {
        "story": story,
        "alert": alert,
        "row": Row(alert, kind),
        "kind": kind,
        "silence": str(alert.inhibited_by).removeprefix("silence:") if is_silence(alert.inhibited_by) else "",
        "rule": rule,
        "against": value_in_words(alert, rule),
        "labels": labels[:LABELS_SHOWN],
        "more_labels": len(labels) - len(labels[:LABELS_SHOWN]),
        "annotations": sorted((alert.annotations or {}).items())[:LABELS_SHOWN],
        "playbook": playbook,
        "playbook_id": rule.playbook if rule else None,
        "silence_address": silence_address(alert),
        "longest_note": LONGEST_NOTE,
        "is_link": lambda text: str(text).startswith(("http://", "https://")) and len(text) <= 2000,
    }
