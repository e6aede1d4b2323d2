"""Propagators by name, together, and Kratos' service name."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.baggage import get_all
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span, set_span_in_context

from clew.carriers import DictCarrier, getter, setter
from clew.propagation import (
    CompositePropagator,
    ServiceNamePropagator,
    TraceContextPropagator,
    default_propagator,
    peer_service,
    propagators_from_names,
)
from clew.testing import BrokenPropagator, outside_pytest

HEADERS = {
    "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Baggage": "k=v",
    "X-Md-Service-Name": "user",
}


def sent_name(propagator: ServiceNamePropagator, context: Context) -> str | None:
    carrier = DictCarrier()
    propagator.inject(carrier, context, setter)
    return carrier.headers.get("x-md-service-name")


def context_of(resource: dict[str, str]) -> Context:
    provider = TracerProvider(resource=Resource(resource))
    return set_span_in_context(provider.get_tracer("test").start_span("span"), Context())


def test_the_default_reads_trace_context_baggage_and_the_service_name() -> None:
    context = default_propagator().extract(DictCarrier(HEADERS), Context(), getter)
    assert get_current_span(context).get_span_context().is_valid
    assert dict(get_all(context)) == {"k": "v"}
    assert peer_service(context) == "user"
    assert default_propagator().fields == {"traceparent", "tracestate", "baggage", "x-md-service-name"}


def test_names_choose_what_is_read() -> None:
    context = propagators_from_names(["kratos"]).extract(DictCarrier(HEADERS), Context(), getter)
    assert not get_current_span(context).get_span_context().is_valid
    assert peer_service(context) == "user"


def test_none_is_nothing_at_all() -> None:
    assert propagators_from_names(["none"]).fields == set()
    assert propagators_from_names(["tracecontext", "none"]).fields == set()


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"'traceparent'.*baggage, .*kratos, none, .*tracecontext"):
        propagators_from_names(["tracecontext", "traceparent"])


def test_a_broken_part_costs_the_others_nothing() -> None:
    together = CompositePropagator([BrokenPropagator(), TraceContextPropagator()])
    with outside_pytest():
        context = together.extract(DictCarrier(HEADERS), Context(), getter)
        carrier = DictCarrier()
        together.inject(carrier, context, setter)
    assert carrier.headers == {"traceparent": HEADERS["Traceparent"]}
    with pytest.raises(RuntimeError):
        together.extract(DictCarrier(HEADERS), Context(), getter)


def test_the_service_name_is_the_providers_else_the_environments_else_none(monkeypatch: pytest.MonkeyPatch) -> None:
    propagator = ServiceNamePropagator()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    assert sent_name(propagator, Context()) is None
    assert sent_name(propagator, context_of({"service.name": "unknown_service:python"})) is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-environment")
    assert sent_name(propagator, context_of({"service.name": "unknown_service:python"})) == "from-environment"
    assert sent_name(propagator, context_of({"service.name": "user"})) == "user"
    assert sent_name(ServiceNamePropagator("given"), context_of({"service.name": "user"})) == "given"


def test_a_name_that_no_header_can_hold_is_not_sent() -> None:
    assert sent_name(ServiceNamePropagator("größe"), Context()) is None
    assert sent_name(ServiceNamePropagator("a\r\nb: c"), Context()) is None
