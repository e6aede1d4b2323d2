"""Which spans are recorded: the specification's built-in samplers, in the shape of the SDK's Sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span


class Decision(Enum):
    """What becomes of a span."""

    DROP = 0
    RECORD_ONLY = 1
    RECORD_AND_SAMPLE = 2

    def is_recording(self) -> bool:
        """Whether the span collects data."""
        return self is not Decision.DROP

    def is_sampled(self) -> bool:
        """Whether the span is exported."""
        return self is Decision.RECORD_AND_SAMPLE


@dataclass(frozen=True)
class SamplingResult:
    """A decision, attributes to put on the span, and the trace state it goes on with."""

    decision: Decision
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace_state: TraceState | None = None


class Sampler(Protocol):
    """Decides at a span's start; the SDK's Sampler fits."""

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


def _parent_state(parent_context: Context | None) -> TraceState | None:
    parent = get_current_span(parent_context).get_span_context()
    return parent.trace_state if parent.is_valid else None


class AlwaysOn:
    """Samples every span, whatever its parent says."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
    ) -> SamplingResult:
        """Always sampled."""
        return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=_parent_state(parent_context))


class AlwaysOff:
    """Samples no span."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
    ) -> SamplingResult:
        """Always dropped."""
        return SamplingResult(Decision.DROP, trace_state=_parent_state(parent_context))


class TraceIdRatio:
    """Samples a share of traces by their id, as the SDK's TraceIdRatioBased does, so both keep the same traces."""

    def __init__(self, ratio: float) -> None:
        """`ratio` from 0 to 1. Raises ValueError outside."""
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"a sampling ratio lies between 0 and 1, not {ratio}")
        self.ratio = ratio
        self._bound = round(ratio * (1 << 64))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
    ) -> SamplingResult:
        """Sampled if the lower 64 bits of the trace id are below the bound."""
        sampled = trace_id & 0xFFFF_FFFF_FFFF_FFFF < self._bound
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(decision, trace_state=_parent_state(parent_context))


class ParentBased:
    """Follows a valid parent's sampled flag; `root` decides for spans without one."""

    def __init__(self, root: Sampler) -> None:
        self.root = root

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
    ) -> Any:
        """The parent's decision, or the root sampler's."""
        parent = get_current_span(parent_context).get_span_context()
        if not parent.is_valid:
            return self.root.should_sample(parent_context, trace_id, name, kind, attributes, links)
        decision = Decision.RECORD_AND_SAMPLE if parent.trace_flags.sampled else Decision.DROP
        return SamplingResult(decision, trace_state=parent.trace_state)


def sampler_from_name(name: str, argument: str = "") -> Sampler | None:
    """A sampler by its name in `OTEL_TRACES_SAMPLER`; `None` stands for `parentbased_always_on`, built in.

    Raises ValueError for an unknown name or an argument that is no ratio.
    """
    parent_based = name.startswith("parentbased_")
    plain = name.removeprefix("parentbased_")
    sampler: Sampler
    if plain == "always_on":
        if parent_based:
            return None
        sampler = AlwaysOn()
    elif plain == "always_off":
        sampler = AlwaysOff()
    elif plain == "traceidratio":
        sampler = TraceIdRatio(float(argument) if argument else 1.0)
    else:
        raise ValueError(f"no sampler is called {name!r}")
    return ParentBased(sampler) if parent_based else sampler
