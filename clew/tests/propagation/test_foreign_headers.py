"""Headers of other tracing systems, as their own agents and clients were seen to send them."""

from __future__ import annotations

import base64

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

from clew import ids
from clew.carriers import AsgiCarrier, DictCarrier, GrpcCarrier, getter, setter
from clew.propagation import (
    B3MultiPropagator,
    B3Propagator,
    CatPropagator,
    DatadogPropagator,
    EagleEyePropagator,
    JaegerPropagator,
    KratosPropagator,
    OpenCensusPropagator,
    PinpointPropagator,
    SentryPropagator,
    SkyWalkingPropagator,
    SofaTracerPropagator,
    TraceContextPropagator,
    XRayPropagator,
    debug_id,
    global_metadata,
    peer_service,
    with_global_metadata,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
OURS = 0x00F067AA0BA902B7


def read(propagator: TextMapPropagator, headers: dict[str, str]) -> Context:
    return propagator.extract(headers, Context())


def parent_of(context: Context) -> tuple[str, str, bool]:
    parent = get_current_span(context).get_span_context()
    assert parent.is_valid
    assert parent.is_remote
    return f"{parent.trace_id:032x}", f"{parent.span_id:016x}", parent.trace_flags.sampled


def is_empty(context: Context) -> bool:
    return not get_current_span(context).get_span_context().is_valid


def sent(propagator: TextMapPropagator, context: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagator.inject(carrier, context)
    return carrier


def ours(context: Context, sampled: bool = True) -> Context:
    """The context of a span of ours below what came."""
    parent = get_current_span(context).get_span_context()
    trace_id = parent.trace_id or int(TRACE, 16)
    own = SpanContext(trace_id, OURS, False, TraceFlags(sampled), parent.trace_state)
    return set_span_in_context(NonRecordingSpan(own), context)


# B3


@pytest.mark.parametrize(
    ("headers", "parent"),
    [
        ({"b3": f"{TRACE}-{SPAN}-1"}, (TRACE, SPAN, True)),
        ({"b3": f"{TRACE}-{SPAN}-1-00f067aa0ba902b7"}, (TRACE, SPAN, True)),
        ({"b3": f"{TRACE}-{SPAN}-00f067aa0ba902b7"}, (TRACE, SPAN, True)),
        ({"B3": f"{TRACE}-{SPAN}-0"}, (TRACE, SPAN, False)),
        ({"b3": "463ac35c9f6413ad-a2fb4a1d1a96d312"}, ("0" * 16 + "463ac35c9f6413ad", "a2fb4a1d1a96d312", True)),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}, (TRACE, SPAN, True)),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "false"}, (TRACE, SPAN, False)),
        ({"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Flags": "1"}, (TRACE, SPAN, True)),
        ({"b3": "nonsense", "X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN}, (TRACE, SPAN, True)),
    ],
)
@pytest.mark.parametrize("propagator", [B3Propagator(), B3MultiPropagator()])
def test_b3_is_read_in_both_forms(
    propagator: TextMapPropagator, headers: dict[str, str], parent: tuple[str, str, bool]
) -> None:
    assert parent_of(read(propagator, headers)) == parent


@pytest.mark.parametrize(
    "headers",
    [
        {"b3": ""},
        {"b3": "1"},
        {"b3": "d"},
        {"b3": f"{TRACE.upper()}-{SPAN}-1"},
        {"b3": f"{TRACE}-{SPAN}-2"},
        {"b3": f"{'0' * 32}-{SPAN}-1"},
        {"b3": f"{TRACE}-{'0' * 16}-1"},
        {"b3": f"{TRACE}-{SPAN}-1-"},
        {"X-B3-TraceId": TRACE},
        {"X-B3-TraceId": TRACE[1:], "X-B3-SpanId": SPAN},
    ],
)
def test_malformed_b3_starts_a_new_trace(headers: dict[str, str]) -> None:
    assert is_empty(read(B3Propagator(), headers))


