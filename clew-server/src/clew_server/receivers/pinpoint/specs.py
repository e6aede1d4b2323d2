"""Pinpoint's two listeners: its collector's three gRPC ports, and the collector agent of Python and PHP. No I/O."""

from __future__ import annotations

from typing import Final

from clew.otlp.encode import delimited, tag, varint
from clew_server.receivers.contract import Answer, Head, Limits, Other, OtlpBatch, PlainAnswers, ReceiverSpec, Stream
from clew_server.receivers.pinpoint import metadata
from clew_server.receivers.pinpoint.collector_json import decode_span
from clew_server.receivers.pinpoint.frames import CollectorFrames
from clew_server.receivers.pinpoint.span_messages import decode_span_batch, decode_span_message

SEND_SPAN: Final = "/v1.Span/SendSpan"
SEND_SPAN_BATCH: Final = "/v1.Span/SendSpanBatch"
EXCEPTIONS: Final = "/v1.Metadata/RequestExceptionMetaData"

_PARTIAL_SUCCESS: Final = 1
"""Of a `PSpanResultBatch`; in it the number of spans that were left out, and why."""
_REJECTED_SPANS, _REASON = 1, 3


class _Answers(PlainAnswers):
    """`PResult` with success for metadata, an empty message for a stream of spans, for a batch one that says what was left out."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        if head.path == SEND_SPAN_BATCH and batch.rejected:
            left_out = tag(_REJECTED_SPANS, 0) + varint(sum(batch.rejected.values()))
            return Answer(body=delimited(_PARTIAL_SUCCESS, left_out + delimited(_REASON, batch.rejection.encode())))
        return Answer(body=metadata.SUCCESS if head.path == EXCEPTIONS else b"")


def _decode(body: bytes, head: Head) -> OtlpBatch:
    if head.path == SEND_SPAN_BATCH:
        return decode_span_batch(body, head)
    return metadata.exception_metadata(body, head) if head.path == EXCEPTIONS else decode_span_message(body, head)


COLLECTOR: Final = ReceiverSpec(
    name="pinpoint",
    transport="grpc",
    default_port=9991,
    ports=3,
    decode=_decode,
    paths=(SEND_SPAN_BATCH, EXCEPTIONS),
    # A message that is none costs itself: agents do not send again what they had in a call that failed.
    streams={SEND_SPAN: Stream(keep_open=True)},
    others={
        "/v1.Agent/PingSession": Other(answers="each"),
        "/v1.Stat/SendAgentStat": Other(kind="agent_statistics"),
        "/v1.ProfilerCommandService/HandleCommand": Other(answers="never"),
        "/v1.ProfilerCommandService/HandleCommandV2": Other(answers="never"),
        # Answers to commands, which clew never gives.
        "/v1.ProfilerCommandService/CommandEcho": Other(),
        "/v1.ProfilerCommandService/CommandStreamActiveThreadCount": Other(),
        "/v1.ProfilerCommandService/CommandActiveThreadDump": Other(),
        "/v1.ProfilerCommandService/CommandActiveThreadLightDump": Other(),
    },
    remembers={
        "/v1.Agent/RequestAgentInfo": metadata.agent_info,
        "/v1.Metadata/RequestApiMetaData": metadata.api_metadata,
        "/v1.Metadata/RequestSqlMetaData": metadata.sql_metadata,
        "/v1.Metadata/RequestSqlUidMetaData": metadata.sql_uid_metadata,
        "/v1.Metadata/RequestStringMetaData": metadata.string_metadata,
    },
    said=Answer(body=metadata.SUCCESS),
    answers=_Answers(),
    limits=Limits(message_bytes=16 << 20),
)
JSON: Final = ReceiverSpec(
    name="pinpoint-json",
    transport="tcp",
    default_port=9999,
    decode=decode_span,
    framing=CollectorFrames(),
    limits=Limits(message_bytes=4 << 20, connections=1024, idle_s=3600.0),
)
