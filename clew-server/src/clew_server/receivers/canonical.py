"""The end of every decoder: an OTLP request becomes a batch whose ids, limits and form the log and the store rely on. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from google.protobuf.message import EncodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput, TooLarge
from clew_server.model.otlp_raw import parse_raw
from clew_server.model.unknown import known_fields_only
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, OtlpBatch
from clew_server.receivers.density import check_density

HEAD_BYTES = 28
"""A canonical span begins 0a 10 <trace id> 12 08 <span id>."""
_NO_TRACE_ID = bytes(16)
_NO_SPAN_ID = bytes(8)


def canonical(
    request: ExportTraceServiceRequest,
    *,
    received: bytes,
    rejected: Mapping[str, int] = MappingProxyType({}),
    encoded: bytes | None = None,
) -> OtlpBatch:
    """The batch of a request. Spans whose ids OTLP forbids are taken out and counted beside those in `rejected`.

    `received`: the body as it came, by which a repetition is recognized. `encoded`: the request as protobuf bytes, where
    there are some already. May change `request`. Raises TooLarge beyond the limits of a request, BadInput for a request
    that protobuf cannot write.
    """
    if encoded is None and _spans(request) > MAX_REQUEST_SPANS:
        raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
    left_out = Counter(rejected)
    try:
        # Without unknown fields at the top: among them is field 1000, which is the log's own mark.
        request, written = known_fields_only(request, request.SerializeToString() if encoded is None else encoded)
        heads = _heads(written)
        if heads is None:
            _remove_forbidden(request, left_out)
            written = request.SerializeToString()
            heads = _heads(written)
    except EncodeError as error:
        raise BadInput(f"the request cannot be written again: {error}", code="malformed") from error
    if len(written) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    check_density(written)
    return OtlpBatch(received, written, len(heads or b"") // HEAD_BYTES, heads, dict(left_out))


def checked(
    encoded: bytes, heads: bytes, *, received: bytes, rejected: Mapping[str, int] = MappingProxyType({})
) -> OtlpBatch:
    """The same for a request that a decoder wrote in canonical form, with `clew.otlp.encode`: it is not parsed again.

    `heads`: the first 28 bytes of each of its spans, in order. Raises TooLarge beyond the limits of a request.
    """
    if not _are_heads(heads, len(heads) // HEAD_BYTES):
        request = ExportTraceServiceRequest.FromString(encoded)
        return canonical(request, received=received, rejected=rejected, encoded=encoded)
    if len(encoded) > MAX_REQUEST_BYTES:
        raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
    check_density(encoded)
    return OtlpBatch(received, encoded, len(heads) // HEAD_BYTES, heads, dict(rejected))


def joined(batches: Sequence[OtlpBatch]) -> OtlpBatch:
    """Several batches of traces as one: OTLP requests behind each other are a request."""
    if len(batches) == 1:
        return batches[0]
    rejected, dropped = Counter[str](), Counter[str]()
    for batch in batches:
        rejected.update(batch.rejected)
        dropped.update(batch.dropped)
    return OtlpBatch(
        b"".join(batch.received for batch in batches),
        b"".join(batch.request for batch in batches),
        sum(batch.spans for batch in batches),
        b"".join(batch.heads or b"" for batch in batches),
        dict(rejected),
        sum(batch.fragments for batch in batches),
        dict(dropped),
        unnamed=sum(batch.unnamed for batch in batches),
    )


def _spans(request: ExportTraceServiceRequest) -> int:
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def _heads(request: bytes) -> bytes | None:
    """The first 28 bytes of each span of a canonical request; None if any span's ids are not as OTLP wants them."""
    heads: list[bytes] = []
    for resource in parse_raw(request).resource_spans:
        for scope in resource.scope_spans:
            heads += [span[:HEAD_BYTES] for span in scope.spans]
    joined = b"".join(heads)
    return joined if _are_heads(joined, len(heads)) else None


def _are_heads(heads: bytes, count: int) -> bool:
    """Whether these are so many heads of spans whose ids are as OTLP wants them.

    Whole columns are compared at once: asking the parsed message for each id costs three times as much.
    """
    if (
        len(heads) != count * HEAD_BYTES
        or heads[0::HEAD_BYTES] != b"\x0a" * count
        or heads[1::HEAD_BYTES] != b"\x10" * count
        or heads[18::HEAD_BYTES] != b"\x12" * count
        or heads[19::HEAD_BYTES] != b"\x08" * count
    ):
        return False
    return _NO_SPAN_ID not in heads or not any(
        heads[at + 20 : at + HEAD_BYTES] == _NO_SPAN_ID or heads[at + 2 : at + 18] == _NO_TRACE_ID
        for at in range(0, len(heads), HEAD_BYTES)
    )


def _remove_forbidden(message: ExportTraceServiceRequest, rejected: Counter[str]) -> None:
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            kept: list[Span] = []
            before = len(scope.spans)
            for span in scope.spans:
                if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE_ID:
                    rejected["trace_id"] += 1
                elif len(span.span_id) != 8 or span.span_id == _NO_SPAN_ID:
                    rejected["span_id"] += 1
                else:
                    kept.append(span)
            if len(kept) != before:
                del scope.spans[:]
                scope.spans.extend(kept)
