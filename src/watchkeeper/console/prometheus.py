"""Prometheus' HTTP API for reading, answered by the role that holds the samples.

Always true: every answer is Prometheus' envelope, also for errors, with the status codes that Grafana
knows (400 bad_data, 422 execution, 503 timeout or unavailable). Parameters are checked here; what they
mean is decided in ``monitoring/query_api.py`` (tests/console/test_prometheus.py, and beside Prometheus itself
in test_beside_prometheus.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response

from watchkeeper.app.wire import WireError
from watchkeeper.console import parameters
from watchkeeper.console.bodies import BodyError, read_body
from watchkeeper.console.parameters import ParameterError
from watchkeeper.console.roles import Roles
from watchkeeper.store.clock import Clock, to_ms

DEFAULT_TIMEOUT_MS = 30_000
LONGEST_TIMEOUT_MS = 120_000
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STATUS = {"bad_data": 400, "execution": 422, "not_found": 404, "timeout": 503, "unavailable": 503}


class _Parameters:
    """The parameters of a request, from its address and, for POST, its form."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def one(self, name: str) -> str | None:
        return next((value for key, value in self._pairs if key == name), None)

    def every(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def need(self, name: str) -> str:
        value = self.one(name)
        if not value:
            raise ParameterError(f'the parameter "{name}" is missing')
        return value


async def _read(request: Request) -> _Parameters:
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = await read_body(request)
        kind = request.headers.get("content-type", "")
        if not kind.startswith("application/x-www-form-urlencoded") and body:
            raise ParameterError("send parameters in the address or as application/x-www-form-urlencoded")
        try:
            form = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise ParameterError("the form cannot be read") from None
        pairs = form + pairs  # where both name a parameter, Prometheus takes the form's
    return _Parameters(pairs)


def router(roles: Roles, clock: Clock) -> APIRouter:
    """The routes below ``/api/v1`` that Prometheus has."""
    routes = APIRouter(prefix="/api/v1", tags=["prometheus"])

    async def answer(
        question: str, asked: Mapping[str, Any], timeout_ms: int = DEFAULT_TIMEOUT_MS
    ) -> Response:
        try:
            body = await roles.watch(question, {**asked, "timeout_ms": timeout_ms}, timeout_ms / 1000 + 1)
        except WireError as error:
            return _error(error.kind, str(error))
        return Response(body, media_type="application/json")

    def now_ms() -> int:
        return to_ms(clock.now())

    def timeout(given: _Parameters) -> int:
        return min(
            parameters.duration_ms("timeout", given.one("timeout"), DEFAULT_TIMEOUT_MS), LONGEST_TIMEOUT_MS
        )

    async def query(request: Request) -> Response:
        given = await _read(request)
        asked = {
            "query": given.need("query"),
            "time_ms": parameters.time_ms("time", given.one("time"), now_ms()),
            "limit": parameters.limit(given.one("limit")),
        }
        return await answer("query", asked, timeout(given))

    async def query_range(request: Request) -> Response:
        given = await _read(request)
        start = parameters.time_ms("start", given.one("start"), None)
        end = parameters.time_ms("end", given.one("end"), None)
        step = parameters.duration_ms("step", given.one("step"))
        parameters.steps(start, end, step)
        asked = {
            "query": given.need("query"),
            "start_ms": start,
            "end_ms": end,
            "step_ms": step,
            "limit": parameters.limit(given.one("limit")),
        }
        return await answer("query_range", asked, timeout(given))

    def selection(given: _Parameters) -> dict[str, Any]:
        return {
            "match": given.every("match[]"),
            "start_ms": parameters.time_ms("start", given.one("start"), 0),
            "end_ms": parameters.time_ms("end", given.one("end"), now_ms() + 1),
            "limit": parameters.limit(given.one("limit")),
        }

    async def series(request: Request) -> Response:
        given = await _read(request)
        given.need("match[]")
        return await answer("series", selection(given))

    async def labels(request: Request) -> Response:
        return await answer("labels", selection(await _read(request)))

    async def label_values(request: Request, name: str) -> Response:
        if not _LABEL_NAME.fullmatch(name):
            raise ParameterError(f"invalid label name: {name!r}")
        return await answer("label_values", {"name": name, **selection(await _read(request))})

    async def metadata(request: Request) -> Response:
        given = await _read(request)
        return await answer(
            "metadata", {"metric": given.one("metric"), "limit": parameters.limit(given.one("limit"))}
        )

    async def rules(request: Request) -> Response:
        given = await _read(request)
        kind = given.one("type")
        if kind not in (None, "", "alert", "record"):
            raise ParameterError(f'the parameter "type" is {kind!r}; it takes alert or record')
        return await answer("rules", {"type": kind, "names": given.every("rule_name[]")})

    async def alerts(request: Request) -> Response:
        return await answer("alerts", {})

    async def targets(request: Request) -> Response:
        state = (await _read(request)).one("state")
        return await answer("targets", {"state": state.lower() if state else None})

    async def build_info() -> Response:
        return _success(build_information())

    async def exemplars(request: Request) -> Response:
        return _success([])  # none are stored, as by a Prometheus without exemplar storage

    for path, handler in (
        ("/query", query),
        ("/query_range", query_range),
        ("/series", series),
        ("/labels", labels),
    ):
        routes.add_api_route(path, _guarded(handler), methods=["GET"], name=handler.__name__)
        routes.add_api_route(path, _guarded(handler), methods=["POST"], include_in_schema=False)
    routes.add_api_route(
        "/label/{name}/values", _guarded_values(label_values), methods=["GET"], name="label_values"
    )
    for path, handler in (
        ("/metadata", metadata),
        ("/rules", rules),
        ("/alerts", alerts),
        ("/targets", targets),
    ):
        routes.add_api_route(path, _guarded(handler), methods=["GET"], name=handler.__name__)
    routes.add_api_route(
        "/query_exemplars", _guarded(exemplars), methods=["GET", "POST"], include_in_schema=False
    )
    routes.add_api_route("/status/buildinfo", build_info, methods=["GET"], name="build_info")
    return routes


def build_information() -> dict[str, str]:
    """What ``status/buildinfo`` says; ``version`` is that of the API we are compatible with."""
    from watchkeeper import __version__

    return {
        "version": "3.0.0",
        "revision": f"watchkeeper-{__version__}",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "watchkeeper",
    }


def _guarded(handler: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            response: Response = await handler(request)
        except ParameterError as error:
            return _error("bad_data", str(error))
        except BodyError as error:
            return _error("bad_data", str(error), error.status)
        return response

    return endpoint


def _guarded_values(handler: Any) -> Any:
    async def endpoint(request: Request, name: str) -> Response:
        try:
            response: Response = await handler(request, name)
        except ParameterError as error:
            return _error("bad_data", str(error))
        except BodyError as error:
            return _error("bad_data", str(error), error.status)
        return response

    return endpoint


def _success(data: Any) -> Response:
    return Response(json.dumps({"status": "success", "data": data}), media_type="application/json")


def _error(kind: str, message: str, status: int | None = None) -> Response:
    body = json.dumps({"status": "error", "errorType": kind, "error": message})
    return Response(body, status_code=status or _STATUS.get(kind, 500), media_type="application/json")
