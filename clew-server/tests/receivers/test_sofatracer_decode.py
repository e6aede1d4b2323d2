"""Digest logs of SOFATracer become OTLP: real logs against golden files, and each rule on a line of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `golden/sofatracer/<layout>/*.log` are captured logs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.ids import parent_id_from_eagleeye, span_id_to_eagleeye, trace_id_from_eagleeye
from clew.otlp import to_json
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import Head
from clew_server.receivers.files.contract import Notes
from clew_server.receivers.files.read import read
from clew_server.receivers.sofatracer import decoder
from clew_server.receivers.sofatracer.decoder import decode
from clew_server.receivers.sofatracer.fields import KNOWN
from clew_server.receivers.sofatracer.records import MAX_RECORD_BYTES, whole_bytes
from clew_server.testing import sofatracer
from clew_server.testing.sofatracer import BEGAN_MS, COMPACT, HTTP_SERVER, TRACE, as_json, common, compact

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, spans_of

GOLDEN = Path(__file__).parent / "golden/sofatracer"
DOCS = Path(__file__).parents[3] / "docs/receivers/sofatracer.md"
LOGS = sorted(GOLDEN.glob("*/*-digest.log"))
OUR_SPAN = bytes.fromhex("00f067aa0ba902b7")


def one_span(line: bytes, file: str = "") -> Span:
    found = decode(line, Head(path=file))
    assert dict(found.rejected) == {}
    (span,) = spans_of(found)
    return span


@pytest.fixture
def zone() -> Iterator[Any]:
    """Sets the zone of this process."""
    before = os.environ.get("TZ")

    def set_to(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    yield set_to
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize("log", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_real_sofatracer_writes_becomes_this_otlp(log: Path, zone: Any) -> None:
    zone("UTC")
    sent = log.read_bytes()
    found = decode(sent, Head(path=log.name))
    assert (found.received, dict(found.rejected)) == (sent, {})
    check_golden(log.with_suffix(".json"), to_json.request(found.request))


@pytest.mark.parametrize("log", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_real_logs_are_read_alike_without_the_name_of_their_file(log: Path) -> None:
    if log.parent.name == "compact" and log.name == "biz-digest.log":
        pytest.skip("what stands in its columns is known by its name only")
    named, unnamed = (spans_of(decode(log.read_bytes(), Head(path=name))) for name in (log.name, ""))
    for one, other in zip(named, unnamed, strict=True):
        if "biz" not in log.name:
            assert one == other
        assert one.span_id == other.span_id


def test_a_line_keeps_all_it_says() -> None:
    span = one_span(as_json(common("0.1"), HTTP_SERVER, biz_baggage="user=7&"))
    assert (span.trace_id, span.name, span.kind) == (trace_id_from_eagleeye(TRACE), "GET /order", Span.SPAN_KIND_SERVER)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 40_000_000
    assert attributes_of(span) == {
        "origin.span.id": "0.1",
        "eagleeye.trace_id": TRACE,
        "result.code": "200",
        "current.thread.name": "http-1",
        "request.url": "http://shop/order",
        "method": "GET",
        "req.size.bytes": -1,
        "resp.size.bytes": 12,
        "biz.baggage": "user=7&",
        "thread.name": "http-1",
        "http.request.method": "GET",
        "url.full": "http://shop/order",
        "url.scheme": "http",
        "url.path": "/order",
        "http.response.status_code": 200,
        "http.response.body.size": 12,
        "server.address": "shop",
    }


@pytest.mark.parametrize("file", COMPACT)
def test_each_kind_of_compact_line_is_read_by_its_columns(file: str) -> None:
    columns, named = COMPACT[file]
    kind = (
        "server" if file.startswith(("spring-mvc", "dubbo-server")) or "consume" in file or "sub" in file else "client"
    )
    first = common("0.1", kind, result="200" if "url" in "".join(named) else "00")
    for baggage in ("", "a=1,2&"):
        found = attributes_of(one_span(compact(first, columns, biz_baggage=baggage), file))
        assert {key: found.get(key) for key in named} == dict(named)
        assert found.get("biz.baggage", "") == baggage
        assert "sofatracer.columns" not in found


@pytest.mark.parametrize(
    "file", [file for file in COMPACT if not file.startswith(("kafka", "rabbit", "rocket", "message", "biz"))]
)
def test_most_kinds_of_compact_lines_are_known_without_the_files_name(file: str) -> None:
    columns, named = COMPACT[file]
    found = attributes_of(one_span(compact(common("0.1", "client"), columns)))
    assert {key: found.get(key) for key in named} == dict(named)


@pytest.mark.parametrize("file", ["", "new-thing-digest.log", "spring-mvc-digest.log"])
def test_columns_of_an_unknown_kind_are_kept_as_they_are(file: str) -> None:
    span = one_span(compact(common("0.1", "client", result="00"), ["one", "two, three", "4"]), file)
    assert attributes_of(span)["sofatracer.columns"] == "one,two, three,4"
    assert (span.name, span.kind) == (file.partition("-digest")[0] or "span", Span.SPAN_KIND_CLIENT)


def test_a_line_of_another_layout_with_its_ids_in_front_is_a_span() -> None:
    span = one_span(f"{sofatracer.wall(BEGAN_MS)},pay,{TRACE},0.1.2,com.x.Pay,pay,bolt,sync,a:12200\r\n".encode())
    assert span.trace_id == trace_id_from_eagleeye(TRACE)
    assert attributes_of(span)["sofatracer.columns"] == "com.x.Pay,pay,bolt,sync,a:12200"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("error", 'no, "boom"'),
        ("error", "C:\\temp\\x'"),
        ("error", 'said {"a":"b","c":"d"}'),
        ("request.url", 'http://shop/?q={"a":"b","method2":"c"}'),
        ("request.url", '{"not":"a url"'),
        ("request.url", '["a","b'),
        ("request.url", 'http://shop/"'),
        ("request.url", "http://shop/größe"),
    ],
)
def test_json_with_what_is_not_escaped_keeps_each_value(key: str, value: str) -> None:
    component = [(name, value if name == key else was) for name, was in HTTP_SERVER]
    found = attributes_of(one_span(as_json(common("0.1"), component)))
    assert found[key] == value
    assert (found["method"], found["resp.size.bytes"], found["result.code"]) == ("GET", 12, "200")


def test_unknown_keys_of_broken_json_are_kept() -> None:
    component = [("method", "price"), ("note", 'a "word"'), ("count", 3), ("currency", "EUR")]
    found = attributes_of(one_span(as_json(common("0.1", "client", result="00"), component), "biz-digest.log"))
    assert (found["note"], found["count"], found["currency"]) == ('a "word"', 3, "EUR")


def test_a_line_that_was_cut_keeps_what_it_had() -> None:
    line = as_json(common("0.1"), HTTP_SERVER)
    for end in range(line.index(b'"current.thread'), len(line)):
        assert decode(line[:end], Head()).spans == 1


def test_a_key_that_comes_twice_keeps_both_values() -> None:
    found = attributes_of(
        one_span(as_json(common("0.1", "client"), [*HTTP_SERVER[:2], ("resp.size.bytes", 3), ("resp.size.bytes", 4)]))
    )
    assert (found["req.size.bytes"], found["resp.size.bytes"]) == (3, 4)
    found = attributes_of(one_span(as_json(common("0.1", "client"), [("tag", "a"), ("tag", "b")])))
    assert (found["tag.first"], found["tag"]) == ("a", "b")


def test_a_statement_of_several_lines_is_one_record() -> None:
    component = [
        ("database.name", "shop"),
        ("sql", 'select "a"%2C b\n  from goods\n{"time":5}\n'),
        ("database.type", "MYSQL"),
    ]
    first = common("0.1", "client", result="success")
    line = as_json(first, component)
    found = spans_of(decode(line + line.replace(b'"0.1"', b'"0.2"'), Head()))
    assert [span.name for span in found] == ["SELECT shop"] * 2
    assert attributes_of(found[0])["db.query.text"] == 'select "a", b\n  from goods\n{"time":5}\n'
    columns = ["shop", "select a\nfrom goods", "1ms", "2ms", "MYSQL", "h:3306"]
    span = one_span(compact(first, columns), "datasource-client-digest.log")
    assert attributes_of(span)["sql"] == "select a\nfrom goods"


def test_records_are_whole_at_the_line_end_that_the_file_uses() -> None:
    line = as_json(common(), HTTP_SERVER)
    older = compact(common(), ["http://shop/", "GET", "1B", "2B", ""])
    assert whole_bytes(line + line[:-1], crlf=True) == len(line)
    assert whole_bytes(line[:-1] + line, crlf=True) == 2 * len(line) - 1
    assert whole_bytes(older + older[:-2] + b"\n", crlf=True) == len(older)
    assert whole_bytes(older[:-2] + b"\n" + older[:20], crlf=False) == len(older) - 1
    assert whole_bytes(older[:20], crlf=False) == 0
    assert decode(older.replace(b"\r\n", b"\n") * 2, Head()).spans == 2


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_lines_in_either_encoding_are_text(encoding: str) -> None:
    component = [(name, "库存不足" if name == "error" else was) for name, was in HTTP_SERVER]
    line = as_json(common("0.1"), component).decode().encode(encoding)
    assert one_span(line).status.message == "库存不足"


@pytest.mark.parametrize(
    ("result", "kind", "component", "code", "message"),
    [
        ("200", "server", HTTP_SERVER, 0, ""),
        ("404", "server", HTTP_SERVER, 0, ""),
        ("404", "client", HTTP_SERVER, 2, ""),
        ("500", "server", HTTP_SERVER, 2, ""),
        ("200", "server", (*HTTP_SERVER[:4], ("error", "boom")), 2, "boom"),
        ("00", "client", (("sql", "select 1"),), 0, ""),
        ("success", "client", (("sql", "select 1"),), 0, ""),
        ("failed", "client", (("sql", "select 1"),), 2, "result code failed"),
        ("03", "client", (("service", "a.B:1.0"), ("method", "c"), ("protocol", "bolt")), 2, "result code 03"),
    ],
)
def test_the_result_code_is_the_status(
    result: str, kind: str, component: sofatracer.Pairs, code: int, message: str
) -> None:
    span = one_span(as_json(common("0.1", kind, result=result), component))
    assert (span.status.code, span.status.message) == (code, message)


def test_a_line_of_sofa_rpc_with_its_own_names_is_a_call() -> None:
    pairs: sofatracer.Pairs = (
        ("timestamp", sofatracer.wall(BEGAN_MS + 155)),
        ("tracerId", TRACE),
        ("spanId", "0"),
        ("span.kind", "client"),
        ("local.app", "pay"),
        ("protocol", "bolt"),
        ("service", "com.x.Direct:1.0"),
        ("method", "say"),
        ("remote.app", "samples"),
        ("remote.ip", "127.0.0.1:12200"),
        ("result.code", "00"),
        ("client.elapse.time", "155"),
    )
    span = one_span(as_json(pairs, ()))
    assert (span.name, span.kind, span.start_time_unix_nano) == ("com.x.Direct/say", 3, BEGAN_MS * 1_000_000)
    found = attributes_of(span)
    assert (found["rpc.system"], found["peer.service"], found["server.port"]) == ("sofa_bolt", "samples", 12200)
    times: sofatracer.Pairs = (
        *pairs[:-1],
        ("server.pool.wait.time", "3"),
        ("biz.impl.time", "10"),
        ("req.deserialize.time", "2"),
    )
    served = one_span(as_json([(key, "server" if key == "span.kind" else value) for key, value in times], ()))
    assert (served.end_time_unix_nano - served.start_time_unix_nano, served.kind) == (15_000_000, 2)


@pytest.mark.parametrize("ours", ["UTC", "Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize("ahead_h", [0, 8, -5, 5.5])
def test_the_zone_of_a_log_is_known_from_its_trace_ids(zone: Any, ours: str, ahead_h: float) -> None:
    zone(ours)
    ahead_ms = int(ahead_h * 3_600_000)
    later = as_json(common("0.1", end_ms=BEGAN_MS + 7_200_000 + ahead_ms), HTTP_SERVER)
    root = as_json(common("0", end_ms=BEGAN_MS + 40 + ahead_ms), HTTP_SERVER)
    first, second = spans_of(decode(later + root, Head()))
    assert (second.start_time_unix_nano, first.end_time_unix_nano) == (
        BEGAN_MS * 1_000_000,
        (BEGAN_MS + 7_200_000) * 1_000_000,
    )


def test_without_a_first_span_three_traces_agree_on_a_zone_or_this_machines_is_taken(zone: Any) -> None:
    zone("Asia/Shanghai")
    traces = [f"{TRACE[:21]}{number}7591" for number in (1001, 1002, 1003)]
    lines = [as_json(common("0.1", trace=trace, end_ms=BEGAN_MS + 50), HTTP_SERVER) for trace in traces]
    assert {span.end_time_unix_nano for span in spans_of(decode(b"".join(lines), Head()))} == {
        (BEGAN_MS + 50) * 1_000_000
    }
    alone = one_span(lines[0])
    assert alone.end_time_unix_nano == (BEGAN_MS + 50 - 8 * 3_600_000) * 1_000_000


def test_times_that_are_none_are_kept_as_attributes() -> None:
    line = as_json([(k, "soon" if k == "time" else "-5ms" if k.startswith("time.") else v) for k, v in common()], ())
    span = one_span(line)
    found = attributes_of(span)
    assert (found["time"], found["time.cost.milliseconds"], span.start_time_unix_nano) == ("soon", -5, 0)


# -- trees ---------------------------------------------------------------------------------------------------------------


def test_spans_hang_on_what_their_rpc_ids_say() -> None:
    client, server, below = (
        one_span(as_json(common(rpc_id, kind), HTTP_SERVER))
        for rpc_id, kind in (("0", "client"), ("0.1", "server"), ("0.1.1", "client"))
    )
    assert (client.parent_span_id, server.parent_span_id, below.parent_span_id) == (b"", client.span_id, server.span_id)
    assert client.span_id == parent_id_from_eagleeye(TRACE, "0"), (
        "what a service of ours behind this client has as parent"
    )


def test_a_server_behind_a_service_of_ours_hangs_on_our_span() -> None:
    sent = span_id_to_eagleeye(OUR_SPAN, "0.1")
    for rpc_id in (sent, f"{sent}.1"):
        assert one_span(as_json(common(rpc_id), HTTP_SERVER)).parent_span_id == OUR_SPAN
    shared, below = (
        one_span(as_json(common(sent), HTTP_SERVER)),
        one_span(as_json(common(f"{sent}.1", "client"), HTTP_SERVER)),
    )
    assert below.parent_span_id == shared.span_id


def test_the_mark_of_load_tests_does_not_split_a_trace() -> None:
    plain, marked = (one_span(as_json(common("0.1", trace=trace), HTTP_SERVER)) for trace in (TRACE, TRACE + "T"))
    assert (plain.trace_id, plain.span_id, plain.parent_span_id) == (
        marked.trace_id,
        marked.span_id,
        marked.parent_span_id,
    )
    assert attributes_of(marked)["eagleeye.trace_id"] == TRACE + "T"


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_a_line_without_ids_costs_itself_only() -> None:
    good = as_json(common(), HTTP_SERVER)
    for key, reason in (("traceId", "trace_id"), ("spanId", "span_id")):
        broken = as_json([(k, "" if k == key else v) for k, v in common()], HTTP_SERVER)
        found = decode(broken + good, Head())
        assert (found.spans, dict(found.rejected)) == (1, {reason: 1})
    long = as_json(common(), [("error", "x" * MAX_RECORD_BYTES)])
    found = decode(good + long + good, Head())
    assert (found.spans, dict(found.rejected)) == (2, {"malformed": 1})


@pytest.mark.parametrize("body", [b"\0\1", b"hello\nworld\n", b"[1]", b"{}\r\n", b"a,b,c,d,e,f,g,h\n"])
def test_what_is_no_digest_log_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput, match="digest log"):
        decode(body, Head())
    assert decode(b"\r\n", Head()).spans == 0


def test_lines_that_grow_beyond_a_request_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_REQUEST_BYTES", 1000)
    with pytest.raises(TooLarge, match="written as OTLP"):
        decode(as_json(common(), HTTP_SERVER) * 10, Head())


def test_the_time_of_a_line_of_nothing_but_commas_grows_with_it_and_not_with_its_square() -> None:
    """Against its own time for a tenth of it, in the same run: ten times as long, a hundred if it were the square."""

    def cpu_s(repeated: int) -> float:
        line = compact(common(), ["x/,GET,1B" * repeated])
        best = float("inf")
        for _ in range(3):
            before = time.thread_time()
            decode(line, Head())
            best = min(best, time.thread_time() - before)
        return best

    assert cpu_s(20_000) < 40 * cpu_s(2_000)


# -- files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("step", [1 << 20, 7])
def test_import_reads_a_digest_log_in_whatever_blocks_it_comes(log: Path, step: int) -> None:
    data, notes = log.read_bytes(), Notes()
    parts = list(read((data[at : at + step] for at in range(0, len(data), step)), notes, name=log.name))
    assert b"".join(part.request for part in parts) == decode(data, Head(path=log.name)).request
    assert (notes.format, notes.sentence()) == ("SOFATracer digest log", "")


def test_import_counts_lines_that_are_none_and_reads_the_others() -> None:
    good, notes = as_json(common(), HTTP_SERVER), Notes()
    long = as_json(common(), [("error", "x" * (2 * MAX_RECORD_BYTES))])
    parts = list(read([good + b"2026-11-23 05:58:43.036,only this\r\n" + good + long + good], notes))
    assert (sum(part.spans for part in parts), notes.left_out["malformed"]) == (3, 2)


def test_every_field_of_sofatracers_plugins_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    written = KNOWN | {key for _, named in COMPACT.values() for key in named}
    assert [key for key in sorted(written) if f"`{key}`" not in page] == []


def test_every_key_of_a_line_counts_in_what_is_stored() -> None:
    whole = json.loads(as_json(common("0.1"), HTTP_SERVER))
    changed = {key: whole | {key: f"{whole.get(key, '')}9"} for key in KNOWN | set(whole)}
    changed["time"] = whole | {"time": "2026-11-23 06:26:51.836"}
    changed["time.cost.milliseconds"] = whole | {"time.cost.milliseconds": "41ms"}
    check_each_field_counts(whole, changed, changed, lambda line: decode(json.dumps(line).encode() + b"\n", Head()))
