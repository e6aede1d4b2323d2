"""One contestant's process: an ASGI application called in a row or served, or headers read and written; one line of JSON.

python bench/request/child.py drive|serve|headers bare|clew|otel-asgi|ddtrace-asgi '{"http": …}' count=N
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "span"))

import asgi_child  # what is beside this folder
from makers import Wish  # what is beside this folder

_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def application(name: str, wish: Wish) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    """The application, how to flush its spans, how to end."""
    if name != "ddtrace-asgi":
        return asgi_child.traced(name, wish)
    for variable in ("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "DD_REMOTE_CONFIGURATION_ENABLED"):
        os.environ[variable] = "false"
    os.environ["DD_TRACE_AGENT_URL"] = wish.http
    os.environ["DD_SERVICE"] = "bench"
    from ddtrace.contrib.asgi import TraceMiddleware
    from ddtrace.trace import tracer

    return TraceMiddleware(asgi_child.application), tracer.flush, tracer.shutdown


def headers(name: str, count: int) -> None:
    """Read a context from a request's headers and write it into another's, again and again."""
    from opentelemetry.propagators.textmap import TextMapPropagator

    propagator: TextMapPropagator
    if name == "clew":
        from clew.carriers import DictCarrier, getter, setter
        from clew.propagation import propagators_from_names

        propagator = propagators_from_names(["tracecontext", "baggage"])
        for _ in range(count):
            context = propagator.extract(DictCarrier({"host": "shop", "traceparent": _TRACEPARENT}), None, getter)
            propagator.inject(DictCarrier({"host": "shop"}), context, setter)
        return
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.propagators.composite import CompositePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    for _ in range(count):
        context = propagator.extract({"host": "shop", "traceparent": _TRACEPARENT})
        propagator.inject({"host": "shop"}, context)


def main() -> None:
    task, name, wish, *words = sys.argv[1:]
    count = int(words[0].partition("=")[2]) if words else 0
    if task == "headers":
        headers(name, count)
        return
    app, flush, shutdown = application(name, Wish(**json.loads(wish)))
    if task == "serve":
        asgi_child.serve(app)
    else:
        asgi_child.drive(app, flush, count)
    shutdown()


if __name__ == "__main__":
    main()
