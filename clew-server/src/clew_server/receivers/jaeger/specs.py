"""Jaeger's five listeners. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.errors import Unsupported
from clew_server.receivers.contract import Answer, Head, Limits, OtlpBatch, PlainAnswers, ReceiverSpec
from clew_server.receivers.jaeger.batch import check_media_type, decode_binary, decode_compact, decode_http
from clew_server.receivers.jaeger.post_spans import decode_post_spans

POST_SPANS: Final = "/jaeger.api_v2.CollectorService/PostSpans"


class _Answers(PlainAnswers):
    """As Jaeger's collector: a wrong Content-Type is 400 there, and clients know no other refusal of what they send."""

    def refused(self, status: int, message: str, head: Head) -> Answer:
        return Answer(400 if status == 415 else status, message.encode())


def _no_spans(body: bytes, head: Head) -> OtlpBatch:
    raise Unsupported("spans are not sent here", code="unsupported")


COMPACT: Final = ReceiverSpec(name="jaeger-compact", transport="udp", default_port=6831, decode=decode_compact)
BINARY: Final = ReceiverSpec(name="jaeger-binary", transport="udp", default_port=6832, decode=decode_binary)
HTTP: Final = ReceiverSpec(
    name="jaeger-http",
    transport="http",
    default_port=14268,
    decode=decode_http,
    paths=("/api/traces",),
    answers=_Answers(),
    check=check_media_type,
)
GRPC: Final = ReceiverSpec(
    name="jaeger-grpc", transport="grpc", default_port=14250, decode=decode_post_spans, paths=(POST_SPANS,)
)
SAMPLING: Final = ReceiverSpec(
    name="jaeger-sampling",
    transport="http",
    default_port=5778,
    decode=_no_spans,
    limits=Limits(message_bytes=0),
)
