"""What OTLP does not know: searched as if it were not there, exported as it came."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.model.otlp_read import trace_as_otlp, trace_as_otlp_json
from clew_server.receivers.contract import PROTOBUF
from clew_server.receivers.otlp import decode_otlp

sys.path.insert(0, str(Path(__file__).parents[1]))
from variants import request_with, variants

COLUMNS = "* EXCEPT (received, trace_id, proof, res_key, start, duration)"


def test_fields_of_other_numbers_and_wire_types_are_exported_as_they_came_and_not_searched(opened: Any) -> None:
    """All of them in one segment: one that the engine refused would take the others with it."""
    trace_ids, requests, sent = [], [], []
    refused = 0
    for one in variants():
        trace_id = os.urandom(16)
        body = request_with(one.message, one.extra, trace_id)
        try:
            original = ExportTraceServiceRequest.FromString(body)
            batch = decode_otlp(body, PROTOBUF)
        except (DecodeError, BadInput):
            refused += 1  # the parser of protobuf says no: 400, nothing is acknowledged
            continue
        known = ExportTraceServiceRequest.FromString(body)
        known.DiscardUnknownFields()
        if known.SerializeToString() == original.SerializeToString():
            continue  # a known field in a known form
        assert batch.rejected == {}
        trace_ids.append((trace_id, one))
        requests.append(batch.request)
        sent.append(original.SerializeToString())
    assert len(requests) > 400
    assert refused < 40
    plain = os.urandom(16)
    opened.put([*requests, decode_otlp(request_with("", b"", plain), PROTOBUF).request])
    for (trace_id, one), came in zip(trace_ids, sent, strict=True):
        stored = opened.store.reader.get(trace_id)
        assert ExportTraceServiceRequest.FromString(trace_as_otlp(stored)).SerializeToString() == came, one
        trace_as_otlp_json(stored)
    rows = opened.ask(
        f"SELECT DISTINCT {COLUMNS}, count() OVER () FROM spans WHERE span_id='spanspan' AND trace_id!=unhex('{plain.hex()}')"
    )
    expected = opened.ask(f"SELECT {COLUMNS} FROM spans WHERE trace_id=unhex('{plain.hex()}')")
    differing = {tuple(row[:-1]) for row in rows}
    assert tuple(expected[0]) in differing
    assert len(differing) == 1, [row for row in differing if row != tuple(expected[0])][:3]
    assert int(rows[0][-1]) == len(requests)


@pytest.mark.parametrize("number", [1001, 1002])
def test_a_client_that_uses_our_own_field_numbers_gets_them_back(opened: Any, number: int) -> None:
    trace_id = os.urandom(16)
    extra = bytes([number << 3 & 0x7F | 0x82, number >> 4]) + b"\x03new"
    body = request_with("Span", extra, trace_id)
    opened.put([decode_otlp(body, PROTOBUF).request])
    back = ExportTraceServiceRequest.FromString(trace_as_otlp(opened.store.reader.get(trace_id)))
    assert back.SerializeToString() == ExportTraceServiceRequest.FromString(body).SerializeToString()
    assert extra in back.SerializeToString()
