"""The kits that define what "instrumented" means, and the doubles they use.

An instrumentation proves itself by subclassing `ServerKit` or `ClientKit` in its tests and saying how a call is
made; pytest collects the inherited tests. They want a fixture `tracer_provider`: any provider that takes span
processors, as OpenTelemetry's SDK's and clew's do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.carriers import DictCarrier
from clew.propagation import TraceContextPropagator
from clew.testing.assertions import assert_span, exceptions_of
from clew.testing.memory import SpanRecorder
from clew.transport import Outcome, Peer

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE_ID}-{PARENT_ID}-01"


@dataclass
class FakeTransport:
    """A transport of plain values with a dictionary for a carrier."""

    operation: str = "/fake.Service/Method"
    kind: str = "fake"
    component: str = "Fake"
    headers: dict[str, Any] = field(default_factory=dict)
    peer: Peer | None = None
    values: dict[str, AttributeValue] = field(default_factory=dict)
    conclude: Callable[[object, BaseException | None], Outcome | None] | None = None

    @property
    def carrier(self) -> DictCarrier:
        """The headers."""
        return DictCarrier(self.headers)

    @property
    def reply_carrier(self) -> None:
        """None: replies have no headers."""
        return

    def attributes(self) -> Mapping[str, AttributeValue]:
        """The values given."""
        return self.values

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """Whatever `conclude` says."""
        return None if self.conclude is None else self.conclude(reply, error)


class BrokenPropagator(TextMapPropagator):
    """Fails whatever it is asked."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        raise RuntimeError("broken propagator")

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        raise RuntimeError("broken propagator")

    @property
    def fields(self) -> set[str]:
        return set()


class Failure(Exception):
    """What the kits make calls fail with."""


@contextmanager
def outside_pytest() -> Iterator[None]:
    """Instrumentation failures are swallowed in here, as they are in an application."""
    before = os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTEST_CURRENT_TEST"] = before


class Body(Protocol):
    """What the kit has a handler do, or the other side of a client: nothing, or raise."""

    def __call__(self) -> None: ...


def _nothing() -> None:
    return


