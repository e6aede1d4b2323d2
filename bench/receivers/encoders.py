"""The shop's spans in the bytes of each protocol, as its own clients write them. A new receiver adds a line to `ENCODERS`."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew import ids
from clew.otlp.encode import delimited, tag, varint
from clew_server.receivers.cat.frames import frame as cat_frame
from clew_server.receivers.contract import JSON, PROTOBUF
from clew_server.receivers.opencensus.specs import EXPORT as EXPORT_OPENCENSUS
from clew_server.receivers.otlp_receivers import EXPORT
from clew_server.receivers.pinpoint.specs import SEND_SPAN
from clew_server.testing import cat, datadog, jaeger, opencensus, pinpoint, sentry, skywalking, sofatracer

_KINDS = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_ZIPKIN_KINDS = {3: 1, 2: 2, 4: 3, 5: 4}
_SPANS_A_DATAGRAM = 60


@dataclass(frozen=True, slots=True)
class Encoder:
    """One protocol: the receiver that takes it, where its bytes go (of a file its name), and how they are made of an OTLP request."""

    name: str
    receiver: str
    encode: Callable[[ExportTraceServiceRequest], list[bytes]]
    path: str = ""
    content_type: str = PROTOBUF
    budget: float | None = None
    """The CPU of a span may be so many times that of OTLP in protobuf."""
    is_small: bool = False
    """Whether each trace is a message of its own, as the system's clients send them."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the call, over gRPC."""
    framed: Callable[[bytes], bytes] = bytes
    """Over TCP: the frame that carries the bytes."""


def _spans(request: ExportTraceServiceRequest) -> tuple[str, list[tuple[str, Any]], Sequence[Span]]:
    """Service, resource attributes and spans of a request of the shop, which has one resource and one scope."""
    (resource,) = request.resource_spans
    (scope,) = resource.scope_spans
    values = [(one.key, _value(one.value)) for one in resource.resource.attributes]
    return dict(values)["service.name"], values, scope.spans


def _value(value: Any) -> str | int:
    found: str | int = getattr(value, value.WhichOneof("value"))
    return found


def _otlp(request: ExportTraceServiceRequest) -> list[bytes]:
    return [request.SerializeToString()]


def _otlp_by_trace(request: ExportTraceServiceRequest) -> list[bytes]:
    """In requests as small as those of the systems that send each trace, segment or transaction alone."""
    bodies = []
    for spans in _traces(request):
        one = ExportTraceServiceRequest()
        resource = one.resource_spans.add(resource=request.resource_spans[0].resource)
        resource.scope_spans.add(scope=request.resource_spans[0].scope_spans[0].scope, spans=spans)
        bodies.append(one.SerializeToString())
    return bodies


def _otlp_json(request: ExportTraceServiceRequest) -> list[bytes]:
    from google.protobuf.json_format import MessageToDict

    body = MessageToDict(request)
    for span, sent in zip(body["resourceSpans"][0]["scopeSpans"][0]["spans"], _spans(request)[2], strict=True):
        span["traceId"], span["spanId"] = sent.trace_id.hex(), sent.span_id.hex()
        if sent.parent_span_id:
            span["parentSpanId"] = sent.parent_span_id.hex()
    return [json.dumps(body, separators=(",", ":")).encode()]


def _tags(span: Span, values: Sequence[tuple[str, Any]]) -> dict[str, str]:
    tags = {one.key: str(_value(one.value)) for one in span.attributes}
    tags |= {key: str(value) for key, value in values if key.startswith(("service.", "telemetry."))}
    return tags | ({"error": span.status.message} if span.status.code == 2 else {})


