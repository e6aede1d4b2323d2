"""Propagation: reads and writes contexts in carriers, one file for each format. Imports carriers and ids only.

Start reading at `tracecontext.py`; `propagators_from_names` puts several together. Formats that are not asked for
are not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.propagators.textmap import TextMapPropagator

from clew.propagation.baggage import BaggagePropagator
from clew.propagation.composite import CompositePropagator
from clew.propagation.kratos import KratosPropagator, global_metadata, with_global_metadata
from clew.propagation.service import ServiceNamePropagator, peer_service
from clew.propagation.tracecontext import TraceContextPropagator, W3CTraceState

if TYPE_CHECKING:
    from clew.propagation.b3 import B3MultiPropagator, B3Propagator
    from clew.propagation.cat import CatPropagator
    from clew.propagation.datadog import DatadogPropagator
    from clew.propagation.eagleeye import EagleEyePropagator
    from clew.propagation.jaeger import JaegerPropagator, debug_id
    from clew.propagation.opencensus import OpenCensusPropagator
    from clew.propagation.pinpoint import PinpointPropagator
    from clew.propagation.sentry import SentryPropagator
    from clew.propagation.skywalking import SkyWalkingPropagator
    from clew.propagation.sofatracer import SofaTracerPropagator
    from clew.propagation.xray import XRayPropagator

__all__ = [
    "DEFAULT_NAMES",
    "B3MultiPropagator",
    "B3Propagator",
    "BaggagePropagator",
    "CatPropagator",
    "CompositePropagator",
    "DatadogPropagator",
    "EagleEyePropagator",
    "JaegerPropagator",
    "KratosPropagator",
    "OpenCensusPropagator",
    "PinpointPropagator",
    "SentryPropagator",
    "ServiceNamePropagator",
    "SkyWalkingPropagator",
    "SofaTracerPropagator",
    "TraceContextPropagator",
    "W3CTraceState",
    "XRayPropagator",
    "debug_id",
    "default_propagator",
    "global_metadata",
    "peer_service",
    "propagators_from_names",
    "with_global_metadata",
]

#: What is used where nothing else is asked for.
DEFAULT_NAMES: Final = ("tracecontext", "baggage", "kratos")

# Name to module and class.
_OURS: Final = {
    "b3": ("b3", "B3Propagator"),
    "b3multi": ("b3", "B3MultiPropagator"),
    "baggage": ("baggage", "BaggagePropagator"),
    "cat": ("cat", "CatPropagator"),
    "datadog": ("datadog", "DatadogPropagator"),
    "eagleeye": ("eagleeye", "EagleEyePropagator"),
    "jaeger": ("jaeger", "JaegerPropagator"),
    "kratos": ("kratos", "KratosPropagator"),
    "opencensus": ("opencensus", "OpenCensusPropagator"),
    "pinpoint": ("pinpoint", "PinpointPropagator"),
    "sentry": ("sentry", "SentryPropagator"),
    "skywalking": ("skywalking", "SkyWalkingPropagator"),
    "sofatracer": ("sofatracer", "SofaTracerPropagator"),
    "tracecontext": ("tracecontext", "TraceContextPropagator"),
    "xray": ("xray", "XRayPropagator"),
}
_HOMES: Final = {**{made: module for module, made in _OURS.values()}, "debug_id": "jaeger"}
_GROUP: Final = "opentelemetry_propagator"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'clew.propagation' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"clew.propagation.{home}"), name)
    return value


def propagators_from_names(names: Sequence[str]) -> TextMapPropagator:
    """The propagators of these names, as one, in this order: the first that finds a trace gives the parent.

    Known are `tracecontext`, `baggage`, `kratos`, `b3`, `b3multi`, `jaeger`, `skywalking`, `pinpoint`, `cat`,
    `eagleeye`, `sofatracer`, `opencensus`, `datadog`, `sentry`, `xray`, always ours; `none` (nothing at all is propagated); and whatever
    else is installed under the entry point `opentelemetry_propagator`. Raises ValueError for others.
    """
    wanted = list(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    if "none" in wanted:
        return CompositePropagator(())
    return CompositePropagator([_propagator(name) for name in wanted])


def _propagator(name: str) -> TextMapPropagator:
    made: TextMapPropagator
    ours = _OURS.get(name)
    if ours is not None:
        made = getattr(import_module(f"clew.propagation.{ours[0]}"), ours[1])()
        return made
    for entry in entry_points(group=_GROUP, name=name):
        made = entry.load()()
        return made
    known = sorted({*_OURS, "none", *(entry.name for entry in entry_points(group=_GROUP))})
    raise ValueError(f"unknown propagator {name!r}: known are {', '.join(known)}; others need their package installed")


def default_propagator() -> TextMapPropagator:
    """W3C trace context, W3C baggage, and Kratos' service name and metadata."""
    return propagators_from_names(DEFAULT_NAMES)
