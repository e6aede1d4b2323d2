"""What every recording span has beyond its hot path: reading it, naming it, failing in it; shared by both twins.

A twin keeps the raw state, under the names `RawSpan` lists, and does what happens to every span (`set_attribute`,
`set_attributes`, `add_event`, `add_link`, `is_recording`, `get_span_context`, `end`, encoding). `ReadableSpan` has no
state of its own (`__slots__ = ()`), so that a class with a C layout can have it as a second base.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Protocol, TypeGuard

from opentelemetry.context import get_current
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes

from clew import guard
from clew._otel import SPAN_KEY
from clew.recorder.misuse import misuse
from clew.recorder.sdk.seen_as import seen_as

_SDK_TRACE: Final = "opentelemetry.sdk.trace"
_SDK_INSTRUMENTATION: Final = "opentelemetry.sdk.util.instrumentation"
_INFO_IS_DEPRECATED: Final = "instrumentation_info is deprecated; instrumentation_scope has replaced it"
NO_STATUS: Final = Status()
MAX_TIME_NS: Final = (1 << 64) - 1


class Scope(NamedTuple):
    """The instrumentation that makes spans; named and shaped as the SDK's InstrumentationScope."""

    name: str
    version: str | None
    schema_url: str | None
    attributes: Mapping[str, Any]

    @property
    def _name(self) -> str:
        return self.name

    @property
    def _version(self) -> str | None:
        return self.version

    @property
    def _schema_url(self) -> str | None:
        return self.schema_url

    @property
    def _attributes(self) -> Mapping[str, Any]:
        return self.attributes


class Event(NamedTuple):
    """A timestamped point in a span; time in ns since the epoch."""

    name: str
    timestamp: int
    attributes: Mapping[str, Any]
    dropped_attributes: int


class RecordedLink(NamedTuple):
    """A link as the span keeps it: cleaned, and with the count of what that cost."""

    context: SpanContext
    attributes: Mapping[str, Any]
    dropped_attributes: int


class ReadableLink(Link):
    """A recorded link as the API's Link, its attributes a read-only view."""

    def __init__(self, link: RecordedLink) -> None:
        self._context = link.context
        self._attributes = MappingProxyType(link.attributes)
        self._dropped_attributes = link.dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        """Attributes dropped by the limits."""
        return self._dropped_attributes


class RawTracer(Protocol):
    """What a twin's tracer keeps."""

    sink: Any
    scope: Scope
    limits: Any


