"""What users of the SDK's TracerProvider rely on, asked of it and of clew's alike: one answer is expected of both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, StaticSampler

from clew.recorder import misuse
from clew.recorder.provider import TracerProvider

type_of_provider = pytest.mark.parametrize("make", [sdk.TracerProvider, TracerProvider], ids=["sdk", "clew"])
Make = Callable[..., Any]
SaidHere = Callable[[], list[logging.LogRecord]]

LINKED = api.SpanContext(trace_id=7, span_id=9, is_remote=False)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this process has an opinion, and no line of these tests has been complained of before."""
    for variable in ("OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(misuse, "_last", {})


class Diary(sdk.SpanProcessor):
    """Writes down what it is told."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    def on_start(self, span: sdk.Span, parent_context: Any = None) -> None:
        self._lines.append(f"{self._name} start {span.name} {span.is_recording()}")

    def _on_ending(self, span: sdk.Span) -> None:
        self._lines.append(f"{self._name} ending {span.name}")

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self._lines.append(f"{self._name} end {span.name}")

    def shutdown(self) -> None:
        self._lines.append(f"{self._name} shutdown")


@type_of_provider
def test_the_sampler_is_the_first_argument_and_the_resource_the_second(make: Make) -> None:
    resource = Resource({"service.name": "shop"})
    provider = make(ALWAYS_OFF, resource)
    assert provider.resource is resource
    assert not provider.get_tracer("t").start_span("s").is_recording()


@type_of_provider
def test_every_processor_hears_of_a_span_in_the_order_it_was_added(make: Make) -> None:
    lines: list[str] = []
    provider = make(shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("before"):
        provider.add_span_processor(Diary("one", lines))
        provider.add_span_processor(Diary("two", lines))
        with tracer.start_as_current_span("s"):
            pass
    provider.shutdown()
    in_pairs = [f"{who} {what}" for what in ("start s True", "ending s", "end s") for who in ("one", "two")]
    late = [f"{who} {what}" for what in ("ending before", "end before") for who in ("one", "two")]
    assert lines == [*in_pairs, *late, "one shutdown", "two shutdown"]


@type_of_provider
def test_a_processor_of_many_threads_may_be_given_for_all(make: Make) -> None:
    lines: list[str] = []
    many = sdk.ConcurrentMultiSpanProcessor(2)
    many.add_span_processor(Diary("one", lines))
    provider = make(active_span_processor=many, shutdown_on_exit=False)
    provider.get_tracer("t").start_span("s").end()
    provider.shutdown()
    assert lines == ["one start s True", "one ending s", "one end s", "one shutdown"]


@type_of_provider
def test_tracers_and_spans_are_those_of_the_sdk_to_isinstance(make: Make) -> None:
    tracer = make().get_tracer("t")
    span = tracer.start_span("s")
    assert isinstance(tracer, sdk.Tracer)
    assert isinstance(span, sdk.Span)
    assert isinstance(span, sdk.ReadableSpan)


@type_of_provider
def test_equal_scopes_share_a_tracer_attributes_included(make: Make) -> None:
    provider = make()
    first = provider.get_tracer("t", "1", "https://schema", {"a": "b"})
    assert provider.get_tracer("t", "1", "https://schema", {"a": "b"}) is first
    assert provider.get_tracer("t", "1", "https://schema", {"a": "c"}) is not first


@type_of_provider
def test_a_tracer_without_a_name_works_and_is_complained_of(make: Make, said_here: SaidHere) -> None:
    provider = make()
    for times, name in enumerate(("", None), 1):
        tracer = provider.get_tracer(name)
        assert [record.levelno for record in said_here()] == [logging.ERROR] * times
        assert tracer.start_span("s").instrumentation_scope.name == ""


@type_of_provider
def test_a_disabled_sdk_records_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert isinstance(make().get_tracer("t"), api.NoOpTracer)


@type_of_provider
def test_the_sampler_can_be_looked_at(make: Make) -> None:
    assert isinstance(make().sampler, ParentBased)
    assert make(sampler=ALWAYS_OFF).sampler is ALWAYS_OFF


@type_of_provider
def test_the_sampler_of_the_variable_decides(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert isinstance(make().get_tracer("t").start_span("s"), api.NonRecordingSpan)


@type_of_provider
def test_attributes_of_events_and_links_cannot_be_changed(make: Make) -> None:
    span = make().get_tracer("t").start_span("s", links=[api.Link(LINKED, {"a": 1})])
    span.add_link(LINKED, {"a": 1})
    span.add_event("e", {"a": 1})
    for one in (*span.links, *span.events):
        assert one.attributes == {"a": 1}
        with pytest.raises(TypeError):
            one.attributes["a"] = 2


@type_of_provider
def test_what_is_no_link_is_passed_over(make: Make) -> None:
    tracer = make().get_tracer("t")
    span = tracer.start_span("s", links=[api.Link(api.INVALID_SPAN_CONTEXT), None, api.Link(LINKED)])
    span.add_link(None)
    assert [link.context for link in span.links] == [LINKED]


@type_of_provider
def test_the_live_span_tells_what_its_limits_dropped(make: Make) -> None:
    limits = sdk.SpanLimits(max_link_attributes=1, max_event_attributes=1, max_links=1, max_events=1)
    span = make(span_limits=limits).get_tracer("t").start_span("s")
    for _ in range(3):
        span.add_link(LINKED, {"a": 1, "b": 2})
        span.add_event("e", {"a": 1, "b": 2, "c": 3})
    assert (span.dropped_links, span.dropped_events) == (2, 2)
    assert (span.links[0].dropped_attributes, span.events[0].dropped_attributes) == (1, 2)


@type_of_provider
def test_an_empty_limit_in_the_environment_is_no_limit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "")
    span = make().get_tracer("t").start_span("s", attributes={f"k{n}": n for n in range(300)})
    assert len(span.attributes) == 300


@type_of_provider
def test_misuse_of_a_span_is_warned_of(make: Make, said_here: SaidHere) -> None:
    span = make().get_tracer("t").start_span("s")
    span.set_status(api.Status(api.StatusCode.ERROR, "kept"), "ignored")
    assert span.status.description == "kept"
    span.set_attribute("", 1)
    span.end()
    span.add_event("late")
    span.end()
    assert [record.levelno for record in said_here()] == [logging.WARNING] * 4


@type_of_provider
def test_the_same_mistake_on_another_provider_is_warned_of_too(make: Make, said_here: SaidHere) -> None:
    for span in [make().get_tracer("t").start_span("s") for _ in range(2)]:
        span.end()
        span.end()
    assert len(said_here()) == 2


@type_of_provider
@pytest.mark.parametrize("decision", list(Decision), ids=lambda decision: decision.name)
def test_spans_are_counted_where_a_meter_is_given(
    make: Make, decision: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    tracer = make(sampler=StaticSampler(decision), meter_provider=meters).get_tracer("t")

    def points() -> dict[str, list[tuple[dict[str, Any], Any]]]:
        data = reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: [(dict(point.attributes or {}), point.value) for point in metric.data.data_points]  # type: ignore[union-attr]
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name.startswith("otel.sdk.span.")  # the reader counts its own collecting too
        }

    span = tracer.start_span("s")
    result = {"otel.span.sampling_result": decision.name}
    started = [({"otel.span.parent.origin": "none", **result}, 1)]
    expected = {"otel.sdk.span.started": started}
    if decision is not Decision.DROP:
        expected["otel.sdk.span.live"] = [(result, 1)]
    assert points() == expected
    span.end()
    if decision is not Decision.DROP:
        expected["otel.sdk.span.live"] = [(result, 0)]
    assert points() == expected
    meters.shutdown()


@type_of_provider
def test_without_the_variable_no_span_is_counted(make: Make) -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    make(sampler=ALWAYS_ON, meter_provider=meters).get_tracer("t").start_span("s").end()
    assert reader.get_metrics_data() is None
    meters.shutdown()
