"""How the API says no: one envelope, and which refusals are answered with which status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from watchkeeper.access.models import AccessError, ThrottledError
from watchkeeper.incidents.models import ConflictError, IncidentError, NoSuchIncidentError, RefusedError
from watchkeeper.launches.changes import ChangeError
from watchkeeper.monitoring.silences import SilenceError
from watchkeeper.oncall.overrides import OnCallError
from watchkeeper.runbook.models.quantities import BadQuantityError


class Answer(BaseModel):
    """What the API answers with; made from the sections' own objects."""

    model_config = ConfigDict(from_attributes=True)


class Asked(BaseModel):
    """The body of a request: a key that is not known is a mistake, and said to be."""

    model_config = ConfigDict(extra="forbid")


class Problem(Answer):
    """Why something was not done."""

    status: Literal["error"]
    errorType: str = Field(description="For programs: bad_data, unauthorized, forbidden, not_found, ...")  # noqa: N815
    error: str = Field(description="For people: what was wrong, and what would do.")


_SAID = {
    400: "What was sent cannot be used; `error` says what would do.",
    401: "Nobody is signed in, or the token is unknown, expired or revoked.",
    403: "Whoever asks may not do this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "It cannot be done as things stand; nothing was changed.",
    413: "The body is larger than 1 MiB.",
    429: "Too many attempts; `Retry-After` says in how many seconds the next is looked at.",
    503: "A role or the store does not answer now; try again.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented refusals of an operation: 400, 401, 403 and 503 always, and ``statuses``."""
    return {
        status: {"model": Problem, "description": _SAID[status]}
        for status in sorted({400, 401, 403, 503, *statuses})
    }


CHANGES = problems(404, 408, 409, 413)
"""The refusals of an operation that changes something."""


@contextmanager
def refusing(status: int = 400) -> Iterator[None]:
    """What a section refuses is answered in its own words."""
    try:
        yield
    except ThrottledError:
        raise
    except NoSuchIncidentError as error:
        raise HTTPException(404, str(error)) from None
    except (ConflictError, RefusedError) as error:
        raise HTTPException(409, str(error)) from None
    except (AccessError, ChangeError, IncidentError, OnCallError, SilenceError, BadQuantityError) as error:
        raise HTTPException(status, str(error)) from None
