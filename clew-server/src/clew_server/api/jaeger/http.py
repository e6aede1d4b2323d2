"""Jaeger's older HTTP API, `/api/*`: what its UI and Grafana's Jaeger data source ask. Answers are `{"data", "errors", …}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clew_server.api.jaeger.answers import JSON, Lost, answers_errors, stream_traces
from clew_server.api.jaeger.calls import call_counts
from clew_server.api.jaeger.ids import jaeger_id, trace_id_from_jaeger
from clew_server.api.jaeger.searches import search_from_api, truth, whole_number
from clew_server.api.jaeger.traces import trace_pieces
from clew_server.api.leaving import while_asked
from clew_server.api.uploads import UploadApi
from clew_server.errors import BadInput
from clew_server.model.search import KIND_WORDS
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans
from clew_server.query.service import QueryService
from clew_server.store.contract import Names


def structured(data: Any, *, total: int = 0, errors: Sequence[dict[str, Any]] = ()) -> bytes:
    """The one shape of this API."""
    body = {"data": data, "total": total, "limit": 0, "offset": 0, "errors": list(errors) or None}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _error(status: int, message: str) -> bytes:
    return structured(None, errors=[{"code": status, "msg": message}])


answers_in_structure = answers_errors(_error)
"""Makes a method of this API answer each exception in its shape."""


class JaegerApi:
    """The routes of the older API. `clock_ns` is now."""

    def __init__(self, query: QueryService, *, clock_ns: Callable[[], int], uploads: UploadApi | None = None) -> None:
        """With `uploads` a file can be seen as Jaeger's JSON; nothing of it is kept."""
        self._query = query
        self._clock_ns = clock_ns
        self._uploads = uploads

    def routes(self) -> list[Route]:
        transform = [] if self._uploads is None else [Route("/api/transform", self.transform, methods=["POST"])]
        return [
            *transform,
            Route("/api/services", self.services),
            Route("/api/services/{service:path}/operations", self.names_of_operations),
            Route("/api/operations", self.operations),
            Route("/api/traces", self.traces),
            Route("/api/traces/{trace_id}", self.trace),
            Route("/api/dependencies", self.dependencies),
        ]

    @answers_in_structure
    async def services(self, request: Request) -> Response:
        names = await self._query.services()
        found = [name for name in names.found if name]
        return _names(found, len(found), names)

    @answers_in_structure
    async def names_of_operations(self, request: Request) -> Response:
        names = await self._query.operations(request.path_params["service"])
        found = list(dict.fromkeys(name for name, _ in names.found))
        return _names(found, len(found), names)

    @answers_in_structure
    async def operations(self, request: Request) -> Response:
        service = request.query_params.get("service", "")
        if not service:
            raise BadInput("parameter 'service' is required", code="missing_parameter")
        names = await self._query.operations(service)
        kind = request.query_params.get("spanKind", "").lower()
        found = [
            {"name": name, "spanKind": "" if word == KIND_WORDS[0] else word}
            for name, word in names.found
            if kind in ("", word)
        ]
        return _names(found, len(found), names)

    @answers_in_structure
    async def traces(self, request: Request) -> Response:
        parameters = request.query_params
        truth("raw", parameters.get("raw", ""))
        given = [text for text in parameters.getlist("traceID") if text]
        if given:
            ids = list(dict.fromkeys(map(trace_id_from_jaeger, given)))
            return await self._stream(request, ids, reason=None)
        search = search_from_api({name: parameters.getlist(name) for name in parameters}, self._clock_ns())
        page = await while_asked(request, self._query.search(search.search()))
        # That there are more than the limit is nothing to tell: Jaeger does not.
        return await self._stream(request, [trace.trace_id for trace in page.traces], reason=page.reason)

    @answers_in_structure
    async def trace(self, request: Request) -> Response:
        trace_id = trace_id_from_jaeger(request.path_params["trace_id"])
        truth("raw", request.query_params.get("raw", ""))
        for name in ("start", "end"):  # hints for stores that cannot find a trace without them
            if request.query_params.get(name):
                whole_number(name, request.query_params[name])
        return await stream_traces(
            request,
            self._query,
            [trace_id],
            form=trace_pieces,
            head=b'{"data":[',
            tail=lambda lost: _TAIL % b"null",
            may_lack=False,
        )

    @answers_in_structure
    async def transform(self, request: Request) -> Response:
        assert self._uploads is not None

        def form(largest: list[list[StoredSpan]], unread: str) -> bytes:
            made = (b"".join(trace_pieces(trace_from_spans(spans))) for spans in largest)
            errors = json.dumps([{"msg": unread}] if unread else None, ensure_ascii=False).encode()
            return b'{"data":[' + b",".join(made) + _TAIL % errors

        answer = await self._uploads.read(request, form)
        return Response(answer, media_type=JSON, headers={"Cache-Control": "no-store"})

    @answers_in_structure
    async def dependencies(self, request: Request) -> Response:
        parameters = request.query_params
        end = whole_number("endTs", parameters["endTs"]) if parameters.get("endTs") else self._clock_ns() // _MS
        lookback = whole_number("lookback", parameters["lookback"]) if parameters.get("lookback") else _DAY_MS
        to_ns = min(max(0, end) * _MS, _MAX_INT64)
        found, reason = await while_asked(
            request, self._query.dependencies(max(0, to_ns - max(0, lookback) * _MS), to_ns)
        )
        data = [
            {"parent": caller, "child": callee, "callCount": calls}
            for caller, callee, calls in call_counts(found, parameters.get("service", ""))
        ]
        errors = [] if reason is None else [{"msg": f"some calls may be missing: {reason}"}]
        return Response(structured(data, errors=errors), media_type=JSON, headers={"Cache-Control": "no-store"})

    async def _stream(self, request: Request, trace_ids: Sequence[str], *, reason: str | None) -> Response:
        def tail(lost: Sequence[Lost]) -> bytes:
            errors = [{"code": status, "msg": said, "traceID": jaeger_id(of)} for of, status, said in lost]
            if reason is not None:
                errors.append({"msg": f"the search is not complete: {reason}"})
            return _TAIL % json.dumps(errors or None, ensure_ascii=False).encode()

        return await stream_traces(
            request, self._query, trace_ids, form=trace_pieces, head=b'{"data":[', tail=tail, may_lack=True
        )


_MS = 1_000_000
_DAY_MS = 86_400_000
_MAX_INT64 = (1 << 63) - 1
_TAIL = b'],"total":0,"limit":0,"offset":0,"errors":%s}'


def _names(data: Any, total: int, names: Names[Any]) -> Response:
    errors = [] if names.missing is None else [{"msg": f"some may be missing: {names.missing}"}]
    return Response(
        structured(data, total=total, errors=errors), media_type=JSON, headers={"Cache-Control": "no-store"}
    )
