"""The table of docs/systems.md: a service traced by one system calls a service traced by another, in one trace or not.

For every ordered pair, an agent of the one writes its headers and its report as that system's agents do, an agent of the other reads the
headers and reports, and clew's receivers decode both. Where the two have no header in common, a service of clew stands between, with the
propagators of both. EagleEye has no format of reports that is public; its are the ids as `clew.ids` has them.

`CLEW_GOLDEN=write` writes the table anew.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

from clew import ids
from clew.propagation import propagators_from_names
from clew_server.receivers import table
from clew_server.receivers.contract import JSON, PROTOBUF, Head
from clew_server.receivers.files.canonical import requests_of_file
from clew_server.testing import cat, datadog, jaeger, opencensus, pinpoint, sentry, skywalking, sofatracer

PAGE: Final = Path(__file__).parents[3] / "docs/systems.md"
BEGIN: Final = "<!-- pairs: written by clew-server/tests/docs/test_systems.py -->\n"
END: Final = "<!-- end of pairs -->\n"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
START_NS = 1_795_415_211_795_788_000

Headers = Mapping[str, str]


class Told(NamedTuple):
    """A span as clew has it."""

    trace_id: str
    span_id: str
    parent_id: str


class System(NamedTuple):
    """What agents of a system write and read."""

    name: str
    propagators: tuple[str, ...]
    """By which a service of clew understands them."""
    header: str
    """By which two of its services are joined; those with the same one understand each other."""
    calls: Callable[[], tuple[Headers, Told]]
    """An agent calls another service: its headers, and its own span as clew has it."""
    answers: Callable[[Headers], Told]
    """An agent is called with these headers: its span as clew has it."""
    is_run: bool = True
    """Whether its reports are decoded by a receiver here."""


def decoded(receiver: str, body: bytes, head: Head, which: int = 0) -> Told:
    """A span of a report, as the receiver makes it."""
    return told_of(table.BY_NAME[receiver].load().decode(body, head).request)[which]


def told_of(request: bytes) -> list[Told]:
    """The spans of a request."""
    parsed = ExportTraceServiceRequest.FromString(request)
    spans = [span for one in parsed.resource_spans for scope in one.scope_spans for span in scope.spans]
    return [Told(span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) for span in spans]


# -- those that speak W3C trace context ---------------------------------------------------------------------------------

TRACEPARENT: Final = "traceparent"


def with_w3c(
    report: Callable[[str, str, str], Told],
) -> tuple[Callable[[], tuple[Headers, Told]], Callable[[Headers], Told]]:
    """An agent that writes and reads `traceparent`; `report` sends a span of these ids and tells what clew has."""

    def calls() -> tuple[Headers, Told]:
        return {TRACEPARENT: f"00-{TRACE}-{SPAN}-01"}, report(TRACE, SPAN, "")

    def answers(headers: Headers) -> Told:
        _, trace_id, parent_id, _ = headers[TRACEPARENT].split("-")
        return report(trace_id, "00000000000000bb", parent_id)

    return calls, answers


def otlp(trace_id: str, span_id: str, parent_id: str) -> Told:
    span = {"traceId": trace_id, "spanId": span_id, "parentSpanId": parent_id, "name": "op"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    return decoded("otlp-http", body, Head("/v1/traces", JSON))


def through_opencensus(trace_id: str, span_id: str, parent_id: str) -> Told:
    span = opencensus.Span(bytes.fromhex(trace_id), bytes.fromhex(span_id), parent_id=bytes.fromhex(parent_id))
    return decoded("opencensus", opencensus.request([span], opencensus.node()), Head("/x"))


def through_datadog(trace_id: str, span_id: str, parent_id: str) -> Told:
    span = datadog.span(int(trace_id, 16), int(span_id, 16), parent_id=int(parent_id or "0", 16))
    return decoded("datadog", datadog.v05([[span]]), Head("/v0.5/traces", "application/msgpack"))


def x_datadog_calls() -> tuple[Headers, Told]:
    headers = {
        "x-datadog-trace-id": str(int(TRACE[16:], 16)),
        "x-datadog-parent-id": str(int(SPAN, 16)),
        "x-datadog-sampling-priority": "1",
        "x-datadog-tags": f"_dd.p.dm=-1,_dd.p.tid={TRACE[:16]}",
    }
    return headers, through_datadog(TRACE, SPAN, "")


def x_datadog_answers(headers: Headers) -> Told:
    high = headers["x-datadog-tags"].partition("_dd.p.tid=")[2]
    trace_id = f"{high}{int(headers['x-datadog-trace-id']):016x}"
    return through_datadog(trace_id, "00000000000000bb", f"{int(headers['x-datadog-parent-id']):016x}")


# -- Sentry -------------------------------------------------------------------------------------------------------------


def through_sentry(trace_id: str, span_id: str, parent_id: str) -> Told:
    made = sentry.transaction(trace_id, span_id, trace={"parent_span_id": parent_id or None})
    return decoded("sentry", sentry.envelope(("transaction", made)), Head("/api/1/envelope/"))


def sentry_calls() -> tuple[Headers, Told]:
    return {"sentry-trace": f"{TRACE}-{SPAN}-1"}, through_sentry(TRACE, SPAN, "")


def sentry_answers(headers: Headers) -> Told:
    trace_id, parent_id, _ = headers["sentry-trace"].split("-")
    return through_sentry(trace_id, "00000000000000bb", parent_id)


# -- Zipkin -------------------------------------------------------------------------------------------------------------


def through_zipkin(which: int, *spans: Mapping[str, object]) -> Told:
    body = json.dumps([{"timestamp": START_NS // 1000, "duration": 1000, **one} for one in spans]).encode()
    return decoded("zipkin", body, Head("/api/v2/spans", JSON), which)


def zipkin_calls() -> tuple[Headers, Told]:
    headers = {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}
    return headers, through_zipkin(0, {"traceId": TRACE, "id": SPAN, "kind": "CLIENT"})


def zipkin_answers(headers: Headers) -> Told:
    """Brave shares the span of its caller."""
    said = {key.lower(): value for key, value in headers.items()}
    ids_said = {"traceId": said["x-b3-traceid"], "id": said["x-b3-spanid"]}
    return through_zipkin(0, {**ids_said, "kind": "SERVER", "shared": True})


# -- Jaeger -------------------------------------------------------------------------------------------------------------


def through_jaeger(trace_id: str, span_id: str, parent_id: str) -> Told:
    span = jaeger.Span(int(trace_id, 16), int(span_id, 16), parent_id=int(parent_id or "0", 16))
    return decoded("jaeger-http", jaeger.http_body(jaeger.Batch("s", [span])), Head("", "application/x-thrift"))


def jaeger_calls() -> tuple[Headers, Told]:
    return {"uber-trace-id": f"{TRACE}:{SPAN}:0:1"}, through_jaeger(TRACE, SPAN, "")


def jaeger_answers(headers: Headers) -> Told:
    trace_id, parent_id, _, _ = headers["uber-trace-id"].split(":")
    return through_jaeger(trace_id, "bb", parent_id)


# -- SkyWalking ---------------------------------------------------------------------------------------------------------


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def through_skywalking(segment: skywalking.Segment) -> Told:
    body = skywalking.collection([segment])
    return decoded("skywalking-grpc", body, Head("/skywalking.v3.TraceSegmentReportService/collectInSync", PROTOBUF))


def skywalking_calls() -> tuple[Headers, Told]:
    """The first exit span of a process that has no other trace."""
    own = "3653200 4e66911f1a2ba02fc00000001".replace(" ", "")
    span = skywalking.Span(0, type=1, peer="callee:80")
    fields = [own, own, "web", "web-1", "/front", "callee:80"]
    trace, segment, *others = map(b64, fields)
    headers = {"sw8": f"1-{trace}-{segment}-0-{'-'.join(others)}"}
    return headers, through_skywalking(skywalking.Segment(own, own, [span], "web"))


def skywalking_answers(headers: Headers) -> Told:
    parts = headers["sw8"].split("-")
    trace, segment = (base64.b64decode(parts[at]).decode() for at in (1, 2))
    reference = skywalking.Reference(trace, segment, int(parts[3]))
    return through_skywalking(skywalking.Segment(trace, "5a" * 16, [skywalking.Span(0, references=[reference])]))


# -- Pinpoint -----------------------------------------------------------------------------------------------------------

CALLED = 4472491318029511


def through_pinpoint(span: pinpoint.Span, which: int = 0) -> Told:
    head = Head("/v1.Span/SendSpan", PROTOBUF, pinpoint.HEADERS)
    return decoded("pinpoint", pinpoint.span_message(span), head, which)


def pinpoint_calls() -> tuple[Headers, Told]:
    event = pinpoint.Event(service_type=9052, next_span_id=CALLED, destination="callee:80")
    span = pinpoint.Span(-3843273794838937, events=[event])
    headers = {
        "Pinpoint-TraceID": "^".join(map(str, span.transaction)),
        "Pinpoint-SpanID": str(CALLED),
        "Pinpoint-pSpanID": str(span.span_id),
        "Pinpoint-Flags": "0",
    }
    return headers, through_pinpoint(span, 1)


def pinpoint_answers(headers: Headers) -> Told:
    said = {key.lower(): value for key, value in headers.items()}
    agent, start, sequence = said["pinpoint-traceid"].split("^")
    span_id, parent_id = int(said["pinpoint-spanid"]), int(said["pinpoint-pspanid"])
    span = pinpoint.Span(span_id, (agent, int(start), int(sequence)), parent_id)
    return through_pinpoint(span)


# -- CAT ----------------------------------------------------------------------------------------------------------------


def through_cat(header: cat.Header, *inside: list[cat.Record]) -> list[Told]:
    batch = table.BY_NAME["cat"].load().decode(cat.native(cat.transaction("URL", "/x", *inside), header), Head())
    return told_of(batch.request)


def cat_calls() -> tuple[Headers, Told]:
    tree, child = f"web-c0000202-{cat.HOUR}-5", f"order-c0000202-{cat.HOUR}-1"
    found = through_cat(
        cat.Header(domain="web", message_id=tree), cat.transaction("Call", "order", cat.remote_call(child))
    )
    (called,) = (one for one in found if one.span_id == ids.parent_id_from_cat(child, tree).hex())
    return {"x-cat-root-id": tree, "x-cat-parent-id": tree, "x-cat-id": child}, called


def cat_answers(headers: Headers) -> Told:
    root, parent, own = (headers[key] for key in ("x-cat-root-id", "x-cat-parent-id", "x-cat-id"))
    return through_cat(cat.Header(message_id=own, parent_message_id=parent, root_message_id=root))[0]


# -- EagleEye: what a receiver makes of its ids --------------------------------------------------------------------------


def eagleeye_told(trace_id: str, rpc_id: str) -> tuple[str, str]:
    return ids.trace_id_from_eagleeye(trace_id).hex(), ids.parent_id_from_eagleeye(trace_id, rpc_id).hex()


ALIBABA = "0a0fe8451758530390336100112345"


def eagleeye_calls() -> tuple[Headers, Told]:
    return {"EagleEye-TraceID": ALIBABA, "EagleEye-RpcID": "0.1"}, Told(*eagleeye_told(ALIBABA, "0.1"), "")


def eagleeye_answers(headers: Headers) -> Told:
    said = {key.lower(): value for key, value in headers.items()}
    trace_id, parent_id = eagleeye_told(said["eagleeye-traceid"], said["eagleeye-rpcid"])
    return Told(trace_id, "server", parent_id)


# -- SOFATracer ---------------------------------------------------------------------------------------------------------


def through_digest_log(rpc_id: str, kind: str, trace: str) -> Told:
    line = sofatracer.as_json(sofatracer.common(rpc_id, kind, trace=trace), sofatracer.HTTP_SERVER)
    (request,), _ = requests_of_file(line)
    return told_of(request)[0]


def sofa_calls() -> tuple[Headers, Told]:
    trace = sofatracer.TRACE
    headers = {"X-B3-TraceId": trace, "X-B3-SpanId": "0.1", "X-B3-ParentSpanId": "0", "X-B3-Sampled": "true"}
    return headers, through_digest_log("0.1", "client", trace)


def sofa_answers(headers: Headers) -> Told:
    """Its HTTP server takes a path of its own below the caller's."""
    said = {key.lower(): value for key, value in headers.items()}
    return through_digest_log(said["x-b3-spanid"] + ".1", "server", said["x-b3-traceid"])


