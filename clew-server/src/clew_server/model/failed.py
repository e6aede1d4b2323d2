"""Whether a span failed: by its status, by an exception event, or by the code of its protocol."""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.semconv import GRPC_CODES, GRPC_SERVER_FAULTS
from clew_server.model.fragments import FROM, SEVERITY

_FROM: Final = FROM.encode()
_EXCEPTION_EVENT: Final = re.compile(rb"(?:\x09.{8})?\x12\x09exception", re.DOTALL)
"""The beginning of an event with this name: its time, which may be absent, and its name."""
# Not followed by HTTP's code from 100 to 399, as a number (two bytes of a varint) or a text, or gRPC's 0 or OK. A value is field 2 (tag 18)
# of its attribute, with a text (tag 10) or a number (tag 24) in it. The expression begins with a plain text, which is searched for quickly.
_MAY_FAIL: Final = re.compile(
    rb"""status_code (?!
        (?: (?<=http\.status_code) | (?<=http\.response\.status_code) )
        \x12 (?: \x05\x0a\x03 [123][0-9][0-9] | \x03\x18 (?: [\x80-\xff][\x01\x02] | [\x80-\x8f]\x03 ) )
      | (?<!http\.status_code) (?<!http\.response\.status_code)
        \x12 (?: \x02\x18\x00 | \x04\x0a\x02OK )
    )""",
    re.VERBOSE,
)
STATUS_UNSET: Final = 0
STATUS_OK: Final = 1
STATUS_ERROR: Final = 2
_SERVER: Final = 2
_CLIENT: Final = 3
_EXCEPTION_KEYS: Final = ("exception.type", "exception.message")
_SEVERITY_ERROR: Final = 17
_HTTP_KEYS: Final = ("http.response.status_code", "http.status_code")
_GRPC_KEYS: Final = ("rpc.grpc.status_code", "rpc.response.status_code", "rpc.status_code")


def is_failed(status_code: int, last_event: bytes | None, raw: bytes) -> bool:
    """Status error; with no status an exception (`exceptions`), or a failing code. `raw` are the span's bytes, canonical.

    `last_event`: the bytes of its last event, None where it has no event. The whole span is parsed only where it may hold an
    exception or a code that fails. Raises DecodeError when it then does not parse.
    """
    if status_code != STATUS_UNSET:
        return status_code == STATUS_ERROR
    if last_event is not None and b"exception" in raw:
        # Only an event that was a log record can be an exception that did not fail the span.
        if _EXCEPTION_EVENT.match(last_event) and _FROM not in raw:
            return True
        if exceptions(Span.FromString(raw)):
            return True
    return may_fail_by_code(raw) and failing_code(Span.FromString(raw)) is not None


def may_fail_by_code(raw: bytes) -> bool:
    """False where no code in the bytes, of one span or of many, can fail a span; True when in doubt."""
    return _MAY_FAIL.search(raw) is not None


def places_that_may_fail(raw: bytes) -> list[int]:
    """Where in the bytes of many spans the keys of such codes stand."""
    return [found.start() for found in _MAY_FAIL.finditer(raw)]


def exceptions(span: Span) -> list[Span.Event]:
    """The events that tell of an exception by which the span failed, in their order.

    Those named `exception`; of those that came as log records also any other with `exception.type` or `exception.message`
    (the conventions name each kind of call's own), but none that was logged below ERROR: such an exception was dealt with.
    """
    return [event for event in span.events if _tells_of_failure(event)]


def _tells_of_failure(event: Span.Event) -> bool:
    is_log = has_exception = is_minor = False
    for pair in event.attributes:
        if pair.key in _EXCEPTION_KEYS:
            has_exception = True
        elif pair.key == FROM:
            is_log = True
        elif is_log and pair.key == SEVERITY:
            is_minor = 0 < pair.value.int_value < _SEVERITY_ERROR
    return not is_minor and (event.name == "exception" or (is_log and has_exception))


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
            if isinstance(value, str) and value.upper() in GRPC_CODES:
                value = GRPC_CODES.index(value.upper())
            code = _number(value)
            if code >= 100 and pair.key == "rpc.status_code":
                if _http_fails(code, span.kind):
                    return f"code {code}"
            elif code in GRPC_SERVER_FAULTS or (code > 0 and span.kind != _SERVER):
                return f"gRPC {GRPC_CODES[code]}" if code < len(GRPC_CODES) else f"gRPC {code}"
    return None


def says_success(span: Span) -> bool:
    """Whether it says that it succeeded: by its status, by a code of HTTP below 400, by gRPC's OK. Most spans say nothing."""
    if span.status.code == STATUS_OK:
        return True
    for pair in span.attributes:
        value: str | int = pair.value.string_value or pair.value.int_value
        if pair.key in _HTTP_KEYS:
            return 0 < _number(value) < 400
        if pair.key in _GRPC_KEYS and pair.value.WhichOneof("value") is not None:
            return value in (0, "0", "OK")
    return False


def http_code(span: Span) -> int | None:
    """The code of HTTP with which it ended, None where it has none."""
    for pair in span.attributes:
        if pair.key in _HTTP_KEYS:
            return _number(pair.value.string_value or pair.value.int_value) or None
    return None


def _http_fails(code: int, kind: int) -> bool:
    return code >= (400 if kind == _CLIENT else 500)


def _number(value: str | int) -> int:
    """Of a text that is no number 0, which never fails."""
    if isinstance(value, int):
        return value
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
