"""Traces whose verdicts are known: usual ones, a slow one and a failed one of the same operation."""

from __future__ import annotations

import time

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import Server
from harness.wire import attributes, fresh_name, new_trace_id, request, span

MS = 1_000_000
SECOND = 1_000_000_000


class Shop:
    """31 quick traces of `GET /cart` with one query each, and later a slow one with 40 and a failed one."""

    def __init__(self, server: Server) -> None:
        self.service = fresh_name("shop")
        self.server = server
        now = time.time_ns()
        quick = [self.trace(now - (n + 2) * 60 * SECOND, queries=1) for n in range(31)]
        self.usual = quick[0][0]
        self.slow, self.slow_ids = self.trace(now - 60 * SECOND, queries=40)
        self.failed, self.failed_ids = self.trace(
            now - 60 * SECOND, queries=1, message="no such table: 'carts'\n  LINE 1"
        )
        server.flush()

    def trace(self, start: int, *, queries: int, message: str = "") -> tuple[str, list[str]]:
        """Its id, and those of its spans: the root first."""
        trace_id = new_trace_id()
        root = span(trace_id, name="GET /cart", start_unix_nano=start, duration_ns=(queries * 10 + 2) * MS)
        calls = [
            span(
                trace_id,
                parent_id=root.span_id,
                name="SELECT carts",
                kind=Span.SPAN_KIND_CLIENT,
                start_unix_nano=start + (1 + n * 10) * MS,
                duration_ns=10 * MS,
                values={"db.namespace": "carts", "db.query.text": f"SELECT * FROM carts WHERE id = {n}"},
            )
            for n in range(queries)
        ]
        if message:
            root.status.code = 2  # type: ignore[assignment]
            given = {"exception.type": "OperationalError", "exception.message": message}
            calls[0].events.add(name="exception", attributes=attributes(given), time_unix_nano=start)
        self.server.export(request(self.service, [root, *calls]))
        return trace_id.hex(), [one.span_id.hex() for one in (root, *calls)]
