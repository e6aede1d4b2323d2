"""Consistent probability sampling: thresholds, randomness and their text in the trace state's member `ot`.

Specification: OpenTelemetry, "TraceState: Probability Sampling" (OTEP 235). A span is kept if its trace's 56 random
bits R are not below the rejection threshold T; whoever decides with the same T keeps the same traces, a lower
probability keeps a subset, and 2**56 / (2**56 - T) is how many spans a kept one stands for.
"""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.trace import TraceState

#: The threshold that rejects everything; it has no text, as nothing is kept to carry it.
MAX_THRESHOLD: Final = 1 << 56
_MASK: Final = MAX_THRESHOLD - 1
_KEY: Final = "ot"
_MAX_VALUE_LENGTH: Final = 256
_random_value: Final = re.compile(r"[0-9a-f]{14}", re.ASCII).fullmatch


def threshold_from_ratio(ratio: float) -> int:
    """The rejection threshold of a probability, 0..2**56. Raises ValueError outside of 0..1."""
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"a sampling ratio lies between 0 and 1, not {ratio}")
    return MAX_THRESHOLD - round(ratio * MAX_THRESHOLD)


def threshold_to_text(threshold: int) -> str:
    """What follows `th:`: 14 hex digits without the zeros at their end. Raises ValueError where nothing is kept."""
    if not 0 <= threshold < MAX_THRESHOLD:
        raise ValueError(f"the threshold {threshold} keeps nothing, so no span can carry it")
    return f"{threshold:014x}".rstrip("0") or "0"


def randomness(trace_id: int, state: TraceState | None) -> int:
    """R of a trace: the `rv` of its state if there is a well-formed one, else the last 56 bits of its id."""
    if state:
        for part in (state.get(_KEY) or "").split(";"):
            if part.startswith("rv:") and _random_value(part, 3):
                return int(part[3:], 16)
    return trace_id & _MASK


def has_threshold(state: TraceState) -> bool:
    """Whether a threshold is recorded."""
    return any(part.startswith("th:") for part in (state.get(_KEY) or "").split(";"))


def with_threshold(state: TraceState | None, text: str | None) -> TraceState | None:
    """`state` with the threshold `text`, or with none; what else it says is kept as far as there is room.

    By the specification's limits the last sub-keys give way (256 characters), by W3C's the last member (32).
    """
    value = state.get(_KEY) if state else None
    if not state or value is None:
        if text is None:
            return state
        return _put(state, f"th:{text}") if state else TraceState([(_KEY, f"th:{text}")])
    parts = [part for part in value.split(";") if part and not part.startswith("th:")]
    if text is not None:
        parts.insert(0, f"th:{text}")
    while parts and len(";".join(parts)) > _MAX_VALUE_LENGTH:
        parts.pop()
    return _put(state, ";".join(parts)) if parts else state.delete(_KEY)


def _put(state: TraceState, value: str) -> TraceState:
    changed = state.update(_KEY, value)
    if changed.get(_KEY) != value and _KEY not in state:
        # The state is full: the member on the right is the oldest.
        *_, last = state
        changed = state.delete(last).update(_KEY, value)
    return changed