class ServerKit:
    """What every server instrumentation does. Subclass, name the subclass `Test…`, and say how a call is made."""

    #: What `component` must be.
    component: ClassVar[str]
    #: The name of the span that `call` gives.
    span_name: ClassVar[str]
    #: Whether `call` and `stream` return what came out of the instrumentation.
    sees_exceptions: ClassVar[bool] = True
    #: Whether a second traceparent gets through the protocol's own implementation.
    sees_repeated_traceparent: ClassVar[bool] = True

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
    ) -> BaseException | None:
        """Call a server whose handler runs `body`; the exception that came out of the instrumentation, or None."""
        raise NotImplementedError

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        """Call a server that sends a message for each step of `source`, drawn just before the message is sent.

        The last message is sent when the source is exhausted.
        """
        raise NotImplementedError

    def test_a_call_has_one_server_span_with_name_and_component(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, _nothing)
        span = recorder.one(kind=SpanKind.SERVER)
        assert_span(
            span,
            name=self.span_name,
            status=StatusCode.UNSET,
            parent_id="",
            attributes={semconv.COMPONENT: self.component},
        )
        assert recorder.open == 0
        assert len(recorder.spans) == 1

    def test_the_parent_comes_from_the_carrier(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, _nothing, [("traceparent", TRACEPARENT), ("tracestate", "a=1")])
        span = recorder.one(kind=SpanKind.SERVER)
        assert_span(span, trace_id=TRACE_ID, parent_id=PARENT_ID)
        assert span.parent.is_remote
        assert dict(span.context.trace_state) == {"a": "1"}

    def test_all_values_of_a_header_are_seen(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]
        self.call(tracer_provider, _nothing, headers)
        assert list(recorder.one(kind=SpanKind.SERVER).context.trace_state.items()) == [("a", "1"), ("b", "2")]

    def test_a_traceparent_sent_twice_starts_a_new_trace(self, tracer_provider: Any) -> None:
        if not self.sees_repeated_traceparent:
            return
        recorder = SpanRecorder(tracer_provider)
        other = TRACEPARENT.replace(PARENT_ID, "00f067aa0ba902b7")
        self.call(tracer_provider, _nothing, [("traceparent", TRACEPARENT), ("traceparent", other)])
        assert_span(recorder.one(kind=SpanKind.SERVER), parent_id="")

    def test_headers_that_make_no_sense_start_a_new_trace(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        assert self.call(tracer_provider, _nothing, [("traceparent", "00-nonsense"), ("baggage", ";;=,,")]) is None
        assert_span(recorder.one(kind=SpanKind.SERVER), parent_id="")

    def test_the_span_is_current_in_the_handler_and_nowhere_else(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        seen: list[int] = []
        self.call(tracer_provider, lambda: seen.append(get_current_span().get_span_context().span_id))
        assert seen == [recorder.one(kind=SpanKind.SERVER).context.span_id]
        assert not get_current_span().get_span_context().is_valid

    def test_a_parent_that_is_not_sampled_gives_no_span(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        seen: list[int] = []
        self.call(
            tracer_provider,
            lambda: seen.append(get_current_span().get_span_context().trace_id),
            [("traceparent", TRACEPARENT[:-2] + "00")],
        )
        assert recorder.spans == []
        assert seen == [int(TRACE_ID, 16)]

    def test_an_exception_is_recorded_once_and_passes_untouched(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        failure = Failure("out of cheese")
        came_out = self.call(tracer_provider, _raising(failure))
        if self.sees_exceptions:
            assert came_out is failure
        _assert_failed(recorder.one(kind=SpanKind.SERVER), "out of cheese", "Failure")

    def test_a_cancellation_is_marked_and_no_error(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, _raising(asyncio.CancelledError()))
        _assert_cancelled(recorder.one(kind=SpanKind.SERVER))

    def test_a_stream_span_ends_with_the_last_message(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        ended: list[int] = []

        def source() -> Iterator[None]:
            for _ in range(3):
                ended.append(len(recorder.spans))
                yield

        self.stream(tracer_provider, source())
        assert_span(recorder.one(kind=SpanKind.SERVER), status=StatusCode.UNSET)
        assert ended == [0, 0, 0]

    def test_a_broken_propagator_costs_the_call_nothing(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        ran: list[bool] = []
        with outside_pytest():
            assert self.call(tracer_provider, lambda: ran.append(True), propagator=BrokenPropagator()) is None
        assert ran == [True]
        assert_span(recorder.one(kind=SpanKind.SERVER), name=self.span_name)


class ClientKit:
    """What every client instrumentation does. Subclass, name the subclass `Test…`, and say how a call is made."""

    #: What `component` must be.
    component: ClassVar[str]
    #: The name of the span that `call` gives.
    span_name: ClassVar[str]
    #: Whether a failing `body` reaches the caller as the same object: not so where a network lies between.
    same_exception: ClassVar[bool] = True

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        propagator: TextMapPropagator | None = None,
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        """Make a call that runs `body` where it is sent; the headers that arrived, and what the caller got raised."""
        raise NotImplementedError

    def test_a_call_has_one_client_span_with_name_and_component(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, _nothing)
        span = recorder.one(kind=SpanKind.CLIENT)
        assert_span(span, name=self.span_name, status=StatusCode.UNSET, attributes={semconv.COMPONENT: self.component})
        assert recorder.open == 0
        assert len(recorder.spans) == 1

    def test_the_carrier_names_the_client_span_as_parent(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        headers, _ = self.call(tracer_provider, _nothing, TraceContextPropagator())
        context = recorder.one(kind=SpanKind.CLIENT).context
        sent = [value for key, value in headers if key.lower() == "traceparent"]
        assert [value[:52] for value in sent] == [f"00-{context.trace_id:032x}-{context.span_id:016x}"]

    def test_the_current_span_is_the_parent(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with tracer_provider.get_tracer("test").start_as_current_span("caller") as caller:
            self.call(tracer_provider, _nothing)
            assert get_current_span() is caller
        assert_span(recorder.one(kind=SpanKind.CLIENT), parent_id=f"{caller.get_span_context().span_id:016x}")

    def test_an_exception_is_recorded_once_and_passes_untouched(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        failure = Failure("out of cheese")
        _, came_out = self.call(tracer_provider, _raising(failure))
        span = recorder.one(kind=SpanKind.CLIENT)
        if self.same_exception:
            assert came_out is failure
            _assert_failed(span, "out of cheese", "Failure")
        else:
            assert came_out is not None
            assert_span(span, status=StatusCode.ERROR)
            assert len(exceptions_of(span)) == 1

    def test_a_broken_propagator_costs_the_call_nothing(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with outside_pytest():
            assert self.call(tracer_provider, _nothing, BrokenPropagator())[1] is None
        assert_span(recorder.one(kind=SpanKind.CLIENT), name=self.span_name)


def _raising(failure: BaseException) -> Body:
    def body() -> None:
        raise failure

    return body


def _assert_failed(span: Any, message: str, type_name: str) -> None:
    assert_span(span, status=StatusCode.ERROR)
    assert span.status.description == message
    assert span.attributes[semconv.ERROR_TYPE].rpartition(".")[2] == type_name
    recorded = exceptions_of(span)
    assert len(recorded) == 1, f"{len(recorded)} exceptions recorded"
    assert recorded[0]["exception.message"] == message


def _assert_cancelled(span: Any) -> None:
    assert_span(span, status=StatusCode.UNSET, attributes={semconv.CANCELLED: True})
    assert exceptions_of(span) == []
