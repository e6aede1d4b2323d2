"""Whether a span failed: by its status, by an exception event, or by the code of its protocol."""

from __future__ import annotations

from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

_UNSET: Final = 0
_ERROR: Final = 2
_SERVER: Final = 2
_CLIENT: Final = 3
_HTTP_KEYS: Final = ("http.response.status_code", "http.status_code")
_GRPC_KEYS: Final = ("rpc.grpc.status_code", "rpc.response.status_code", "rpc.status_code")
_GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# The codes by which a server says that the fault is its own (OpenTelemetry's conventions for gRPC).
_OF_THE_SERVER: Final = frozenset((2, 4, 12, 13, 14, 15))


def is_failed(span: Span, raw: bytes) -> bool:
    """Status error; with no status an `exception` event, or a failing code. `raw` are the span's bytes.

    Codes are read only where the bytes hold the name of one: attributes are most of what a span costs to read.
    """
    status = span.status.code
    if status != _UNSET:
        return status == _ERROR
    if b"exception" in raw and any(event.name == "exception" for event in span.events):
        return True
    return b"status_code" in raw and failing_code(span) is not None


def failing_code(span: Span) -> str | None:
    """The name of the code by which the span failed, `HTTP 503` or `gRPC UNAVAILABLE`; None where it has none that fails.

    HTTP from 500, for a CLIENT from 400; gRPC any but OK, for a SERVER those that are the server's fault. Kratos writes
    a number under `rpc.status_code` where the conventions have the name of the code; a number of three digits is HTTP's.
    """
    for pair in span.attributes:
        if pair.key in _HTTP_KEYS:
            code = _number(pair.value.string_value or pair.value.int_value)
            if _http_fails(code, span.kind):
                return f"HTTP {code}"
        elif pair.key in _GRPC_KEYS:
            value: str | int = pair.value.string_value or pair.value.int_value
            if isinstance(value, str) and value.upper() in _GRPC_CODES:
                value = _GRPC_CODES.index(value.upper())
            code = _number(value)
            if code >= 100 and pair.key == "rpc.status_code":
                if _http_fails(code, span.kind):
                    return f"code {code}"
            elif code in _OF_THE_SERVER or (code > 0 and span.kind != _SERVER):
                return f"gRPC {_GRPC_CODES[code]}" if code < len(_GRPC_CODES) else f"gRPC {code}"
    return None


def _http_fails(code: int, kind: int) -> bool:
    return code >= (400 if kind == _CLIENT else 500)


def _number(value: str | int) -> int:
    """Of a text that is no number 0, which never fails."""
    if isinstance(value, int):
        return value
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
