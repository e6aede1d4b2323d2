"""The small reader of OTLP bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from clew.otlp import decode


def test_a_rejection_is_read_from_a_response() -> None:
    response = ExportTraceServiceResponse()
    assert decode.rejection(response.SerializeToString()) == (0, "")
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "three too many"
    assert decode.rejection(response.SerializeToString()) == (3, "three too many")


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_a_value_error(data: bytes) -> None:
    try:
        for number, value in decode.fields(data):
            assert number >= 0
            assert isinstance(value, int | bytes)
    except ValueError:
        pass


@pytest.mark.parametrize("data", [b"\x80", b"\x0a\x05abc", b"\x09\x01", b"\x0d\x01", b"\x0b\x0c", b"\xff" * 12])
def test_what_is_cut_short_or_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"a number|ends beyond|a group"):
        list(decode.fields(data))
