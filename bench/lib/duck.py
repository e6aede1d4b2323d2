"""DuckDB as yardstick: the same spans, already decoded into rows, in one table of its file."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lib.shop import Requests

BLOCK_SPANS = 100_000  # what clew stores in one statement, too
SCHEMA = pa.schema(
    [
        ("trace_id", pa.binary()),
        ("span_id", pa.binary()),
        ("parent_id", pa.binary()),
        ("service", pa.string()),
        ("name", pa.string()),
        ("kind", pa.uint8()),
        ("status", pa.uint8()),
        ("start", pa.int64()),
        ("duration", pa.int64()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("resource", pa.map_(pa.string(), pa.string())),
    ]
)


class Duck:
    """A DuckDB file filled in blocks; `cpu_s` is what the inserts and the checkpoint cost, decoding left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = duckdb.connect(str(path))
        self.connection.execute("SET threads = 2")
        self.connection.execute(
            "CREATE TABLE spans (trace_id BLOB, span_id BLOB, parent_id BLOB, service VARCHAR, name VARCHAR, kind UTINYINT,"
            " status UTINYINT, start BIGINT, duration BIGINT, attributes MAP(VARCHAR, VARCHAR), resource MAP(VARCHAR, VARCHAR))"
        )
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.spans = 0

    def fill(self, made: Requests) -> None:
        rows: list[list[object]] = [[] for _ in SCHEMA]
        for body in made.bodies:
            _decode(body, rows)
            if len(rows[0]) >= BLOCK_SPANS:
                self._store(rows)
                rows = [[] for _ in SCHEMA]
        if rows[0]:
            self._store(rows)
        cpu, wall = time.process_time(), time.monotonic()
        self.connection.execute("CHECKPOINT")
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.monotonic() - wall

    def _store(self, rows: list[list[object]]) -> None:
        block = pa.table(
            [pa.array(column, kind.type) for column, kind in zip(rows, SCHEMA, strict=True)], schema=SCHEMA
        )
        self.connection.register("block", block)
        cpu, wall = time.process_time(), time.monotonic()
        self.connection.execute("INSERT INTO spans SELECT * FROM block")
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.monotonic() - wall
        self.connection.unregister("block")
        self.spans += block.num_rows

    def disk_bytes(self) -> int:
        return self.path.stat().st_size

    def close(self) -> None:
        self.connection.close()


def _decode(body: bytes, rows: list[list[object]]) -> None:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = [(item.key, item.value.string_value) for item in group.resource.attributes]
        service = dict(resource)["service.name"]
        for scope in group.scope_spans:
            for span in scope.spans:
                values = (
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    service,
                    span.name,
                    span.kind,
                    span.status.code,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano - span.start_time_unix_nano,
                    [(item.key, item.value.string_value or str(item.value.int_value)) for item in span.attributes],
                    resource,
                )
                for column, value in zip(rows, values, strict=True):
                    column.append(value)