SYSTEMS: Final = (
    System("SkyWalking", ("skywalking",), "sw8", skywalking_calls, skywalking_answers),
    System("EagleEye", ("eagleeye",), "EagleEye-TraceID", eagleeye_calls, eagleeye_answers, is_run=False),
    System("SOFATracer", ("sofatracer",), "X-B3-TraceId, not in hex", sofa_calls, sofa_answers),
    System("CAT", ("cat",), "x-cat-id", cat_calls, cat_answers),
    System("Zipkin", ("b3multi",), "X-B3-TraceId", zipkin_calls, zipkin_answers),
    System("Pinpoint", ("pinpoint",), "Pinpoint-TraceID", pinpoint_calls, pinpoint_answers),
    System("Jaeger", ("jaeger",), "uber-trace-id", jaeger_calls, jaeger_answers),
    System("OpenCensus", ("tracecontext",), TRACEPARENT, *with_w3c(through_opencensus)),
    System("OpenTracing", ("tracecontext",), TRACEPARENT, *with_w3c(otlp)),
    System("OpenTelemetry", ("tracecontext",), TRACEPARENT, *with_w3c(otlp)),
    System("Kratos", ("tracecontext",), TRACEPARENT, *with_w3c(otlp)),
    System("Datadog", ("tracecontext",), TRACEPARENT, *with_w3c(through_datadog)),
    System("Datadog, x-datadog alone", ("datadog",), "x-datadog-trace-id", x_datadog_calls, x_datadog_answers),
    System("Sentry", ("sentry",), "sentry-trace", sentry_calls, sentry_answers),
)


