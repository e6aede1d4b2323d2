"""Many instrumentation scopes: each tracer costs the same, and names that are made up do not fill the memory."""

from __future__ import annotations

import gc
import time
from random import Random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanProcessor

from clew.otlp import encode
from clew.recorder._select import Core
from clew.recorder.provider import TracerProvider
from clew.testing.memory import InMemoryExporter


def _spans_of(request: bytes) -> list[tuple[str, str]]:
    """(scope, span) of each span of an OTLP request."""
    return [
        (of_scope.scope.name, span.name)
        for of_resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _cost_of_more(known: int) -> int:
    """CPU time of 200 further tracers where so many are held already, the best of five."""
    provider = TracerProvider(exporter=InMemoryExporter(), shutdown_on_exit=False)
    held = [provider.get_tracer(f"held {n}") for n in range(known)]
    best = None
    for attempt in range(5):
        before = time.thread_time_ns()
        held += [provider.get_tracer(f"more {attempt} {n}") for n in range(200)]
        took = time.thread_time_ns() - before
        best = took if best is None else min(best, took)
    provider.shutdown(0)
    assert best
    return best


def test_a_tracer_costs_the_same_however_many_there_are() -> None:
    # Sixteen times as many; a list that is looked through would make it about sixteen times as long.
    few, many = _cost_of_more(1_000), _cost_of_more(16_000)
    assert many < 5 * few


def test_a_scope_has_one_number_however_often_it_is_asked_for(core: Core) -> None:
    buffer = core.Buffer(10, 1000, 5, lambda: None)
    assert {buffer.scope(b"a", "") for _ in range(3)} == {0}
    assert buffer.scope(b"a", "schema") == 1
    assert buffer.scope(b"b", "") == 2


def test_a_number_is_used_again_when_its_last_span_has_left(core: Core) -> None:
    buffer = core.Buffer(10, 1000, 5, lambda: None)
    first, same = buffer.scope(b"a", ""), buffer.scope(b"a", "")
    buffer.add(first, b"")
    buffer.release(first)
    assert buffer.scope(b"b", "") != first, "it has a user"
    buffer.release(same)
    assert buffer.scope(b"c", "") != first, "it has a span"
    buffer.take(10, 1000)
    assert buffer.scope(b"d", "") == first
    assert buffer.scope(b"a", "") != first


def test_a_scope_that_comes_back_before_its_spans_have_left_keeps_its_number(core: Core) -> None:
    buffer = core.Buffer(10, 1000, 5, lambda: None)
    number = buffer.scope(b"a", "")
    buffer.add(number, b"")
    buffer.release(number)
    assert buffer.scope(b"a", "") == number
    buffer.take(10, 1000)
    assert buffer.scope(b"b", "") != number


def test_every_span_is_sent_in_its_own_scope_while_numbers_are_used_again(core: Core) -> None:
    for seed in range(20):
        random = Random(seed)
        buffer = core.Buffer(30, 100_000, 1000, lambda: None, drop_oldest=bool(seed % 2))
        users: list[tuple[str, int]] = []
        numbers = set()
        sent = []
        for n in range(600):
            name = f"scope {random.randrange(40) if seed % 3 else n}"
            users.append((name, buffer.scope(encode.scope(name, "", {}), "")))
            numbers.add(users[-1][1])
            for name, number in random.sample(users, min(len(users), 3)):
                buffer.add(number, encode.span_in_scope(1, 2, "", 0, name, 1, 3, 4, {}, 0, b"", b"", 0, "", 0x101))
            if len(users) > 6:
                buffer.release(users.pop(random.randrange(len(users)))[1])
            if not random.randrange(4):
                sent += _spans_of(buffer.take(random.randrange(1, 20), 100_000)[1])
            if n == 300:
                buffer.reset()
        assert sent
        assert [one for one in sent if one[0] != one[1]] == []
        assert len(numbers) < 60, "those of the held spans and of the users"


def test_made_up_names_cost_no_memory_for_ever(core: Core) -> None:
    exporter = InMemoryExporter()
    provider = TracerProvider(exporter=exporter, shutdown_on_exit=False)
    kept = provider.get_tracer("kept", "1", attributes={"a": 1})

    def tracers() -> int:
        gc.collect()
        return sum(type(one) is core.Tracer and one.sink is provider for one in gc.get_objects())

    seen = []
    for n in range(6_000):
        with provider.get_tracer(f"made up {n}").start_as_current_span(f"made up {n}"):
            pass
        if n in (1_500, 5_999):
            provider.force_flush()
            seen.append(tracers())
    assert seen[0] < 1_100, "the latest are kept"
    assert seen[1] <= seen[0] + 10
    assert provider._pipeline is not None
    assert provider._pipeline.buffer.scope(b"a new one", "") < 6_000
    names = {(one.instrumentation_scope.name, one.name) for one in exporter.spans}
    assert len(names) == 6_000
    assert all(scope == name for scope, name in names)
    assert provider.get_tracer("kept", "1", attributes={"a": 1}) is kept
    provider.shutdown(0)


def test_a_processor_that_is_added_sees_the_spans_of_every_tracer_there_is() -> None:
    provider = TracerProvider(exporter=InMemoryExporter(), shutdown_on_exit=False)
    tracers = [provider.get_tracer(f"t{n}") for n in range(1_200)]  # more than the provider keeps
    names = []

    class Seeing(SpanProcessor):
        def on_end(self, span: object) -> None:
            names.append(span.name)  # type: ignore[attr-defined]

    provider.add_span_processor(Seeing())
    for n, tracer in enumerate(tracers):
        tracer.start_span(f"s{n}").end()
    assert names == [f"s{n}" for n in range(1_200)]
    provider.shutdown(0)
