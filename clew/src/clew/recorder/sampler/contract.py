"""The interface of samplers, compatible with the SDK's Sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceState

from clew._otel import SPAN_KEY


class Decision(Enum):
    """The decision about a span."""

    DROP = 0
    RECORD_ONLY = 1
    RECORD_AND_SAMPLE = 2

    def is_recording(self) -> bool:
        """Whether the span collects data."""
        return self is not Decision.DROP

    def is_sampled(self) -> bool:
        """Whether the span is exported."""
        return self is Decision.RECORD_AND_SAMPLE


NO_ATTRIBUTES: Final[Mapping[str, Any]] = MappingProxyType({})


class SamplingResult(NamedTuple):
    """A decision, attributes to put on the span, and the trace state it goes on with (`None`: an empty one)."""

    decision: Decision
    attributes: Mapping[str, Any] = NO_ATTRIBUTES
    trace_state: TraceState | None = None


#: Answers without a trace state are the same objects each time: so that a dropped span allocates nothing.
KEPT: Final = SamplingResult(Decision.RECORD_AND_SAMPLE)
DROPPED: Final = SamplingResult(Decision.DROP)


class Sampler(Protocol):
    """Decides at a span's start, on the application's thread: it does not wait and does no I/O. The SDK's fits.

    A sampler that has a `close()` is told so when its provider shuts down.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
    ) -> Any:
        """A SamplingResult, the SDK's or ours."""


def parent_of(parent_context: Context | None) -> SpanContext | None:
    """The valid span context in `parent_context` (`None`: the current one), or `None` for a root."""
    # As get_current_span, without the two calls below it.
    found = (get_current() if parent_context is None else parent_context).get(SPAN_KEY)
    if found is None or not isinstance(found, Span):
        return None
    parent = found.get_span_context()
    return parent if parent is not None and parent.is_valid else None


def describe(sampler: Any) -> str:
    """The sampler's own description, or its class."""
    own = getattr(sampler, "get_description", None)
    return str(own()) if own is not None else type(sampler).__name__
