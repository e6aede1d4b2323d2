"""Tempo's HTTP API: the routes that Grafana's Tempo data source asks. Errors are sentences as text, as Tempo's are."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from clew_server import __version__
from clew_server.api.forms import preferred
from clew_server.api.jaeger.answers import message_of, status_of
from clew_server.api.leaving import while_asked
from clew_server.api.tempo import traces
from clew_server.api.tempo.attributes import INTRINSICS, Attribute, attribute_of
from clew_server.api.tempo.metrics import answer as range_answer
from clew_server.api.tempo.metrics import range_from_parameters
from clew_server.api.tempo.searches import TempoSearch, search_from_parameters, time_window
from clew_server.api.tempo.shown import Shown
from clew_server.api.tempo.spansets import filters, matched
from clew_server.errors import BadInput, Damaged, NotFound, Unavailable
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.model.trace import Trace
from clew_server.query.service import QueryService
from clew_server.store.contract import Holding, TraceSummary

_log = logging.getLogger(__name__)

MAX_SPANS_MATCHED: Final = 10_000
"""Of traces with more spans, no span is shown below the trace in a list."""
MAX_VALUES: Final = 1_000
_HOUR_NS: Final = 3_600_000_000_000
_X_PROTOBUF: Final = "application/x-protobuf"
_COMPATIBLE: Final = "2.6.0"
"""The version of Tempo whose routes these are; Grafana asks for it."""
_SCOPES: Final = ("resource", "span", "event")

_Endpoint = Callable[[Any, Request], Awaitable[Response]]


def _answers_errors(endpoint: _Endpoint) -> _Endpoint:
    @functools.wraps(endpoint)
    async def answer(self: Any, request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except HTTPException:
            raise
        except Exception as error:
            status = status_of(error)
            if status == 500:
                _log.error("an answer of Tempo's API failed", exc_info=error)
            headers = {}
            if isinstance(error, Unavailable):
                headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
            return PlainTextResponse(message_of(error), status, headers)

    return answer


class TempoApi:
    """The routes. `clock_ns` is now; `not_ready` says why new data should not be sent here, None when all is well."""

    def __init__(
        self, query: QueryService, *, clock_ns: Callable[[], int], not_ready: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._query = query
        self._clock_ns = clock_ns
        self._not_ready = not_ready

    def routes(self) -> list[Route]:
        return [
            Route("/api/echo", self.echo),
            Route("/ready", self.ready),
            Route("/api/status/buildinfo", self.build),
            Route("/status/version", self.build),
            Route("/api/traces/{trace_id}", self.trace),
            Route("/api/v2/traces/{trace_id}", self.trace_v2),
            Route("/api/search", self.search),
            Route("/api/search/tags", self.tags),
            Route("/api/v2/search/tags", self.tags_v2),
            Route("/api/search/tag/{tag:path}/values", self.values),
            Route("/api/v2/search/tag/{tag:path}/values", self.values_v2),
            Route("/api/metrics/query_range", self.query_range),
            Route("/{path:path}", self.nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    @staticmethod
    def is_open(path: str) -> bool:
        """Whether a path needs no token."""
        return path == "/ready"

    async def echo(self, request: Request) -> Response:
        return PlainTextResponse("echo")

    async def ready(self, request: Request) -> Response:
        why = await self._not_ready()
        return PlainTextResponse("ready" if why is None else why, 200 if why is None else 503)

    async def build(self, request: Request) -> Response:
        return JSONResponse(
            {
                "version": f"{_COMPATIBLE}+clew.{__version__}",
                "revision": "",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            }
        )

    async def nothing(self, request: Request) -> Response:
        return PlainTextResponse(f"clew answers nothing at {request.url.path} of Tempo's API", 404)

    @_answers_errors
    async def trace(self, request: Request) -> Response:
        return await self._trace(request, traces.v1_protobuf, traces.v1_json)

    @_answers_errors
    async def trace_v2(self, request: Request) -> Response:
        return await self._trace(request, traces.v2_protobuf, traces.v2_json)

    async def _trace(self, request: Request, protobuf: Any, json_form: Any) -> Response:
        kind = preferred(request.headers.get("accept", ""), (traces.JSON, traces.PROTOBUF, _X_PROTOBUF))
        form = json_form if kind == traces.JSON else protobuf
        try:
            found = await self._query.pieces(_trace_id(request.path_params["trace_id"]), form)
        except NotFound:
            return PlainTextResponse("trace not found", 404)
        headers = {"Vary": "Accept"}
        if found.incomplete is not None:
            headers["Clew-Incomplete"] = found.incomplete.encode("ascii", "replace").decode()
        return StreamingResponse(found.pieces, headers=headers, media_type=kind)

    @_answers_errors
    async def search(self, request: Request) -> Response:
        asked = search_from_parameters(request.query_params)
        page = await while_asked(request, self._query.search(asked.search))
        small = [one for one in page.traces if one.spans <= MAX_SPANS_MATCHED]
        found = await while_asked(
            request, self._query.holding(list(filters(asked.query.spansets)), small, asked.search)
        )
        listed = [await self._listed(one, asked, found.get(one.trace_id)) for one in page.traces]
        metrics: dict[str, Any] = {"inspectedTraces": len(listed)}
        body: dict[str, Any] = {"traces": listed, "metrics": metrics}
        if not page.complete:
            body["message"] = page.reason
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def _listed(self, summary: TraceSummary, asked: TempoSearch, holding: Holding | None) -> dict[str, Any]:
        made: dict[str, Any] = {
            "traceID": summary.trace_id.lstrip("0"),
            "rootServiceName": summary.root_service if summary.has_root else "<root span not yet received>",
            "rootTraceName": summary.root_name if summary.has_root else "",
            "startTimeUnixNano": str(summary.start_unix_nano),
            "durationMs": summary.duration_ns // 1_000_000,
        }
        if holding is not None:
            try:
                spans = await self._query.trace(summary.trace_id, lambda trace: _span_set(trace, asked, holding))
            except (NotFound, Damaged):
                return made
            made |= {"spanSet": spans, "spanSets": [spans]}
        return made

    @_answers_errors
    async def tags(self, request: Request) -> Response:
        found = await self._tags(request)
        names = sorted({name for scope, listed in found.items() if scope != "intrinsic" for name in listed})
        if request.query_params.get("scope") == "intrinsic":
            names = list(INTRINSICS)
        return JSONResponse({"tagNames": names, "metrics": {}})

    @_answers_errors
    async def tags_v2(self, request: Request) -> Response:
        found = await self._tags(request)
        return JSONResponse(
            {"scopes": [{"name": name, "tags": listed} for name, listed in found.items()], "metrics": {}}
        )

    async def _tags(self, request: Request) -> dict[str, list[str]]:
        scope = request.query_params.get("scope", "")
        if scope not in ("", "none", "intrinsic", "link", "instrumentation", *_SCOPES):
            raise BadInput(f"scope: {scope[:40]!r} is not one of {', '.join((*_SCOPES, 'intrinsic'))}")
        names = await self._query.attribute_keys(*self._window(request))
        found: dict[str, list[str]] = {one: [] for one in _SCOPES}
        for place, key in names.found:
            found[place].append(key)
        found["intrinsic"] = list(INTRINSICS)
        return found if scope in ("", "none") else {scope: found.get(scope, [])}

    @_answers_errors
    async def values(self, request: Request) -> Response:
        """Tags without a place, as version 1 has them."""
        tag = request.path_params["tag"]
        attribute = attribute_of(tag)
        if attribute.place == "unknown":
            attribute = Attribute("any", tag, tag)
        values = await self._values(request, attribute)
        return JSONResponse({"tagValues": list(dict.fromkeys(text for _, text in values)), "metrics": {}})

    @_answers_errors
    async def values_v2(self, request: Request) -> Response:
        values = await self._values(request, attribute_of(request.path_params["tag"]))
        return JSONResponse({"tagValues": [{"type": type_, "value": text} for type_, text in values], "metrics": {}})

    async def _values(self, request: Request, attribute: Attribute) -> list[tuple[str, str]]:
        place, key = attribute.place, attribute.key
        if place == "intrinsic":
            if key == "status":
                return [("keyword", word) for word in STATUS_WORDS]
            if key == "kind":
                return [("keyword", word) for word in KIND_WORDS]
            if key in ("name", "rootName"):
                return [("string", name) for name in (await self._query.names(MAX_VALUES)).found]
            if key != "rootServiceName":
                return []
        if key == "service.name" or place == "intrinsic":
            return [("string", name) for name in (await self._query.services()).found if name][:MAX_VALUES]
        window = self._window(request)
        found: list[tuple[str, str]] = []
        for one in ("span", "resource"):
            if place in (one, "any"):
                found += (await self._query.attribute_values(one, key, *window, MAX_VALUES)).found
        return list(dict.fromkeys(found))[:MAX_VALUES]

    @_answers_errors
    async def query_range(self, request: Request) -> Response:
        asked = range_from_parameters(request.query_params, self._clock_ns())
        series = await while_asked(request, self._query.series(asked.asked))
        body = range_answer(asked, series)
        if series.missing is not None:
            body |= {"status": "PARTIAL", "message": series.missing}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _window(self, request: Request) -> tuple[int, int]:
        """`start` and `end`; without them the last hour, as in Tempo, whose newest spans that is."""
        start, end = time_window(request.query_params)
        if start is None or end is None:
            now = self._clock_ns()
            return now - _HOUR_NS, now + _HOUR_NS
        return start, end


def _trace_id(text: str) -> str:
    """Tempo writes ids without their leading zeros."""
    digits = text.strip()
    return digits.zfill(32) if 0 < len(digits) < 32 and "-" not in digits else digits


def _span_set(trace: Trace, asked: TempoSearch, holding: Holding) -> dict[str, Any]:
    rows = matched(asked.query.spansets, trace, holding)
    wanted = dict.fromkeys((*asked.query.named, *asked.query.select))
    show = Shown(trace)
    shown: list[dict[str, Any]] = []
    for row in rows[: asked.spans]:
        values = [(attribute.key, show.value(row, attribute)) for attribute in wanted]
        shown.append(
            {
                "spanID": trace.span_ids[row].hex(),
                "name": trace.name_of(row),
                "startTimeUnixNano": str(trace.t0_unix_nano + trace.start_ns[row]),
                "durationNanos": str(trace.duration_ns[row]),
                "attributes": [
                    {"key": key, "value": traces.value_as_json(value)} for key, value in values if value is not None
                ],
            }
        )
    return {"spans": shown, "matched": len(rows)}
