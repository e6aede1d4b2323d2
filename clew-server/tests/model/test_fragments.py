"""Fragments merged into their spans: each event once, in its place, in the right span, whatever came first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.fragments import merged as merged_columns
from clew_server.model.fragments import write_fragment
from clew_server.model.otlp_read import trace_as_otlp, trace_as_otlp_json
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import EVENTS, FAILED, trace_from_spans
from clew_server.model.unknown import WHOLE_FIELD, known_fields_only, whole

TRACE_ID = bytes(range(16))


class Merged(NamedTuple):
    spans: list[StoredSpan]
    awaited: int


START = 1_795_000_000_000_000_000
SECOND = 1_000_000_000


def attributes(**values: str) -> list[KeyValue]:
    return [KeyValue(key=key.replace("_", "."), value=AnyValue(string_value=value)) for key, value in values.items()]


EXCEPTION = {"exception_type": "ValueError", "exception_message": "no", "exception_stacktrace": "at line 1"}


def stored(message: Span, service: str = "cart", received_unix_nano: int = 0) -> StoredSpan:
    resource = Resource(attributes=attributes(service_name=service)).SerializeToString()
    return StoredSpan(resource, "", b"", "", message.SerializeToString(), received_unix_nano)


def span(number: int, events: Sequence[Span.Event] = (), **fields: Any) -> Span:
    return Span(
        **{
            "trace_id": TRACE_ID,
            "span_id": number.to_bytes(8, "big"),
            "name": "op",
            "start_time_unix_nano": START,
            "end_time_unix_nano": START + SECOND,
            "events": events,
            **fields,
        }
    )


def event(at: int, name: str = "exception", **values: str) -> Span.Event:
    return Span.Event(name=name, time_unix_nano=START + at, attributes=attributes(**values))


def log(number: int, at: int, name: str = "", severity: str = "ERROR", **values: str) -> Span:
    record = LogRecord(
        trace_id=TRACE_ID,
        span_id=number.to_bytes(8, "big"),
        time_unix_nano=START + at,
        severity_text=severity,
        event_name=name,
        attributes=attributes(**values),
    )
    made = Span()
    write_fragment(made, record, "logger")
    return made


def merged(spans: Sequence[StoredSpan]) -> Merged:
    found = merged_columns(StoredSpans(spans))
    return Merged(list(found.spans), found.awaited)


def events_of(spans: Sequence[StoredSpan]) -> list[list[tuple[str, int, bool]]]:
    """Of each span its events: name, time after START, whether it came as a log record."""
    return [
        [
            (one.name, one.time_unix_nano - START, any(pair.key == "clew.from" for pair in one.attributes))
            for one in Span.FromString(each.span).events
        ]
        for each in spans
    ]


def test_events_of_fragments_stand_in_their_span_by_time_whatever_the_order_they_came_in() -> None:
    parts = [
        stored(span(1, [event(10, "first"), event(30, "third")])),
        stored(span(2)),
        *(stored(log(1, at, name)) for at, name in ((40, "fourth"), (20, "second"), (10, "beside the first"))),
        stored(log(2, 5, **EXCEPTION)),
    ]
    expected = [
        [
            ("first", 10, False),
            ("beside the first", 10, True),
            ("second", 20, True),
            ("third", 30, False),
            ("fourth", 40, True),
        ],
        [("exception", 5, True)],
    ]
    first = merged(parts)
    assert (sorted(events_of(first.spans)), first.awaited) == (sorted(expected), 0)
    for seed in range(20):
        shuffled = random.Random(seed).sample(parts, len(parts))
        assert sorted(merged(shuffled).spans) == sorted(first.spans)


def test_without_fragments_the_very_spans_come_back() -> None:
    spans = [stored(span(1, attributes=attributes(text="says clew.fragment"))), stored(span(2))]
    assert merged(spans) == (spans, 0)
    assert merged([]) == ([], 0)


def test_the_same_record_again_is_one_event() -> None:
    one = log(1, 10, **EXCEPTION)
    again = [stored(one), stored(one, received_unix_nano=5), stored(one, service="another resource")]
    assert events_of(merged([stored(span(1)), *again]).spans) == [[("exception", 10, True)]]
    other = log(1, 10, exception_type="KeyError")
    assert len(events_of(merged([stored(span(1)), *again, stored(other)]).spans)[0]) == 2


def test_an_event_that_the_span_has_already_is_not_doubled() -> None:
    own = event(10, exception_message="no", exception_type="ValueError", exception_escaped="False")
    record = stored(log(1, 10, exception_type="ValueError", exception_message="no"))
    assert events_of(merged([stored(span(1, [own])), record]).spans) == [[("exception", 10, False)]]
    for other in (
        log(1, 11, exception_type="ValueError", exception_message="no"),
        log(1, 10, exception_type="ValueError", exception_message="yes"),
        log(1, 10, "failure", exception_type="ValueError", exception_message="no"),
        log(1, 10, exception_type="ValueError"),
    ):
        assert len(events_of(merged([stored(span(1, [own])), stored(other)]).spans)[0]) == 2


def test_one_exception_written_down_twice_a_moment_apart_is_one_event() -> None:
    """As an SDK that sends both forms does: the clock is read for each. An exception raised again is another one."""
    own = [event(at, exception_escaped="False", **EXCEPTION) for at in (10, 10 + 9 * SECOND)]
    records = [stored(log(1, at + 1000, **EXCEPTION)) for at in (10, 10 + 9 * SECOND)]
    assert events_of(merged([stored(span(1, own)), *records]).spans) == [
        [("exception", 10, False), ("exception", 10 + 9 * SECOND, False)]
    ]
    third = stored(log(1, 2000, **EXCEPTION))
    assert len(events_of(merged([stored(span(1, own)), *records, third]).spans)[0]) == 3
    late = stored(log(1, 11 + SECOND, **EXCEPTION))
    assert len(events_of(merged([stored(span(1, own[:1])), late]).spans)[0]) == 2


def test_an_exported_trace_that_comes_back_has_each_event_once() -> None:
    fragment = stored(log(1, 10, **EXCEPTION))
    (exported,) = merged([stored(span(1)), fragment]).spans
    assert merged([exported, fragment]).spans == [exported]


def test_of_spans_with_one_id_the_one_of_the_same_resource_gets_the_event() -> None:
    client, server = stored(span(1, kind=3), "cart"), stored(span(1, kind=2), "bank")
    for service, chosen in (("cart", client), ("bank", server)):
        spans = merged([client, server, stored(log(1, 10, **EXCEPTION), service)]).spans
        assert [one.resource for one, events in zip(spans, events_of(spans), strict=True) if events] == [
            chosen.resource
        ]
    later = stored(span(1, start_time_unix_nano=START + 5 * SECOND, end_time_unix_nano=START + 6 * SECOND), "bank")
    other = stored(log(1, 5 * SECOND + 1, **EXCEPTION), "elsewhere")
    spans = merged([client, later, other]).spans
    assert events_of(spans) == [[], [("exception", 5 * SECOND + 1, True)]]


def test_fragments_without_their_span_are_counted_and_shown_nowhere() -> None:
    found = merged([stored(span(1)), stored(log(2, 1, "lost")), stored(log(2, 2, "lost")), stored(log(3, 1, "lost"))])
    assert (events_of(found.spans), found.awaited) == ([[]], 3)
    assert merged([stored(log(1, 1, "alone"))]) == ([], 1)


def test_a_span_with_an_event_from_a_log_says_so_and_failed_by_its_exception() -> None:
    trace = trace_from_spans([stored(log(2, 10, **EXCEPTION)), stored(span(1)), stored(log(1, 10, **EXCEPTION))])
    assert list(trace.flags) == [FAILED | EVENTS]
    assert trace.awaited == 1


@pytest.mark.parametrize("form", [trace_as_otlp, trace_as_otlp_json])
def test_an_export_has_the_event_with_all_that_the_record_had(form: Any) -> None:
    text = form(merged([stored(span(1)), stored(log(1, 10, "refused", reason="no money"))]).spans)
    for part in (b"refused", b"no money", b"clew.from", b"log.severity_text", b"ERROR", b"log.scope.name", b"logger"):
        assert part in text, part
    assert b"clew.fragment" not in text


def test_unknown_fields_of_a_span_that_gains_an_event_are_kept() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    unknown = span(1, [event(20, "own")]).SerializeToString() + b"\xa2\x1f\x03new"  # field 500
    request.resource_spans.add().scope_spans.add().spans.add().MergeFromString(unknown)
    kept, _ = known_fields_only(request, request.SerializeToString())
    raw = kept.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    assert WHOLE_FIELD == 1001
    assert b"\xca\x3e" in raw
    (found,) = merged([StoredSpan(b"", "", b"", "", raw, 0), stored(log(1, 10, "from a log"))]).spans
    assert [one.name for one in Span.FromString(found.span).events] == ["from a log", "own"]
    came = whole(found.span)
    assert b"\xa2\x1f\x03new" in came
    assert [one.name for one in Span.FromString(came).events] == ["from a log", "own"]


def test_bytes_that_do_not_parse_stay_as_they_are() -> None:
    broken = stored(span(1))._replace(span=stored(log(1, 10, "x")).span[:-3])
    good = stored(span(1))
    assert merged([broken, good]) == ([broken, good], 0)
