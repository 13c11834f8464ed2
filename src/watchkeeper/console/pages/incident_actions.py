"""Where the forms of an incident's page are sent: one transaction each, or the page again as it was typed.

Always true: what cannot be done changes nothing, and whoever tried reads why, and what somebody else changed
meanwhile; nothing that they typed is lost (tests/console/test_incident.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from watchkeeper.access.models import Identity
from watchkeeper.console import incidents
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Responder
from watchkeeper.console.incident_forms import FORMS, PLACES, Doing, Done, Form, UpdateForm, said_of
from watchkeeper.console.people import FormError, RowNumber, sentence
from watchkeeper.console.rendering import seen_other
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import (
    ConflictError,
    Gap,
    IncidentError,
    Message,
    NoSuchIncidentError,
    RefusedError,
)
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.questions import ForbiddenAnswerError

MOST_FIELDS = 300
_AT_TOP = frozenset(("acknowledge", "mitigated", "resolve", "close"))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a form was not taken, or (without a message) the preview that it asked for."""

    message: str
    gaps: tuple[Gap, ...] = ()
    back_to: str = ""
    preview: tuple[Message, ...] = ()
    preview_key: str = ""
    made: Mapping[str, str] = field(default_factory=dict)


Show = Callable[..., Awaitable[Response]]
"""Shows the page again: request, identity, number; ``status``, ``typed``, ``refused``."""


async def read_form(request: Request) -> Form:
    """The fields of the form that was sent."""
    found: dict[str, list[str]] = {}
    async with request.form(max_fields=MOST_FIELDS, max_files=0) as sent:
        for name, value in sent.multi_items():
            if not isinstance(value, str):
                raise HTTPException(400, "files are not taken here")
            found.setdefault(name, []).append(value)
    return Form(found)


def actions(console: Console, show: Show) -> APIRouter:
    """``POST /incidents/{number}/<form>``."""
    routes = APIRouter(include_in_schema=False)

    def work(identity: Identity, number: int, action: str, form: Form) -> Done:
        runbook = console.policy().runbook
        with console.store.write() as conn:
            now = console.clock.now()
            by, role = incidents.author(identity), incidents.role_of(identity)
            return FORMS[action](Doing(conn, now, runbook, number, by, form, role))

    def previewed(number: int, form: Form) -> Refused:
        runbook, now = console.policy().runbook, console.clock.now()
        asked = UpdateForm.read(form, now)
        with console.store.read() as conn:
            incident = reading.one(conn, number)
        made = service.preview(
            runbook, incident, now, status=asked.status, impact=asked.impact, eta=asked.eta,
            note=asked.note, next_update_at=asked.next_update_at,
        )  # fmt: skip
        changed = said_of(form)
        shown = tuple(
            Message(
                one.audience, one.title, changed.get(one.audience, one.text), one.recipients, one.unreachable
            )
            for one in made
        )
        return Refused(
            "", preview=shown, preview_key=_key(form), made={one.audience: one.text for one in made}
        )

    @routes.post("/incidents/{number}/{action}")
    async def act(request: Request, identity: Responder, number: RowNumber, action: str) -> Response:
        if action not in FORMS:
            raise HTTPException(404, f"nothing is done at {request.url.path}")
        form = await read_form(request)
        typed = {action: {name: values[0].replace("\r\n", "\n") for name, values in form.fields.items()}}

        async def again(status: int, refused: Refused) -> Response:
            return await show(request, identity, number, status=status, typed=typed, refused=refused)

        def refusal(message: str, gaps: tuple[Gap, ...] = ()) -> Refused:
            back_to = PLACES.get(action, "next")
            seen = action == "update" and any(name.startswith("said.") for name in form.fields)
            try:
                kept = previewed(number, form) if seen else Refused("")
            except (FormError, IncidentError):
                kept = Refused("")
            return Refused(message, gaps, back_to, kept.preview, kept.preview_key, kept.made)

        try:
            if action == "update":
                stale = form.text("previewed", 100) not in ("", _key(form))
                if form.text("do", 20) == "preview" or stale:
                    shown = await run_in_threadpool(previewed, number, form)
                    if stale and form.text("do", 20) == "post":
                        shown = Refused(
                            "You changed the update after its preview. Nothing was sent: look at the words "
                            "for each audience again, then post it.",
                            back_to="preview", preview=shown.preview, preview_key=shown.preview_key,
                            made=shown.made,
                        )  # fmt: skip
                    return await again(200, shown)
            done = await run_in_threadpool(work, identity, number, action, form)
        except NoSuchIncidentError as error:
            raise HTTPException(404, str(error)) from None
        except RefusedError as error:
            console.pictures.outdated()
            message = "It is not done: something is missing." if error.gaps else sentence(str(error))
            return await again(409, await run_in_threadpool(refusal, message, error.gaps))
        except ConflictError as error:
            console.pictures.outdated()
            return await again(409, await run_in_threadpool(refusal, sentence(str(error))))
        except ForbiddenAnswerError as error:
            return await again(403, await run_in_threadpool(refusal, sentence(str(error))))
        except (IncidentError, PlaybookError, FormError) as error:
            return await again(400, await run_in_threadpool(refusal, sentence(str(error))))
        console.pictures.outdated()
        place = "" if action in _AT_TOP else PLACES.get(action, "")
        return seen_other(done.where or f"/incidents/{number}" + (f"#{place}" if place else ""), done.said)

    return routes


def _key(form: Form) -> str:
    """Tells whether an update is still the one that was previewed."""
    parts = [form.text(name, 4000) for name in ("status", "impact", "eta", "note", "next_in")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