@pytest.mark.parametrize("headers", [{"b3": "0"}, {"X-B3-Sampled": "0"}])
def test_b3_may_say_no_more_than_do_not_sample(headers: dict[str, str]) -> None:
    context = read(B3Propagator(), headers)
    assert parent_of(context)[2] is False
    assert sent(B3Propagator(), context)["b3"].endswith("-0")


def test_b3s_mark_for_debugging_is_handed_on() -> None:
    context = ours(read(B3Propagator(), {"b3": f"{TRACE}-{SPAN}-d"}))
    assert sent(B3Propagator(), context) == {"b3": f"{TRACE}-00f067aa0ba902b7-d"}
    assert sent(B3MultiPropagator(), context)["x-b3-flags"] == "1"
    assert sent(JaegerPropagator(), context)["uber-trace-id"].endswith(":3")
    assert sent(B3Propagator(), ours(context, sampled=False))["b3"].endswith("-0")


def test_a_trace_id_of_64_bits_goes_on_as_one() -> None:
    context = ours(read(B3Propagator(), {"b3": "463ac35c9f6413ad-a2fb4a1d1a96d312-1"}))
    assert sent(B3Propagator(), context)["b3"].startswith("463ac35c9f6413ad-")
    assert sent(B3MultiPropagator(), context)["x-b3-traceid"] == "463ac35c9f6413ad"


# Jaeger


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (
            "5d89765cb797ce22d4bedede8b06a092:f1278f8e402d04c0:d4bedede8b06a092:1",
            ("5d89765cb797ce22d4bedede8b06a092", "f1278f8e402d04c0", True),
        ),
        ("2cb75d23869885f5:2f6208b796ff2395:0:1", ("0" * 16 + "2cb75d23869885f5", "2f6208b796ff2395", True)),
        ("b75895a0f7d98c8:b75895a0f7d98c8:0:1", ("0" * 17 + "b75895a0f7d98c8", "0b75895a0f7d98c8", True)),
        (f"{TRACE}%3A{SPAN}%3A0%3A0", (TRACE, SPAN, False)),
    ],
)
def test_jaegers_clients_are_understood(header: str, parent: tuple[str, str, bool]) -> None:
    assert parent_of(read(JaegerPropagator(), {"uber-trace-id": header})) == parent


def test_jaegers_baggage_comes_in_both_forms_and_is_sent_a_header_each() -> None:
    headers = {"uber-trace-id": f"{TRACE}:{SPAN}:0:1", "Uberctx-Tenant": "acme%20inc", "jaeger-baggage": "k1=v1, k2=v2"}
    context = read(JaegerPropagator(), headers)
    assert dict(baggage.get_all(context)) == {"tenant": "acme inc", "k1": "v1", "k2": "v2"}
    carrier = sent(JaegerPropagator(), context)
    assert carrier["uberctx-tenant"] == "acme%20inc"
    assert carrier["uberctx-k2"] == "v2"


def test_jaegers_baggage_is_found_among_asgis_headers() -> None:
    carrier = AsgiCarrier([(b"host", b"shop"), (b"uberctx-k", b"v")])
    assert dict(baggage.get_all(JaegerPropagator().extract(carrier, Context(), getter))) == {"k": "v"}


def test_jaegers_debug_id_is_there_for_samplers_and_hooks() -> None:
    context = read(JaegerPropagator(), {"jaeger-debug-id": "ticket-7"})
    assert is_empty(context)
    assert debug_id(context) == "ticket-7"
    assert debug_id(read(JaegerPropagator(), {"uber-trace-id": f"{TRACE}:{SPAN}:0:1", "jaeger-debug-id": "x"})) is None


def test_a_sampled_trace_is_not_marked_for_debugging() -> None:
    context = ours(read(JaegerPropagator(), {"uber-trace-id": f"{TRACE}:{SPAN}:0:1"}))
    assert sent(JaegerPropagator(), context) == {"uber-trace-id": f"{TRACE}:00f067aa0ba902b7:0:1"}


