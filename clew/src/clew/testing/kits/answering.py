"""What answers calls: the kits of servers and of consumers of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, ClassVar, Literal

from opentelemetry import baggage
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from clew import semconv
from clew.testing.assertions import assert_span
from clew.testing.kits.checks import Hooks, assert_cancelled, assert_failed, broken_hooks
from clew.testing.kits.doubles import (
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    Body,
    BrokenPropagator,
    Failure,
    nothing,
    outside_pytest,
    raising,
)
from clew.testing.memory import SpanRecorder

_TOGETHER_TIMEOUT_S = 100.0


class _AnsweringKit:
    #: The kind of the spans.
    kind: ClassVar[SpanKind]
    #: What `component` must be.
    component: ClassVar[str]
    #: The name of the span that `call` gives.
    span_name: ClassVar[str]
    #: Whether `call` and `stream` return what came out of the instrumentation.
    sees_exceptions: ClassVar[bool] = True
    #: Whether a second traceparent gets through the protocol's own implementation.
    sees_repeated_traceparent: ClassVar[bool] = True
    #: Whether several values of one header get through it.
    sees_repeated_headers: ClassVar[bool] = True
    #: Whether a handler can end with a cancellation.
    sees_cancellation: ClassVar[bool] = True
    #: Whether `call` takes `**options` and hands them to the instrumentation; exclusion and hooks are asked for then.
    takes_options: ClassVar[bool] = False
    #: Whether `call` may run in two threads at once, with handlers that wait for each other.
    overlaps: ClassVar[bool] = False
    #: Child of the caller's span, or linked to it.
    join: ClassVar[Literal["parent", "link"]] = "parent"
    #: What the handler can answer, and the status that is to follow; `answer` is asked for each.
    answers: ClassVar[Mapping[int, StatusCode]] = {}

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
    ) -> BaseException | None:
        """Make a call whose handler runs `body`; the exception that came out of the instrumentation, or None."""
        raise NotImplementedError

    def answer(self, tracer_provider: Any, status: int) -> None:
        """Make a call that is answered with this status of the protocol. Only asked for those of `answers`."""
        raise NotImplementedError

    # Whether the span takes part in the caller's trace.
    @property
    def _is_child(self) -> bool:
        return self.join == "parent"

    def _call(self, tracer_provider: Any, body: Body, headers: Sequence[tuple[str, str]] = (), **options: Any) -> Any:
        call: Callable[..., Any] = self.call
        return call(tracer_provider, body, headers, **options)

    def test_a_call_has_one_span_with_kind_name_and_component(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, nothing)
        span = recorder.one(kind=self.kind)
        assert_span(
            span,
            name=self.span_name,
            status=StatusCode.UNSET,
            parent_id="",
            attributes={semconv.COMPONENT: self.component},
        )
        assert recorder.open == 0
        assert len(recorder.spans) == 1

    def test_the_carrier_names_parent_or_link(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, nothing, [("traceparent", TRACEPARENT), ("tracestate", "a=1")])
        span = recorder.one(kind=self.kind)
        if self._is_child:
            assert_span(span, trace_id=TRACE_ID, parent_id=PARENT_ID)
            assert span.parent.is_remote
            assert dict(span.context.trace_state) == {"a": "1"}
            return
        assert_span(span, parent_id="")
        assert [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links] == [
            (TRACE_ID, PARENT_ID)
        ]

    def test_all_values_of_a_header_are_seen(self, tracer_provider: Any) -> None:
        if not self.sees_repeated_headers or not self._is_child:
            return
        recorder = SpanRecorder(tracer_provider)
        headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]
        self.call(tracer_provider, nothing, headers)
        assert list(recorder.one(kind=self.kind).context.trace_state.items()) == [("a", "1"), ("b", "2")]

    def test_a_traceparent_sent_twice_starts_a_new_trace(self, tracer_provider: Any) -> None:
        if not self.sees_repeated_traceparent or not self.sees_repeated_headers:
            return
        recorder = SpanRecorder(tracer_provider)
        other = TRACEPARENT.replace(PARENT_ID, "00f067aa0ba902b7")
        self.call(tracer_provider, nothing, [("traceparent", TRACEPARENT), ("traceparent", other)])
        span = recorder.one(kind=self.kind)
        assert_span(span, parent_id="")
        assert not span.links

    def test_headers_that_make_no_sense_start_a_new_trace(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        assert self.call(tracer_provider, nothing, [("traceparent", "00-nonsense"), ("baggage", ";;=,,")]) is None
        span = recorder.one(kind=self.kind)
        assert_span(span, parent_id="")
        assert not span.links

    def test_the_span_is_current_in_the_handler_and_nowhere_else(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        seen: list[int] = []
        self.call(tracer_provider, lambda: seen.append(get_current_span().get_span_context().span_id))
        assert seen == [recorder.one(kind=self.kind).context.span_id]
        assert not get_current_span().get_span_context().is_valid

    def test_baggage_is_readable_in_the_handler(self, tracer_provider: Any) -> None:
        seen: list[Any] = []
        headers = [("traceparent", TRACEPARENT), ("baggage", "shop=green%20tea,empty=")]
        self.call(tracer_provider, lambda: seen.append(dict(baggage.get_all())), headers)
        assert seen == [{"shop": "green tea", "empty": ""}]

    def test_a_parent_that_is_not_sampled_gives_no_span(self, tracer_provider: Any) -> None:
        if not self._is_child:
            return
        recorder = SpanRecorder(tracer_provider)
        seen: list[Any] = []
        self.call(
            tracer_provider,
            lambda: seen.append(get_current_span().get_span_context()),
            [("traceparent", UNSAMPLED)],
        )
        assert recorder.spans == []
        assert [(context.trace_id, context.trace_flags & 1) for context in seen] == [(int(TRACE_ID, 16), 0)]

    def test_an_exception_is_recorded_once_and_passes_untouched(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        failure = Failure("out of cheese")
        came_out = self.call(tracer_provider, raising(failure))
        if self.sees_exceptions:
            assert came_out is failure
        assert_failed(recorder.one(kind=self.kind), "out of cheese", "Failure")

    def test_a_cancellation_is_marked_and_no_error(self, tracer_provider: Any) -> None:
        if not self.sees_cancellation:
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
        seen: list[tuple[int, dict[str, object]]] = []

        def look() -> None:
            seen.append((get_current_span().get_span_context().trace_id, dict(baggage.get_all())))

        def fail() -> None:
            look()
            raise Failure("out of cheese")

        self.call(tracer_provider, fail, [("traceparent", TRACEPARENT), ("baggage", "a=1")])
        self.call(tracer_provider, look)
        first, second = seen
        if self._is_child:
            assert first == (int(TRACE_ID, 16), {"a": "1"})
        assert second[0] not in (first[0], int(TRACE_ID, 16))
        assert second[1] == {}
        assert not get_current_span().get_span_context().is_valid
        assert len(recorder.spans) == 2

    def test_two_calls_at_once_keep_their_own_span(self, tracer_provider: Any) -> None:
        if not self.overlaps:
            return
        recorder = SpanRecorder(tracer_provider)
        both = Barrier(2, timeout=_TOGETHER_TIMEOUT_S)
        seen: dict[str, list[int]] = {"a": [], "b": []}

        def call(name: str) -> BaseException | None:
            def body() -> None:
                for _ in range(3):
                    both.wait()
                    seen[name].append(get_current_span().get_span_context().span_id)

            headers = [("traceparent", TRACEPARENT.replace(TRACE_ID, TRACE_ID[:-1] + name))]
            return self.call(tracer_provider, body, headers)

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(call, seen)) == [None, None]
        for name, ids in seen.items():
            assert len(ids) == 3
            assert len(set(ids)) == 1
            (span,) = [span for span in recorder.spans if span.context.span_id == ids[0]]
            if self._is_child:
                assert_span(span, trace_id=TRACE_ID[:-1] + name)
        assert seen["a"] != seen["b"]

    def test_a_broken_propagator_costs_the_call_nothing(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        ran: list[bool] = []
        with outside_pytest():
            assert self.call(tracer_provider, lambda: ran.append(True), propagator=BrokenPropagator()) is None
        assert ran == [True]
        assert_span(recorder.one(kind=self.kind), name=self.span_name)

    def test_an_excluded_call_is_not_recorded_nor_what_is_within(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        seen: list[Any] = []

        def body() -> None:
            seen.append(get_current_span().get_span_context())
            with tracer_provider.get_tracer("test").start_as_current_span("within"):
                pass

        excluded: dict[str, Any] = {"exclude": ["x-probe: y*"]}
        self._call(tracer_provider, body, [("x-probe", "yes"), ("traceparent", TRACEPARENT)], **excluded)
        self._call(tracer_provider, body, [("x-probe", "yes")], **excluded)
        assert recorder.spans == []
        assert [context.is_valid and not context.trace_flags & 1 for context in seen] == [True, True]
        if self._is_child:
            assert seen[0].trace_id == int(TRACE_ID, 16)
        self._call(tracer_provider, nothing, [("x-probe", "no")], **excluded)
        assert_span(recorder.one(kind=self.kind), name=self.span_name)

    def test_hooks_see_each_recording_span_and_its_end(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        hooks = Hooks()
        self._call(tracer_provider, nothing, **hooks.options())
        span = recorder.one(kind=self.kind)
        assert_span(span, name="renamed")
        assert span.attributes["kit.started"]
        assert span.attributes["kit.ended"] == hooks.started[0][1].kind
        assert [error for _, _, _, error in hooks.ended] == [None]
        recorder.clear()
        if self._is_child:
            self._call(tracer_provider, nothing, [("traceparent", UNSAMPLED)], **hooks.options())
            assert len(hooks.started) == len(hooks.ended) == 1
        failure = Failure("out of cheese")
        self._call(tracer_provider, raising(failure), **hooks.options())
        assert_failed(recorder.one(kind=self.kind), "out of cheese", "Failure")
        assert type(hooks.ended[1][3]) is Failure

    def test_broken_hooks_cost_the_call_nothing(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        ran: list[bool] = []
        with outside_pytest():
            assert self._call(tracer_provider, lambda: ran.append(True), **broken_hooks()) is None
        assert ran == [True]
        assert_span(recorder.one(kind=self.kind), name=self.span_name)


class ServerKit(_AnsweringKit):
    """What every server instrumentation does. Subclass, name the subclass `Test…`, and say how a call is made."""

    kind = SpanKind.SERVER

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        """Call a server that sends a message for each step of `source`, drawn just before the message is sent.

        The last message is sent when the source is exhausted.
        """
        raise NotImplementedError

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


class ConsumerKit(_AnsweringKit):
    """What every instrumentation does that handles received messages; `join` says how they are joined to the sender.

    `call` has a message with these headers be sent, untraced, and received by a handler that runs `body`.
    """

    kind = SpanKind.CONSUMER
    sees_repeated_headers = False
    #: What `messaging.system` must be; empty: it is not asked for.
    system: ClassVar[str] = ""

    def test_the_span_says_what_was_done_with_the_message(self, tracer_provider: Any) -> None:
        if not self.system:
            return
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, nothing)
        attributes = recorder.one(kind=self.kind).attributes
        assert attributes[semconv.MESSAGING_SYSTEM] == self.system
        assert attributes[semconv.MESSAGING_OPERATION_TYPE] in ("receive", "process")
        assert attributes[semconv.MESSAGING_OPERATION_NAME]
        assert attributes[semconv.MESSAGING_DESTINATION_NAME]