def _zipkin_json(request: ExportTraceServiceRequest) -> list[bytes]:
    service, values, spans = _spans(request)
    body = []
    for span in spans:
        one: dict[str, Any] = {
            "traceId": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "name": span.name,
            "timestamp": span.start_time_unix_nano // 1000,
            "duration": max(1, (span.end_time_unix_nano - span.start_time_unix_nano) // 1000),
            "kind": _KINDS[span.kind],
            "localEndpoint": {"serviceName": service},
            "tags": _tags(span, values),
        }
        if span.parent_span_id:
            one["parentId"] = span.parent_span_id.hex()
        body.append(one)
    return [json.dumps(body, separators=(",", ":")).encode()]


def _zipkin_protobuf(request: ExportTraceServiceRequest) -> list[bytes]:
    service, values, spans = _spans(request)
    endpoint = delimited(8, delimited(1, service.encode()))
    body = []
    for span in spans:
        parts = [
            delimited(1, span.trace_id),
            delimited(2, span.parent_span_id) if span.parent_span_id else b"",
            delimited(3, span.span_id),
            tag(4, 0) + varint(_ZIPKIN_KINDS[span.kind]),
            delimited(5, span.name.encode()),
            tag(6, 1) + (span.start_time_unix_nano // 1000).to_bytes(8, "little"),
            tag(7, 0) + varint(max(1, (span.end_time_unix_nano - span.start_time_unix_nano) // 1000)),
            endpoint,
        ]
        for key, value in _tags(span, values).items():
            parts.append(delimited(11, delimited(1, key.encode()) + delimited(2, value.encode())))
        body.append(delimited(1, b"".join(parts)))
    return [b"".join(body)]


def _jaeger(
    write: Callable[[jaeger.Batch], bytes], most: int = 1 << 30
) -> Callable[[ExportTraceServiceRequest], list[bytes]]:
    def encode(request: ExportTraceServiceRequest) -> list[bytes]:
        service, values, spans = _spans(request)
        made = [
            jaeger.Span(
                int.from_bytes(span.trace_id, "big"),
                int.from_bytes(span.span_id, "big"),
                span.name,
                int.from_bytes(span.parent_span_id, "big"),
                span.start_time_unix_nano // 1000,
                (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                tags=[
                    *((one.key, _value(one.value)) for one in span.attributes),
                    ("span.kind", _KINDS[span.kind].lower()),
                    *([("error", True)] if span.status.code == 2 else []),
                ],
            )
            for span in spans
        ]
        tags = [pair for pair in values if pair[0] != "service.name"]
        return [write(jaeger.Batch(service, made[at : at + most], tags)) for at in range(0, len(made), most)]

    return encode


_OPENCENSUS_KINDS = {2: 1, 3: 2}


def _opencensus(request: ExportTraceServiceRequest) -> list[bytes]:
    service, values, spans = _spans(request)
    made = [
        opencensus.Span(
            span.trace_id,
            span.span_id,
            span.name,
            span.parent_span_id,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _OPENCENSUS_KINDS.get(span.kind, 0),
            {one.key: _value(one.value) for one in span.attributes}
            | ({"span.kind": _KINDS[span.kind].lower()} if span.kind in (4, 5) else {}),
            status=(2, span.status.message) if span.status.code == 2 else (0, ""),
            same_process=True,
            children=0,
        )
        for span in spans
    ]
    node = opencensus.node(service, {key: str(value) for key, value in values if key != "service.name"})
    return [opencensus.request(made, node)]


def _segments(request: ExportTraceServiceRequest) -> list[skywalking.Segment]:
    """One segment a trace, as the work of one request in one process is."""
    service, values, spans = _spans(request)
    segments = []
    for trace_id in dict.fromkeys(span.trace_id for span in spans):
        of_trace = [span for span in spans if span.trace_id == trace_id]
        numbers = {span.span_id: number for number, span in enumerate(of_trace)}
        segments.append(
            skywalking.Segment(
                f"{trace_id.hex()}.57.17954134346500001",
                f"{of_trace[0].span_id.hex():0>32}.57.17954134346500000",
                [_segment_span(span, numbers) for span in of_trace],
                service,
                str(dict(values).get("service.instance.id", "instance-1")),
            )
        )
    return segments


def _segment_span(span: Span, numbers: dict[bytes, int]) -> skywalking.Span:
    # In the words of SkyWalking's agents, which say the other side as the span's peer.
    tags = {
        _SKYWALKING_TAGS.get(one.key, one.key): str(_value(one.value))
        for one in span.attributes
        if not one.key.startswith(("server.", "client.", "network."))
    }
    parent = numbers.get(span.parent_span_id, -1)
    references = []
    if span.parent_span_id and parent < 0:
        trace_id = f"{span.trace_id.hex()}.57.17954134346500001"
        references = [skywalking.Reference(trace_id, f"{span.parent_span_id.hex():0>32}.57.17954134346500000", 0)]
    return skywalking.Span(
        numbers[span.span_id],
        parent,
        span.name,
        0 if span.kind in (2, 5) else 1,
        4 if span.kind in (4, 5) else 3,
        1,
        "" if span.kind in (2, 5) else "10.0.0.7:8080",
        span.start_time_unix_nano // 1_000_000,
        span.end_time_unix_nano // 1_000_000,
        span.status.code == 2,
        list(tags.items()),
        references=references,
    )


_SKYWALKING_TAGS = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.full": "url",
    "url.path": "http.path",
}
SKYWALKING = "/skywalking.v3.TraceSegmentReportService/"


def _datadog(
    write: Callable[[list[list[dict[str, Any]]]], bytes],
) -> Callable[[ExportTraceServiceRequest], list[bytes]]:
    def encode(request: ExportTraceServiceRequest) -> list[bytes]:
        service, _values, spans = _spans(request)
        chunks: dict[bytes, list[dict[str, Any]]] = {}
        for span in spans:
            found = {one.key: _value(one.value) for one in span.attributes}
            chunks.setdefault(span.trace_id, []).append(
                datadog.span(
                    int.from_bytes(span.trace_id, "big"),
                    int.from_bytes(span.span_id, "big"),
                    span.name,
                    service=service,
                    parent_id=int.from_bytes(span.parent_span_id, "big"),
                    start=span.start_time_unix_nano,
                    duration=span.end_time_unix_nano - span.start_time_unix_nano,
                    error=int(span.status.code == 2),
                    meta={key: value for key, value in found.items() if isinstance(value, str)}
                    | {"span.kind": _KINDS[span.kind].lower(), "env": "prod", "language": "python"},
                    metrics={key: float(value) for key, value in found.items() if not isinstance(value, str)},
                )
            )
        return [write(list(chunks.values()))]

    return encode


_SENTRY_OPS = {2: "http.server", 3: "db", 4: "queue.publish", 5: "queue.process"}


def _sentry(request: ExportTraceServiceRequest) -> list[bytes]:
    """Each trace is a transaction in an envelope of its own, as the SDK sends them."""
    service, _values, _ = _spans(request)
    written = []
    for trace in _traces(request):
        made = [
            sentry.span(
                span.trace_id.hex(),
                span.span_id.hex(),
                parent_span_id=span.parent_span_id.hex() or None,
                op=_SENTRY_OPS.get(span.kind, "function"),
                description=span.name,
                status="internal_error" if span.status.code == 2 else "ok",
                start_timestamp=span.start_time_unix_nano / 1e9,
                timestamp=span.end_time_unix_nano / 1e9,
                data={one.key: _value(one.value) for one in span.attributes},
            )
            for span in trace
        ]
        root, *others = made
        times = {key: root.pop(key) for key in ("start_timestamp", "timestamp")}
        transaction = sentry.transaction(
            root["trace_id"],
            root["span_id"],
            trace[0].name,
            trace=root,
            spans=others,
            release=f"{service}@1",
            environment="prod",
            platform="python",
            **times,
        )
        written.append(sentry.envelope(("transaction", transaction)))
    return written


_ANNOTATIONS = {"http.request.method": 206, "url.full": 40, "http.response.status_code": 46, "db.query.text": 21}
_EVENT_TYPES = {1: 5000, 2: 5000, 3: 9052, 4: 8660, 5: 5000}
_OTHERS = range(-1, -11, -1)


def _traces(request: ExportTraceServiceRequest) -> list[list[Span]]:
    """The spans of each trace, its first one first."""
    traces: dict[bytes, list[Span]] = {}
    for span in _spans(request)[2]:
        traces.setdefault(span.trace_id, []).append(span)
    return list(traces.values())


def _transaction(span: Span) -> tuple[str, int, int]:
    agent, start, sequence = ids.trace_id_to_pinpoint(span.trace_id).split("^")
    return agent, int(start), int(sequence)


def _annotations(span: Span) -> list[tuple[int, Any]]:
    """What has a number of its own under it, the rest as arguments."""
    found: list[tuple[int, Any]] = [(12, span.name)]
    others = iter(_OTHERS)
    for one in span.attributes:
        value = _value(one.value)
        number = _ANNOTATIONS.get(one.key) or next(others, -11)
        found.append((number, value if number == 46 else str(value)))
    return found


def _depths(spans: Sequence[Span]) -> list[int]:
    known = {spans[0].span_id: 0}
    for span in spans[1:]:
        known[span.span_id] = known.get(span.parent_span_id, 0) + 1
    return [known[span.span_id] for span in spans]


def _pinpoint(request: ExportTraceServiceRequest) -> list[bytes]:
    """A span a trace, with the others as its events."""
    messages = []
    for spans in _traces(request):
        first = spans[0]
        before_ms = start_ms = first.start_time_unix_nano // 1_000_000
        events = []
        for number, (span, depth) in enumerate(zip(spans[1:], _depths(spans)[1:], strict=True)):
            began_ms, ended_ms = span.start_time_unix_nano // 1_000_000, span.end_time_unix_nano // 1_000_000
            events.append(
                pinpoint.Event(
                    number,
                    depth,
                    began_ms - before_ms,
                    ended_ms - began_ms,
                    _EVENT_TYPES[span.kind],
                    destination="10.0.0.7:8080",
                    exception=(0, span.status.message) if span.status.code == 2 else None,
                    annotations=_annotations(span),
                )
            )
            before_ms = began_ms
        messages.append(
            pinpoint.span_message(
                pinpoint.Span(
                    int.from_bytes(first.span_id, "big", signed=True),
                    _transaction(first),
                    start_ms=start_ms,
                    elapsed_ms=first.end_time_unix_nano // 1_000_000 - start_ms,
                    rpc=first.name,
                    err=int(first.status.code == 2),
                    annotations=_annotations(first),
                    events=events,
                )
            )
        )
    return messages


def _pinpoint_json(request: ExportTraceServiceRequest) -> list[bytes]:
    """The same in the flat JSON of the agent for Python, without its frames."""
    service = _spans(request)[0]
    bodies = []
    for spans in _traces(request):
        first = spans[0]
        starts = {first.span_id: first.start_time_unix_nano}
        events = []
        for number, (span, depth) in enumerate(zip(spans[1:], _depths(spans)[1:], strict=True)):
            starts[span.span_id] = span.start_time_unix_nano
            around = starts.get(span.parent_span_id, first.start_time_unix_nano)
            events.append(
                {
                    ":S": (span.start_time_unix_nano - around) // 1_000_000,
                    ":E": (span.end_time_unix_nano - span.start_time_unix_nano) // 1_000_000,
                    ":seq": number,
                    ":depth": depth,
                    "name": span.name,
                    "stp": str(_EVENT_TYPES[span.kind]),
                    "dst": "10.0.0.7:8080",
                    "anno": [f"{number}:{value}" for number, value in _annotations(span)],
                }
            )
        body = {
            ":S": first.start_time_unix_nano // 1_000_000,
            ":E": (first.end_time_unix_nano - first.start_time_unix_nano) // 1_000_000,
            ":FT": 1700,
            "appid": f"{service}-1",
            "appname": service,
            "tid": "^".join(map(str, _transaction(first))),
            "sid": str(int.from_bytes(first.span_id, "big", signed=True)),
            "name": first.name,
            "uri": first.name,
            "stp": "1700",
            "anno": [f"{number}:{value}" for number, value in _annotations(first)],
            "event": events,
        }
        bodies.append(json.dumps(body, separators=(",", ":")).encode())
    return bodies


_CAT_TYPES = {2: "URL", 3: "SQL", 4: "MsgProducer", 5: "MsgConsumer"}


def _cat(write: Callable[[list[cat.Record], cat.Header], bytes]) -> Callable[[ExportTraceServiceRequest], list[bytes]]:
    """A tree for each span whose parent is not in the request."""

    def encode(request: ExportTraceServiceRequest) -> list[bytes]:
        service, _values, spans = _spans(request)
        ours = {span.span_id for span in spans}
        inside: dict[bytes, list[Span]] = {}
        for span in spans:
            inside.setdefault(span.parent_span_id, []).append(span)

        def records(span: Span) -> list[cat.Record]:
            data = "&".join(f"{one.key}={str(_value(one.value)).replace('&', '+')}" for one in span.attributes)
            return cat.transaction(
                _CAT_TYPES.get(span.kind, "Method"),
                span.name,
                *map(records, inside.get(span.span_id, ())),
                time_ms=span.start_time_unix_nano // 1_000_000,
                duration_us=(span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                status=span.status.message or "1" if span.status.code == 2 else "0",
                data=data,
            )

        made = []
        for span in spans:
            if span.parent_span_id not in ours:
                hour = span.start_time_unix_nano // 3_600_000_000_000
                header = cat.Header(
                    domain=service,
                    message_id=f"{service}-c0000202-{hour}-{int.from_bytes(span.span_id, 'big') % 10**10}",
                    parent_message_id=ids.span_id_to_cat(span.parent_span_id) if span.parent_span_id else "",
                    root_message_id=ids.trace_id_to_cat(span.trace_id),
                )
                made.append(write(records(span), header))
        return made

    return encode


_SOFATRACER_KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}


def _sofatracer(request: ExportTraceServiceRequest) -> list[bytes]:
    """A line a span. A span is named by its path below the first one of its trace."""
    service, _values, _ = _spans(request)
    lines = []
    for trace in _traces(request):
        paths: dict[bytes, str] = {}
        below: dict[bytes, int] = {}
        for span in trace:
            around = paths.get(span.parent_span_id)
            if around is None:  # its parent is of another service: that one's path is not known here
                path = f"0.{int.from_bytes(span.span_id, 'big') % 10**6}" if span.parent_span_id else "0"
            else:
                below[span.parent_span_id] = number = below.get(span.parent_span_id, 0) + 1
                path = f"{around}.{number}"
            paths[span.span_id] = path
            first = sofatracer.common(
                path,
                _SOFATRACER_KINDS.get(span.kind, "client"),
                trace=span.trace_id.hex(),
                app=service,
                end_ms=span.end_time_unix_nano // 1_000_000,
                cost_ms=(span.end_time_unix_nano - span.start_time_unix_nano) // 1_000_000,
                result="500" if span.status.code == 2 else "200",
            )
            rest = [("method", span.name), *((one.key, _value(one.value)) for one in span.attributes)]
            lines.append(sofatracer.as_json(first, rest))
    return [b"".join(lines)]


def _pinpoint_frame(body: bytes) -> bytes:
    return struct.pack(">II", 1, len(body)) + body


OTLP_BY_TRACE = "OTLP, a trace each"
ENCODERS = (
    Encoder("OTLP protobuf", "otlp-http", _otlp, "/v1/traces"),
    Encoder(OTLP_BY_TRACE, "otlp-http", _otlp_by_trace, "/v1/traces", is_small=True),
    Encoder("OTLP gRPC", "otlp-grpc", _otlp, EXPORT),
    Encoder("OTLP JSON", "otlp-http", _otlp_json, "/v1/traces", JSON),
    Encoder("Zipkin JSON", "zipkin", _zipkin_json, "/api/v2/spans", JSON, budget=4),
    Encoder("Zipkin protobuf", "zipkin", _zipkin_protobuf, "/api/v2/spans", budget=3),
    Encoder("Jaeger compact, UDP", "jaeger-compact", _jaeger(jaeger.compact_datagram, _SPANS_A_DATAGRAM), budget=3),
    Encoder("Jaeger binary, UDP", "jaeger-binary", _jaeger(jaeger.binary_datagram, _SPANS_A_DATAGRAM), budget=3),
    Encoder("Jaeger thrift, HTTP", "jaeger-http", _jaeger(jaeger.http_body), "/api/traces", "application/x-thrift", budget=3),
    Encoder("Jaeger gRPC", "jaeger-grpc", _jaeger(jaeger.post_spans), "/jaeger.api_v2.CollectorService/PostSpans", budget=3),
    Encoder("OpenCensus", "opencensus", _opencensus, EXPORT_OPENCENSUS, budget=4),
    Encoder("SkyWalking stream", "skywalking-grpc", lambda one: [*map(skywalking.segment, _segments(one))], SKYWALKING + "collect", budget=5, is_small=True),
    Encoder("SkyWalking in bulk", "skywalking-grpc", lambda one: [skywalking.collection(_segments(one))], SKYWALKING + "collectInSync", budget=5),
    Encoder("SkyWalking JSON", "skywalking-http", lambda one: [skywalking.segments_json(_segments(one))], "/v3/segments", JSON, budget=5),
    Encoder("Datadog v0.4", "datadog", _datadog(datadog.v04), "/v0.4/traces", "application/msgpack", budget=4),
    Encoder("Datadog v0.5", "datadog", _datadog(datadog.v05), "/v0.5/traces", "application/msgpack", budget=4),
    Encoder("Sentry", "sentry", _sentry, "/shop/api/1/envelope/", "application/x-sentry-envelope", budget=5, is_small=True),
    Encoder("Pinpoint gRPC", "pinpoint", _pinpoint, SEND_SPAN, budget=5, headers=pinpoint.HEADERS, is_small=True),
    Encoder("Pinpoint JSON, TCP", "pinpoint-json", _pinpoint_json, content_type=JSON, budget=5, framed=_pinpoint_frame, is_small=True),
    Encoder("CAT NT1", "cat", _cat(cat.native), framed=cat_frame, is_small=True),
    Encoder("CAT PT1", "cat", _cat(cat.plain), framed=cat_frame, is_small=True),
    Encoder("SOFATracer, a file", "sofatracer", _sofatracer, "spring-mvc-digest.log"),
)  # fmt: skip