class RawSpan(Protocol):
    """The state a twin keeps, by the names it can be read and, unless a property, written under.

    `_start_ns` and `_end_ns` are ns since the epoch, `_end_ns` 0 until the span has ended.
    """

    _name: str
    _kind: SpanKind
    _parent: SpanContext | None
    _start_ns: int
    _end_ns: int
    _attributes: dict[str, Any]
    _recorded_events: list[Event] | None
    _recorded_links: list[RecordedLink] | None
    _status: Status
    _dropped_attributes: int
    _dropped_events: int
    _dropped_links: int
    _record_exception: bool
    _set_status_on_exception: bool
    _tracer: Any

    def is_recording(self) -> bool:
        """Whether the span has not ended."""

    def _refuses(self, method: str) -> bool:
        """From ReadableSpan; a twin asks it in every call that writes, once `_end_ns` is set."""

    def get_span_context(self) -> SpanContext:
        """The span's context, the same object at each call."""

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event."""

    def end(self, end_time: int | None = None) -> None:
        """End the span."""


class ReadableSpan:
    """The cold part of a span: second base of both twins, behind the one that keeps the state."""

    __slots__ = ()

    __class__ = property(seen_as("Span"))  # see seen_as

    # -- writing ----------------------------------------------------------------------------------------------------

    def update_name(self: RawSpan, name: str) -> None:
        """Rename the span."""
        if self._end_ns and self._refuses("update_name"):
            return
        self._name = as_text(name)

    def set_status(self: RawSpan, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status: OK is final, UNSET changes nothing, a description belongs to ERROR."""
        if self._end_ns and self._refuses("set_status"):
            return
        code = status.status_code if isinstance(status, Status) else status
        if code is StatusCode.UNSET or self._status.status_code is StatusCode.OK:
            return
        if isinstance(status, Status):
            if description is not None:
                misuse("set_status() with a Status and a description: the description %r is ignored", description)
            self._status = status
        elif isinstance(status, StatusCode):
            # The API's Status says so itself when a description is not for this code.
            self._status = Status(status, as_text(description) if description else None)
        else:
            misuse("set_status(%r): neither a Status nor a StatusCode; ignored", status)

    def record_exception(
        self: RawSpan,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an event `exception` with the exception's type, message and stack trace."""
        try:
            kind = type(exception)
            module = kind.__module__
            recorded: dict[str, AnyValue] = {
                "exception.type": kind.__qualname__
                if module in (None, "builtins")
                else f"{module}.{kind.__qualname__}",
                "exception.message": as_text(exception),
                "exception.stacktrace": "".join(traceback.format_exception(exception)),
                "exception.escaped": str(escaped),
            }
            if attributes:
                recorded.update(attributes)
            self.add_event("exception", recorded, timestamp)
        except Exception as error:  # an exception whose own __str__ raises
            guard.swallow("record_exception", error)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        """End the span; an exception is recorded and sets status ERROR, unless the span was told otherwise."""
        if exc_val is not None:
            self._fail(exc_val, escaped=True)
        self.end()  # type: ignore[attr-defined]  # the twin's

    def _refuses(self: Any, method: str) -> bool:
        """Whether the span, which has ended, takes no call of `method`: only processors' on_ending may still write."""
        tracer = self._tracer
        if tracer.observed and method != "end" and tracer.sink.is_ending(self):
            return False
        misuse("%s() on span %r, which has ended; ignored", method, self._name, owner=tracer)
        return True

    def _fail(self: Any, error: BaseException, escaped: bool = False) -> None:
        """`error` has left the block of this span, which records it unless the span was told otherwise."""
        if not self.is_recording():
            return
        if self._record_exception:
            self.record_exception(error, escaped=escaped)
        if self._set_status_on_exception:
            self.set_status(Status(StatusCode.ERROR, _describe(error)))

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def name(self: RawSpan) -> str:
        """The span's name."""
        return self._name

    @property
    def context(self: RawSpan) -> SpanContext:
        """The span's context."""
        return self.get_span_context()

    @property
    def parent(self: RawSpan) -> SpanContext | None:
        """The parent's context, `None` for a root span."""
        return self._parent

    @property
    def kind(self: RawSpan) -> SpanKind:
        """The span's kind."""
        return self._kind

    @property
    def start_time(self: RawSpan) -> int:
        """Start in ns since the epoch."""
        return self._start_ns

    @property
    def end_time(self: RawSpan) -> int | None:
        """End in ns since the epoch, `None` while the span is open."""
        return self._end_ns or None

    @property
    def attributes(self: RawSpan) -> Mapping[str, Any]:
        """The attributes as recorded; a read-only view."""
        return MappingProxyType(self._attributes)

    @property
    def events(self: RawSpan) -> Sequence[Event]:
        """The events in the order they were added; their attributes are read-only views."""
        return tuple([one._replace(attributes=MappingProxyType(one.attributes)) for one in self._recorded_events or ()])

    @property
    def links(self: RawSpan) -> Sequence[Link]:
        """The links in the order they were added."""
        return tuple([ReadableLink(one) for one in self._recorded_links or ()])

    @property
    def recorded_links(self: RawSpan) -> Sequence[RecordedLink]:
        """The links with their dropped counts."""
        return tuple(self._recorded_links or ())

    @property
    def status(self: RawSpan) -> Status:
        """The status."""
        return self._status

    @property
    def resource(self: RawSpan) -> Any:
        """The provider's resource."""
        return self._tracer.sink.resource

    @property
    def instrumentation_scope(self: RawSpan) -> Any:
        """The instrumentation that made the span: the SDK's InstrumentationScope where the SDK is loaded."""
        return sdk_scope(self._tracer.scope)

    @property
    def instrumentation_info(self: RawSpan) -> Any:
        """Deprecated by OpenTelemetry: the scope without its attributes."""
        warnings.warn(_INFO_IS_DEPRECATED, DeprecationWarning, stacklevel=2)
        return sdk_info(self._tracer.scope)

    @property
    def dropped_attributes(self: RawSpan) -> int:
        """Attributes dropped by the limits."""
        return self._dropped_attributes

    @property
    def dropped_events(self: RawSpan) -> int:
        """Events dropped by the limits."""
        return self._dropped_events

    @property
    def dropped_links(self: RawSpan) -> int:
        """Links dropped by the limits."""
        return self._dropped_links

    def to_json(self: Any, indent: int | None = 4) -> str:
        """The span as JSON text, laid out as the SDK's ReadableSpan.to_json does."""
        status = {"status_code": self.status.status_code.name}
        if self.status.description:
            status["description"] = self.status.description
        parent = self.parent
        return json.dumps(
            {
                "name": self.name,
                "context": _context_as_json(self.context),
                "kind": str(self.kind),
                "parent_id": None if parent is None else f"0x{parent.span_id:016x}",
                "start_time": _iso(self.start_time),
                "end_time": _iso(self.end_time),
                "status": status,
                "attributes": dict(self.attributes),
                "events": [
                    {"name": one.name, "timestamp": _iso(one.timestamp), "attributes": dict(one.attributes)}
                    for one in self.events
                ],
                "links": [
                    {"context": _context_as_json(one.context), "attributes": dict(one.attributes)}
                    for one in self.recorded_links
                ],
                "resource": {"attributes": dict(self.resource.attributes), "schema_url": self.resource.schema_url},
            },
            indent=indent,
            default=as_text,
        )

    def __repr__(self: Any) -> str:
        context = self.get_span_context()
        return f"Span(name={self._name!r}, trace_id={context.trace_id:032x}, span_id={context.span_id:016x})"

    # -- the private names of the SDK's Span that instrumentations and exporters use -------------------------------------

    @property
    def _context(self: RawSpan) -> SpanContext:
        return self.get_span_context()

    @property
    def _start_time(self: RawSpan) -> int:
        return self._start_ns

    @_start_time.setter
    def _start_time(self: RawSpan, start_ns: int) -> None:
        self._start_ns = as_time_ns(start_ns)

    @property
    def _end_time(self: RawSpan) -> int | None:
        return self._end_ns or None

    @_end_time.setter
    def _end_time(self: RawSpan, end_ns: int | None) -> None:
        self._end_ns = 0 if end_ns is None else as_time_ns(end_ns)

    @property
    def _events(self: Any) -> Sequence[Event]:
        events: Sequence[Event] = self.events
        return events

    @property
    def _links(self: Any) -> Sequence[Link]:
        links: Sequence[Link] = self.links
        return links

    @property
    def _resource(self: Any) -> Any:
        return self.resource

    @property
    def _instrumentation_scope(self: Any) -> Any:
        return self.instrumentation_scope

    @property
    def _instrumentation_info(self: RawSpan) -> Any:
        return sdk_info(self._tracer.scope)

    @property
    def _limits(self: RawSpan) -> Any:
        return self._tracer.limits

    @property
    def _sampler(self: RawSpan) -> Any:
        return self._tracer.sampler

    @property
    def _span_processor(self: RawSpan) -> Any:
        return self._tracer.span_processor

    def _readable_span(self) -> Any:
        # A caller that wants the SDK's ReadableSpan has imported the SDK, so it is not imported here.
        if _SDK_TRACE not in sys.modules:
            return self
        from clew.recorder.sdk.bridge import readable_span

        return readable_span(self)


class TracerSurface:
    """What a tracer has beyond starting spans: first base of both twins, which keep `sink`, `scope` and `limits`."""

    __slots__ = ()

    __class__ = property(seen_as("Tracer"))  # see seen_as

    @property
    def resource(self: RawTracer) -> Any:
        """The provider's resource."""
        return self.sink.resource

    @property
    def sampler(self: RawTracer) -> Any:
        """The provider's sampler."""
        return self.sink.sampler

    @property
    def id_generator(self: RawTracer) -> Any:
        """The provider's generator of ids."""
        return self.sink.id_generator

    @property
    def instrumentation_info(self: RawTracer) -> Any:
        """The scope as OpenTelemetry knew it before scopes."""
        return sdk_info(self.scope)

    @property
    def span_processor(self: RawTracer) -> Any:
        """The provider's attached processors, as one."""
        return self.sink._active_span_processor

    @property
    def _instrumentation_scope(self: RawTracer) -> Any:
        return sdk_scope(self.scope)

    @property
    def _span_limits(self: RawTracer) -> Any:
        return self.limits

    def _is_enabled(self) -> bool:
        return True


def sdk_scope(scope: Scope) -> Any:
    """`scope` as the SDK's InstrumentationScope if the SDK is loaded, else as it is."""
    module = sys.modules.get(_SDK_INSTRUMENTATION)
    if module is None or not hasattr(module, "InstrumentationScope"):
        return scope
    return module.InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes)


