"""What the collector's tests share: requests with spans whose ids say where they came from, and logs that are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector.wal import Wal


def _request(seed: int, spans: int = 1, name: str = "op") -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add(schema_url="https://example.org/resource")
    resource.resource.attributes.add(key="service.name").value.string_value = "svc"
    scope = resource.scope_spans.add(schema_url="https://example.org/scope")
    scope.scope.name = "lib"
    for number in range(spans):
        scope.spans.add(
            trace_id=(seed + 1).to_bytes(16, "big"),
            span_id=((seed + 1) << 20 | number + 1).to_bytes(8, "big"),
            name=name,
            start_time_unix_nano=1_795_346_136_783_749_738,
        )
    return message.SerializeToString()


@pytest.fixture
def request_of() -> Callable[..., bytes]:
    """`request_of(seed, spans=1)`: a canonical request; its trace id is seed + 1 as 16 bytes."""
    return _request


@pytest.fixture
def open_wal(tmp_path: Path) -> Iterator[Callable[..., Wal]]:
    """`open_wal(**options)`: an open log in `tmp_path/wal`; what is still open at the end is closed."""
    logs: list[Wal] = []

    def open_one(**options: Any) -> Wal:
        wal = Wal(tmp_path / "wal", **options)
        wal.open()
        logs.append(wal)
        return wal

    yield open_one
    for wal in logs:
        wal.close()