# SkyWalking

SW8 = "1-dGlkMS4yLjM=-MzY1MzIwMDRlNjY5MTFmMWEyYmEwMmZjMDAwMDAwMDE=-1-c3Zj-aW5zdDE=-L291dA==-MTAuMS4xLjE6OTk="


def test_skywalkings_agent_is_understood_and_its_trace_goes_on() -> None:
    context = read(SkyWalkingPropagator(), {"sw8": SW8, "sw8-correlation": "azE=:djE=", "sw8-x": "0- "})
    trace, span, sampled = parent_of(context)
    assert trace == ids.t16("tid1.2.3").hex()
    assert span == ids.s8("36532004e66911f1a2ba02fc00000001|1").hex()
    assert sampled
    assert peer_service(context) == "svc"
    assert dict(baggage.get_all(context)) == {"k1": "v1"}
    carrier = sent(SkyWalkingPropagator(), ours(context))
    fields = carrier["sw8"].split("-")
    assert len(fields) == 8
    assert base64.b64decode(fields[1]) == b"tid1.2.3"
    assert all(fields)
    assert ids.span_id_from_skywalking(base64.b64decode(fields[2]).decode(), int(fields[3])).hex() == f"{OURS:016x}"
    assert carrier["sw8-correlation"] == "azE=:djE="
    assert "sw8-x" not in carrier


def test_the_java_agents_segment_ids_are_understood() -> None:
    trace = "52ed4b55c50b487180acb43988401da0.1.17954134346500001"
    fields = ["1", trace, trace[:-1] + "0", "2", "svc", "inst", "/in", "127.0.0.1:80"]
    header = "-".join(
        field if at in (0, 3) else base64.b64encode(field.encode()).decode() for at, field in enumerate(fields)
    )
    context = read(SkyWalkingPropagator(), {"sw8": header})
    assert parent_of(context)[:2] == (ids.t16(trace).hex(), ids.s8(f"{fields[2]}|2").hex())


@pytest.mark.parametrize(
    "header", ["", SW8 + "-", SW8[2:], "2" + SW8[1:], SW8.replace("dGlkMS4yLjM=", "dGlkMS4yLjM"), "1------0-"]
)
def test_malformed_sw8_starts_a_new_trace(header: str) -> None:
    assert is_empty(read(SkyWalkingPropagator(), {"sw8": header}))


def test_no_more_correlations_are_sent_than_skywalkings_agents_send() -> None:
    context = Context()
    for key, value in [("long", "x" * 129), *[(f"k{number}", "v") for number in range(5)]]:
        context = baggage.set_baggage(key, value, context)
    correlation = sent(SkyWalkingPropagator(), context)["sw8-correlation"]
    assert [base64.b64decode(member.split(":")[0]) for member in correlation.split(",")] == [b"k0", b"k1", b"k2"]


def test_skip_analysis_is_handed_on() -> None:
    context = ours(read(SkyWalkingPropagator(), {"sw8": SW8, "sw8-x": "1-1795414467512"}))
    assert sent(SkyWalkingPropagator(), context)["sw8-x"].startswith("1-")


# Pinpoint

PINPOINT = {
    "Pinpoint-TraceID": "jagent1^1795414467512^1",
    "Pinpoint-SpanID": "4786846772821401838",
    "Pinpoint-pSpanID": "6392691078825510614",
    "Pinpoint-Flags": "0",
    "Pinpoint-pAppName": "japp",
    "Pinpoint-pAppType": "1000",
    "Pinpoint-Host": "127.0.0.1:28181",
}


