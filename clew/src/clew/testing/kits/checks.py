"""What several kits assert of a span, and the hooks they hand to an instrumentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context, attach, detach, get_current, set_value
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, StatusCode, TraceFlags, set_span_in_context

from clew import semconv
from clew._otel import SUPPRESS_INSTRUMENTATION_KEY
from clew.testing.assertions import assert_span, exceptions_of
from clew.testing.kits.doubles import PARENT_ID, TRACE_ID
from clew.transport import Call


def assert_failed(span: Any, message: str, type_name: str) -> None:
    """Status ERROR with this message, one exception recorded, `error.type` the exception's class."""
    assert_span(span, status=StatusCode.ERROR)
    assert span.status.description == message
    assert span.attributes[semconv.ERROR_TYPE].rpartition(".")[2] == type_name
    recorded = exceptions_of(span)
    assert len(recorded) == 1, f"{len(recorded)} exceptions recorded"
    assert recorded[0]["exception.message"] == message


def assert_cancelled(span: Any) -> None:
    """No error, no exception, and the mark."""
    assert_span(span, status=StatusCode.UNSET, attributes={semconv.CANCELLED: True})
    assert exceptions_of(span) == []


class Hooks:
    """`rename`, `on_start` and `on_end` that write down how they were called."""

    def __init__(self) -> None:
        self.started: list[tuple[Span, Call]] = []
        self.ended: list[tuple[Span, Call, object, BaseException | None]] = []

    def rename(self, transport: Call) -> str:
        """Another name."""
        assert transport.component
        return "renamed"

    def on_start(self, span: Span, transport: Call) -> None:
        """Adds an attribute."""
        assert span.is_recording()
        self.started.append((span, transport))
        span.set_attribute("kit.started", transport.operation)

    def on_end(self, span: Span, transport: Call, reply: object, error: BaseException | None) -> None:
        """Adds an attribute, so the span has not ended."""
        assert span.is_recording()
        self.ended.append((span, transport, reply, error))
        span.set_attribute("kit.ended", transport.kind)

    def options(self) -> dict[str, Any]:
        """As an instrumentation takes them."""
        return {"rename": self.rename, "on_start": self.on_start, "on_end": self.on_end}


def broken_hook(*_: object) -> Any:
    """A hook that raises."""
    raise RuntimeError("broken hook")


def broken_hooks() -> dict[str, Any]:
    """Every option that is called, raising."""
    return {"exclude": [broken_hook], "rename": broken_hook, "on_start": broken_hook, "on_end": broken_hook}


@contextmanager
def unsampled_span() -> Iterator[None]:
    """A current span of the trace TRACE_ID that is not sampled."""
    span = NonRecordingSpan(SpanContext(int(TRACE_ID, 16), int(PARENT_ID, 16), False, TraceFlags(0)))
    with _attached(set_span_in_context(span)):
        yield


@contextmanager
def suppressed() -> Iterator[None]:
    """Suppress tracing within this block, as OpenTelemetry's exporters do for their own calls."""
    with _attached(set_value(SUPPRESS_INSTRUMENTATION_KEY, True, get_current())):
        yield


@contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)
