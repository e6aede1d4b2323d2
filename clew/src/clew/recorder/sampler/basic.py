"""The specification's built-in samplers: always on, always off, a ratio, and the one that follows the parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, TraceState

from clew.recorder.sampler.contract import (
    DROPPED,
    KEPT,
    NO_ATTRIBUTES,
    Decision,
    Sampler,
    SamplingResult,
    describe,
    parent_of,
)
from clew.recorder.sampler.probability import (
    MAX_THRESHOLD,
    has_threshold,
    randomness,
    threshold_from_ratio,
    threshold_to_text,
    with_threshold,
)
from clew.recorder.sdk.seen_as import seen_as

_DROP: Final = Decision.DROP
_KEEP: Final = Decision.RECORD_AND_SAMPLE
_RANDOM_MASK: Final = MAX_THRESHOLD - 1


class AlwaysOn:
    """Samples every span, also below a parent that is not sampled."""

    __class__ = property(seen_as("StaticSampler", "opentelemetry.sdk.trace.sampling"))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Always sampled; a parent's probability is not this span's, which is 1."""
        parent = parent_of(parent_context)
        if parent is None or not parent.trace_state:
            return KEPT
        state = parent.trace_state
        return SamplingResult(_KEEP, NO_ATTRIBUTES, with_threshold(state, "0") if has_threshold(state) else state)

    def get_description(self) -> str:
        """The SDK's name for it."""
        return "AlwaysOnSampler"


class AlwaysOff:
    """Samples no span."""

    __class__ = property(seen_as("StaticSampler", "opentelemetry.sdk.trace.sampling"))

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Always dropped."""
        parent = parent_of(parent_context)
        if parent is None or not parent.trace_state:
            return DROPPED
        return SamplingResult(_DROP, NO_ATTRIBUTES, with_threshold(parent.trace_state, None))

    def get_description(self) -> str:
        """The SDK's name for it."""
        return "AlwaysOffSampler"


class TraceIdRatio:
    """Samples a share of traces and records the share as `ot=th:…` in the trace state.

    Whether a trace is kept depends on its random bits alone (see `probability.py`), so services with different
    ratios keep nested sets of traces. `threshold` (0..2**56), `threshold_text` (`None` if nothing is kept) and
    `trace_state` (that of a kept root) are constant: a native tracer reads them instead of calling.
    """

    def __init__(self, ratio: float) -> None:
        """`ratio` from 0 to 1. Raises ValueError outside."""
        self.ratio: Final = ratio
        self.rate: Final = ratio  # the SDK's name for it
        self.threshold: Final = threshold_from_ratio(ratio)
        self.threshold_text: Final = threshold_to_text(self.threshold) if self.threshold < MAX_THRESHOLD else None
        self.trace_state: Final = with_threshold(None, self.threshold_text)
        self._kept_root: Final = SamplingResult(_KEEP, NO_ATTRIBUTES, self.trace_state)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Sampled unless the trace's random bits are below the threshold; the parent's decision is ignored."""
        parent = parent_of(parent_context)
        if parent is None or not parent.trace_state:
            return self.sample_root(trace_id)
        state = parent.trace_state
        if randomness(trace_id, state) >= self.threshold:
            return SamplingResult(_KEEP, NO_ATTRIBUTES, with_threshold(state, self.threshold_text))
        return SamplingResult(_DROP, NO_ATTRIBUTES, with_threshold(state, None))

    def sample_root(self, trace_id: int) -> SamplingResult:
        """The decision for a span that inherits no trace state."""
        return self._kept_root if trace_id & _RANDOM_MASK >= self.threshold else DROPPED

    def get_description(self) -> str:
        """The SDK's name for it."""
        return f"TraceIdRatioBased{{{self.ratio}}}"


class ParentBased:
    """Follows a valid parent's sampled flag, its recorded probability included; `root` decides for spans without one.

    The four delegates take the place of following, for parents of other processes and of this one; `None` follows.
    """

    __class__ = property(seen_as("ParentBased", "opentelemetry.sdk.trace.sampling"))

    def __init__(
        self,
        root: Sampler,
        remote_parent_sampled: Sampler | None = None,
        remote_parent_not_sampled: Sampler | None = None,
        local_parent_sampled: Sampler | None = None,
        local_parent_not_sampled: Sampler | None = None,
    ) -> None:
        """A delegate that says what the parent said anyway, as the specification's defaults do, is kept as `None`."""
        self.root = self._root = root
        self.remote_parent_sampled = None if type(remote_parent_sampled) is AlwaysOn else remote_parent_sampled
        self.remote_parent_not_sampled = (
            None if type(remote_parent_not_sampled) is AlwaysOff else remote_parent_not_sampled
        )
        self.local_parent_sampled = None if type(local_parent_sampled) is AlwaysOn else local_parent_sampled
        self.local_parent_not_sampled = (
            None if type(local_parent_not_sampled) is AlwaysOff else local_parent_not_sampled
        )
        self._ratio = root if type(root) is TraceIdRatio else None

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> Any:
        """The parent's decision, or that of the delegate for such a parent, or the root sampler's."""
        parent = parent_of(parent_context)
        delegate: Sampler | None
        if parent is None:
            if self._ratio is not None:
                return self._ratio.sample_root(trace_id)
            delegate = self.root
        else:
            sampled = parent.trace_flags & 1
            if parent.is_remote:
                delegate = self.remote_parent_sampled if sampled else self.remote_parent_not_sampled
            else:
                delegate = self.local_parent_sampled if sampled else self.local_parent_not_sampled
            if delegate is None:
                if parent.trace_state:
                    return SamplingResult(_KEEP if sampled else _DROP, NO_ATTRIBUTES, parent.trace_state)
                return KEPT if sampled else DROPPED
        return delegate.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def close(self) -> None:
        """Close the root sampler and the delegates, those that can be."""
        for sampler in (
            self.root,
            self.remote_parent_sampled,
            self.remote_parent_not_sampled,
            self.local_parent_sampled,
            self.local_parent_not_sampled,
        ):
            close = getattr(sampler, "close", None)
            if close is not None:
                close()

    def get_description(self) -> str:
        """The SDK's form of it."""
        on, off = AlwaysOn(), AlwaysOff()
        return (
            f"ParentBased{{root:{describe(self.root)},"
            f"remoteParentSampled:{describe(self.remote_parent_sampled or on)},"
            f"remoteParentNotSampled:{describe(self.remote_parent_not_sampled or off)},"
            f"localParentSampled:{describe(self.local_parent_sampled or on)},"
            f"localParentNotSampled:{describe(self.local_parent_not_sampled or off)}}}"
        )


#: The default sampler.
PARENT_BASED_ALWAYS_ON: Final = ParentBased(AlwaysOn())
