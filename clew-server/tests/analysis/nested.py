"""Requests written as nested spans, for tests in which siblings have one name; and usual values to compare them with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.analysis.evidence import Evidence
from clew_server.analysis.tree import Tree, tree_of
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import INTERNAL, trace_from_spans
from clew_server.model.usual import ENOUGH, NOTHING, Durations, Operation, Usual, Within

T0 = 1_795_000_000_000_000_000
MS = 1_000_000


@dataclass
class Drawn:
    """A span: its times in milliseconds, the spans below it."""

    name: str
    start: float
    end: float
    below: list[Drawn] = field(default_factory=list)
    service: str = "shop"
    kind: int = INTERNAL
    failed: str = ""
    """The message of its exception, or its type and message with a colon between."""
    links: Iterable[str] = ()
    """Names of spans."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def stored(top: Drawn) -> list[StoredSpan]:
    spans: list[StoredSpan] = []
    ids: dict[str, bytes] = {}
    waiting = [(top, b"")]
    while waiting:
        drawn, parent_id = waiting.pop()
        span = Span(
            trace_id=b"t" * 16,
            span_id=(len(spans) + 1).to_bytes(8, "big"),
            parent_span_id=parent_id,
            name=drawn.name,
            kind=drawn.kind,  # type: ignore[arg-type]
            start_time_unix_nano=T0 + round(drawn.start * MS),
            end_time_unix_nano=T0 + round(drawn.end * MS),
        )
        ids.setdefault(drawn.name, span.span_id)
        for key, value in drawn.attributes.items():
            kind = {str: "string_value", int: "int_value"}.get(type(value), "double_value")
            span.attributes.append(KeyValue(key=key, value=AnyValue(**{kind: value})))
        for name in drawn.links:
            span.links.add(span_id=ids[name])
        if drawn.failed:
            span.status.code = 2  # type: ignore[assignment]
            event = span.events.add(name="exception")
            type_, colon, message = drawn.failed.partition(": ")
            if colon:
                event.attributes.add(key="exception.type").value.string_value = type_
            event.attributes.add(key="exception.message").value.string_value = message if colon else drawn.failed
        resource = Resource()
        resource.attributes.add(key="service.name").value.string_value = drawn.service
        spans.append(StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), T0))
        waiting.extend((below, span.span_id) for below in reversed(drawn.below))
    return spans


def tree(*tops: Drawn, received_unix_nano: int = T0) -> Tree:
    spans = [span for top in tops for span in stored(top)]
    return tree_of(trace_from_spans(one._replace(received_unix_nano=received_unix_nano) for one in spans))


def evidence(top: Drawn, usual: Usual = NOTHING) -> Evidence:
    return Evidence(tree(top), usual)


def of_root(*, p50_ms: float = 10, p95_ms: float = 20, count: int = 100) -> Durations:
    enough = count >= ENOUGH
    return Durations(
        count=count,
        failed=0,
        p50_ns=round(p50_ms * MS) if enough else None,
        p95_ns=round(p95_ms * MS) if enough else None,
        p99_ns=round(2 * p95_ms * MS) if enough else None,
        from_unix_nano=0,
        to_unix_nano=0,
        percentiles_ns=[round(p50_ms * MS * n / 50) for n in range(1, 100)] if enough else (),
    )


def within(
    *, calls: float = 1, p50_ms: float = 1, p95_ms: float = 2, delay_ms: float = 1, traces: int = 100, spans: int = 100
) -> Within:
    return Within(
        traces=traces,
        spans=spans,
        failed=0,
        p50_ns=round(p50_ms * MS),
        p95_ns=round(p95_ms * MS),
        calls_p50=calls,
        calls_p95=calls,
        delay_p50_ns=round(delay_ms * MS),
        delay_p95_ns=round(2 * delay_ms * MS),
    )


def usually(name: str, value: Within, service: str = "shop") -> Usual:
    return Usual(within={Operation(service, name): value}, sampled=100)


def calls(name: str, times: list[tuple[float, float]], **given: Any) -> list[Drawn]:
    return [Drawn(name, start, end, **given) for start, end in times]


def row(count: int, length: float, start: float = 0, pause: float = 0) -> list[tuple[float, float]]:
    return [(start + n * (length + pause), start + n * (length + pause) + length) for n in range(count)]
