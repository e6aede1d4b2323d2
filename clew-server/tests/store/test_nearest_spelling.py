"""The nearest spelling of a value or a key, where the most frequent ones of the time are others."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import Search
from clew_server.query import spelling
from clew_server.query.nothing import Excluded
from clew_server.query.service import QueryService

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, parsed


def put(opened: Any, name: str, routes: list[str], key: str = "http.route") -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = name
    scope = group.scope_spans.add()
    for number, route in enumerate(routes):
        trace_id = name.encode().ljust(15, b"\0") + bytes([number])
        span = scope.spans.add(trace_id=trace_id, span_id=b"s" * 8, name="op", start_time_unix_nano=NOW + number)
        span.attributes.add(key=key).value.string_value = route
    opened.put([request])


def test_it_is_found_among_those_that_occur_with_the_rest_of_the_query_and_then_among_all(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spelling, "MOST_NAMES", 3)
    put(opened, "many", ["/a", "/b", "/cart"] * 2)
    put(opened, "few", ["/pay"])
    put(opened, "till", ["/x"], key="pay.routes")
    put(opened, "desk", ["/x"], key="pay.route")
    put(opened, "dock", ["/x"], key="ship.weight")
    store = opened.store
    asked = QueryService(
        store.reader, store.reader, store.reader, completion=store.completion, summaries=store.summaries
    )

    def excluded(q: str) -> Excluded | None:
        return asyncio.run(asked.excluded(Search(where=parsed(q)), q))

    def key(q: str) -> str | None:
        found = excluded(q)
        assert found is None or found.nearest_is in ("key", None)
        return found and found.nearest

    try:
        # A key of the language, however the attributes are called that are there.
        assert [key(q) for q in ("servcie=few", "Service=few", "nmae=op", "duration>1ms", "stutas=error")] == [
            "service", "service", "name", "trace.duration", "status",
        ]  # fmt: skip
        # Whatever is asked of the key.
        asked_of = ("pay.rout exists", "pay.rout>1", "pay.rout=~x", "service=few and ship.weigth exists")
        assert [key(q) for q in asked_of] == ["pay.route", "pay.route", "pay.route", "ship.weight"]
        assert key("pay.route>1") is None, "it is there"
        assert excluded("service=few http.route=/payy") == Excluded("http.route=/payy", 12, 1, "/pay", "value")
        assert excluded("service=few http.route=/cat") == Excluded("http.route=/cat", 12, 1, "/cart", "value")
        # Spelled as it is there: nothing is like it.
        assert excluded("service=few http.route=/a") == Excluded("service=few", 0, 2, None, None)
        assert excluded("service=till pay.rout=/x") == Excluded("pay.rout=/x", 13, 1, "pay.routes", "key")
        assert excluded("service=few ship.weigth=/x") == Excluded("ship.weigth=/x", 12, 1, "ship.weight", "key")
    finally:
        asked.close()


def test_each_place_and_each_term_of_a_condition_is_looked_at(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "Spelled"
    scope = group.scope_spans.add()
    scope.scope.attributes.add(key="zone of it").value.string_value = "north"
    span = scope.spans.add(trace_id=b"spelled".ljust(16), span_id=b"s" * 8, name="op", start_time_unix_nano=NOW)
    span.attributes.add(key="two words").value.string_value = "v"
    span.events.add(name="retry").attributes.add(key="retry.reason").value.string_value = "timeout"
    span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8).attributes.add(key="why").value.string_value = "batch"
    opened.put([request])
    store = opened.store
    asked = QueryService(
        store.reader, store.reader, store.reader, completion=store.completion, summaries=store.summaries
    )

    def nearest(q: str) -> tuple[str | None, str | None]:
        found = asyncio.run(asked.excluded(Search(where=parsed(q)), q))
        assert found is not None
        return found.nearest, found.nearest_is

    try:
        assert nearest("event.retry.reason=timeuot") == ("timeout", "value")
        assert nearest("link.why=bach") == ("batch", "value")
        assert nearest("event.retry.raeson=timeout") == ("event.retry.reason", "key")
        assert nearest("span.two.words=v") == (None, None)  # no query can ask for it so
        assert nearest('"two wrds"=v') == ('"two words"', "key")
        assert nearest("trace.root.service=Speled") == ("Spelled", "value")
        assert nearest("service in (Nowhere, Speled)") == ("Spelled", "value")
        assert nearest("{service=Spelled} > {service=Speled}") == ("Spelled", "value")
    finally:
        asked.close()
