"""`google.rpc.Status` and the OTLP response, as bytes: the few fields there are, so that no further package is needed."""

from __future__ import annotations

import json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from clew.otlp.encode import delimited, varint
from clew_server.receivers.contract import OtlpBatch

INVALID_ARGUMENT = 3
NOT_FOUND = 5
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

_OF_HTTP = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    405: UNIMPLEMENTED,
    413: RESOURCE_EXHAUSTED,
    415: INVALID_ARGUMENT,
    500: INTERNAL,
    503: UNAVAILABLE,
}
_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"


def retry_info(retry_after_s: float) -> bytes:
    """google.rpc.RetryInfo { retry_delay = 1 } with a google.protobuf.Duration { seconds = 1; nanos = 2 }."""
    seconds = int(retry_after_s)
    nanos = int((retry_after_s - seconds) * 1e9)
    delay = (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")
    return delimited(1, delay)


def status_protobuf(code: int, message: str, retry_after_s: float | None = None) -> bytes:
    """google.rpc.Status { code = 1; message = 2; details = 3 }, with RetryInfo as its one detail where there is one."""
    status = b"\x08" + varint(code) + delimited(2, message.encode("utf-8", "replace"))
    if retry_after_s is not None:
        status += delimited(3, delimited(1, _RETRY_INFO) + delimited(2, retry_info(retry_after_s)))
    return status


def status_json(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


def refusal_body(http_status: int, code: str, message: str, content_type: str) -> tuple[str, bytes]:
    """Content-Type and body of a refusal over HTTP: a Status in the request's media type, in JSON where OTLP has none for it."""
    media = content_type.partition(";")[0].strip().lower()
    number = _OF_HTTP[http_status]
    if media in ("application/x-protobuf", "application/protobuf"):
        return "application/x-protobuf", status_protobuf(number, message)
    return "application/json", status_json(number, message)


def response_protobuf(batch: OtlpBatch) -> bytes:
    """The response of the batch's service; zero bytes when all is well.

    ExportTraceServiceResponse and ExportLogsServiceResponse are the same bytes: how many were rejected, and why.
    """
    rejected = sum(batch.rejected.values())
    if not rejected:
        return b""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = batch.rejection
    return response.SerializeToString()


def response_json(batch: OtlpBatch) -> bytes:
    """The same in JSON."""
    rejected = sum(batch.rejected.values())
    if not rejected:
        return b"{}"
    key = "rejectedLogRecords" if batch.signal == "logs" else "rejectedSpans"
    return json.dumps({"partialSuccess": {key: str(rejected), "errorMessage": batch.rejection}}).encode()
