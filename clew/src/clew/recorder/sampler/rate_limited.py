"""At most so many traces a second, for all spans together or for each operation."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import RLock
from time import monotonic
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, TraceState

from clew.recorder.sampler.contract import DROPPED, KEPT, NO_ATTRIBUTES, SamplingResult, parent_of
from clew.recorder.sampler.probability import with_threshold

#: Operations beyond these share one allowance: names may hold ids, memory may not grow with them.
MAX_OPERATIONS: Final = 2_000

# One for all buckets, held for a few instructions. Re-entrant, as a signal handler may start a span anywhere; the worst
# that can come of that is one trace too many.
_lock = RLock()


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class TokenBucket:
    """Gives out `per_s` tokens a second, and after a pause up to a second's worth, one at least, at once."""

    __slots__ = ("_capacity", "_clock", "_filled_at_s", "_per_s", "_tokens")

    def __init__(self, per_s: float, clock: Callable[[], float] = monotonic) -> None:
        """Full at the start. `clock` gives seconds that never step back."""
        self._per_s = per_s
        self._capacity = max(1.0, per_s)
        self._clock = clock
        self._tokens = self._capacity
        self._filled_at_s = clock()

    def take(self) -> bool:
        """Whether there was a token; it is gone then."""
        with _lock:
            now_s = self._clock()
            tokens = min(self._capacity, self._tokens + (now_s - self._filled_at_s) * self._per_s)
            self._filled_at_s = now_s
            if tokens < 1.0:
                self._tokens = tokens
                return False
            self._tokens = tokens - 1.0
            return True


class OperationBuckets:
    """One token bucket of the same rate for each operation."""

    def __init__(self, per_s: float, clock: Callable[[], float] = monotonic) -> None:
        self.per_s: Final = per_s
        self._clock = clock
        self._of: dict[str, TokenBucket] = {}
        self._others = TokenBucket(per_s, clock)

    def take(self, operation: str) -> bool:
        """Whether the operation had a token."""
        bucket = self._of.get(operation)
        if bucket is None:
            if len(self._of) >= MAX_OPERATIONS:
                bucket = self._others
            else:
                bucket = self._of.setdefault(operation, TokenBucket(self.per_s, self._clock))
        return bucket.take()


class RateLimited:
    """Samples at most `traces_per_s` a second, each process for itself; the rest is dropped.

    It counts what it is asked about: as the root of a ParentBased these are traces, alone they are spans. The
    probability it amounts to is not known when it decides, so none is recorded, and counts cannot be corrected.
    """

    def __init__(
        self, traces_per_s: float, *, per_operation: bool = False, clock: Callable[[], float] = monotonic
    ) -> None:
        """`per_operation` gives each span name the allowance. `clock` gives seconds that never step back.

        Raises ValueError for a rate that is no positive number.
        """
        if not 0.0 < traces_per_s < float("inf"):
            raise ValueError(f"a rate is a number of traces per second above 0, not {traces_per_s}")
        self.traces_per_s: Final = traces_per_s
        self._bucket = TokenBucket(traces_per_s, clock)
        self._operations = OperationBuckets(traces_per_s, clock) if per_operation else None

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
        """Sampled while there is allowance."""
        if self._operations is not None:
            sampled = self._operations.take(name if type(name) is str else str(name))
        else:
            sampled = self._bucket.take()
        return of_unknown_probability(sampled, parent_context)

    def get_description(self) -> str:
        """As Jaeger calls it."""
        return f"RateLimitingSampler{{{self.traces_per_s:g}}}"


def of_unknown_probability(sampled: bool, parent_context: Context | None) -> SamplingResult:
    """A decision that says nothing about its probability; a parent's would be wrong for it."""
    result = KEPT if sampled else DROPPED
    parent = parent_of(parent_context)
    if parent is None or not parent.trace_state:
        return result
    return SamplingResult(result.decision, NO_ATTRIBUTES, with_threshold(parent.trace_state, None))
