"""What asks a database: the kit of its clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from opentelemetry.trace import SpanKind, StatusCode, get_current_span
from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.testing.assertions import assert_span, exceptions_of
from clew.testing.kits.checks import Hooks, broken_hooks, suppressed, unsampled_span
from clew.testing.kits.doubles import outside_pytest
from clew.testing.memory import SpanRecorder


class DatabaseKit:
    """What every instrumentation of a database client does: one CLIENT span a command or statement.

    Subclass, name the subclass `Test…`, and say how a command is sent.
    """

    #: What `component` must be.
    component: ClassVar[str]
    #: The name of the span that `call` gives.
    span_name: ClassVar[str]
    #: Attributes that span has: `db.system.name`, `db.operation.name` and so on.
    attributes: ClassVar[Mapping[str, AttributeValue]] = {}
    #: A value that `call` sends to the database, and that no span may hold.
    secret: ClassVar[str] = ""
    #: What `db.query.text` is with `with_statement=True`; None: the instrumentation has no such option.
    statement: ClassVar[str | None] = None
    #: Whether it is kept without the option, too.
    keeps_statement: ClassVar[bool] = False
    #: What `db.response.status_code` is when `call` fails; None: the database has none.
    failure_code: ClassVar[str | None] = None
    #: Whether the application gets an exception when `call` fails, and the span has it.
    raises: ClassVar[bool] = True
    #: Whether `call` takes `**options` and hands them to the instrumentation; exclusion and hooks are asked for then.
    takes_options: ClassVar[bool] = False

    def call(self, tracer_provider: Any, *, fails: bool = False) -> BaseException | None:
        """Send one traced command, which the database refuses if `fails`; the exception the application got, or None.

        What else must be sent, to connect or to prepare a table, is sent untraced.
        """
        raise NotImplementedError

    def _call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        call: Callable[..., BaseException | None] = self.call
        return call(tracer_provider, fails=fails, **options)

    def test_a_command_has_one_client_span_with_name_and_attributes(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        assert self.call(tracer_provider) is None
        span = recorder.one(kind=SpanKind.CLIENT)
        assert_span(
            span,
            name=self.span_name,
            status=StatusCode.UNSET,
            parent_id="",
            attributes={semconv.COMPONENT: self.component, **self.attributes},
        )
        assert semconv.DB_SYSTEM_NAME in span.attributes
        assert recorder.open == 0
        assert len(recorder.spans) == 1

    def test_the_current_span_is_the_parent_and_stays_current(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with tracer_provider.get_tracer("test").start_as_current_span("caller") as caller:
            self.call(tracer_provider)
            assert get_current_span() is caller
        assert_span(recorder.one(kind=SpanKind.CLIENT), parent_id=f"{caller.get_span_context().span_id:016x}")

    def test_no_value_is_recorded_whether_statements_are_kept_or_not(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        kept: dict[str, Any] = {} if self.statement is None else {"with_statement": True}
        left_out: dict[str, Any] = {} if self.statement is None else {"with_statement": False}
        cases = [({}, self.keeps_statement), (kept, self.statement is not None), (left_out, False)]
        for options, is_kept in cases:
            recorder.clear()
            self._call(tracer_provider, **options)
            span = recorder.one(kind=SpanKind.CLIENT)
            assert span.attributes.get(semconv.DB_QUERY_TEXT) == (self.statement if is_kept else None)
            assert not self.secret or self.secret not in f"{span.name} {dict(span.attributes)}"

    def test_a_command_that_fails_is_an_error_and_the_exception_passes(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        error = self.call(tracer_provider, fails=True)
        span = recorder.one(kind=SpanKind.CLIENT)
        assert_span(span, status=StatusCode.ERROR)
        assert span.attributes[semconv.ERROR_TYPE]
        if self.failure_code is not None:
            assert_span(span, attributes={semconv.DB_RESPONSE_STATUS_CODE: self.failure_code})
        if self.raises:
            assert error is not None
            assert len(exceptions_of(span)) == 1

    def test_a_parent_that_is_not_sampled_gives_no_span(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with unsampled_span():
            assert self.call(tracer_provider) is None
        assert recorder.spans == []

    def test_where_instrumentation_is_suppressed_there_is_no_span(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        with suppressed():
            assert self.call(tracer_provider) is None
        assert recorder.spans == []

    def test_nothing_of_one_command_is_left_in_the_next(self, tracer_provider: Any) -> None:
        recorder = SpanRecorder(tracer_provider)
        self.call(tracer_provider, fails=True)
        self.call(tracer_provider)
        first, second = (span for span in recorder.spans if span.kind is SpanKind.CLIENT)
        assert_span(second, name=self.span_name, status=StatusCode.UNSET, parent_id="")
        assert first.context.trace_id != second.context.trace_id
        assert not get_current_span().get_span_context().is_valid

    def test_an_excluded_command_is_not_recorded(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        assert self._call(tracer_provider, exclude=[lambda transport: transport.kind == "db"]) is None
        assert recorder.spans == []
        self._call(tracer_provider, exclude=["never"])
        assert_span(recorder.one(kind=SpanKind.CLIENT), name=self.span_name)

    def test_hooks_see_each_recording_span_and_its_end(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        hooks = Hooks()
        self._call(tracer_provider, **hooks.options())
        span = recorder.one(kind=SpanKind.CLIENT)
        assert_span(span, name="renamed", attributes={"kit.ended": "db"})
        assert span.attributes["kit.started"]
        assert len(hooks.started) == len(hooks.ended) == 1
        with unsampled_span():
            self._call(tracer_provider, **hooks.options())
        assert len(hooks.started) == len(hooks.ended) == 1

    def test_broken_hooks_cost_the_command_nothing(self, tracer_provider: Any) -> None:
        if not self.takes_options:
            return
        recorder = SpanRecorder(tracer_provider)
        with outside_pytest():
            assert self._call(tracer_provider, **broken_hooks()) is None
        assert_span(recorder.one(kind=SpanKind.CLIENT), name=self.span_name)
