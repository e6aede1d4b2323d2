"""Whether a span failed is read from its bytes first; the answer is that of its attributes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.failed import exceptions, failing_code, is_failed
from clew_server.model.fragments import write_fragment

KEYS = (
    "http.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "rpc.status_code",
    "my.http.status_code",
    "http.status_code_class",
    "status_code",
)
NUMBERS = (-1, 0, 1, 2, 14, 16, 99, 100, 127, 128, 200, 302, 399, 400, 404, 499, 500, 503, 1000, 16_584, 2**40)
TEXTS = ("", "OK", "ok", "0", "2", "14", "20", "200", "404", "503", "UNAVAILABLE", "unavailable", "\x12\x03\x18")


def last_event(span: Span) -> bytes | None:
    return span.events[-1].SerializeToString() if span.events else None


def failed(span: Span) -> bool:
    return is_failed(span.status.code, last_event(span), span.SerializeToString())


@given(
    st.sampled_from(range(6)),
    st.sampled_from(["GET /", "http.status_code", "rpc.status_code\x12\x02\x18"]),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([*NUMBERS, *TEXTS])), max_size=3),
)
def test_a_code_found_in_the_bytes_says_what_the_attributes_say(
    kind: int, name: str, values: list[tuple[str, int | str]]
) -> None:
    span = Span(name=name, kind=kind)  # type: ignore[arg-type]
    for key, value in values:
        pair = span.attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
    assert failed(span) == (failing_code(span) is not None)


@pytest.mark.parametrize(
    ("name", "severity", "fails"),
    [
        ("", 17, True),
        ("", 21, True),
        ("", 0, True),
        ("", 13, False),
        ("", 16, False),
        ("db.client.operation.exception", 17, True),
        ("db.client.operation.exception", 9, False),
    ],
)
def test_an_exception_in_a_log_record_fails_its_span_unless_it_was_logged_below_error(
    name: str, severity: int, fails: bool
) -> None:
    record = LogRecord(trace_id=b"t" * 16, span_id=b"s" * 8, severity_number=severity, event_name=name)  # type: ignore[arg-type]
    record.attributes.add(key="exception.type").value.string_value = "ValueError"
    span = Span()
    write_fragment(span, record, "")
    del span.attributes[:]
    assert failed(span) == fails
    assert len(exceptions(span)) == fails
    span.status.code = 1  # type: ignore[assignment]
    assert not failed(span)


def test_an_event_of_a_log_record_without_an_exception_fails_nothing() -> None:
    record = LogRecord(trace_id=b"t" * 16, span_id=b"s" * 8, severity_number=17, event_name="payment.exception")  # type: ignore[arg-type]
    span = Span()
    write_fragment(span, record, "")
    assert not failed(span)
