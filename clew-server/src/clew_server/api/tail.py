"""`/api/v1/tail`: traces that match a query, while they arrive, as server-sent events (docs/reference/api.md)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from clew_server.analysis.brief import brief
from clew_server.api.briefs import NO_ANSWER, brief_as_json, cut
from clew_server.api.http import parameters
from clew_server.errors import BadInput
from clew_server.model.times import bad_parameter, time_from_text
from clew_server.query.language.parser import parse
from clew_server.query.live.listener import DEFAULT_RATE, MOST_RATE, Asked, Counts
from clew_server.query.live.seen import SeenTrace
from clew_server.query.live.tail import Connection, Tail

_PARAMETERS: Final = ("q", "failed", "rate")
_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_COUNTS_EVERY_S: Final = 1.0
_HEARTBEAT_S: Final = 10.0
"""Without anything else to send a comment is, so that proxies keep the connection open and a dead one is noticed."""
_RECONNECT_MS: Final = 1_000
_MOST_SPANS_OF_AN_ANSWER: Final = 2_000


class TailApi:
    """The route. `clock_ns` is now."""

    def __init__(self, tail: Tail, *, clock_ns: Callable[[], int]) -> None:
        self._tail = tail
        self._clock_ns = clock_ns

    def routes(self) -> list[Route]:
        return [Route("/api/v1/tail", self.tail)]

    async def tail(self, request: Request) -> Response:
        given = _given(request)
        now_ns = self._clock_ns()
        where = parse(given.get("q", ""), lambda text: time_from_text("trace.start", text, now_ns))
        q = given.get("q", "")
        asked = Asked(where, failed_only=_flag("failed", given), rate=_rate(given), text=q, since_unix_nano=now_ns)
        if request.method == "HEAD":
            with self._tail.listening(asked) as connection:
                connection.listener.end()  # no client can resume it
            return Response(headers=_HEADERS, media_type=_MEDIA_TYPE)
        return _Events(self._tail, asked, request.headers.get("last-event-id", ""))


class _Events(Response):
    """Sends what a listener is told until one side goes."""

    media_type = _MEDIA_TYPE

    def __init__(self, tail: Tail, asked: Asked, last_event_id: str) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["Content-Length"]
        self._tail = tail
        self._asked = asked
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._tail.listening(self._asked, self._last_event_id) as connection:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._events(connection, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self, connection: Connection, receive: Receive, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        listener = connection.listener
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda _: listener.wake())
        counts, counted_s = Counts(), time.monotonic()
        try:
            opening = _numbered(connection, connection.last_number, _open(connection))
            await write(b"retry: %d\n\n" % _RECONNECT_MS + opening)
            written_s = time.monotonic()
            while not gone.done() and not connection.is_over:
                taken = await connection.take(_COUNTS_EVERY_S)
                body = b"".join(_numbered(connection, number, one) for number, one in taken)
                now_s = time.monotonic()
                if listener.counts != counts and now_s - counted_s >= _COUNTS_EVERY_S:
                    counts, counted_s = listener.counts, now_s
                    body += event("counts", asdict(counts))
                if listener.is_ended:
                    await write(body + event("end", {"reason": "the server stops"}))
                    return
                if not body and now_s - written_s >= _HEARTBEAT_S:
                    body = b":\n\n"
                if body:
                    await write(body)
                    written_s = time.monotonic()
        finally:
            gone.cancel()


def _open(connection: Connection) -> bytes:
    """What was asked, and whether it goes on from where an earlier connection was."""
    asked = connection.listener.asked
    opening = {
        "q": asked.text,
        "failed": asked.failed_only,
        "rate": asked.rate,
        "since_unix_nano": str(asked.since_unix_nano),
        "resumed": connection.is_resumed,
        "missed": connection.missed,
    }
    return event("open", opening)


def _numbered(connection: Connection, number: int, one: bytes) -> bytes:
    """An event with the id by which a reader says how far it came."""
    return b"id: %s.%d\n" % (connection.listener.name.encode(), number) + one


def event(name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event. JSON on one line, so that no text in it can end the event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def trace_event(seen: SeenTrace) -> bytes:
    """A trace that matches, as a search lists it, with the two answers about it."""
    return event("trace", _row(seen))


def gone_event(seen: SeenTrace) -> bytes:
    """A trace that was shown and, with the spans that came since, does not match any more."""
    return event("gone", {"trace_id": seen.trace_id.hex()})


def _row(seen: SeenTrace) -> dict[str, Any]:
    first = seen.first
    return {
        "trace_id": seen.trace_id.hex(),
        "start_unix_nano": str(seen.start_unix_nano),
        "duration_ns": str(seen.duration_ns),
        "spans": seen.span_count,
        "errors": seen.errors,
        "root_service": cut(first.service),
        "root_name": cut(first.name),
        "has_root": not first.parent_id,
        "services": [cut(service) for service in seen.services],
        "failed_spans": seen.failed_spans,
        "answer": _answer(seen),
    }


def _answer(seen: SeenTrace) -> dict[str, Any]:
    if seen.span_count > _MOST_SPANS_OF_AN_ANSWER:
        reason = f"It has {seen.span_count:,} spans; up to {_MOST_SPANS_OF_AN_ANSWER:,} are read for a list."
        answer = {**NO_ANSWER, "skipped": reason}
    else:
        answer = brief_as_json(seen.trace, brief(seen.trace))
    return {"trace_id": seen.trace_id.hex(), **answer}


def _given(request: Request) -> dict[str, str]:
    """The parameters. Raises BadInput for one that is unknown, and for one that came twice."""
    given: dict[str, str] = {}
    for name, value in parameters(request).multi_items():
        if name not in _PARAMETERS:
            raise BadInput(f"{name[:80]!r} is not a parameter of a live tail", code="unknown_parameter")
        if name in given:
            raise BadInput(f"{name} came more than once and can be given once", code="repeated_parameter")
        given[name] = value
    return given


def _flag(name: str, given: dict[str, str]) -> bool:
    text = given.get(name) or "false"
    if text not in ("true", "false"):
        raise bad_parameter(name, text, "wants true or false")
    return text == "true"


def _rate(given: dict[str, str]) -> int:
    text = given.get("rate") or str(DEFAULT_RATE)
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST_RATE):
        raise bad_parameter("rate", text, f"wants traces per second, 1 to {MOST_RATE}")
    return int(text)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
