"""The two OTLP receivers: paths and methods, signals, and OTLP's answers. No I/O."""

from __future__ import annotations

from clew_server.receivers.contract import JSON, Answer, Head, Limits, OtlpBatch, ReceiverSpec
from clew_server.receivers.otlp import decode_otlp, is_quick, media_type
from clew_server.receivers.signals import LOGS, TRACES
from clew_server.receivers.status import refusal_body, response_json, response_protobuf

PATHS = {"/v1/traces": TRACES, "/v1/logs": LOGS}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METHODS = {EXPORT: TRACES, EXPORT_LOGS: LOGS}
_SIGNALS = PATHS | METHODS
_OTHER_SIGNALS = {"/v1/metrics": "metrics", "/v1development/profiles": "profiles"}


class OtlpAnswers:
    """The responses of OTLP's services, partial success included, and `google.rpc.Status`, in the request's media type."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        media = media_type(head.content_type)
        respond = response_json if media == JSON else response_protobuf
        return Answer(200, respond(batch), media)

    def refused(self, status: int, message: str, head: Head) -> Answer:
        media, body = refusal_body(status, "", message, head.content_type)
        return Answer(status, body, media)


def _decode(body: bytes, head: Head) -> OtlpBatch:
    return decode_otlp(body, head.content_type, _SIGNALS[head.path])


def _is_quick(body: bytes, head: Head) -> bool:
    return is_quick(body, head.content_type, _SIGNALS[head.path])


def _check(head: Head) -> None:
    media_type(head.content_type)


def _not_found(head: Head) -> str | None:
    signal = _OTHER_SIGNALS.get(head.path)
    return signal and f"clew takes no {signal}: send traces and logs only, to {' and '.join(PATHS)}"


_CONNECTIONS = 16384
"""Each process of an application keeps one."""

OTLP_HTTP = ReceiverSpec(
    name="otlp-http",
    transport="http",
    default_port=4318,
    decode=_decode,
    paths=tuple(PATHS),
    answers=OtlpAnswers(),
    limits=Limits(connections=_CONNECTIONS),
    check=_check,
    is_quick=_is_quick,
    not_found=_not_found,
)
OTLP_GRPC = ReceiverSpec(
    name="otlp-grpc",
    transport="grpc",
    default_port=4317,
    decode=_decode,
    paths=tuple(METHODS),
    answers=OtlpAnswers(),
    limits=Limits(connections=_CONNECTIONS, idle_s=600.0),
    is_quick=_is_quick,
)