def test_pinpoints_agent_is_understood_and_its_transaction_goes_on() -> None:
    context = read(PinpointPropagator(), PINPOINT)
    assert parent_of(context) == (
        ids.t16("jagent1^1795414467512^1").hex(),
        ids.s8("nextjagent1^1795414467512^14786846772821401838").hex(),
        True,
    )
    assert peer_service(context) == "japp"
    carrier = sent(PinpointPropagator(), ours(context))
    assert carrier["pinpoint-traceid"] == "jagent1^1795414467512^1"
    assert carrier["pinpoint-pspanid"] == str(OURS)
    assert "pinpoint-sampled" not in carrier
    callee = ids.parent_id_from_pinpoint(carrier["pinpoint-traceid"], int(carrier["pinpoint-spanid"]), OURS)
    assert callee.hex() == f"{OURS:016x}"


def test_pinpoint_may_say_no_more_than_do_not_sample() -> None:
    assert parent_of(read(PinpointPropagator(), {"Pinpoint-Sampled": "s0"}))[2] is False


@pytest.mark.parametrize(
    "change",
    [
        {"Pinpoint-TraceID": "jagent1^x^1"},
        {"Pinpoint-TraceID": "a" * 25 + "^1^1"},
        {"Pinpoint-SpanID": "9223372036854775808"},
        {"Pinpoint-SpanID": "0x1"},
    ],
)
def test_malformed_pinpoint_starts_a_new_trace(change: dict[str, str]) -> None:
    assert is_empty(read(PinpointPropagator(), {**PINPOINT, **change}))


# CAT


@pytest.mark.parametrize(
    ("root", "parent", "child"),
    [
        ("_catRootMessageId", "_catParentMessageId", "_catChildMessageId"),
        ("x-cat-root-id", "x-cat-parent-id", "x-cat-id"),
        ("X-CAT-ROOT-MESSAGE-ID", "X-CAT-ROOT-PARENT-ID", "X-CAT-ROOT-CHILD-ID"),
    ],
)
def test_all_generations_of_cat_are_understood(root: str, parent: str, child: str) -> None:
    headers = {
        root: "web-c0000202-498707-5",
        parent: "web-c0000202-498707-5",
        child: "order-c0000202.16567-498707-1",
    }
    context = read(CatPropagator(), headers)
    assert parent_of(context) == (
        ids.t16("web-c0000202-498707-5").hex(),
        ids.s8("call:order-c0000202.16567-498707-1").hex(),
        True,
    )
    carrier = sent(CatPropagator("stock"), ours(context))
    assert carrier["x-cat-root-id"] == "web-c0000202-498707-5"
    assert carrier["x-cat-id"].startswith("stock-")
    assert ids.parent_id_from_cat(carrier["x-cat-id"], carrier["x-cat-parent-id"]).hex() == f"{OURS:016x}"


def test_each_call_makes_cat_another_child() -> None:
    context = ours(Context())
    propagator = CatPropagator()
    assert sent(propagator, context)["x-cat-id"] != sent(propagator, context)["x-cat-id"]


# EagleEye and SOFATracer

EAGLEEYE = {
    "EagleEye-TraceID": "eac0a8020116974429411421021d0001",
    "EagleEye-RpcID": "0.2.1",
    "EagleEye-SpanID": "-1207596966212570593",
    "EagleEye-pSpanID": "-7254661991881594415",
    "EagleEye-Sampled": "s0",
    "EagleEye-pRpc": "/httpbin/get",
    "EagleEye-UserData": "__microservice_match_result__=[]",
}


def test_eagleeyes_gateway_is_understood_and_its_trace_goes_on() -> None:
    context = read(EagleEyePropagator(), EAGLEEYE)
    trace = "eac0a8020116974429411421021d0001"
    assert parent_of(context) == (trace, ids.s8(f"{trace}|0.2.1|c").hex(), False)
    assert dict(baggage.get_all(context)) == {"__microservice_match_result__": "[]"}
    carrier = sent(EagleEyePropagator(), ours(context))
    assert carrier["eagleeye-traceid"] == trace
    assert carrier["eagleeye-rpcid"] == f"0.2.1.{OURS}"
    assert ids.parent_id_from_eagleeye(trace, carrier["eagleeye-rpcid"]).hex() == f"{OURS:016x}"