def through_clew(caller: System, callee: System, headers: Headers) -> tuple[Headers, Told]:
    """A service of clew with the propagators of both is called with these headers and calls on; its span."""
    # SOFATracer has B3's names with values of its own: each takes only what is its own.
    propagator = propagators_from_names([*caller.propagators, *callee.propagators])
    context = propagator.extract(headers, Context())
    parent = get_current_span(context).get_span_context()
    own = SpanContext(parent.trace_id, 0xC1E3_0000_0000_00C1, False, TraceFlags(1), parent.trace_state)
    sent: dict[str, str] = {}
    # The headers of the callee alone: those of two systems in one call are read by whoever knows them.
    propagators_from_names(callee.propagators).inject(sent, set_span_in_context(NonRecordingSpan(own), context))
    told = Told(f"{parent.trace_id:032x}", f"{own.span_id:016x}", f"{parent.span_id:016x}")
    return sent, told


def cell(caller: System, callee: System) -> str:
    """What the table says of a pair, after it was tried. Raises AssertionError where the spans do not join."""
    headers, called = caller.calls()
    how = "run" if caller.is_run and callee.is_run else "by rule"
    if caller.header == callee.header:
        answered = callee.answers(headers)
        assert (answered.trace_id, answered.parent_id) == (called.trace_id, called.span_id)
        return f"`{caller.header}`, {how}"
    sent, between = through_clew(caller, callee, headers)
    assert (between.trace_id, between.parent_id) == (called.trace_id, called.span_id), (
        "clew's span hangs on the caller's"
    )
    answered = callee.answers(sent)
    assert (answered.trace_id, answered.parent_id) == (between.trace_id, between.span_id), "and the callee's on clew's"
    return f"through clew, {how}"


