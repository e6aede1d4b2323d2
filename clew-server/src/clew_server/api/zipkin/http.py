"""`/api/v2/*` of Zipkin: what its UI, Grafana's Zipkin data source and scripts ask. Errors are a sentence of plain text."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from clew_server import __version__
from clew_server.api.forms import Gzip
from clew_server.api.leaving import while_asked
from clew_server.api.zipkin.searches import DEFAULT_LIMIT, LOOKBACK_MS, search_from_parameters, window_from_parameters
from clew_server.api.zipkin.spans import trace_pieces, zipkin_id
from clew_server.errors import BadInput, Damaged, NotFound, TooLarge, Unavailable
from clew_server.query.service import Pieces, QueryService, trace_id_from_text
from clew_server.store.contract import Names, StoreFailed

_log = logging.getLogger(__name__)

_MAX_IDS: Final = 1_000
_SHORT_ID: Final = re.compile(r"[0-9a-fA-F]{1,32}")
_JSON: Final = "application/json"
_CONFIG: Final = {
    "environment": "",
    "queryLimit": DEFAULT_LIMIT,
    "defaultLookback": 15 * 60 * 1_000,
    "searchEnabled": True,
    "dependency": {"enabled": True, "lowErrorRate": 0.5, "highErrorRate": 0.75},
}
"""What Zipkin's UI reads at its start; times in ms."""


def zipkin_app(
    query: QueryService, *, not_ready: Callable[[], Awaitable[str | None]], clock_ns: Callable[[], int]
) -> Starlette:
    """The app for everything at the Zipkin port that is no span. `not_ready` says why `/health` is 503, None when it is not."""
    return Starlette(
        routes=list(ZipkinApi(query, not_ready=not_ready, clock_ns=clock_ns).routes()),
        exception_handlers=_HANDLERS,
        middleware=[Middleware(Gzip, minimum_size=2048, compresslevel=3)],
    )


