"""Pinpoint's spans become OTLP: what real agents send, against golden files, and each rule on a message of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `<name>.sent.json` are captured messages, in their order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from clew import ids
from clew.otlp import to_json
from clew_server.errors import BadInput, TooLarge
from clew_server.model.facts import Fact, Known
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.pinpoint import specs
from clew_server.receivers.pinpoint.collector_json import decode_span
from clew_server.receivers.pinpoint.frames import CollectorFrames, frame
from clew_server.testing import pinpoint
from clew_server.testing.pinpoint import Chunk, Event, Span

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden
from filled import changes, fill

GOLDEN = Path(__file__).parent / "golden/pinpoint"
META = "/v1.Metadata/"
TRANSACTION = "agent-1^1795414467512^1"
TRACE_ID = ids.trace_id_from_pinpoint(TRANSACTION)
SPAN_ID = 7_000_000_000_000


class Facts:
    """What was said so far."""

    def __init__(self) -> None:
        self.by_agent: dict[str, dict[str, bytes]] = {}

    def of(self, agent: str) -> Mapping[str, bytes]:
        return self.by_agent.setdefault(agent, {})

    def add(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.by_agent.setdefault(fact.agent, {})[fact.key] = fact.value


class Agent:
    """Sends messages as one agent does, and keeps what was made of them."""

    def __init__(self, headers: Mapping[str, str] = pinpoint.HEADERS) -> None:
        self.facts = Facts()
        self.headers = headers
        self.batches: list[OtlpBatch] = []

    def send(self, method: str, body: bytes) -> None:
        head = Head(method, headers=self.headers, known=self.facts)
        if method == "json":
            self.batches.append(decode_span(body, Head()))
        elif method in specs.COLLECTOR.remembers:
            self.facts.add(specs.COLLECTOR.remembers[method](body, head))
        else:
            self.batches.append(specs.COLLECTOR.decode(body, head))

    def span(self, span: Span) -> None:
        self.send(specs.SEND_SPAN, pinpoint.span_message(span))

    def chunk(self, chunk: Chunk) -> None:
        self.send(specs.SEND_SPAN, pinpoint.chunk_message(chunk))

    def request(self) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(b"".join(batch.request for batch in self.batches))

    def spans(self) -> list[OtlpSpan]:
        return [s for r in self.request().resource_spans for c in r.scope_spans for s in c.spans]

    def only(self, name: str) -> OtlpSpan:
        (found,) = (span for span in self.spans() if span.name == name)
        return found

    def trace(self, known: Known | None = None) -> Trace:
        stored = StoredSpans(
            StoredSpan(r.resource.SerializeToString(), "", c.scope.SerializeToString(), "", s.SerializeToString(), 0)
            for r in self.request().resource_spans
            for c in r.scope_spans
            for s in c.spans
        )
        return trace_from_spans(stored, known=known or self.facts)


def tree(trace: Trace) -> dict[str, str]:
    """The name of each span, and that of its parent; `-` for none, `?` for one that is missing."""
    names = [trace.name_of(row) for row in range(len(trace))]
    return {
        names[row]: names[above] if above >= 0 else "-" if above == -1 else "?"
        for row, above in enumerate(trace.parent)
    }


@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".sent.json") for path in GOLDEN.glob("*.sent.json")))
def test_what_a_real_agent_sends_becomes_this_otlp(name: str) -> None:
    sent = json.loads((GOLDEN / f"{name}.sent.json").read_text(encoding="utf-8"))
    agent = Agent(sent["headers"])
    for method, message in sent["messages"]:
        agent.send(method, bytes.fromhex(message))
    assert all(not batch.rejected for batch in agent.batches)
    check_golden(GOLDEN / f"{name}.otlp.json", to_json.request(agent.request().SerializeToString()))


def test_a_span_says_who_asked_for_what_and_where() -> None:
    agent = Agent()
    agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(8, "Servlet Process", type_=100))
    agent.span(Span(SPAN_ID, rpc="/buy", api_id=8, caller="front", parent_id=-5, annotations=[(46, 200)]))
    (span,) = agent.spans()
    assert (span.trace_id, span.span_id) == (TRACE_ID, SPAN_ID.to_bytes(8, "big"))
    assert span.parent_span_id == ids.parent_id_from_pinpoint(TRANSACTION, SPAN_ID, -5)
    assert (span.name, span.kind, span.status.code) == ("/buy", 2, 0)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 100_000_000
    assert attributes_of(span) == {
        "pinpoint.api": "Servlet Process",
        "pinpoint.api.type": 100,
        "http.status_code": 200,
        "http.response.status_code": 200,
        "pinpoint.rpc": "/buy",
        "url.path": "/buy",
        "pinpoint.end_point": "shop:80",
        "server.address": "shop",
        "server.port": 80,
        "pinpoint.remote_address": "10.0.0.9",
        "client.address": "10.0.0.9",
        "pinpoint.parent.application": "front",
        "pinpoint.parent.service_type": "STAND_ALONE",
        "peer.service": "front",
        "pinpoint.service_type": "TOMCAT",
        "pinpoint.parent_span_id": "-5",
        "pinpoint.transaction_id": TRANSACTION,
        "pinpoint.span_id": str(SPAN_ID),
    }
    (resource,) = agent.request().resource_spans
    assert attributes_of(resource.resource) == {
        "service.name": "shop",
        "service.instance.id": "agent-1",
        "pinpoint.agent.start_time": "1795414467512",
        "pinpoint.application.service_type": "STAND_ALONE",
        "telemetry.sdk.name": "pinpoint",
        "telemetry.sdk.language": "java",
    }


def test_events_hang_by_depth_in_the_order_of_their_sequence_and_start_from_each_other() -> None:
    agent = Agent()
    names = ("a.A.one()", "a.A.two()", "a.A.three()", "a.A.four()", "a.A.five()")
    for number, text in enumerate(names, start=1):
        agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(number, text))
    events = [
        Event(0, 1, 5, 90, api_id=1),
        Event(1, 2, 3, 10, api_id=2),
        Event(2, 0, 20, 10, api_id=3),
        Event(3, 3, 1, 4, api_id=4),
        Event(4, 1, 60, 2, api_id=5),
    ]
    agent.span(Span(SPAN_ID, rpc="/", events=events))
    assert tree(agent.trace()) == {
        "/": "-",
        "A.one": "/",
        "A.two": "A.one",
        "A.three": "A.one",
        "A.four": "A.three",
        "A.five": "/",
    }
    start = agent.only("/").start_time_unix_nano
    times = {
        span.name: ((span.start_time_unix_nano - start) // 1_000_000, (span.end_time_unix_nano - start) // 1_000_000)
        for span in agent.spans()
    }
    assert times == {
        "/": (0, 100),
        "A.one": (5, 95),
        "A.two": (8, 18),
        "A.three": (28, 38),
        "A.four": (29, 33),
        "A.five": (89, 91),
    }
    assert attributes_of(agent.only("A.two"))["code.function.name"] == "a.A.two"


def _in_pieces() -> list[Any]:
    """A span of which events came before it and after it, inner ones before those around them."""
    return [
        Chunk(SPAN_ID, [Event(2, 3, api_id=3), Event(4, 2, 1, api_id=5)]),
        Chunk(SPAN_ID, [Event(1, 2, api_id=2), Event(3, 0, 1, api_id=4), Event(6, 2, 1, api_id=7)]),
        Chunk(SPAN_ID, [Event(0, 1, api_id=8), Event(1, 2, 1, api_id=9)], async_id=(9, 1)),
        Span(
            SPAN_ID,
            rpc="/",
            events=[
                Event(0, 1, 1, 50, api_id=1),
                Event(5, 1, 60, 10, 9065, api_id=6, next_span_id=77, starts_async=9),
            ],
        ),
    ]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_pieces_that_arrive_apart_in_any_order_are_one_tree(order: Sequence[int]) -> None:
    agent = Agent()
    for number in range(1, 10):
        agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(number, f"a.A.m{number}()"))
    pieces = _in_pieces()
    for at in order:
        piece = pieces[at]
        if isinstance(piece, Span):
            agent.span(piece)
        else:
            agent.chunk(piece)
    assert tree(agent.trace()) == {
        "/": "-",
        "A.m1": "/",
        "A.m2": "A.m1",
        "A.m3": "A.m2",
        "A.m4": "A.m1",
        "A.m5": "A.m1",
        "A.m6": "/",
        "A.m7": "A.m6",
        "A.m8": "A.m6",
        "A.m9": "A.m8",
    }


def test_a_chunk_whose_span_never_comes_is_readable() -> None:
    agent = Agent()
    agent.chunk(Chunk(SPAN_ID, [Event(3, 2), Event(4, 3, service_type=5010)]))
    assert tree(agent.trace()) == {"INTERNAL_METHOD": "?", "GSON": "INTERNAL_METHOD"}


def test_the_called_span_hangs_on_the_event_that_called_it() -> None:
    caller, callee = Agent(), Agent(pinpoint.HEADERS | {"agentid": "agent-2", "applicationname": "stock"})
    event = Event(
        0, 1, 1, 50, 9052, next_span_id=-77, destination="stock:80", annotations=[(40, "http://stock:80/x?q=1")]
    )
    caller.span(Span(SPAN_ID, rpc="/", events=[event]))
    callee.span(Span(-77, parent_id=SPAN_ID, rpc="/x"))
    caller.batches += callee.batches
    assert tree(caller.trace()) == {"/": "-", "HTTP_CLIENT_4": "/", "/x": "HTTP_CLIENT_4"}
    client = caller.only("HTTP_CLIENT_4")
    assert client.kind == 3
    assert (
        attributes_of(client).items()
        >= {
            "url.full": "http://stock:80/x?q=1",
            "server.address": "stock",
            "server.port": 80,
            "pinpoint.next_span_id": "-77",
        }.items()
    )


def test_without_a_next_span_there_is_no_call_to_it_however_it_is_written() -> None:
    agent = Agent()
    agent.span(Span(SPAN_ID, events=[Event(0, 1, service_type=5000, next_span_id=-1), Event(1, 1, next_span_id=0)]))
    assert all("pinpoint.next_span_id" not in attributes_of(span) for span in agent.spans())
    assert len({span.span_id for span in agent.spans()}) == 3


def test_a_statement_has_its_words_its_literals_and_its_values() -> None:
    agent = Agent()
    agent.send(META + "RequestSqlMetaData", pinpoint.id_and_text(3, "select * from t where a = 0# and b = '1$'"))
    event = Event(
        0, 1, service_type=2501, end_point="db:5432", destination="shop", annotations=[(20, (3, "1,x", "41"))]
    )
    agent.span(Span(SPAN_ID, events=[event]))
    span = agent.only("POSTGRESQL_EXECUTE_QUERY")
    assert span.kind == 3
    assert (
        attributes_of(span).items()
        >= {
            "db.query.text": "select * from t where a = ? and b = ?",
            "pinpoint.sql": "select * from t where a = 0# and b = '1$'",
            "pinpoint.sql.literals": "1,x",
            "pinpoint.sql.bind_values": "41",
            "db.system.name": "postgresql",
            "db.namespace": "shop",
            "server.address": "db",
            "server.port": 5432,
        }.items()
    )


def test_an_exception_fails_its_event_and_the_error_mark_its_span() -> None:
    agent = Agent()
    agent.send(META + "RequestStringMetaData", pinpoint.id_and_text(5, "java.lang.IllegalStateException"))
    agent.span(Span(SPAN_ID, rpc="/", err=1, events=[Event(0, 1, 0, 10, exception=(5, "no stock"))]))
    span, event = agent.only("/"), agent.only("INTERNAL_METHOD")
    assert (span.status.code, len(span.events)) == (2, 0)
    assert (event.status.code, event.status.message) == (2, "no stock")
    (told,) = event.events
    assert (told.name, told.time_unix_nano) == ("exception", event.end_time_unix_nano)
    assert attributes_of(told) == {
        "exception.type": "java.lang.IllegalStateException",
        "exception.message": "no stock",
    }


@pytest.mark.parametrize(
    ("service_type", "answer", "code"), [(9052, 500, 2), (9052, 404, 2), (9052, 200, 0), (9053, 500, 0)]
)
def test_an_answer_fails_the_event_that_called_and_none_that_passes_it_on(
    service_type: int, answer: int, code: int
) -> None:
    agent = Agent()
    event = Event(0, 1, service_type=service_type, destination="stock:80", annotations=[(46, answer)])
    agent.span(Span(SPAN_ID, rpc="/", events=[event]))
    assert agent.spans()[1].status.code == code


def test_what_comes_before_its_words_is_resolved_when_it_is_read_and_not_lost_meanwhile() -> None:
    agent = Agent()
    events = [
        Event(
            0,
            1,
            0,
            10,
            2501,
            api_id=4,
            exception=(5, "no stock"),
            annotations=[(20, (3, "1", "")), (-30, 6)],
        )
    ]
    agent.span(Span(SPAN_ID, rpc="/", api_id=8, events=events))
    before = agent.trace()
    assert before.unresolved == 2
    assert set(before.names) == {"/", "POSTGRESQL_EXECUTE_QUERY"}
    assert attributes_of(agent.only("POSTGRESQL_EXECUTE_QUERY"))["pinpoint.unresolved"] == [
        "api:4",
        "string:5=exception.type",
        "sql:3",
        "string:6=pinpoint.cached_args.0",
    ]
    agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(4, "org.Pg.query(java.lang.String s)", 12))
    half = agent.trace()
    assert half.unresolved == 2
    assert "Pg.query" in half.names
    agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(8, "Servlet Process"))
    agent.send(META + "RequestSqlMetaData", pinpoint.id_and_text(3, "select 0#"))
    agent.send(META + "RequestStringMetaData", pinpoint.id_and_text(5, "X"))
    agent.send(META + "RequestStringMetaData", pinpoint.id_and_text(6, "jdbc:y"))
    after = agent.trace()
    assert after.unresolved == 0
    (event,) = (after.span(row) for row in range(len(after)) if after.name_of(row) == "Pg.query")
    found = attributes_of(event)
    assert "pinpoint.unresolved" not in found
    assert (
        found.items()
        >= {
            "code.function.name": "org.Pg.query",
            "code.line.number": 12,
            "db.query.text": "select ?",
            "pinpoint.cached_args.0": "jdbc:y",
        }.items()
    )
    assert attributes_of(event.events[0])["exception.type"] == "X"


def test_words_belong_to_one_run_of_one_agent() -> None:
    agent = Agent()
    agent.send(META + "RequestApiMetaData", pinpoint.api_metadata(4, "a.A.old()"))
    restarted = Agent(pinpoint.HEADERS | {"starttime": "1795414467999"})
    restarted.facts = agent.facts
    restarted.span(Span(SPAN_ID, rpc="", api_id=4))
    assert restarted.spans()[0].name == "TOMCAT"


def test_exceptions_that_come_apart_are_events_of_their_span() -> None:
    agent = Agent()
    span = Span(SPAN_ID, rpc="/")
    agent.send(specs.EXCEPTIONS, pinpoint.exception_metadata(span, [("java.lang.Boom", "no stock", 1_795_414_473_800)]))
    assert (agent.batches[0].spans, agent.batches[0].fragments) == (1, 1)
    agent.span(span)
    trace = agent.trace()
    assert len(trace) == 1
    (event,) = trace.span(0).events
    assert attributes_of(event)["exception.stacktrace"] == (
        "java.lang.Boom: no stock\n\tat shop.Stock.look(Stock.java:7)"
    )


def test_annotations_keep_their_types_and_unknown_ones_their_number() -> None:
    agent = Agent()
    annotations = [(14, "done"), (14, "again"), (777, 2.5), (778, True), (779, b"\0\xff"), (-1, "x"), (310, (1, "a"))]
    agent.span(Span(SPAN_ID, annotations=annotations))
    assert (
        attributes_of(agent.spans()[0]).items()
        >= {
            "pinpoint.return_data": "again",
            "pinpoint.annotation.14.before": ["done"],
            "pinpoint.annotation.777": 2.5,
            "pinpoint.annotation.778": True,
            "pinpoint.annotation.779": b"\0\xff",
            "pinpoint.args.0": "x",
            "pinpoint.redis.io": ["1", "a"],
        }.items()
    )


@pytest.mark.parametrize(
    ("code", "application", "kind", "system"),
    [
        (2101, 1000, 3, ("db.system.name", "mysql")),
        (8200, 1000, 3, ("db.system.name", "redis")),
        (8203, 1400, 3, ("db.system.name", "elasticsearch")),
        (8660, 1000, 4, ("messaging.system", "kafka")),
        (9160, 1000, 3, ("rpc.system", "grpc")),
        (9161, 1000, 1, None),
        (5000, 1000, 1, None),
        (9900, 1700, 3, None),
        (99999, 1000, 1, None),
    ],
)
def test_service_types_become_kinds_and_systems(
    code: int, application: int, kind: int, system: tuple[str, str] | None
) -> None:
    from clew_server.receivers.pinpoint.types import event_kind, service_type

    found = service_type(code, application)
    assert (event_kind(found, calls=True), found.system) == (kind, system)


def test_a_span_of_a_message_broker_consumes_and_one_that_nobody_asked_for_is_internal() -> None:
    agent = Agent()
    agent.span(Span(1, service_type=8660, rpc="kafka://topic"))
    agent.span(Span(2, service_type=1000, rpc="", end_point="", remote=""))
    assert [span.kind for span in agent.spans()] == [5, 1]


def test_times_that_otlp_does_not_have_are_kept_as_attributes() -> None:
    agent = Agent()
    agent.span(Span(SPAN_ID, start_ms=-5, elapsed_ms=-1))
    (span,) = agent.spans()
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 0)
    assert attributes_of(span).items() >= {"pinpoint.start_time_ms": -5, "pinpoint.elapsed_ms": -1}.items()


def test_who_does_not_say_which_agent_it_is_gets_a_sentence() -> None:
    with pytest.raises(BadInput, match="agentid is missing"):
        Agent({}).span(Span(SPAN_ID))
    with pytest.raises(BadInput, match="not a PSpanMessage"):
        Agent().send(specs.SEND_SPAN, b"\xff\xff")
    with pytest.raises(TooLarge, match="more than 262144 attributes, events"):
        Agent().send(specs.SEND_SPAN, b"\x0a\x80\x80\x40" + b"\x6a\0" * (1 << 19))


NESTED: dict[str, Any] = {
    "S": 1_795_348_095_384,
    "E": 170,
    "FT": 1700,
    "appid": "agent-1",
    "appname": "shop",
    "tid": TRANSACTION,
    "sid": "7",
    "psid": "66",
    "stp": "1700",
    "uri": "/in",
    "name": "run",
    "client": "10.0.0.9",
    "server": "shop:80",
    "pname": "front",
    "ptype": "1400",
    "Ah": "shop:80",
    "clues": ["206:GET", "46:500"],
    "calls": [
        {
            "S": 100,
            "E": 60,
            "name": "outer",
            "stp": "1701",
            "calls": [
                {"S": 20, "E": 30, "name": "inner", "stp": "2101", "SQL": "select 1", "dst": "db", "server": "db:3306"},
                {"S": 55, "E": 1, "name": "bad", "stp": "1701", "EXP_V2": {"C": "KeyError", "M": "boom", ":S": 3}},
            ],
        },
        {"S": 165, "E": 2, "name": "get", "stp": "9900", "nsid": "-9", "dst": "stock:80", "mine": {"a": 1}},
    ],
}


def _flat() -> dict[str, Any]:
    events: list[dict[str, Any]] = []

    def walk(calls: Sequence[dict[str, Any]], depth: int) -> None:
        for call in calls:
            one = {
                {"S": ":S", "E": ":E", "clues": "anno"}.get(key, key): value
                for key, value in call.items()
                if key != "calls"
            }
            events.append(one | {":depth": depth, ":seq": len(events)})
            walk(call.get("calls", ()), depth + 1)

    walk(NESTED["calls"], 1)
    span = {{"S": ":S", "E": ":E", "FT": ":FT", "clues": "anno"}.get(key, key): value for key, value in NESTED.items()}
    del span["calls"]
    return span | {"event": events}


def test_both_formats_of_the_agent_for_python_become_the_same_otlp() -> None:
    requests = [decode_span(json.dumps(one).encode(), Head()).request for one in (NESTED, _flat())]
    assert requests[0] == requests[1]
    agent = Agent()
    agent.send("json", json.dumps(NESTED).encode())
    assert tree(agent.trace()) == {"/in": "?", "outer": "/in", "inner": "outer", "bad": "outer", "get": "/in"}
    span = agent.only("/in")
    assert (span.kind, span.status.code) == (2, 2)
    assert (
        attributes_of(span).items()
        >= {
            "http.request.method": "GET",
            "http.response.status_code": 500,
            "peer.service": "front",
            "pinpoint.parent.service_type": "NODE",
            "pinpoint.api": "run",
        }.items()
    )
    start = span.start_time_unix_nano
    assert {one.name: (one.start_time_unix_nano - start) // 1_000_000 for one in agent.spans()} == {
        "/in": 0,
        "outer": 100,
        "inner": 120,
        "bad": 155,
        "get": 165,
    }
    assert attributes_of(agent.only("inner")).items() >= {"db.query.text": "select 1", "db.namespace": "db"}.items()
    (told,) = agent.only("bad").events
    assert attributes_of(told) == {"exception.type": "KeyError", "exception.message": "boom"}
    assert agent.only("get").span_id == ids.span_id_from_pinpoint_call(TRANSACTION, -9)
    assert attributes_of(agent.only("get"))["pinpoint.mine"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a span"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "without a transaction id"),
        (b'{"tid":"a^1^2"}', "sid is not a number"),
        (b'{"tid":"a^1^2","sid":1e99}', "sid is not a number"),
        (b'{"tid":"a^1^2","sid":99999999999999999999}', "more than 64 bits"),
    ],
)
def test_json_that_is_no_span_is_refused_with_a_sentence(body: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        decode_span(body, Head())


def test_the_greeting_has_a_version_that_the_agent_takes_and_a_number_is_answered() -> None:
    frames = CollectorFrames()
    greeting = frames.greeting(1_795_414_473_769_000_000)
    assert json.loads(greeting[8:]) == {
        "appid": "no",
        "appname": "no",
        "time": "1795414473769",
        "version": "v1.0.0",
    }
    assert (greeting[:8], frames.length(greeting[:8])) == (
        b"\0\0\0\0" + bytes([0, 0, 0, len(greeting) - 8]),
        len(greeting) - 8,
    )
    assert frames.frame(frame(2, b"")[:8], b"", 17).answer == frame(2, b'{"uid":17}')
    assert frames.frame(frame(7, b"")[:8], b"x", 1).dropped == "frame_7"
    with pytest.raises(BadInput, match="type 1195725856"):
        frames.length(b"GET / HT")


DOCS = Path(__file__).parents[3] / "docs/receivers/pinpoint.md"
DEFINITIONS = """
PSpanMessage 1 span 2 spanChunk
PSpan 1 version 2 transactionId 3 spanId 4 parentSpanId 5 startTime 6 elapsed 7 apiId 8 serviceType 9 acceptEvent 10 annotation 11 flag 12 err 13 spanEvent 14 exceptionInfo 15 applicationServiceType 16 loggingTransactionInfo 17 attribute
PTransactionId 1 agentId 2 agentStartTime 3 sequence
PAcceptEvent 1 rpc 2 endPoint 3 remoteAddr 4 parentInfo
PParentInfo 1 parentApplicationName 2 parentApplicationType 3 acceptorHost 4 parentServiceName
PLocalAsyncId 1 asyncId 2 sequence
PSpanEvent 1 sequence 2 depth 3 startElapsed 4 endElapsed 5 serviceType 6 annotation 10 apiId 11 exceptionInfo 12 nextEvent 13 asyncEvent 14 attribute
PNextEvent 1 messageEvent
PMessageEvent 1 nextSpanId 2 endPoint 3 destinationId
PSpanChunk 1 version 2 transactionId 3 spanId 4 endPoint 5 spanEvent 6 applicationServiceType 7 keyTime 8 localAsyncId
PAnnotation 1 key 2 value
PAnnotationValue 1 stringValue 2 boolValue 3 intValue 4 longValue 5 shortValue 6 doubleValue 7 binaryValue 8 byteValue 9 intStringValue 10 stringStringValue 11 intStringStringValue 12 longIntIntByteByteStringValue 13 intBooleanIntBooleanValue 14 bytesStringStringValue
PIntStringValue 1 intValue 2 stringValue
PIntStringStringValue 1 intValue 2 stringValue1 3 stringValue2
PBytesStringStringValue 1 bytesValue 2 stringValue1 3 stringValue2
PLongIntIntByteByteStringValue 1 longValue 2 intValue1 3 intValue2 4 byteValue1 5 byteValue2 6 stringValue
PIntBooleanIntBooleanValue 1 intValue1 2 boolValue1 3 intValue2 4 boolValue2
PStringStringValue 1 stringValue1 2 stringValue2
PAttribute 1 key 2 value
PAttributeValue 1 stringValue 2 boolValue 3 longValue 4 doubleValue 5 binaryValue 6 arrayValue 7 kvlistValue
PApiMetaData 1 apiId 2 apiInfo 3 line 4 type 5 location
PSqlMetaData 1 sqlId 2 sql
PSqlUidMetaData 1 sqlUid 2 sql
PStringMetaData 1 stringId 2 stringValue
PExceptionMetaData 1 exceptions 2 transactionId 3 spanId 4 uriTemplate
PException 1 exceptionClassName 2 exceptionMessage 3 startTime 4 exceptionId 5 exceptionDepth 6 stackTraceElement
PStackTraceElement 1 className 2 fileName 3 lineNumber 4 methodName
PAgentInfo 1 hostname 2 ip 3 ports 4 serviceType 5 pid 6 agentVersion 7 vmVersion
"""  # fmt: skip
"""Of Span.proto, Annotation.proto and Stat.proto, as the agent for Java 3.0.1 carries them, and the attributes of later ones."""


def test_every_field_of_the_definitions_is_read_and_is_in_the_page() -> None:
    from clew_server.receivers.pinpoint.messages import MESSAGES

    page = DOCS.read_text(encoding="utf-8")
    defined: dict[str, dict[int, str]] = {}
    for line in DEFINITIONS.strip().splitlines():
        name, *fields = line.split()
        defined[name] = {int(number): field for number, field in zip(fields[::2], fields[1::2], strict=True)}
    read = {name: {number: field[0] for number, field in fields.items()} for name, fields in MESSAGES.items()}
    assert {name: fields for name, fields in read.items() if name != "Wrapped"} == defined
    named = [f"{name}.{field}" for name, fields in defined.items() for field in fields.values()]
    assert [name for name in named if f"`{name}`" not in page] == []


@pytest.mark.parametrize("path", [f"{specs.SEND_SPAN} span", f"{specs.SEND_SPAN} spanChunk", specs.EXCEPTIONS])
def test_every_field_of_a_message_counts_in_what_is_stored(path: str) -> None:
    from clew_server.receivers.pinpoint.messages import CLASSES

    method, _, part = path.partition(" ")
    whole = CLASSES["PSpanMessage" if part else "PExceptionMetaData"]()
    if part:
        getattr(whole, part).SetInParent()
    fill(getattr(whole, part) if part else whole)
    head = Head(method, headers=pinpoint.HEADERS)
    changed = dict(changes(whole))
    assert len(changed) >= (30 if part else 10)
    check_each_field_counts(whole, changed, changed, lambda one: specs.COLLECTOR.decode(one.SerializeToString(), head))
