"""`POST /api/v1/decode`: a file of spans as traces, in the forms that the trace page reads. Nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clew_server.api.explain import explanation
from clew_server.api.skeleton import skeleton_from_trace
from clew_server.errors import BadInput, TooLarge, Unavailable
from clew_server.model.otlp_raw import parse_raw
from clew_server.model.otlp_read import trace_as_otlp_json
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans
from clew_server.model.usual import NOTHING

MAX_FILE_BYTES: Final = 32 << 20
MOST_TRACES: Final = 20
_LONG_AGO_NS: Final = 3_600_000_000_000
"""A file does not grow any more, so its spans are taken as having come an hour ago."""


class UploadApi:
    """The route for files.

    `decode(body)` gives the canonical requests of a file and a sentence about what could not be read, or none; it raises BadInput
    for what is no file of spans.
    """

    def __init__(self, decode: Callable[[bytes], tuple[list[bytes], str]], *, clock_ns: Callable[[], int]) -> None:
        self._decode = decode
        self._clock_ns = clock_ns
        self._running = False

    def routes(self) -> list[Route]:
        return [Route("/api/v1/decode", self.decode, methods=["POST"])]

    async def decode(self, request: Request) -> Response:
        """The file in the forms of the trace page."""
        answer = await self.read(request, self._answer)
        return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def read(self, request: Request, form: Callable[[list[list[StoredSpan]], str], bytes]) -> bytes:
        """What `form` makes of the file's traces, those with most spans first, and of a sentence about what could not be read.

        `form` runs on a thread. One file at a time, so that files cannot take the memory of the collector. Raises Unavailable for
        others, TooLarge, and BadInput for a file without spans.
        """
        if self._running:
            raise Unavailable("Another file is being read.")
        self._running = True
        try:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FILE_BYTES:
                    raise TooLarge(f"A file may have {MAX_FILE_BYTES >> 20} MiB.")
            return await asyncio.to_thread(self._made, bytes(body), form)
        finally:
            self._running = False

    def _made(self, body: bytes, form: Callable[[list[list[StoredSpan]], str], bytes]) -> bytes:
        requests, unread = self._decode(body)
        traces = _traces(requests, self._clock_ns() - _LONG_AGO_NS)
        if not traces:
            raise BadInput(
                f"The file holds no span that can be read.{f' {unread}.' if unread else ''}", code="no_spans"
            )
        largest = sorted(traces.items(), key=lambda item: (-len(item[1]), item[0]))
        return form([spans for _, spans in largest], unread)

    def _answer(self, largest: list[list[StoredSpan]], unread: str) -> bytes:
        now = self._clock_ns()
        parts = []
        for spans in largest[:MOST_TRACES]:
            trace, trace_id = trace_from_spans(spans), spans[0].span[2:18]
            skeleton, explained = skeleton_from_trace(trace), explanation(trace, NOTHING, now)
            parts.append(
                b'{"trace_id":"%s","skeleton":%s,"explanation":%s,"otlp":%s}'
                % (trace_id.hex().encode(), skeleton.json, explained.json, trace_as_otlp_json(trace.stored))
            )
        return b'{"traces":[%s],"left_out":%d,"unread":%s}' % (
            b",".join(parts),
            max(0, len(largest) - MOST_TRACES),
            json.dumps(unread or None).encode(),
        )


def _traces(requests: list[bytes], received_unix_nano: int) -> dict[bytes, list[StoredSpan]]:
    """The spans of canonical requests by trace id."""
    found: dict[bytes, list[StoredSpan]] = {}
    for request in requests:
        for resource in parse_raw(request).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    # In a canonical request a span begins with its trace id: 0a 10 and 16 bytes.
                    found.setdefault(span[2:18], []).append(
                        StoredSpan(
                            resource=resource.resource,
                            resource_schema_url=resource.schema_url.decode("utf-8", "replace"),
                            scope=scope.scope,
                            scope_schema_url=scope.schema_url.decode("utf-8", "replace"),
                            span=span,
                            received_unix_nano=received_unix_nano,
                        )
                    )
    return found
