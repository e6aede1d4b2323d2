"""CAT's message trees become OTLP: what real clients send, against golden files, and each rule on a tree of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<codec>-<client>.hex` are captured frames, one a line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew import ids
from clew.otlp import to_json
from clew.otlp.encode import varint
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.cat import frames, meaning, spans, tree
from clew_server.receivers.cat.decoder import decode
from clew_server.receivers.contract import Frame, Head
from clew_server.testing import cat
from clew_server.testing.cat import Header, Record, event, remote_call, transaction

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, spans_of

GOLDEN = Path(__file__).parent / "golden/cat"
DOCS = Path(__file__).parents[3] / "docs/receivers/cat.md"
MS = 1_000_000
START = cat.START_MS * MS
ID = Header().message_id
CHILD = f"stock-c0000202-{cat.HOUR}-9"
NONE = Head()

CODECS: dict[str, Callable[..., bytes]] = {
    "NT1": cat.native,
    "PT1": cat.plain,
    "PT1 of C": lambda records, header=None: cat.plain(
        records, (header or Header())._replace(thread_group="cat", thread_name="cat"), escapes=False
    ),
}
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def decoded(*records: Sequence[Record], codec: Callable[..., bytes] = cat.native, **header: str) -> dict[str, Span]:
    """The spans of a tree by their names."""
    batch = decode(codec([one for some in records for one in some], Header(**header)), NONE)
    assert not batch.rejected
    found = {span.name: span for span in spans_of(batch)}
    assert len(found) == batch.spans
    return found


def dropped(*records: Sequence[Record]) -> tuple[int, dict[str, int]]:
    """How many spans there are, and what else."""
    batch = decode(cat.native([one for some in records for one in some]), NONE)
    return batch.spans, dict(batch.dropped)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_what_a_real_client_sends_becomes_this_otlp(name: str) -> None:
    made: list[Any] = []
    for line in (GOLDEN / f"{name}.hex").read_text("ascii").split():
        sent = bytes.fromhex(line)
        framing = frames.CatFrames()
        assert framing.length(sent[:4]) == len(sent) - 4
        found = framing.frame(sent[:4], sent[4:], 1)
        if found.spans is None:
            made.append({"dropped": found.dropped})
            continue
        batch = decode(found.spans, NONE)
        assert (batch.received, dict(batch.rejected)) == (sent[4:], {})
        made.append(to_json.request(batch.request) if batch.spans else {"dropped": dict(batch.dropped)})
    check_golden(GOLDEN / f"{name}.json", made)


@every_codec
def test_a_tree_keeps_all_it_says(codec: Callable[..., bytes]) -> None:
    records = transaction(
        "URL",
        "/buy",
        event("hook", "before", time_ms=cat.START_MS + 1, data="x=1"),
        transaction("SQL", "items.find", time_ms=cat.START_MS + 2, duration_us=1500, data="select *\nfrom t"),
        event("Cart", "full", time_ms=cat.START_MS + 4, status="warn", data="no pairs"),
        duration_us=9001,
        status="java.io.IOException",
        data="user=7&tenant=acmé",
    )
    batch = decode(codec(records, Header(session_token="s1")), NONE)
    root, sql = spans_of(batch)
    assert (root.trace_id, root.parent_span_id) == (ids.t16(ID), b"")
    assert (sql.trace_id, sql.parent_span_id) == (root.trace_id, root.span_id)
    assert (root.name, root.kind, sql.name, sql.kind) == ("URL:/buy", 2, "SQL:items.find", 3)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (START, START + 9_001_000)
    assert (sql.start_time_unix_nano, sql.end_time_unix_nano) == (START + 2 * MS, START + 3_500_000)
    assert (root.status.code, root.status.message, sql.status.code) == (2, "java.io.IOException", 0)
    assert attributes_of(root).items() >= {
        "cat.type": "URL", "cat.name": "/buy", "cat.message_id": ID, "cat.session_token": "s1", "thread.id": 7,
        "user": "7", "tenant": "acmé", "url.path": "/buy",
    }.items()  # fmt: skip
    assert attributes_of(sql) == {
        "cat.type": "SQL", "cat.name": "items.find", "db.system.name": "other_sql", "db.query.text": "select *\nfrom t",
    }  # fmt: skip
    before, full = root.events
    assert (before.name, before.time_unix_nano, attributes_of(before)) == ("hook:before", START + MS, {"x": "1"})
    assert (full.name, attributes_of(full)) == ("Cart:full", {"cat.data": "no pairs", "cat.status": "warn"})
    resource = ExportTraceServiceRequest.FromString(batch.request).resource_spans[0].resource
    assert attributes_of(resource) == {
        "service.name": "shop", "host.name": "vm", "host.ip": "192.0.2.2", "service.instance.id": "192.0.2.2",
        "telemetry.sdk.name": "cat",
    }  # fmt: skip


@every_codec
def test_a_field_may_hold_tabs_line_ends_and_what_looks_like_an_escape(codec: Callable[..., bytes]) -> None:
    data = "a\\tb\\\\c\td\r\n\t\ne T2026 \\"
    found = decoded(transaction("Job", "j", event("e", "one", data=data), data=data), codec=codec)["Job:j"]
    assert attributes_of(found)["cat.data"] == data
    assert attributes_of(found.events[0])["cat.data"] == data


def test_null_is_no_value() -> None:
    nothing = decoded(
        transaction("Job", "j", data="null"), codec=cat.plain, parent_message_id="null", root_message_id="null"
    )["Job:j"]
    assert "cat.data" not in attributes_of(nothing)
    assert "cat.root_message_id" not in attributes_of(nothing)
    native = decoded(transaction("Job", "j"), parent_message_id="null", root_message_id="null", session_token="null")
    assert (native["Job:j"].trace_id, native["Job:j"].parent_span_id) == (ids.t16(ID), b"")


@pytest.mark.parametrize("zone_hours", [0, 8, -5, 14])
def test_times_without_a_zone_are_those_of_the_hour_in_the_message_id(zone_hours: int) -> None:
    records = transaction("URL", "/", event("e", "one", time_ms=cat.START_MS + 5))
    (span,) = spans_of(decode(cat.plain(records, zone_hours=zone_hours), NONE))
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (START, START + 10 * MS)
    assert span.events[0].time_unix_nano == START + 5 * MS


def test_a_tree_sent_in_the_hour_after_it_ended_keeps_its_times() -> None:
    start_ms = cat.HOUR * 3_600_000 - 50
    records = transaction("URL", "/", time_ms=start_ms, duration_us=40_000)
    for zone_hours in (0, 8):
        (span,) = spans_of(decode(cat.plain(records, zone_hours=zone_hours), NONE))
        assert span.start_time_unix_nano == start_ms * MS


def test_without_an_hour_in_the_message_id_times_are_utc() -> None:
    (span,) = spans_of(decode(cat.plain(transaction("URL", "/"), Header(message_id="x")), NONE))
    assert span.start_time_unix_nano == START


# -- status, exceptions, what is no span ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [("0", 0), ("", 0), ("1", 2), ("unset", 2), ("ERROR", 2)])
def test_every_status_but_zero_is_an_error(status: str, code: int) -> None:
    found = decoded(transaction("URL", "/", status=status))["URL:/"]
    assert (found.status.code, found.status.message) == (code, status if code else "")


@pytest.mark.parametrize("type_", sorted(meaning.EXCEPTIONS))
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("java.lang.IllegalStateException", "java.lang.IllegalStateException: boom\n\tat A.main(A.java:1)\n", "boom"),
        ("ValueError", 'Traceback (most recent call last):\n  File "a.py"\nValueError: no stock\n', "no stock"),
        ("shop.errors.Sold", 'Traceback (most recent call last):\n  File "a.py"\nSold: out\n', "out"),
        ("KeyError", "no such key", "no such key"),
        ("java.lang.NullPointerException", "java.lang.NullPointerException\n\tat A.main(A.java:1)\n", None),
    ],
)
def test_an_exception_is_an_event_of_its_span(type_: str, name: str, data: str, message: str | None) -> None:
    found = decoded(transaction("URL", "/", event(type_, name, status="ERROR", data=data)))["URL:/"]
    (raised,) = found.events
    assert raised.name == "exception"
    expected = {"exception.type": name, "cat.type": type_, "cat.status": "ERROR"}
    expected |= {"exception.stacktrace": data} if "\n" in data else {}
    expected |= {} if message is None else {"exception.message": message}
    assert attributes_of(raised) == expected
    assert found.status.code == 0, "the transaction says whether it failed"


def test_an_event_outside_of_all_transactions_is_a_span_of_its_own() -> None:
    found = decoded(event("Error", "ValueError", status="ERROR", data="boom"), event("shop", "closed", data="a=1"))
    error, closed = found["Error:ValueError"], found["shop:closed"]
    assert (error.status.code, error.status.message, closed.status.code) == (2, "ValueError", 0)
    assert [one.name for one in error.events] == ["exception"]
    assert error.start_time_unix_nano == error.end_time_unix_nano == START
    assert (attributes_of(closed)["a"], closed.events) == ("1", [])
    assert error.span_id != closed.span_id


def test_an_event_outside_of_all_transactions_without_a_status_did_not_fail() -> None:
    assert decoded(event("shop", "closed", status="unset"))["shop:closed"].status.code == 0


def test_trees_of_a_client_that_gives_them_one_message_id_are_spans_of_their_own() -> None:
    first, second = decoded(transaction("URL", "/")), decoded(transaction("URL", "/", time_ms=cat.START_MS + 9))
    assert first["URL:/"].trace_id == second["URL:/"].trace_id
    assert first["URL:/"].span_id != second["URL:/"].span_id
    assert first["URL:/"].span_id == decoded(transaction("URL", "/"))["URL:/"].span_id, "the same tree sent again"


def test_traces_are_events_with_a_mark() -> None:
    found = decoded(transaction("URL", "/", event("log", "line", letter="L", data="text")))["URL:/"]
    assert attributes_of(found.events[0]) == {"cat.data": "text", "cat.record": "trace"}


def test_heartbeats_metrics_sums_and_reboots_are_counted_and_are_no_spans() -> None:
    heartbeat = event("Heartbeat", "192.0.2.2", letter="H", data="<status/>")
    metric = event("", "orders", letter="M", status="C", data="1")
    assert dropped(transaction("System", "Status", heartbeat)) == (0, {"heartbeats": 1})
    assert dropped(heartbeat, metric, metric) == (0, {"heartbeats": 1, "metrics": 2})
    assert dropped(transaction("URL", "/", heartbeat, metric, event("e", "one"))) == (
        1,
        {"heartbeats": 1, "metrics": 1},
    )
    assert dropped(transaction("System", "MetricAggregator", metric)) == (0, {"metrics": 1})
    assert dropped(transaction("System", "MetricAggregator")) == (0, {})
    summed = transaction("URL", "/", data="@5;0;12;1,5|")
    assert dropped(transaction("System", "TransactionAggregator", summed, summed)) == (0, {"aggregates": 2})
    assert dropped(transaction("System", "EventAggregator", event("e", "one", data="@5;0"))) == (0, {"aggregates": 1})
    assert dropped(transaction("System", "Reboot", event("Reboot", "192.0.2.2"))) == (0, {"reboots": 1})
    assert dropped(transaction("System", "Cleaning")) == (1, {}), "an application's own"


def test_small_trees_that_a_client_put_together_are_traces_of_their_own() -> None:
    inner = transaction("Cache.redis", "get", transaction("Job", "in", time_ms=cat.START_MS + 1))
    records = transaction("System", "_CatMergeTree", inner, transaction("SQL", "one"), event("e", "lone"))
    found = decoded(records)
    assert set(found) == {"Cache.redis:get", "Job:in", "SQL:one", "e:lone"}
    assert found["Job:in"].parent_span_id == found["Cache.redis:get"].span_id
    assert found["Job:in"].trace_id == found["Cache.redis:get"].trace_id
    assert [one.parent_span_id for name, one in found.items() if name != "Job:in"] == [b""] * 3
    assert len({one.trace_id for one in found.values()}) == 3


# -- kinds and standard names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        *(("URL", 2), ("Service", 2), ("PigeonService", 2), ("DubboService", 2), ("URL.Forward", 1), ("Method", 1)),
        *(("SQL", 3), ("Cache.redis", 3), ("Squirrel.get", 3), ("Call", 3), ("PigeonCall", 3), ("RemoteCall", 3)),
        *(("KafkaProducer", 4), ("KafkaConsumer", 5)),
    ],
)
def test_the_type_says_the_kind(type_: str, kind: int) -> None:
    assert decoded(transaction(type_, "n"))[f"{type_}:n"].kind == kind


AGENT = "Mozilla/5.0 (X11; a=b&c)"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (
            transaction(
                "URL",
                "/buy",
                event("URL", "URL.Method", data="HTTP/POST /shop/buy?x=1&y=2"),
                event("URL", "URL.Server", data=f"IPS=10.1.2.3,10.9.9.9&VirtualIP=10.0.0.1&Server=shop&Referer=null&Agent={AGENT}"),
            ),
            {"http.request.method": "POST", "url.path": "/shop/buy", "url.query": "x=1&y=2", "url.scheme": "http",
             "client.address": "10.1.2.3", "network.peer.address": "10.0.0.1", "server.address": "shop", "user_agent.original": AGENT},
        ),
        (transaction("URL", "/buy", event("URL.Method", "PUT")), {"http.request.method": "PUT", "url.path": "/buy"}),
        (
            transaction("SQL", "Items.find", event("SQL.Method", "SELECT"),
                        event("SQL.Database", "jdbc:mysql://10.1.1.1:3306/shop?useUnicode=true"), data="select 1"),
            {"db.system.name": "mysql", "db.namespace": "shop", "server.address": "10.1.1.1", "server.port": 3306,
             "db.operation.name": "SELECT", "db.query.text": "select 1"},
        ),
        (transaction("SQL", "x", event("SQL.Database", "orders")), {"db.system.name": "other_sql", "db.namespace": "orders"}),
        (transaction("Cache.redis", "cart:get"), {"db.system.name": "redis", "db.operation.name": "get"}),
        (transaction("Cache.memcached", "get:cart-7"), {"db.system.name": "memcached", "db.operation.name": "get"}),
        (
            transaction("PigeonCall", "stock.reserve", event("PigeonCall.app", "stock"), event("PigeonCall.server", "10.1.1.2:4040")),
            {"rpc.system": "pigeon", "rpc.method": "stock.reserve", "peer.service": "stock", "server.address": "10.1.1.2",
             "server.port": 4040},
        ),
        (
            transaction("Call", "reserve", event("Call.server", "10.1.1.2"), event("Call.port", "8080")),
            {"rpc.method": "reserve", "server.address": "10.1.1.2", "server.port": 8080},
        ),
        (
            transaction("DubboService", "reserve", event("DubboService.app", "web"), event("DubboService.client", "[::1]:99")),
            {"rpc.system": "apache_dubbo", "peer.service": "web", "client.address": "::1", "client.port": 99},
        ),
        (transaction("Job", "j", data="http.status_code=404"), {"http.status_code": "404", "http.response.status_code": 404}),
    ],
)  # fmt: skip
def test_standard_names_stand_beside_what_types_and_events_say(records: list[Record], expected: dict[str, Any]) -> None:
    (found,) = decoded(records).values()
    said = attributes_of(found)
    assert {key: said.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a=1&b=x y", {"a": "1", "b": "x y"}),
        ("a=1&cat.type=mine", {"a": "1", "cat.data.cat.type": "mine"}),
        ("a=", {"a": ""}),
        *((text, {"cat.data": text}) for text in ("a=1&a=2", "a=1&b", "one two=3", "=1", "x", "a=1&&b=2")),
        ("&".join(f"k{n}=1" for n in range(200)), {"cat.data": "&".join(f"k{n}=1" for n in range(200))}),
    ],
)
def test_data_of_keys_and_values_becomes_attributes_and_any_other_stays_whole(
    data: str, expected: dict[str, str]
) -> None:
    said = attributes_of(decoded(transaction("Job", "j", data=data))["Job:j"])
    known = ("cat.type", "cat.name", "cat.message_id", "cat.thread_group", "thread.name", "thread.id")
    assert {key: value for key, value in said.items() if key not in known} == expected


# -- one trace of many processes ------------------------------------------------------------------------------------------


def test_a_call_and_the_tree_of_the_callee_are_one_trace_whichever_comes_first() -> None:
    call = transaction("Call", "stock", event("Call.app", "stock"), remote_call(CHILD))
    front = decoded(transaction("URL", "/buy", call))
    back = decoded(
        transaction("Service", "stock"), domain="stock", message_id=CHILD, parent_message_id=ID, root_message_id=ID
    )
    served = back["Service:stock"]
    assert served.trace_id == front["URL:/buy"].trace_id == ids.t16(ID)
    assert served.parent_span_id == front["Call:stock"].span_id
    assert attributes_of(front["Call:stock"])["cat.remote_call.message_id"] == CHILD
    assert [one.name for one in front["Call:stock"].events] == ["Call.app:stock"]
    assert attributes_of(served).items() >= {"cat.parent_message_id": ID, "cat.root_message_id": ID}.items()
    third = f"third-c0000202-{cat.HOUR}-1"
    last = decoded(transaction("Service", "x"), message_id=third, parent_message_id=CHILD, root_message_id=ID)
    assert last["Service:x"].trace_id == served.trace_id


def test_a_call_outside_of_a_transaction_for_calls_is_a_client_span_until_what_comes_next() -> None:
    other = f"default-c0000202-{cat.HOUR}-10"
    found = decoded(
        transaction(
            "URL",
            "/buy",
            remote_call(CHILD, "first", time_ms=cat.START_MS + 1),
            event("e", "between", time_ms=cat.START_MS + 2),
            transaction("Job", "j", time_ms=cat.START_MS + 4, duration_us=1000),
            remote_call(other, time_ms=cat.START_MS + 6),
            duration_us=9500,
        )
    )
    first, second, root = found["RemoteCall:first"], found["RemoteCall"], found["URL:/buy"]
    assert [one.span_id for one in (first, second)] == [ids.parent_id_from_cat(one, ID) for one in (CHILD, other)]
    assert {one.parent_span_id for one in (first, second, found["Job:j"])} == {root.span_id}
    assert (first.kind, second.kind) == (3, 3)
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (START + MS, START + 4 * MS)
    assert (second.start_time_unix_nano, second.end_time_unix_nano) == (START + 6 * MS, START + 9_500_000)
    assert attributes_of(first)["peer.service"] == "stock"
    assert "peer.service" not in attributes_of(second)
    assert [one.name for one in root.events] == ["e:between"]


def test_a_client_that_calls_twice_has_a_span_for_each_call() -> None:
    other = f"stock-c0000202-{cat.HOUR}-10"
    found = decoded(transaction("Call", "stock", remote_call(CHILD, "one"), remote_call(other, "two")))
    assert set(found) == {"Call:stock", "RemoteCall:one", "RemoteCall:two"}
    same = decoded(transaction("Call", "stock", remote_call(CHILD), remote_call(CHILD)))
    assert set(same) == {"Call:stock"}


def test_an_event_that_names_no_tree_stays_an_event() -> None:
    found = decoded(transaction("Call", "stock", remote_call("not an id")))["Call:stock"]
    assert [(one.name, attributes_of(one)) for one in found.events] == [("RemoteCall", {"cat.data": "not an id"})]


def test_a_tree_that_was_cut_goes_on_in_the_next_one() -> None:
    second, third = (f"shop-c0000202-{cat.HOUR}-{number}" for number in (2, 3))
    first_part = decoded(transaction("URL", "/long", transaction("Job", "a"), remote_call(second, "Next")))
    middle = decoded(
        transaction("URL", "/long", transaction("Job", "b"), remote_call(third, "Next")),
        message_id=second, parent_message_id=ID, root_message_id=ID,
    )  # fmt: skip
    end = decoded(
        transaction("URL", "/long", event("TruncatedTransaction", "TotalDuration", data="123456")),
        message_id=third, parent_message_id=second, root_message_id=ID,
    )  # fmt: skip
    roots = [part["URL:/long"] for part in (first_part, middle, end)]
    assert {one.trace_id for part in (first_part, middle, end) for one in part.values()} == {ids.t16(ID)}
    assert [one.parent_span_id for one in roots] == [b"", roots[0].span_id, roots[1].span_id]
    assert set(first_part) == {"URL:/long", "Job:a"}
    assert first_part["Job:a"].parent_span_id == roots[0].span_id
    assert [attributes_of(one).get("cat.next_message_id") for one in roots] == [second, third, None]
    assert attributes_of(end["URL:/long"])["cat.total_duration_us"] == 123456
    assert end["URL:/long"].events == []


def test_a_cut_tree_that_is_a_call_itself_keeps_its_call() -> None:
    second = f"shop-c0000202-{cat.HOUR}-2"
    found = decoded(transaction("Call", "stock", remote_call(CHILD), remote_call(second, "Next")))
    assert found["Call:stock"].span_id == ids.parent_id_from_cat(second, ID)
    assert found["RemoteCall"].span_id == ids.parent_id_from_cat(CHILD, ID)


def test_another_thread_hangs_on_the_transaction_that_started_it() -> None:
    forked = f"shop-c0000202-{cat.HOUR}-4"
    found = decoded(transaction("URL", "/", remote_call(f"{forked}=Task:mail", "RunAway")))
    assert (found["Task:mail"].kind, found["Task:mail"].parent_span_id) == (1, found["URL:/"].span_id)
    thread = decoded(transaction("Task", "mail"), message_id=forked, parent_message_id=ID, root_message_id=ID)
    assert thread["Task:mail"].parent_span_id == found["Task:mail"].span_id


def test_a_thread_that_outlives_its_transaction_hangs_on_it() -> None:
    forked = f"shop-c0000202-{cat.HOUR}-4"
    detached = transaction("Detached", "mailer", data=f"#={forked}")
    found = decoded(transaction("URL", "/", transaction("Forkable", "main", detached)))
    thread = decoded(
        transaction("Detached", "mailer", transaction("Task", "mail"), data=f"#={forked}"),
        message_id=forked, parent_message_id=ID, root_message_id=ID,
    )  # fmt: skip
    assert found["Detached:mailer"].parent_span_id == found["Forkable:main"].span_id
    assert thread["Detached:mailer"].parent_span_id == found["Detached:mailer"].span_id
    assert thread["Task:mail"].parent_span_id == thread["Detached:mailer"].span_id
    assert thread["Detached:mailer"].trace_id == found["URL:/"].trace_id
    assert attributes_of(found["Detached:mailer"])["cat.next_message_id"] == forked


def test_a_tree_called_by_clew_is_in_clews_trace() -> None:
    trace_id, span_id = bytes(range(16)), bytes(range(1, 9))
    found = decoded(
        transaction("Service", "x"),
        message_id=CHILD,
        parent_message_id=ids.span_id_to_cat(span_id),
        root_message_id=ids.trace_id_to_cat(trace_id),
    )["Service:x"]
    assert (found.trace_id, found.parent_span_id) == (trace_id, span_id)


def test_a_domain_may_hold_anything_and_several_processes_may_share_an_address() -> None:
    child = f"a-b.c-c0000202.8041-{cat.HOUR}-60008"
    found = decoded(transaction("Call", "x", remote_call(child)))["Call:x"]
    assert attributes_of(found)["peer.service"] == "a-b.c"


def test_a_tree_without_a_message_id_gets_one_of_its_bytes() -> None:
    records = transaction("URL", "/")
    first, again = (decoded(records, message_id="")["URL:/"] for _ in range(2))
    other = decoded(transaction("URL", "/other"), message_id="")["URL:/other"]
    assert first.trace_id == again.trace_id != other.trace_id


# -- broken and hostile bytes ---------------------------------------------------------------------------------------------


@every_codec
def test_records_that_break_off_cost_what_is_behind_them_only(codec: Callable[..., bytes]) -> None:
    whole = codec(transaction("URL", "/buy", transaction("Job", "j"), transaction("SQL", "s")))
    cut = whole[: whole.index(b"SQL")]
    batch = decode(cut, NONE)
    root, job = spans_of(batch)
    assert (root.name, job.name, dict(batch.rejected)) == ("URL:/buy", "Job:j", {"malformed": 1})
    assert attributes_of(root)["cat.incomplete"] is True
    assert "cat.incomplete" not in attributes_of(job)
    assert root.end_time_unix_nano == job.end_time_unix_nano


@every_codec
def test_an_end_without_a_beginning_is_where_the_records_break_off(codec: Callable[..., bytes]) -> None:
    batch = decode(codec([*transaction("URL", "/"), Record("T", "URL", "/"), *transaction("Job", "j")]), NONE)
    assert (batch.spans, dict(batch.rejected)) == (1, {"malformed": 1})


def test_a_transaction_that_never_ended_in_a_whole_tree_is_incomplete() -> None:
    batch = decode(cat.native([Record("t", "URL", "/"), *event("e", "one", time_ms=cat.START_MS + 7)]), NONE)
    (span,) = spans_of(batch)
    assert attributes_of(span)["cat.incomplete"] is True
    assert (span.end_time_unix_nano, dict(batch.rejected)) == (START + 7 * MS, {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NT",
        b"NT1",
        b"NT1" + b"\xff" * 30,
        b"NT1" + b"\0" * 9,
        b"NT1" + b"\0" * 10 + b"?",
        b"NT1\xff\xff\xff\xff\x0fx",
        b"PT1",
        b"PT1\ta\tb\n",
        b"PT1" + b"\ta" * 10,
        b"PT1" + b"\ta" * 10 + b"\n?",
        b"PT1" + b"\ta" * 10 + b"\nt2026-13-40 00:00:00.000\tURL\t/\t\n",
        cat.native(transaction("a", "b"), Header(domain="x" * (tree.MAX_HEADER_VALUE + 1))),
        cat.plain(transaction("a", "b"), Header(domain="x" * (tree.MAX_HEADER_VALUE + 1))),
        b"XX1" + bytes(50),
    ],
)
def test_bytes_that_are_no_tree_are_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput, match="not a message of CAT"):
        decode(body, NONE)


def test_an_empty_tree_is_nothing() -> None:
    for codec in (cat.native, cat.plain):
        assert decode(codec([]), NONE).spans == 0


@every_codec
def test_a_tree_of_any_depth_is_taken(codec: Callable[..., bytes]) -> None:
    deep = 3_000
    records = [Record("t", "Job", "j")] * deep + [Record("T", "Job", "j")] * deep
    found = spans_of(decode(codec(records), NONE))
    assert len(found) == deep
    assert all(one.parent_span_id == above.span_id for above, one in pairwise(found))


def test_too_many_records_and_too_many_bytes_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_RECORDS", 100)
    for records in (event("e", "x"), transaction("a", "b", *[event("e", "x")] * 99), [Record("t")]):
        assert decode(cat.native((records * 100)[:100]), NONE).spans
        with pytest.raises(TooLarge, match="records"):
            decode(cat.native((records * 101)[:102]), NONE)
    monkeypatch.setattr(spans, "MAX_REQUEST_BYTES", 10_000)
    with pytest.raises(TooLarge, match="written as OTLP"):
        decode(cat.native(event("e", "x") * 90), NONE)


def test_times_that_otlp_does_not_have_are_kept() -> None:
    far = 1 << 60
    found = decoded(transaction("URL", "/", time_ms=far, duration_us=(1 << 64) - 1))["URL:/"]
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (0, 0)
    assert attributes_of(found).items() >= {"cat.start_ms": str(far), "cat.duration_us": str((1 << 64) - 1)}.items()


def test_bytes_that_are_no_text_do_not_cost_the_tree() -> None:
    found = decoded(transaction("Job", "\udcff\udcfe"))
    assert set(found) == {"Job:\ufffd\ufffd"}


# -- frames ---------------------------------------------------------------------------------------------------------------


def test_frames_are_told_apart_by_their_codec() -> None:
    framing = frames.CatFrames()
    for body, expected in (
        (b"NT1x", Frame(spans=b"NT1x")),
        (b"PT1x", Frame(spans=b"PT1x")),
        (b"NM1x", Frame(dropped="metrics")),
        (b"NB1x", Frame(dropped="metrics")),
        (b"XY9x", Frame(dropped="unknown_frames")),
    ):
        assert framing.frame(frames.frame(body)[:4], body, 1) == expected
    with pytest.raises(BadInput, match="names no codec"):
        framing.frame(b"\0\0\0\2", b"NT", 1)
    with pytest.raises(BadInput, match="not CAT"):
        framing.length(b"\xff\xff\xff\xff")


def test_numbers_are_as_long_as_they_say_and_no_longer() -> None:
    body = cat.native([])[:-1] + b"\0" + b"t" + varint((1 << 64) - 1) + b"\0\0T\0\0\0"
    assert decode(body, NONE).spans == 1
    too_long = cat.native([*transaction("a", "b"), Record("t")])[:-9]
    assert decode(too_long + b"t" + b"\x80" * 11 + b"\1\0\0", NONE).rejected == {"malformed": 1}


# -- every field of the protocol has its place ----------------------------------------------------------------------------


def test_every_field_record_and_special_type_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    camel = {re.sub(r"_(.)", lambda match: match[1].upper(), name) for name in Header._fields}
    camel = (camel - {"threadGroup"}) | {"threadGroupName"}
    named = [*camel, *"tTAEMHL", "type", "name", "status", "data", "duration", "timestamp"]
    named += [*meaning.EXCEPTIONS, *(rule for rule in meaning.RULES if ":" not in rule)]
    named += [f".{said}" for said in meaning.OF_CALLS]
    named += [
        "RemoteCall",
        spans.NEXT,
        spans.RUN_AWAY,
        spans.DETACHED,
        spans.UNSET_STATUS,
        "TotalDuration",
        "_CatMergeTree",
        "Reboot",
    ]
    assert [name for name in named if f"`{name}`" not in page] == []


@pytest.mark.parametrize("codec", [cat.native, cat.plain], ids=["NT1", "PT1"])
def test_every_value_of_a_header_and_a_record_counts_in_what_is_stored(codec: Callable[..., bytes]) -> None:
    root = cat.transaction("URL", "/buy", cat.event("Cart", "full", data="k=v"), data="a=b")
    begin, event, end = root
    header = Header(parent_message_id="a-1-1-1", root_message_id="r-1-1-1", session_token="s")
    changed: dict[str, tuple[list[Record], Header]] = {
        field: (root, header._replace(**{field: getattr(header, field) + "9"})) for field in Header._fields
    }
    for field, other in (
        ("type", "Odd"),
        ("name", "odd"),
        ("time_ms", cat.START_MS + 1),
        ("status", "1"),
        ("data", "x=y"),
    ):
        changed[f"event.{field}"] = [begin, event._replace(**{field: other}), end], header
    for field, other in (("type", "Odd"), ("name", "odd")):
        changed[f"transaction.{field}"] = [one._replace(**{field: other}) for one in (begin, end)], header
        changed[f"transaction.{field}"][0].insert(1, event)
    changed["transaction.time_ms"] = [begin._replace(time_ms=cat.START_MS + 1), event, end], header
    for field, other in (("status", "1"), ("data", "x=y"), ("duration_us", 11_000)):
        changed[f"transaction.{field}"] = [begin, event, end._replace(**{field: other})], header
    check_each_field_counts((root, header), changed, changed, lambda one: decode(codec(*one), NONE))
