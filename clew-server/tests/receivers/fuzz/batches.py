"""What every decoder's batch must satisfy, and bytes that are broken in some way."""

from __future__ import annotations

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.receivers.contract import OtlpBatch


def check(batch: OtlpBatch) -> int:
    """How many spans there were, the rejected ones included. Raises AssertionError where the batch is not as the contract says."""
    parsed = ExportTraceServiceRequest.FromString(batch.request)
    spans = [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert len(spans) == batch.spans
    assert all(len(s.trace_id) == 16 and any(s.trace_id) and len(s.span_id) == 8 and any(s.span_id) for s in spans)
    assert batch.heads is None or len(batch.heads) == 28 * batch.spans
    assert parsed.SerializeToString() == batch.request
    return batch.spans + sum(batch.rejected.values())


def check_foreign(batch: OtlpBatch) -> int:
    """The same of a protocol whose spans we make: none ends before it begins, and none has an attribute twice."""
    parsed = ExportTraceServiceRequest.FromString(batch.request)
    for span in (span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans):
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        for item in (span, *span.events):
            assert len({one.key for one in item.attributes}) == len(item.attributes), "an attribute twice"
    return check(batch)


def broken(data: st.DataObject, whole: bytes, least: int = 1) -> bytes:
    """The bytes with `least` to four places flipped, cut out or doubled."""
    made = bytearray(whole)
    for _ in range(data.draw(st.integers(least, 4))):
        if not made:
            break
        at = data.draw(st.integers(0, len(made) - 1))
        how = data.draw(st.sampled_from(("flip", "cut", "double")))
        if how == "flip":
            made[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del made[at : at + data.draw(st.integers(1, 8))]
        else:
            made[at:at] = made[at : at + 8]
    return bytes(made)