def sdk_info(scope: Scope) -> Any:
    """`scope` as the SDK's InstrumentationInfo if the SDK is loaded, else as it is."""
    module = sys.modules.get(_SDK_INSTRUMENTATION)
    if module is None or not hasattr(module, "InstrumentationInfo"):
        return scope
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return module.InstrumentationInfo(scope.name, scope.version, scope.schema_url)


def not_a_context(context: object) -> Any:
    """Say so, and take the current span."""
    misuse("start_span(context=%r): not a Context; the current one is used", context)
    return get_current().get(SPAN_KEY)


def is_context(linked: object) -> TypeGuard[SpanContext]:
    """Whether it is a context that can be linked; what is neither one nor nothing is complained of."""
    if isinstance(linked, SpanContext):
        return True
    if linked:
        misuse("add_link(%r): not a SpanContext; ignored", linked)
    return False


def foreign_parent(span: Any) -> SpanContext | None:
    """The valid context of a span that is not clew's; `None` if it has none, or is no span."""
    try:
        context = span.get_span_context() if isinstance(span, Span) else None
        return context if isinstance(context, SpanContext) and context.is_valid else None
    except Exception as error:
        guard.swallow("the parent span", error)
        return None


def as_text(value: object) -> str:
    """`value` as text, whatever an instrumentation passed for a name."""
    if type(value) is str:
        return value
    try:
        return str(value)
    except Exception:
        return type(value).__name__


def as_time_ns(value: object) -> int:
    """A time given by the application, within what OTLP can carry; 0 if it is no time."""
    try:
        return min(max(int(value), 0), MAX_TIME_NS)  # type: ignore[call-overload,no-any-return]
    except (TypeError, ValueError, OverflowError):
        return 0


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # the exception's own __str__
        return type(error).__name__


def _iso(time_ns: int | None) -> str | None:
    if not time_ns:
        return None
    whole, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _context_as_json(context: SpanContext) -> dict[str, str]:
    return {
        "trace_id": f"0x{context.trace_id:032x}",
        "span_id": f"0x{context.span_id:016x}",
        "trace_state": repr(context.trace_state),
    }
