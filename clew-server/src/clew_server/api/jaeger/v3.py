"""Jaeger's API v3 over HTTP, `/api/v3/*`: traces as OTLP JSON in `result`, errors in `error`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clew_server.api.jaeger.answers import JSON, answers_errors, stream_traces
from clew_server.api.jaeger.calls import call_counts
from clew_server.api.jaeger.ids import trace_id_from_jaeger
from clew_server.api.jaeger.searches import search_from_v3, truth
from clew_server.api.jaeger.summaries import Summary, service_counts
from clew_server.api.leaving import while_asked
from clew_server.errors import BadInput, Damaged, NotFound
from clew_server.model.otlp_read import resource_spans_json_pieces
from clew_server.model.search import KIND_WORDS
from clew_server.model.times import time_from_text
from clew_server.query.service import QueryService
from clew_server.store.contract import Page


def _error(status: int, message: str) -> bytes:
    return _json({"error": {"httpCode": status, "message": message}})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_answers_errors = answers_errors(_error)
_HEAD, _TAIL = b'{"result":{"resourceSpans":[', b"]}}"


class JaegerApiV3:
    """The routes of API v3. `clock_ns` is now."""

    def __init__(self, query: QueryService, *, clock_ns: Callable[[], int]) -> None:
        self._query = query
        self._clock_ns = clock_ns

    def routes(self) -> list[Route]:
        return [
            Route("/api/v3/services", self.services),
            Route("/api/v3/operations", self.operations),
            Route("/api/v3/traces", self.traces),
            Route("/api/v3/traces/{trace_id}", self.trace),
            Route("/api/v3/trace-summaries", self.summaries),
            Route("/api/v3/dependencies", self.dependencies),
        ]

    @_answers_errors
    async def services(self, request: Request) -> Response:
        names = await self._query.services()
        return _answer({"services": [name for name in names.found if name]})

    @_answers_errors
    async def operations(self, request: Request) -> Response:
        service = request.query_params.get("service", "")
        if not service:
            raise BadInput("malformed parameter service: it is required", code="missing_parameter")
        kind = (request.query_params.get("spanKind") or request.query_params.get("span_kind") or "").lower()
        names = await self._query.operations(service)
        # The schema of the UI wants a kind for every operation; Jaeger says internal where there is none.
        found = [
            {"name": name, "spanKind": "internal" if word == KIND_WORDS[0] else word}
            for name, word in names.found
            if kind in ("", word)
        ]
        return _answer({"operations": found})

    @_answers_errors
    async def trace(self, request: Request) -> Response:
        trace_id = trace_id_from_jaeger(request.path_params["trace_id"])
        parameters = request.query_params
        for names in (("startTime", "start_time"), ("endTime", "end_time")):
            for name in names:  # hints for stores that cannot find a trace without them
                if parameters.get(name):
                    time_from_text(name, parameters[name], self._clock_ns())
        truth("rawTraces", parameters.get("rawTraces") or parameters.get("raw_traces") or "")
        return await self._stream(request, [trace_id], may_lack=False)

    @_answers_errors
    async def traces(self, request: Request) -> Response:
        page = await self._search(request)
        if not page.traces:
            raise NotFound("No traces found")
        return await self._stream(request, [trace.trace_id for trace in page.traces], may_lack=True)

    @_answers_errors
    async def summaries(self, request: Request) -> Response:
        page = await self._search(request)
        found = []
        for trace in page.traces:
            try:
                counts = await self._query.kept_view(trace.trace_id, service_counts)
            except (NotFound, Damaged):
                continue
            found.append(Summary(trace, counts).as_json())
        return _answer({"summaries": found})

    @_answers_errors
    async def dependencies(self, request: Request) -> Response:
        start, end = self._time(request, "startTime", "start_time"), self._time(request, "endTime", "end_time")
        if start >= end:
            raise BadInput("endTime must be after startTime")
        found, _ = await self._query.dependencies(start, end)
        calls = [
            {"parent": caller, "child": callee, "callCount": str(calls)} for caller, callee, calls in call_counts(found)
        ]
        return _answer({"dependencies": calls})

    def _time(self, request: Request, *names: str) -> int:
        for name in names:
            if text := request.query_params.get(name):
                return time_from_text(name, text, self._clock_ns())
        raise BadInput(f"{names[0]} is required", code="missing_parameter")

    async def _search(self, request: Request) -> Page:
        parameters = request.query_params
        truth("query.rawTraces", parameters.get("query.rawTraces") or parameters.get("query.raw_traces") or "")
        search = search_from_v3({name: parameters.getlist(name) for name in parameters}, self._clock_ns())
        return await while_asked(request, self._query.search(search.search()))

    async def _stream(self, request: Request, trace_ids: list[str], *, may_lack: bool) -> Response:
        return await stream_traces(
            request,
            self._query,
            trace_ids,
            form=lambda trace: resource_spans_json_pieces(trace.stored),
            head=_HEAD,
            tail=lambda lost: _TAIL,
            may_lack=may_lack,
        )


def _answer(body: dict[str, Any]) -> Response:
    return Response(_json(body), media_type=JSON, headers={"Cache-Control": "no-store"})
