"""Traces one after the other in one body, and errors as statuses: what both of Jaeger's HTTP APIs need."""

from __future__ import annotations

import functools
import logging
import math
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from clew_server.api.forms import accepts_gzip
from clew_server.errors import BadInput, Damaged, NotFound, TooLarge, Unavailable
from clew_server.model.trace import Trace
from clew_server.query.service import QueryService
from clew_server.store.contract import StoreFailed

_log = logging.getLogger(__name__)

JSON: Final = "application/json"
_LEVEL: Final = 3
_GZIP: Final = 31  # zlib's word for a gzip header around the largest window

Endpoint = Callable[[Any, Request], Awaitable[Response]]
ErrorBody = Callable[[int, str], bytes]


class Lost(NamedTuple):
    """A trace that search found and that cannot be shown; `status` as an answer about it alone would have."""

    trace_id: str
    status: int
    message: str


def status_of(error: Exception) -> int:
    """The HTTP status of a refusal."""
    if isinstance(error, BadInput):
        return 413 if isinstance(error, TooLarge) else 400
    if isinstance(error, NotFound):
        return 404
    return 503 if isinstance(error, Unavailable) else 500


def message_of(error: Exception) -> str:
    """What may be told of an error: sentences of ours, but not those of an engine."""
    if isinstance(error, BadInput | NotFound | Damaged | Unavailable):
        return str(error)
    return f"{type(error).__name__}: clew failed to answer; its log says more"


def answers_errors(body: ErrorBody) -> Callable[[Endpoint], Endpoint]:
    """Makes a method answer each exception with its status and this body."""

    def around(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def answer(self: Any, request: Request) -> Response:
            try:
                return await endpoint(self, request)
            except Exception as error:
                status = status_of(error)
                if status == 500:
                    _log.error("an answer of Jaeger's API failed", exc_info=error)
                headers = {}
                if isinstance(error, Unavailable):
                    headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
                return Response(body(status, message_of(error)), status, headers, JSON)

        return answer

    return around


async def stream_traces(
    request: Request,
    query: QueryService,
    trace_ids: Sequence[str],
    *,
    form: Callable[[Trace], Iterator[bytes]],
    head: bytes,
    tail: Callable[[Sequence[Lost]], bytes],
    may_lack: bool,
) -> Response:
    """The traces, made by `form` and with commas between them, after `head` and before `tail`; read one after the other.

    A trace that cannot be read is left out and told to `tail`, unless not `may_lack`: then what is raised for it is raised.
    Whatever is raised before the first piece is raised here, so that it can be a status.
    """
    zips = accepts_gzip(request.headers.get("accept-encoding", ""))
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP) if zips else None
    incomplete: list[str] = []

    def packed(pieces: Iterator[bytes], first: bytes) -> Iterator[bytes]:
        """On a thread of the query's: compressing a large trace would hold the loop."""
        before = first
        for piece in pieces:
            whole, before = before + piece, b""
            if packer is not None:
                whole = packer.compress(whole)
            if whole:
                yield whole

    async def made() -> AsyncIterator[bytes]:
        lost: list[Lost] = []
        before = head
        for trace_id in trace_ids:
            first = before
            try:
                found = await query.pieces(trace_id, lambda trace, first=first: packed(form(trace), first))  # type: ignore[misc]
            except (NotFound, Damaged, Unavailable, StoreFailed) as error:
                if not may_lack:
                    raise
                lost.append(Lost(trace_id, status_of(error), message_of(error)))
                continue
            if found.incomplete is not None:
                incomplete.append(found.incomplete)
            async for piece in found.pieces:
                yield piece
            before = b","
        end = (b"" if before == b"," else before) + tail(lost)
        yield end if packer is None else packer.compress(end) + packer.flush()

    body = made()
    start = await anext(body)

    async def all_of_it() -> AsyncIterator[bytes]:
        yield start
        async for piece in body:
            yield piece

    headers = {"Vary": "Accept-Encoding", "Cache-Control": "no-store"}
    if zips:
        headers["Content-Encoding"] = "gzip"
    if incomplete:
        headers["Clew-Incomplete"] = incomplete[0].encode("ascii", "replace").decode()
    return StreamingResponse(all_of_it(), headers=headers, media_type=JSON)
