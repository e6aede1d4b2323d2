"""OTLP requests (protobuf and JSON) into canonical batches: one pass of the C++ parser, then a look at the ids. No I/O.

Specification: opentelemetry-proto, docs/specification.md; what is checked and what is not: docs/formats/wal.md.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from google.protobuf.message import DecodeError

from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.canonical import canonical, joined
from clew_server.receivers.contract import JSON, MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, PROTOBUF, OtlpBatch
from clew_server.receivers.density import is_sparse
from clew_server.receivers.memory import memory_errors
from clew_server.receivers.otlp_json import request_from_json
from clew_server.receivers.otlp_logs import spans_from_logs
from clew_server.receivers.pieces import PIECE_BYTES, pieces
from clew_server.receivers.salvage import parsed
from clew_server.receivers.signals import LOGS, TRACES, Signal

_PROTOBUF_TOO = "application/protobuf"

_PIECES_MAY_ADD_BYTES = 2 << 20  # the resource and the scope, repeated in each piece

_QUICK_BYTES, _QUICK_JSON_BYTES = 256 << 10, 64 << 10
_QUICK_LOG_BYTES = 16 << 10  # a fragment is built for each record


def media_type(content_type: str) -> str:
    """`application/x-protobuf` or `application/json` from a Content-Type with or without parameters. Raises Unsupported."""
    media = content_type.partition(";")[0].strip().lower()
    if media == _PROTOBUF_TOO:
        return PROTOBUF
    if media not in (PROTOBUF, JSON):
        raise Unsupported(f"Content-Type {media or '(none)'}: send {PROTOBUF} or {JSON}", code="unsupported_media_type")
    return media


def is_quick(body: bytes, content_type: str, signal: Signal = TRACES) -> bool:
    """Whether decoding takes a few milliseconds whatever the bytes are, so that a loop may do it between two events."""
    if signal is LOGS and len(body) > _QUICK_LOG_BYTES:
        return False
    if media_type(content_type) == JSON:
        return len(body) <= _QUICK_JSON_BYTES
    return len(body) <= _QUICK_BYTES and is_sparse(body)


def decode_otlp(body: bytes, content_type: str, signal: Signal = TRACES) -> OtlpBatch:
    """Decode a decompressed OTLP request; see `contract.Decoder` for what it raises. MemoryError where memory is short."""
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    with memory_errors():
        rejected: Counter[str] = Counter()
        encoded = body
        if media_type(content_type) == JSON:
            encoded = request_from_json(body, rejected, signal)
        decode = _whole if len(encoded) <= PIECE_BYTES else _in_pieces
        return decode(encoded, rejected, signal)._replace(received=body)


def _whole(body: bytes, rejected: Counter[str], signal: Signal) -> OtlpBatch:
    message, error = parsed(body, rejected, signal)
    if error is not None and not signal.count(message):
        raise _not_otlp(error) from error
    return _checked(message, rejected, signal, None if error else body)


def _in_pieces(body: bytes, rejected: Counter[str], signal: Signal) -> OtlpBatch:
    """A large body, a part of it at a time: see `pieces`."""
    batches: list[OtlpBatch] = []
    size = scopes = items = 0
    broken: DecodeError | None = None
    for piece in pieces(body, signal):
        found: Counter[str] = Counter()
        message, error = parsed(piece, found, signal)
        broken = error or broken
        scopes += sum(1 for _ in signal.every_scope(message))
        if scopes > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} scopes in one request")
        items += signal.count(message)
        if items > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} {signal.one}s in one request")
        batches.append(_checked(message, found, signal, None if error else piece))
        rejected.update(batches[-1].rejected)
        size += len(batches[-1].request)
        if size > MAX_REQUEST_BYTES + _PIECES_MAY_ADD_BYTES:
            written = "" if signal is TRACES else ", written as events of spans"
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes{written}")
    if broken is not None and not items:
        raise _not_otlp(broken) from broken
    return joined(batches)._replace(received=body, rejected=dict(rejected), signal=signal.name)


def _not_otlp(error: DecodeError) -> BadInput:
    return BadInput(f"the bytes are not an OTLP request: {error}", code="malformed")


def _checked(message: Any, rejected: Counter[str], signal: Signal, encoded: bytes | None) -> OtlpBatch:
    """The batch of a parsed request. `encoded`: protobuf bytes of the message where there are some already."""
    if signal.count(message) > MAX_REQUEST_SPANS:
        raise TooLarge(f"more than {MAX_REQUEST_SPANS} {signal.one}s in one request")
    if signal is TRACES:
        return canonical(message, received=b"", rejected=rejected, encoded=encoded)
    spans, others = spans_from_logs(message)
    batch = canonical(spans, received=b"", rejected=rejected)
    return batch._replace(fragments=batch.spans, dropped={"log": others} if others else {}, signal=signal.name)
