"""Where the spans around a call hang whose two sides Zipkin reported under one id. No I/O.

The receiver gave the server's side an id of its own below the shared one, and kept the ids that were reported as attributes. What
it could not know from one request is known from the whole trace: whether the client's side was reported at all, and which spans
of other requests ran within the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_of
from clew_server.model.columns import MISSING, ROOT

MARK: Final = b"zipkin.id"
"""Bytes without it are no server's side of a shared span."""


def hang_shared(
    servers: Iterable[int],
    parents: list[int],
    parent_ids: Sequence[bytes],
    raw: Sequence[bytes],
    by_id: Mapping[bytes, int],
    service_of: Callable[[int], str],
) -> None:
    """Change `parents` around these spans, whose bytes hold `MARK`.

    A server's side whose client's side is not there hangs on the parent that was reported, and what names the shared id hangs
    on the server's side. Else those of the server's own service do, unless the client is of that service too.
    """
    by_reported: dict[bytes, list[int]] = {}
    for i in servers:
        reported, above = _reported(raw[i])
        if len(reported) != 8:
            continue
        by_reported.setdefault(reported, []).append(i)
        if reported not in by_id:
            parents[i] = by_id.get(above, MISSING) if above else ROOT
    for child, parent_id in enumerate(parent_ids):
        sides = by_reported.get(parent_id)
        if sides is None or child in sides:
            continue
        client, service = by_id.get(parent_id), service_of(child)
        own = next((i for i in sides if service_of(i) == service), None)
        if client is None:
            parents[child] = sides[0] if own is None else own
        elif own is not None and service_of(client) != service:
            parents[child] = own


def _reported(raw: bytes) -> tuple[bytes, bytes]:
    """The id and the parent's id that a span was reported with; empty where there is none."""
    try:
        attributes = Span.FromString(raw).attributes
    except DecodeError:
        return b"", b""
    return _id(text_of(attributes, "zipkin.id")), _id(text_of(attributes, "zipkin.parent_id"))


def _id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