def test_a_short_trace_id_of_eagleeye_goes_on_as_short_as_it_came() -> None:
    context = read(
        EagleEyePropagator(), {"eagleeye-traceid": "0a0fe8451758530390336100112345", "eagleeye-rpcid": "0.1"}
    )
    assert parent_of(context)[0] == "000a0fe8451758530390336100112345"
    assert sent(EagleEyePropagator(), ours(context))["eagleeye-traceid"] == "0a0fe8451758530390336100112345"


def test_a_load_tests_trace_is_the_one_without_its_mark() -> None:
    headers = {"eagleeye-traceid": "0a0fe8451758530390336100112345T", "eagleeye-rpcid": "0.1"}
    context = read(EagleEyePropagator(), headers)
    assert parent_of(context)[0] == "000a0fe8451758530390336100112345"
    assert sent(EagleEyePropagator(), ours(context))["eagleeye-traceid"].endswith("T")


def test_rpc_ids_too_long_for_eagleeye_begin_again() -> None:
    headers = {"eagleeye-traceid": TRACE, "eagleeye-rpcid": "0" + ".12345" * 10}
    assert sent(EagleEyePropagator(), ours(read(EagleEyePropagator(), headers)))["eagleeye-rpcid"] == f"0.{OURS}"


SOFA = {
    "X-B3-TraceId": "c000020217954135172821001336",
    "X-B3-SpanId": "0.1.1",
    "X-B3-ParentSpanId": "0.1",
    "X-B3-Sampled": "true",
}


@pytest.mark.parametrize("propagator", [SofaTracerPropagator(), B3Propagator(), B3MultiPropagator()])
def test_sofatracers_ids_are_understood_under_b3s_names(propagator: TextMapPropagator) -> None:
    context = read(propagator, {**SOFA, "baggage-k": "v%201"})
    assert parent_of(context) == (
        "0000c000020217954135172821001336",
        ids.s8("c000020217954135172821001336|0.1.1|c").hex(),
        True,
    )
    assert sent(SofaTracerPropagator(), ours(context))["x-b3-traceid"] == "c000020217954135172821001336"


def test_sofatracers_root_and_its_baggage() -> None:
    headers = {**SOFA, "X-B3-SpanId": "0", "X-B3-ParentSpanId": "", "baggage-k": "v%201", "baggage-sys-s": "t"}
    context = read(SofaTracerPropagator(), headers)
    assert parent_of(context)[1] == ids.s8("c000020217954135172821001336|0|c").hex()
    assert dict(baggage.get_all(context)) == {"k": "v 1", "s": "t"}
    assert sent(SofaTracerPropagator(), context)["baggage-k"] == "v%201"


@pytest.mark.parametrize("encoded", [False, True])
def test_sofatracers_one_header(encoded: bool) -> None:
    head = "tcid=c000020217954135172821001336&spid=0.1&pspid=0&sample=false&k=v&_sys_s=t&"
    if encoded:
        head = head.replace("=", "%3D").replace("&", "%26")
    context = read(SofaTracerPropagator(), {"sftc_head": head})
    assert parent_of(context)[2] is False
    assert dict(baggage.get_all(context)) == {"k": "v", "s": "t"}


# OpenCensus

BINARY = bytes.fromhex(f"0000{TRACE}01{SPAN}0201")


@pytest.mark.parametrize("value", [BINARY, base64.b64encode(BINARY).decode(), BINARY + b"\x07more", [BINARY]])
def test_opencensus_binary_header_is_read_from_whatever_holds_it(value: object) -> None:
    context = OpenCensusPropagator().extract({"grpc-trace-bin": value}, Context())
    assert parent_of(context) == (TRACE, SPAN, True)


def test_opencensus_binary_header_in_grpc_metadata_both_ways() -> None:
    context = OpenCensusPropagator().extract(GrpcCarrier([("grpc-trace-bin", BINARY)]), Context(), getter)
    assert parent_of(context) == (TRACE, SPAN, True)
    carrier = GrpcCarrier()
    OpenCensusPropagator().inject(carrier, context, setter)
    assert carrier.pairs == [("grpc-trace-bin", BINARY)]


