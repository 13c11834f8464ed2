"""``POST /api/webhooks/pagerduty/<receiver>``: where PagerDuty tells what people did with a page.

The body is passed on unread to the role that holds the receiver's secret; nothing happens before its
signature is found good.
"""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response

from watchkeeper.app.wire import WireError
from watchkeeper.console.bodies import BodyError, read_body
from watchkeeper.console.roles import Roles

ASK_SECONDS = 20.0
SIGNATURE_HEADER = "X-PagerDuty-Signature"
_STATUS = {"not_found": 404, "forbidden": 403, "bad_data": 400, "unavailable": 503, "timeout": 503}


def router(roles: Roles) -> APIRouter:
    """The route."""
    routes = APIRouter(prefix="/api/webhooks", tags=["webhooks"])

    @routes.post("/pagerduty/{receiver}")
    async def pagerduty(receiver: str, request: Request) -> Response:
        try:
            text = (await read_body(request)).decode()
        except BodyError as error:
            return _refuse(error.status, str(error))
        except UnicodeDecodeError:
            return _refuse(400, "the body is not UTF-8")
        asked = {
            "receiver": receiver,
            "signature": request.headers.get(SIGNATURE_HEADER),
            "body": text,
        }
        try:
            answer = await roles.work("pagerduty", asked, ASK_SECONDS)
        except WireError as error:
            return _refuse(_STATUS.get(error.kind, 500), str(error))
        return Response(answer, media_type="application/json")

    return routes


def _refuse(status: int, message: str) -> Response:
    body = json.dumps({"status": "error", "error": message})
    return Response(body, status_code=status, media_type="application/json")
