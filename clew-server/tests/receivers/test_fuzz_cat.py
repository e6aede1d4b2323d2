"""Whatever bytes come as CAT's, the decoder says yes, or no in its own words. `make fuzz` takes longer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers.cat.decoder import decode
from clew_server.receivers.cat.router import answer
from clew_server.receivers.cat.specs import as_http
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.testing import cat
from clew_server.testing.cat import Header, Record

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))  # importlib mode adds no path

from batches import broken, check_foreign

EXAMPLES = int(os.environ.get("CLEW_FUZZ_EXAMPLES", "60"))
long = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
CAPTURED = [
    message
    for path in sorted((Path(__file__).parent / "golden/cat").glob("*.hex"))
    for line in path.read_text("ascii").split()
    if (message := bytes.fromhex(line)[4:])[:3] in (b"NT1", b"PT1")
]

_id = st.sampled_from((Header().message_id, f"stock-c0000202-{cat.HOUR}-2", "clew.0102030405060708-00000000-0-0"))
_text = st.text(st.characters(codec="utf-8"), max_size=12)
_types = st.sampled_from(
    (
        *("URL", "SQL", "Cache.redis", "Call", "PigeonService", "RemoteCall", "Error", "System", "URL.Method"),
        *("URL.Server", "SQL.Database", "PigeonService.client", "TruncatedTransaction", "Call.port"),
    )
)
_names = st.sampled_from(("Next", "RunAway", "TotalDuration", "_CatMergeTree", "Reboot", "jdbc:mysql://[::1/s"))
_data = (
    st.sampled_from(("a=1&b=2", "cat.type=x", "HTTP/GET /a?b", "IPS=1&Agent=x", "99999999999999999999")) | _id | _text
)
_times = st.sampled_from((0, cat.START_MS, (1 << 64) - 1)) | st.integers(0, 1 << 64)
_plain_times = st.integers(0, 250_000_000_000_000)


def _records(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[Record]]:
    one = st.builds(
        Record,
        letter=st.sampled_from("ttTTAEMHL"),
        type=_types | _text,
        name=_names | _text,
        time_ms=times,
        status=st.sampled_from(("0", "", "ERROR")) | _text,
        data=_data,
        duration_us=times,
    )
    return st.lists(one, max_size=9)


_headers = st.builds(Header, message_id=_id | _text, parent_message_id=_id | _text, root_message_id=_id | _text)


def check(body: bytes) -> int:
    """How many spans there were, the rejected ones included; 0 where the bytes are refused."""
    try:
        batch = decode(body, Head())
    except BadInput:
        return 0
    return check_foreign(batch)


@long
@given(st.binary(max_size=300), st.sampled_from((b"", b"NT1", b"NT1" + b"\0" * 10, b"PT1" + b"\ta" * 10 + b"\n")))
def test_any_bytes_are_taken_or_refused(body: bytes, front: bytes) -> None:
    check(front + body)


@long
@given(_records(_times), _headers)
def test_every_tree_of_whatever_values_is_taken_or_counted(records: list[Record], header: Header) -> None:
    check(cat.native(records, header))


@long
@given(_records(_plain_times), _headers, st.booleans(), st.integers(-12, 14))
def test_every_tree_in_text_likewise(records: list[Record], header: Header, escapes: bool, zone_hours: int) -> None:
    records = [one._replace(time_ms=max(one.time_ms, 86_400_000)) for one in records]
    check(cat.plain(records, header, escapes=escapes, zone_hours=zone_hours))


@long
@given(_records(st.integers(cat.START_MS, cat.START_MS + 1000)))
def test_both_codecs_say_the_same(records: list[Record]) -> None:
    batches = []
    for codec in (cat.native, cat.plain):
        try:
            batches.append(decode(codec(records), Head()))
        except BadInput:
            batches.append(None)
    native, plain = batches
    if native is None or plain is None or any("null" in (one.type, one.name, one.status) for one in records):
        return
    assert (without_ids(native), native.dropped, native.rejected) == (without_ids(plain), plain.dropped, plain.rejected)


def without_ids(batch: OtlpBatch) -> ExportTraceServiceRequest:
    """The request with the same ids in all spans: those that follow from the bytes differ between codecs."""
    request = ExportTraceServiceRequest.FromString(batch.request)
    for span in (span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans):
        span.trace_id, span.span_id, span.parent_span_id = b"", b"", b"1" if span.parent_span_id else b""
    return request


@long
@given(st.data())
def test_flipped_cut_or_doubled_bytes_are_taken_or_refused(data: st.DataObject) -> None:
    check(broken(data, data.draw(st.sampled_from(CAPTURED))))


@long
@given(st.dictionaries(st.sampled_from(("op", "token", "domain")), st.lists(_text, min_size=1, max_size=2)), _text)
def test_whoever_asks_the_router_is_told_an_address(asked: dict[str, list[str]], address: str) -> None:
    media, body = answer(asked, "127.0.0.1:2280")
    assert "127.0.0.1:2280;" in body
    assert media in ("text/plain", "text/xml", "application/json")


@long
@given(st.binary(max_size=60), st.sampled_from((b"", b"Get http://", b"Get http://a:1/b HTTP/1.0\r\n")))
def test_only_what_the_client_in_c_sends_is_made_http(rest: bytes, front: bytes) -> None:
    made = as_http(front + rest)
    assert made == front + rest or made.startswith(b"GET /")
