"""What makes calls: the kits of clients and of producers of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, ClassVar

from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from clew import semconv
from clew.propagation import TraceContextPropagator
from clew.testing.assertions import assert_span, exceptions_of
from clew.testing.kits.checks import Hooks, assert_cancelled, assert_failed, broken_hooks, suppressed, unsampled_span
from clew.testing.kits.doubles import TRACE_ID, Body, BrokenPropagator, Failure, nothing, outside_pytest, raising
from clew.testing.memory import SpanRecorder

_TOGETHER_TIMEOUT_S = 100.0


class _CallingKit:
    #: The kind of the spans.
    kind: ClassVar[SpanKind]
    #: What `component` must be.
    component: ClassVar[str]
    #: The name of the span that `call` gives.
    span_name: ClassVar[str]
    #: Whether a failing `body` reaches the caller as the same object: not so where a network lies between.
    same_exception: ClassVar[bool] = True
    #: Whether a failing `body` reaches the caller at all: not so where a broker lies between.
    sees_exceptions: ClassVar[bool] = True
    #: Whether `call` takes `**options` and hands them to the instrumentation; exclusion and hooks are asked for then.
    takes_options: ClassVar[bool] = False
    #: Whether `call` may run in two threads at once, with bodies that wait for each other.
    overlaps: ClassVar[bool] = False
    #: What the other side can answer, and the status that is to follow; `answer` is asked for each.
    answers: ClassVar[Mapping[int, StatusCode]] = {}

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        propagator: TextMapPropagator | None = None,
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        """Make a call that runs `body` where it is sent; the headers that arrived, and what the caller got raised."""
        raise NotImplementedError

    def answer(self, tracer_provider: Any, status: int) -> None:
        """Make a call that is answered with this status of the protocol. Only asked for those of `answers`."""
        raise NotImplementedError

    def _call(self, tracer_provider: Any, body: Body = nothing, **options: Any) -> Any:
        call: Callable[..., Any] = self.call
        return call(tracer_provider, body, **options)

    def test_a_call_has_one_span_with_kind_name_and_component(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, nothing)
        span = recorder.one(kind=self.kind)
        assert_span(span, name=self.span_name, status=StatusCode.UNSET, attributes={semconv.COMPONENT: self.component})
        assert recorder.open == 0
        assert len(recorder.spans) == 1

    def test_the_carrier_names_the_span_as_parent(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        headers, _ = self.call(tracer_provider, nothing, TraceContextPropagator())
        context = recorder.one(kind=self.kind).context
        assert [value[:52] for value in _traceparents(headers)] == [
            f"00-{context.trace_id:032x}-{context.span_id:016x}"
        ]

    def test_the_current_span_is_the_parent_and_stays_current(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with tracer_provider.get_tracer("test").start_as_current_span("caller") as caller:
            self.call(tracer_provider, nothing)
            assert get_current_span() is caller
        assert_span(recorder.one(kind=self.kind), parent_id=f"{caller.get_span_context().span_id:016x}")

    def test_baggage_is_sent(self, tracer_provider: Any) -> None:
        token = attach(baggage.set_baggage("shop", "green tea"))
        try:
            headers, _ = self.call(tracer_provider, nothing)
        finally:
            detach(token)
        assert [value for key, value in headers if key.lower() == "baggage"] == ["shop=green%20tea"]

    def test_a_parent_that_is_not_sampled_gives_no_span_and_is_sent_on(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with unsampled_span():
            headers, error = self.call(tracer_provider, nothing)
        assert error is None
        assert recorder.spans == []
        assert [_trace_and_sampled(value) for value in _traceparents(headers)] == [(TRACE_ID, 0)]

    def test_where_instrumentation_is_suppressed_the_call_is_made_without_a_span(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        ran: list[bool] = []
        with suppressed():
            _, error = self.call(tracer_provider, lambda: ran.append(True))
        assert error is None
        assert recorder.spans == []

    def test_an_exception_is_recorded_once_and_passes_untouched(self, tracer_provider: Any) -> None:
        if not self.sees_exceptions:
            return
        recorder = SpanRecorder(tracer_provider)
        failure = Failure("out of cheese")
        _, came_out = self.call(tracer_provider, raising(failure))
        span = recorder.one(kind=self.kind)
        if self.same_exception:
            assert came_out is failure
            assert_failed(span, "out of cheese", "Failure")
        else:
            assert came_out is not None
            assert_span(span, status=StatusCode.ERROR)
            assert len(exceptions_of(span)) == 1

    def test_a_cancellation_is_marked_and_no_error(self, tracer_provider: Any) -> None:
        # Over a network the other side's cancellation is not reported.
        if not self.same_exception or not self.sees_exceptions:
            return
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, raising(asyncio.CancelledError()))
        assert_cancelled(recorder.one(kind=self.kind))

    def test_each_answer_has_its_status(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        for status, wanted in self.answers.items():
            self.answer(tracer_provider, status)
            span = recorder.one(kind=self.kind)
            assert_span(span, status=wanted)
            assert (semconv.ERROR_TYPE in span.attributes) is (wanted is StatusCode.ERROR), status
            recorder.clear()

    def test_nothing_of_one_call_is_left_in_the_next(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, raising(Failure("out of cheese")) if self.sees_exceptions else nothing)
        assert not get_current_span().get_span_context().is_valid
        headers, error = self.call(tracer_provider, nothing)
        assert error is None
        first, second = (span for span in recorder.spans if span.kind is self.kind)
        assert second.parent is None
        assert second.context.trace_id != first.context.trace_id
        assert [value[3:35] for value in _traceparents(headers)] == [f"{second.context.trace_id:032x}"]

    def test_two_calls_at_once_keep_their_own_parent(self, tracer_provider: Any) -> None:
        if not self.overlaps:
            return
        recorder = SpanRecorder(tracer_provider)
        both = Barrier(2, timeout=_TOGETHER_TIMEOUT_S)

        def call(name: str) -> tuple[int, list[str]]:
            with tracer_provider.get_tracer("test").start_as_current_span(name) as caller:
                headers, error = self.call(tracer_provider, lambda: (both.wait(), None)[1])
                assert error is None
                assert get_current_span() is caller
            return caller.get_span_context().span_id, [value[36:52] for value in _traceparents(headers)]

        with ThreadPoolExecutor(2) as pool:
            calls = list(pool.map(call, ("a", "b")))
        for caller_id, sent_ids in calls:
            (span,) = [span for span in recorder.spans if span.parent is not None and span.parent.span_id == caller_id]
            assert sent_ids == [f"{span.context.span_id:016x}"]

    def test_a_broken_propagator_costs_the_call_nothing(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with outside_pytest():
            assert self.call(tracer_provider, nothing, BrokenPropagator())[1] is None
        assert_span(recorder.one(kind=self.kind), name=self.span_name)

    def test_an_excluded_call_is_not_recorded_and_says_so_to_the_other_side(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        with tracer_provider.get_tracer("test").start_as_current_span("caller") as caller:
            headers, error = self._call(tracer_provider, exclude=[lambda transport: True])
            assert get_current_span() is caller
        assert error is None
        trace_id = f"{caller.get_span_context().trace_id:032x}"
        assert [_trace_and_sampled(value) for value in _traceparents(headers)] == [(trace_id, 0)]
        headers, _ = self._call(tracer_provider, exclude=[lambda transport: True])
        assert [_trace_and_sampled(value)[1] for value in _traceparents(headers)] == [0]
        assert [span.name for span in recorder.spans] == ["caller"]

    def test_hooks_see_each_recording_span_and_its_end(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        hooks = Hooks()
        self._call(tracer_provider, **hooks.options())
        span = recorder.one(kind=self.kind)
        assert_span(span, name="renamed")
        assert span.attributes["kit.started"]
        assert span.attributes["kit.ended"] == hooks.started[0][1].kind
        assert [error for _, _, _, error in hooks.ended] == [None]
        with unsampled_span():
            self._call(tracer_provider, **hooks.options())
        assert len(hooks.started) == len(hooks.ended) == 1
        if self.sees_exceptions:
            _, came_out = self._call(tracer_provider, raising(Failure("out of cheese")), **hooks.options())
            # A library may convert an exception before the caller gets it.
            seen = hooks.ended[1][3]
            assert type(seen) is type(came_out) if self.same_exception else seen is not None

    def test_broken_hooks_cost_the_call_nothing(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        with outside_pytest():
            assert self._call(tracer_provider, **broken_hooks())[1] is None
        assert_span(recorder.one(kind=self.kind), name=self.span_name)


def _traceparents(headers: list[tuple[str, str]]) -> list[str]:
    return [value for key, value in headers if key.lower() == "traceparent"]


def _trace_and_sampled(traceparent: str) -> tuple[str, int]:
    _, trace_id, _, flags = traceparent.split("-")
    return trace_id, int(flags, 16) & 1


class ClientKit(_CallingKit):
    """What every client instrumentation does. Subclass, name the subclass `Test…`, and say how a call is made."""

    kind = SpanKind.CLIENT


class ProducerKit(_CallingKit):
    """What every instrumentation does that sends messages: `call` sends one and returns the headers that arrived.

    `body` runs where the library hands the message to the broker, if the test can get there; otherwise leave it and
    set `sees_exceptions` to False.
    """

    kind = SpanKind.PRODUCER
    sees_exceptions = False
    #: What `messaging.system` must be; empty: it is not asked for.
    system: ClassVar[str] = ""

    def test_the_span_says_what_was_done_with_the_message(self, tracer_provider: Any) -> None:
        if not self.system:
            return
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, nothing)
        attributes = recorder.one(kind=self.kind).attributes
        assert attributes[semconv.MESSAGING_SYSTEM] == self.system
        assert attributes[semconv.MESSAGING_OPERATION_TYPE] in ("send", "create")
        assert attributes[semconv.MESSAGING_OPERATION_NAME]
        assert attributes[semconv.MESSAGING_DESTINATION_NAME]
