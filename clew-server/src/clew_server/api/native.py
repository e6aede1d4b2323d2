"""`/api/v1`: clew's own dialect, as docs/reference/api.md describes it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clew_server.api.openapi import DOCUMENT
from clew_server.errors import BadInput
from clew_server.model.query_text import search_from_parameters
from clew_server.query.service import QueryService
from clew_server.store.contract import TraceSummary

_MAX_BODY_BYTES = 64 * 1024
_SEARCH_PARAMETERS = frozenset(
    (
        "q",
        "from",
        "to",
        "limit",
        "cursor",
        "sort",
        "service",
        "operation",
        "status",
        "min_duration_ms",
        "max_duration_ms",
        "attr",
    )
)


class NativeApi:
    """Routes of the native API.

    `status` gives the body of `/status`; `flush(timeout_s)` raises Unavailable when the time is over; `clock_ns` is now.
    """

    def __init__(
        self,
        query: QueryService,
        *,
        status: Callable[[], Awaitable[dict[str, Any]]],
        flush: Callable[[float], Awaitable[None]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._query = query
        self._status = status
        self._flush = flush
        self._clock_ns = clock_ns

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/status", self.status),
            Route("/api/v1/flush", self.flush, methods=["POST"]),
            Route("/api/v1/services", self.services),
            Route("/api/v1/operations", self.operations),
            Route("/api/v1/traces", self.traces),
            Route("/api/v1/traces/{trace_id}", self.trace),
            Route("/api/v1/traces/{trace_id}/skeleton", self.skeleton),
            Route("/api/v1/traces/{trace_id}/spans", self.spans, methods=["POST"]),
            Route("/api/v1/openapi.json", self.openapi),
        ]

    async def status(self, request: Request) -> Response:
        return JSONResponse(await self._status(), headers={"Cache-Control": "no-store"})

    async def flush(self, request: Request) -> Response:
        text = request.query_params.get("timeout_s", "10")
        try:
            timeout_s = float(text)
        except ValueError:
            timeout_s = -1.0
        if not 0 <= timeout_s <= 300:
            raise BadInput(f"timeout_s {text!r}: wants seconds from 0 to 300", code="bad_parameter")
        await self._flush(timeout_s)
        return JSONResponse({"flushed": True})

    async def services(self, request: Request) -> Response:
        return JSONResponse({"services": await self._query.services()})

    async def operations(self, request: Request) -> Response:
        service = request.query_params.get("service")
        if service is None:
            raise BadInput("say whose operations: ?service=NAME", code="missing_parameter")
        found = await self._query.operations(service)
        return JSONResponse({"operations": [{"name": name, "kind": kind} for name, kind in found]})

    async def traces(self, request: Request) -> Response:
        given = request.query_params
        unknown = sorted(set(given) - _SEARCH_PARAMETERS)
        if unknown:
            raise BadInput(f"{unknown[0]!r} is not a parameter of a search", code="unknown_parameter")
        if given.get("sort", "-start") != "-start":
            raise BadInput("sort: this version sorts by -start (newest first) only", code="unsupported")
        search = search_from_parameters(
            q=given.get("q", ""),
            service=given.get("service"),
            operation=given.get("operation"),
            status=given.get("status"),
            min_duration_ms=given.get("min_duration_ms"),
            max_duration_ms=given.get("max_duration_ms"),
            attr=given.getlist("attr"),
            from_=given.get("from"),
            to=given.get("to"),
            limit=given.get("limit"),
            cursor=given.get("cursor"),
            now_unix_nano=self._clock_ns(),
        )
        page = await self._query.search(search)
        return JSONResponse(
            {
                "traces": [_summary(trace) for trace in page.traces],
                "complete": page.complete,
                "reason": page.reason,
                "next": page.next,
            },
            headers={"Cache-Control": "no-store"},
        )

    async def trace(self, request: Request) -> Response:
        trace_id = request.path_params["trace_id"]
        if "application/x-protobuf" in request.headers.get("accept", ""):
            return Response(
                await self._query.trace_otlp(trace_id), media_type="application/x-protobuf", headers={"Vary": "Accept"}
            )
        return Response(
            await self._query.trace_json(trace_id), media_type="application/json", headers={"Vary": "Accept"}
        )

    async def skeleton(self, request: Request) -> Response:
        skeleton = await self._query.skeleton(request.path_params["trace_id"])
        etag = f'"{skeleton.etag}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(skeleton.json, media_type="application/json", headers=headers)

    async def spans(self, request: Request) -> Response:
        span_ids = await _span_ids(request)
        return Response(
            await self._query.spans(request.path_params["trace_id"], span_ids), media_type="application/json"
        )

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(DOCUMENT)


def _summary(trace: TraceSummary) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "start_unix_nano": str(trace.start_unix_nano),
        "duration_ns": str(trace.duration_ns),
        "spans": trace.spans,
        "errors": trace.errors,
        "root_service": trace.root_service,
        "root_name": trace.root_name,
        "has_root": trace.has_root,
        "services": list(trace.services),
    }


async def _span_ids(request: Request) -> list[bytes]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise BadInput("the body is too long for 100 span ids", code="bad_body")
    try:
        span_ids = json.loads(body)["span_ids"]
        parsed = [bytes.fromhex(span_id) for span_id in span_ids]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput('wants a JSON body {"span_ids": ["00f067aa0ba902b7", …]}', code="bad_body") from None
    if not isinstance(span_ids, list) or any(len(span_id) != 8 for span_id in parsed):
        raise BadInput("a span id has 16 hex digits", code="bad_id")
    return parsed
