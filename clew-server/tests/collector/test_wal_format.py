"""docs/formats/wal.md against the code: the worked example, byte by byte."""

from __future__ import annotations

import re
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record

PAGE = (Path(__file__).parents[3] / "docs" / "formats" / "wal.md").read_text(encoding="utf-8")


def example() -> bytes:
    (block,) = re.findall(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    lines = [re.match(r"(?:[0-9a-f]{2} )*[0-9a-f]{2}(?=  |$)", line) for line in block.splitlines()]
    assert all(lines)
    return bytes.fromhex("".join(line[0] for line in lines if line))


def test_the_example_is_what_the_log_writes() -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"),
        span_id=bytes.fromhex("00f067aa0ba902b7"),
        name="GET /",
    )
    body = request.SerializeToString()
    prefix = record.length_prefix(len(body))
    assert prefix + body + record.make_mark(prefix, body, 0, 1795346136783749738, bytes(range(16))) == example()


def test_the_example_is_read_as_the_page_says() -> None:
    read = record.read_record(example(), 0)
    assert read is not None
    assert (read.sequence, read.arrival_unix_nano, read.request_hash) == (0, 1795346136783749738, bytes(range(16)))
    assert (read.start, read.body, read.mark, read.end) == (0, 1, 42, 86)
    assert int.from_bytes(example()[-4:], "little") == 0x5114E586


def test_a_length_of_two_bytes_is_as_the_page_says() -> None:
    assert record.length_prefix(160 - record.MARK_BYTES) == bytes.fromhex("a001")