def the_table() -> str:
    rows = [
        "| calls ↓, is called → | " + " | ".join(one.name for one in SYSTEMS) + " |",
        "| --- " * (len(SYSTEMS) + 1) + "|",
    ]
    rows += [
        f"| **{caller.name}** | " + " | ".join(cell(caller, callee) for callee in SYSTEMS) + " |" for caller in SYSTEMS
    ]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("caller", SYSTEMS, ids=[one.name for one in SYSTEMS])
def test_a_trace_holds_together_whoever_is_called(caller: System) -> None:
    for callee in SYSTEMS:
        cell(caller, callee)


@pytest.mark.parametrize("names", [["sofatracer", "b3multi"], ["b3multi", "sofatracer"]], ids=" ".join)
def test_headers_of_two_systems_that_share_names_are_not_mixed_up(names: list[str]) -> None:
    for calls in (sofa_calls, zipkin_calls):
        headers, told = calls()
        found = get_current_span(propagators_from_names(names).extract(headers, Context())).get_span_context()
        assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == (told.trace_id, told.span_id)


def test_the_page_shows_what_was_tried() -> None:
    text = PAGE.read_text(encoding="utf-8")
    front, _, rest = text.partition(BEGIN)
    shown, _, back = rest.partition(END)
    made = the_table()
    if os.environ.get("CLEW_GOLDEN") == "write":
        PAGE.write_text(front + BEGIN + made + END + back, encoding="utf-8")
        shown = made
    assert shown == made, "CLEW_GOLDEN=write writes it anew"


def test_the_page_names_the_propagators_of_each_system() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for one in SYSTEMS:
        names = ", ".join(f"`{name}`" for name in one.propagators)
        assert f"| {one.name} | {names} |" in text, f"{one.name}: {names}"
