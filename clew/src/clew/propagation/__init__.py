"""Propagation: contexts to and from carriers, one file a format. Imports carriers and ids, nothing above.

Start reading at `tracecontext.py`; `propagators_from_names` puts several together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Final

from opentelemetry.propagators.textmap import TextMapPropagator

from clew.propagation.baggage import BaggagePropagator
from clew.propagation.composite import CompositePropagator
from clew.propagation.service import ServiceNamePropagator, peer_service
from clew.propagation.tracecontext import TraceContextPropagator, W3CTraceState

__all__ = [
    "DEFAULT_NAMES",
    "BaggagePropagator",
    "CompositePropagator",
    "ServiceNamePropagator",
    "TraceContextPropagator",
    "W3CTraceState",
    "default_propagator",
    "peer_service",
    "propagators_from_names",
]

#: What is used where nothing else is asked for.
DEFAULT_NAMES: Final = ("tracecontext", "baggage", "kratos")

_OURS: Final[dict[str, Callable[[], TextMapPropagator]]] = {
    "tracecontext": TraceContextPropagator,
    "baggage": BaggagePropagator,
    "kratos": ServiceNamePropagator,
}
_GROUP: Final = "opentelemetry_propagator"


def propagators_from_names(names: Sequence[str]) -> TextMapPropagator:
    """The propagators of these names, as one, in this order.

    Known are `tracecontext`, `baggage`, `kratos`, `none` (nothing at all is propagated) and whatever is
    installed under the entry point `opentelemetry_propagator`, `b3` for one. Raises ValueError for others.
    """
    wanted = list(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    if "none" in wanted:
        return CompositePropagator(())
    return CompositePropagator([_propagator(name) for name in wanted])


def _propagator(name: str) -> TextMapPropagator:
    ours = _OURS.get(name)
    if ours is not None:
        return ours()
    for entry in entry_points(group=_GROUP, name=name):
        made: TextMapPropagator = entry.load()()
        return made
    known = sorted({*_OURS, "none", *(entry.name for entry in entry_points(group=_GROUP))})
    raise ValueError(f"unknown propagator {name!r}: known are {', '.join(known)}; others need their package installed")


def default_propagator() -> TextMapPropagator:
    """W3C trace context, W3C baggage and Kratos' service name."""
    return propagators_from_names(DEFAULT_NAMES)
