"""Spans that name each other by rpc ids stand in one tree: in either style, whichever way they came, and with what clew traced."""

from __future__ import annotations

import json

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.ids import parent_id_from_eagleeye, span_id_to_eagleeye, trace_id_from_eagleeye
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans
from clew_server.receivers.contract import JSON, Head
from clew_server.receivers.sofatracer.decoder import decode
from clew_server.receivers.zipkin.decoder import V2_PATH
from clew_server.receivers.zipkin.decoder import decode as decode_zipkin
from clew_server.testing.sofatracer import TRACE, as_json, common

OUR_SPAN = bytes.fromhex("00f067aa0ba902b7")
SENT = span_id_to_eagleeye(OUR_SPAN, "0.1")


def logged(*calls: str, file: str = "") -> list[StoredSpan]:
    """Spans from a digest log; each is `RPCID KIND`, which is also its name."""
    lines = [
        as_json(common(*call.split(), result="00"), [("service", ""), ("method", call)] if file else [("method", call)])
        for call in calls
    ]
    return stored(decode(b"".join(lines), Head(path=file)).request)


def reported(*calls: str) -> list[StoredSpan]:
    """The same as SOFATracer's reporter for Zipkin sends them."""
    spans = []
    for call in calls:
        rpc_id, kind = call.split()
        above = rpc_id.rpartition(".")[0]
        made = {"traceId": TRACE.zfill(32), "id": fnv(rpc_id), "kind": kind.upper(), "name": call}
        made |= {"timestamp": 5, "duration": 1, "tags": {"origin.span.id": rpc_id, "span.kind": kind}}
        spans.append({**made, "parentId": fnv(above)} if above else made)
    head = Head(path=V2_PATH, content_type=JSON)
    return stored(decode_zipkin(json.dumps(spans).encode(), head).request)


def fnv(rpc_id: str) -> str:
    """As SOFATracer makes a span's id for Zipkin."""
    number = 0xCBF29CE484222325
    for character in rpc_id:
        number = (number ^ ord(character)) * 0x100000001B3 % 2**64
    return f"{number:016x}"


def ours(name: str, span_id: bytes, parent_id: bytes = b"") -> list[StoredSpan]:
    """A span of a service that clew traces."""
    span = Span(trace_id=trace_id_from_eagleeye(TRACE), span_id=span_id, parent_span_id=parent_id, name=name, kind=2)
    return [StoredSpan(Resource().SerializeToString(), "", b"", "", span.SerializeToString(), 0)]


def stored(request: bytes) -> list[StoredSpan]:
    return [
        StoredSpan(group.resource.SerializeToString(), "", b"", "", one.SerializeToString(), 0)
        for group in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    ]


def parents(*spans: list[StoredSpan]) -> dict[str, str]:
    """The name of each span's parent; empty for a root, `?` for a missing one."""
    found = trace_from_spans([one for some in spans for one in some])
    names = [found.name_of(row) for row in range(len(found.parent))]
    return {
        names[row]: names[parent] if parent >= 0 else "" if parent == -1 else "?"
        for row, parent in enumerate(found.parent)
    }


def test_servers_with_a_path_of_their_own_and_servers_with_the_clients_both_hang_on_their_client() -> None:
    for made in (logged, reported):
        own = made("0 client", "0.1 server", "0.1.1 client", "0.1.1.1 server", "0.1.2 client")
        assert parents(own) == {
            "0 client": "",
            "0.1 server": "0 client",
            "0.1.1 client": "0.1 server",
            "0.1.1.1 server": "0.1.1 client",
            "0.1.2 client": "0.1 server",
        }
    shared = logged("0 client", "0 server", "0.1 client", "0.1 server", "0.2 client", "0.1.1 client")
    assert parents(shared) == {
        "0 client": "",
        "0 server": "0 client",
        "0.1 client": "0 server",
        "0.1 server": "0.1 client",
        "0.2 client": "0 server",
        "0.1.1 client": "0.1 server",
    }


def test_what_is_called_in_a_methods_span_hangs_on_it_whatever_request_brought_it() -> None:
    method = logged("0.1.1 client", file="biz-digest.log")
    for order in (
        [logged("0.1 server"), method, logged("0.1.1.1 client")],
        [logged("0.1.1.1 client"), method, logged("0.1 server")],
    ):
        assert parents(*order) == {"0.1 server": "?", "0.1.1 client": "0.1 server", "0.1.1.1 client": "0.1.1 client"}


def test_a_span_of_which_nothing_above_came_misses_its_parent() -> None:
    assert parents(logged("0.1 server", "0.2.1 client")) == {"0.1 server": "?", "0.2.1 client": "?"}


def test_a_service_of_ours_hangs_on_the_client_that_called_it_by_either_way() -> None:
    behind = ours("ours", OUR_SPAN, parent_id_from_eagleeye(TRACE, "0.1.1"))
    for made in (logged, reported):
        calls = made("0 client", "0.1 server", "0.1.1 client")
        assert parents(calls, behind)["ours"] == "0.1.1 client"
        assert parents(behind, calls)["ours"] == "0.1.1 client"


def test_a_server_hangs_on_the_client_of_ours_that_called_it_by_either_way() -> None:
    for made in (logged, reported):
        assert parents(ours("ours", OUR_SPAN), made(f"{SENT}.1 server", f"{SENT}.1.1 client")) == {
            "ours": "",
            f"{SENT}.1 server": "ours",
            f"{SENT}.1.1 client": f"{SENT}.1 server",
        }
    assert parents(ours("ours", OUR_SPAN), logged(f"{SENT} server"))[f"{SENT} server"] == "ours"


def test_spans_with_broken_rpc_ids_hang_where_they_were() -> None:
    broken = StoredSpan(b"", "", b"", "", b"\x0a\x10" + bytes(range(1, 17)) + b"\xffx origin.span.id", 0)
    (good,) = logged("0 client")
    assert parents([good, broken])["0 client"] == ""
