"""`ExportTraceServiceRequest` of OpenCensus' agent protocol into OTLP, alone or as a message of a stream. No I/O.

A message is cut into its spans before protobuf makes objects, one span at a time, so that memory does not grow with what a
hostile message says; a span that is none costs its message nothing else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.writing import Groups, batch
from clew_server.receivers.messages import inner, parsed
from clew_server.receivers.opencensus import model
from clew_server.receivers.opencensus.process import resource_of
from clew_server.receivers.opencensus.spans import written
from clew_server.receivers.opencensus.values import span_id_of, trace_id_of
from clew_server.receivers.pieces import MAX_PART_FIELDS
from clew_server.receivers.wire import Field, fields

MAX_NODE_BYTES: Final = 64 << 10
"""Of the node and of the resource of a stream, each: they are kept as long as the stream is open."""

_NODE, _SPANS, _RESOURCE = 1, 2, 3
_NO_TRACE_ID: Final = bytes(16)
_NO_SPAN_ID: Final = bytes(8)
_MOST_RESOURCES: Final = 1024

# Where parts of a span lie that may be many: field number → the fields of the message there.
_INNER: Final = inner(model.MESSAGES)


def decode_export(body: bytes, head: Head) -> OtlpBatch:
    """A request of `ExportOne`. Raises BadInput, TooLarge."""
    return MessageDecoder()(body, head)


class MessageDecoder:
    """The decoder of one stream of messages: node and resource of a message hold for later ones that have none.

    A message that is refused changes nothing.
    """

    def __init__(self) -> None:
        self._node = b""
        """As it came, with its tag."""
        self._resource = b""

    def __call__(self, body: bytes, head: Head) -> OtlpBatch:
        """Decode a message. Raises BadInput, TooLarge."""
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes")
        try:
            return self._decode(body)
        except BadInput as error:
            if error.code == "malformed":
                why = str(error).rpartition("request: ")[2]
                raise BadInput(
                    f"the bytes are not an ExportTraceServiceRequest of OpenCensus: {why}", code="malformed"
                ) from error
            raise

    def _decode(self, body: bytes) -> OtlpBatch:
        spans, nodes, resources = _cut(body)
        node = _remembered(body, nodes, "node") or self._node
        described = _remembered(body, resources, "resource") or self._resource
        node_message = (
            parsed(model.NodeMessage, _contents(node), _INNER["Node"], "node of OpenCensus") if node else None
        )
        resource = resource_of(
            node_message,
            parsed(model.ResourceMessage, _contents(described), _INNER["Resource"], "resource of OpenCensus")
            if described
            else None,
        )
        made = self._written(body, spans, node_message, resource)
        # Together with what earlier messages said the message is whole: by its bytes a repetition is recognized.
        missing = (b"" if nodes else node) + (b"" if resources else described)
        found = batch(made[0], received=missing + body, rejected=made[1])
        self._node, self._resource = node, described
        return found

    def _written(
        self, body: bytes, spans: list[tuple[int, int]], node: Any, resource: bytes
    ) -> tuple[Groups, Counter[str]]:
        groups, rejected = Groups(), Counter[str]()
        own: dict[bytes, bytes] = {}
        for at, end in spans:
            try:
                span = parsed(model.SpanMessage, body[at:end], _INNER["Span"], "span of OpenCensus")
                trace_id, span_id = trace_id_of(span.trace_id), span_id_of(span.span_id)
                if len(trace_id) != 16 or trace_id == _NO_TRACE_ID:
                    rejected["trace_id"] += 1
                    continue
                if len(span_id) != 8 or span_id == _NO_SPAN_ID:
                    rejected["span_id"] += 1
                    continue
                encoded, marks = written(span, trace_id, span_id)
            except BadInput as error:
                if isinstance(error, TooLarge):
                    raise
                rejected["malformed"] += 1
            else:
                of_span = _resource_of_span(span, node, own) if span.HasField("resource") else resource
                groups.add(of_span, marks.scope_name, marks.scope_version, encoded)
        return groups, rejected


def _cut(body: bytes) -> tuple[list[tuple[int, int]], list[Field], list[Field]]:
    """Where the spans lie, the node and the resource."""
    spans: list[tuple[int, int]] = []
    nodes: list[Field] = []
    resources: list[Field] = []
    others = 0
    for field in fields(body, 0, len(body)):
        if field.number == _SPANS and field.wire_type == 2:
            spans.append((field.content, field.end))
            if len(spans) > MAX_REQUEST_SPANS:
                raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
            continue
        if field.wire_type == 2 and field.number in (_NODE, _RESOURCE):
            (nodes if field.number == _NODE else resources).append(field)
        others += 1
        if others > MAX_PART_FIELDS:
            raise TooLarge(f"more than {MAX_PART_FIELDS} fields beside the spans")
    return spans, nodes, resources


def _remembered(body: bytes, found: list[Field], what: str) -> bytes:
    """The fields as they came. Raises TooLarge for what is too long to be remembered."""
    raw = b"".join([body[one.start : one.end] for one in found])
    if len(raw) > MAX_NODE_BYTES:
        raise TooLarge(f"a {what} of more than {MAX_NODE_BYTES} bytes")
    return raw


def _contents(raw: bytes) -> bytes:
    """Of a message that comes twice protobuf wants the second merged into the first."""
    return b"".join([raw[one.content : one.end] for one in fields(raw, 0, len(raw))])


def _resource_of_span(span: Any, node: Any, known: dict[bytes, bytes]) -> bytes:
    raw = span.resource.SerializeToString(deterministic=True)
    found = known.get(raw)
    if found is None:
        found = resource_of(node, span.resource)
        if len(known) < _MOST_RESOURCES:
            known[raw] = found
    return found