@pytest.mark.parametrize("size", range(27))
def test_a_cut_binary_header_starts_a_new_trace(size: int) -> None:
    context = OpenCensusPropagator().extract({"grpc-trace-bin": BINARY[:size]}, Context())
    assert is_empty(context) == (size < 27)


def test_without_options_the_binary_header_says_not_sampled() -> None:
    context = OpenCensusPropagator().extract({"grpc-trace-bin": BINARY[:27]}, Context())
    assert parent_of(context)[2] is False


def test_the_text_header_of_opencensus() -> None:
    header = f"{TRACE}/{int(SPAN, 16)};o=1"
    context = read(OpenCensusPropagator(), {"X-Cloud-Trace-Context": header})
    assert parent_of(context) == (TRACE, SPAN, True)
    assert sent(OpenCensusPropagator(), context) == {"x-cloud-trace-context": header}
    assert is_empty(read(OpenCensusPropagator(), {"X-Cloud-Trace-Context": f"{TRACE}/{2**64};o=1"}))
    assert is_empty(read(OpenCensusPropagator(), {"X-Cloud-Trace-Context": TRACE}))


# X-Ray

XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
XRAY_PARENT = ("5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", True)


@pytest.mark.parametrize(
    "header",
    [
        XRAY,
        "Self=1-67891234-12456789abcdef012345678;" + XRAY,
        "Sampled=1; Parent=53995c3f42cd8ad8 ; Root=1-5759e988-bd862e3fe1be46a994272793",
        XRAY.replace("=1", "=?").replace("=?-", "=1-") + ";Lineage=a87bd80c:1|68fd508a:5",
    ],
)
def test_x_rays_items_come_in_any_order(header: str) -> None:
    assert parent_of(read(XRayPropagator(), {"X-Amzn-Trace-Id": header})) == XRAY_PARENT


def test_x_ray_is_written_as_it_is_read() -> None:
    assert sent(XRayPropagator(), read(XRayPropagator(), {"X-Amzn-Trace-Id": XRAY})) == {"x-amzn-trace-id": XRAY}


def test_x_rays_root_without_a_parent_starts_a_new_trace_and_keeps_a_no() -> None:
    root = "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert is_empty(read(XRayPropagator(), {"x-amzn-trace-id": root}))
    assert parent_of(read(XRayPropagator(), {"x-amzn-trace-id": f"{root};Sampled=0"}))[2] is False


# Kratos


def test_kratos_global_metadata_goes_from_a_call_to_those_it_makes() -> None:
    context = read(
        KratosPropagator("cart"), {"X-Md-Global-Tenant": "acme", "x-md-local-x": "1", "x-md-service-name": "user"}
    )
    assert global_metadata(context) == {"tenant": "acme"}
    assert peer_service(context) == "user"
    context = with_global_metadata({"Region": "eu", "bad": "a\r\nb"}, context)
    assert sent(KratosPropagator("cart"), context) == {
        "x-md-service-name": "cart",
        "x-md-global-tenant": "acme",
        "x-md-global-region": "eu",
    }


def test_kratos_metadata_is_found_among_asgis_headers_and_limited() -> None:
    pairs = [(b"host", b"shop"), *[(b"X-Md-Global-%d" % number, b"v") for number in range(100)]]
    context = KratosPropagator().extract(AsgiCarrier(pairs), Context(), getter)
    assert len(global_metadata(context)) == 64


# Datadog

DATADOG = {
    "x-datadog-trace-id": str(int(TRACE[16:], 16)),
    "x-datadog-parent-id": str(int(SPAN, 16)),
    "x-datadog-sampling-priority": "1",
    "x-datadog-tags": f"_dd.p.tid={TRACE[:16]}",
}