class ZipkinApi:
    """The routes, each also below `/zipkin`, where Zipkin's UI asks. `clock_ns` is now."""

    def __init__(
        self,
        query: QueryService,
        *,
        not_ready: Callable[[], Awaitable[str | None]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._query = query
        self._not_ready = not_ready
        self._clock_ns = clock_ns

    def routes(self) -> Iterator[Route]:
        for prefix in ("", "/zipkin"):
            yield Route(f"{prefix}/api/v2/services", self.services)
            yield Route(f"{prefix}/api/v2/spans", self.spans)
            yield Route(f"{prefix}/api/v2/remoteServices", self.remote_services)
            yield Route(f"{prefix}/api/v2/traces", self.traces)
            yield Route(f"{prefix}/api/v2/trace/{{trace_id}}", self.trace)
            yield Route(f"{prefix}/api/v2/traceMany", self.trace_many)
            yield Route(f"{prefix}/api/v2/dependencies", self.dependencies)
            yield Route(f"{prefix}/api/v2/autocompleteKeys", self.autocomplete_keys)
            yield Route(f"{prefix}/api/v2/autocompleteValues", self.autocomplete_values)
            yield Route(f"{prefix}/config.json", self.config)
        yield Route("/health", self.health)
        yield Route("/info", self.info)

    async def services(self, request: Request) -> Response:
        return _names(await self._query.services())

    async def spans(self, request: Request) -> Response:
        names = await self._query.operations(_wanted(request, "serviceName"))
        return _names(Names([name for name, _ in names.found], names.missing))

    async def remote_services(self, request: Request) -> Response:
        now = self._clock_ns()
        since = now - LOOKBACK_MS * 1_000_000
        # A clock that is ahead of ours does not hide a peer.
        return _names(await self._query.peers(_wanted(request, "serviceName"), since, now + LOOKBACK_MS * 1_000_000))

    async def traces(self, request: Request) -> Response:
        parameters = _once_each(request)
        page = await while_asked(request, self._query.search(search_from_parameters(parameters, self._clock_ns())))
        return await self._list([trace.trace_id for trace in page.traces], page.reason)

    async def trace(self, request: Request) -> Response:
        trace_id = request.path_params["trace_id"]
        found = await self._query.pieces(_trace_id(trace_id), trace_pieces)
        return StreamingResponse(found.pieces, headers=_headers(found.incomplete), media_type=_JSON)

    async def trace_many(self, request: Request) -> Response:
        given = _wanted(request, "traceIds").split(",")
        if len(given) > _MAX_IDS:
            raise BadInput(f"traceIds: at most {_MAX_IDS} at once, not {len(given)}", code="too_many")
        trace_ids: list[str] = []
        for text in given:
            trace_id = _trace_id(text)
            if trace_id in trace_ids:
                raise BadInput(f"redundant traceId: {text.strip()}", code="bad_parameter")
            trace_ids.append(trace_id)
        if len(trace_ids) == 1:
            raise BadInput("Use /api/v2/trace/{traceId} to read a single trace", code="bad_parameter")
        return await self._list(trace_ids, None)

    async def dependencies(self, request: Request) -> Response:
        window = window_from_parameters(_once_each(request), self._clock_ns(), wants_end=True)
        found, reason = await while_asked(request, self._query.dependencies(*window))
        # Zipkin knows one link between two services, whatever its kind.
        links: dict[tuple[str, str], list[int]] = {}
        for one in found:
            sums = links.setdefault((one.caller, one.callee), [0, 0])
            sums[0] += one.calls
            sums[1] += one.failed
        answer: list[dict[str, str | int]] = []
        for (parent, child), (calls, failed) in links.items():
            link: dict[str, str | int] = {"parent": parent, "child": child, "callCount": calls}
            answer.append({**link, "errorCount": failed} if failed else link)
        return _json(answer, _headers(reason))

    async def autocomplete_keys(self, request: Request) -> Response:
        names = await self._query.resource_keys()
        return _names(Names([name for name in names.found if name != "service.name"], names.missing))

    async def autocomplete_values(self, request: Request) -> Response:
        return _names(await self._query.resource_values(_wanted(request, "key")))

    async def config(self, request: Request) -> Response:
        return _json(_CONFIG, {})

    async def health(self, request: Request) -> Response:
        reason = await self._not_ready()
        status = "UP" if reason is None else "DOWN"
        details = {"status": status, **({} if reason is None else {"details": {"error": reason}})}
        body = {"status": status, "zipkin": {"status": status, "details": {"clew": details}}}
        return _json(body, {"Cache-Control": "no-store"}, 200 if reason is None else 503)

    async def info(self, request: Request) -> Response:
        return _json({"zipkin": {"version": f"clew {__version__}"}}, {})

    async def _list(self, trace_ids: Sequence[str], reason: str | None) -> Response:
        """The traces, each a list of spans, read one after the other; what is gone meanwhile or cannot be read is left out."""
        found = self._found(trace_ids)
        first = await anext(found, None)
        incomplete = reason or (first.incomplete if first is not None else None)

        async def pieces() -> AsyncIterator[bytes]:
            yield b"["
            if first is not None:
                async for piece in first.pieces:
                    yield piece
            async for more in found:
                yield b","
                async for piece in more.pieces:
                    yield piece
            yield b"]"

        return StreamingResponse(pieces(), headers=_headers(incomplete), media_type=_JSON)

    async def _found(self, trace_ids: Sequence[str]) -> AsyncIterator[Pieces]:
        for trace_id in trace_ids:
            try:
                yield await self._query.pieces(trace_id, trace_pieces)
            except NotFound:
                continue
            except (Damaged, StoreFailed) as error:
                _log.warning("trace %s is left out of an answer: %s", trace_id, error)


def _once_each(request: Request) -> dict[str, str]:
    """The parameters. Raises BadInput where one came twice: which one is meant?"""
    parameters = request.query_params
    for name in parameters:
        if len(parameters.getlist(name)) > 1:
            raise BadInput(f"{name[:80]} came {len(parameters.getlist(name))} times", code="repeated_parameter")
    return dict(parameters)


def _wanted(request: Request, name: str) -> str:
    value = _once_each(request).get(name, "").strip()
    if not value:
        raise BadInput(f"{name} parameter is empty", code="missing_parameter")
    return value


def _trace_id(text: str) -> str:
    """32 hex digits of an id that may lack leading zeros. Raises BadInput."""
    digits = text.strip()
    if _SHORT_ID.fullmatch(digits) is not None and digits.strip("0"):
        digits = digits.rjust(32, "0")
    return trace_id_from_text(digits).hex()


def _names(names: Names[str]) -> Response:
    return _json(sorted({name for name in names.found if name}), _headers(names.missing))


def _headers(incomplete: str | None) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if incomplete is not None:
        headers["Clew-Incomplete"] = incomplete.encode("ascii", "replace").decode()
    return headers


def _json(value: Any, headers: dict[str, str], status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, status, headers, _JSON)


async def _refused(request: Request, error: Exception) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers.update(error.headers or {})
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is nothing at {request.url.path}"
        return PlainTextResponse(message, error.status_code, headers)
    if isinstance(error, BadInput):
        return PlainTextResponse(str(error), 413 if isinstance(error, TooLarge) else 400)
    if isinstance(error, NotFound):
        asked = request.path_params.get("trace_id", "")
        return PlainTextResponse(f"{zipkin_id(_trace_id(asked))} not found" if asked else str(error), 404)
    if isinstance(error, Unavailable):
        return PlainTextResponse(str(error), 503, {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))})
    if isinstance(error, Damaged):
        return PlainTextResponse(str(error), 500)
    return PlainTextResponse(f"{type(error).__name__}: clew failed to answer; its log says more", 500)


_HANDLERS: Final = dict.fromkeys((BadInput, NotFound, Damaged, Unavailable, HTTPException, Exception), _refused)