@pytest.mark.parametrize(("priority", "sampled"), [("2", True), ("1", True), ("0", False), ("-1", False), ("x", True)])
def test_datadogs_trace_goes_on_with_both_halves_of_its_id(priority: str, sampled: bool) -> None:
    headers = DATADOG | {
        "x-datadog-sampling-priority": priority,
        "x-datadog-tags": f"_dd.p.dm=-1,_dd.p.tid={TRACE[:16]}",
    }
    found = read(DatadogPropagator(), {key.title(): value for key, value in headers.items()})
    assert parent_of(found) == (TRACE, SPAN, sampled)
    assert sent(DatadogPropagator(), found) == DATADOG | {"x-datadog-sampling-priority": f"{sampled:d}"}


def test_datadogs_trace_of_64_bits_goes_on_as_such() -> None:
    short = {key: value for key, value in DATADOG.items() if key != "x-datadog-tags"}
    found = read(DatadogPropagator(), short)
    assert parent_of(found) == ("0" * 16 + TRACE[16:], SPAN, True)
    assert sent(DatadogPropagator(), found) == short


@pytest.mark.parametrize(
    "wrong",
    [
        {"x-datadog-parent-id": "0"},
        {"x-datadog-trace-id": "0"},
        {"x-datadog-trace-id": "9" * 20},
        {"x-datadog-parent-id": SPAN},
    ],
)
def test_datadogs_ids_that_are_none_start_a_new_trace(wrong: dict[str, str]) -> None:
    headers = DATADOG | wrong
    if wrong.get("x-datadog-trace-id") == "0":
        del headers["x-datadog-tags"]
    assert is_empty(read(DatadogPropagator(), headers))


# Sentry


@pytest.mark.parametrize(
    ("header", "sampled"), [(f"{TRACE}-{SPAN}-1", True), (f"{TRACE}-{SPAN}-0", False), (f"{TRACE}-{SPAN}", True)]
)
def test_sentrys_trace_goes_on_and_no_decision_counts_as_sampled(header: str, sampled: bool) -> None:
    found = read(SentryPropagator(), {"Sentry-Trace": header})
    assert parent_of(found) == (TRACE, SPAN, sampled)
    assert sent(SentryPropagator(), found) == {"sentry-trace": f"{TRACE}-{SPAN}-{sampled:d}"}


@pytest.mark.parametrize(
    "header", ["", TRACE, f"{TRACE}-{SPAN}-2", f"{TRACE}-{SPAN}-1-", f"{'0' * 32}-{SPAN}-1", f"{SPAN}-{SPAN}-1"]
)
def test_a_sentry_trace_that_is_none_starts_a_new_trace(header: str) -> None:
    assert is_empty(read(SentryPropagator(), {"sentry-trace": header}))


# Across systems


@pytest.mark.parametrize(
    ("propagator", "headers", "name", "kept"),
    [
        (SkyWalkingPropagator(), {"sw8": SW8}, "sw8", "dGlkMS4yLjM="),
        (PinpointPropagator(), PINPOINT, "pinpoint-traceid", "jagent1^1795414467512^1"),
        (SofaTracerPropagator(), SOFA, "x-b3-traceid", "c000020217954135172821001336"),
    ],
)
def test_an_id_of_another_system_survives_services_that_speak_w3c_only(
    propagator: TextMapPropagator, headers: dict[str, str], name: str, kept: str
) -> None:
    between = sent(TraceContextPropagator(), ours(read(propagator, headers)))
    assert kept in sent(propagator, ours(read(TraceContextPropagator(), between)))[name]


def test_an_id_that_is_not_the_traces_own_is_not_sent() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "clew=tid1.2.3"}
    carrier = sent(SkyWalkingPropagator(), read(TraceContextPropagator(), headers))
    assert base64.b64decode(carrier["sw8"].split("-")[1]).decode() == TRACE


def test_a_repeated_header_starts_a_new_trace() -> None:
    carrier = DictCarrier({"b3": [f"{TRACE}-{SPAN}-1", f"{TRACE}-{SPAN}-0"]})
    assert is_empty(B3Propagator().extract(carrier, Context(), getter))
