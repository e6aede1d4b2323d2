"""What reading and writing headers costs, against OpenTelemetry's own propagators, in one run.

    python bench/propagation/run.py [--calls N] [--rounds N]

Each line: CPU of extract and inject together, a request, with a request's other headers beside. "asgi" reads the headers
of an ASGI scope as each project's middleware does; "dict" a plain dict through the API's getter. The budget is a fifth.
What is not installed is left out: opentelemetry-instrumentation-asgi, opentelemetry-propagator-b3, -jaeger, -aws-xray.
Exit status 0 either way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import import_module

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import set_tracer_provider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clew.carriers import AsgiCarrier, getter
from clew.propagation import propagators_from_names
from clew.recorder.provider import TracerProvider

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
USUAL = {"host": "shop", "user-agent": "curl/8", "accept": "*/*", "accept-encoding": "gzip", "content-length": "7"}
HEADERS = {
    "traceparent": f"00-{TRACE}-{SPAN}-01",
    "baggage": "tenant=acme,region=eu",
    "b3": f"{TRACE}-{SPAN}-1",
    "uber-trace-id": f"{TRACE}:{SPAN}:0:1",
    "x-amzn-trace-id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1",
}
NEEDED = {
    "tracecontext": ["traceparent"],
    "baggage": ["baggage"],
    "b3": ["b3"],
    "jaeger": ["uber-trace-id"],
    "xray": ["x-amzn-trace-id"],
}
THEIRS = {
    "b3": ("opentelemetry.propagators.b3", "B3SingleFormat"),
    "jaeger": ("opentelemetry.propagators.jaeger", "JaegerPropagator"),
    "xray": ("opentelemetry.propagators.aws", "AwsXRayPropagator"),
}


def theirs(name: str) -> TextMapPropagator | None:
    """OpenTelemetry's propagator of this name, if there is one here."""
    if name in ("tracecontext", "baggage"):
        return {"tracecontext": TraceContextTextMapPropagator, "baggage": W3CBaggagePropagator}[name]()
    try:
        made: TextMapPropagator = getattr(import_module(THEIRS[name][0]), THEIRS[name][1])()
    except ImportError:
        return None
    return made


def from_dict(propagator: TextMapPropagator, headers: dict[str, str]) -> Callable[[], None]:
    def call() -> None:
        propagator.inject({}, propagator.extract(headers, Context()))

    return call


def our_asgi(propagator: TextMapPropagator, headers: dict[str, str]) -> Callable[[], None]:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]

    def call() -> None:
        propagator.inject({}, propagator.extract(AsgiCarrier(pairs), Context(), getter))

    return call


def their_asgi(propagator: TextMapPropagator, headers: dict[str, str]) -> Callable[[], None] | None:
    try:
        asgi_getter = import_module("opentelemetry.instrumentation.asgi").asgi_getter
    except ImportError:
        return None
    scope = {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}

    def call() -> None:
        propagator.inject({}, propagator.extract(scope, Context(), asgi_getter))

    return call


def microseconds(calls: list[Callable[[], None]], count: int, rounds: int) -> list[float]:
    """The best of the rounds for each, in µs of CPU a call; they take turns, so that noise meets all."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for at, call in enumerate(calls):
            start_ns = time.process_time_ns()
            for _ in range(count):
                call()
            best[at] = min(best[at], (time.process_time_ns() - start_ns) / count / 1_000)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows: list[tuple[str, list[str], TextMapPropagator, list[str]]] = []
    for name in NEEDED:
        other = theirs(name)
        if other is None:
            print(f"{name}: OpenTelemetry's package is not installed")
        else:
            rows.append((name, [name], other, NEEDED[name]))
    both = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    default = ["tracecontext", "baggage", "kratos"]
    rows.append(("the defaults", default, both, ["traceparent", "baggage"]))
    rows.append(("the defaults, no baggage", default, both, ["traceparent"]))
    rows.append(("the defaults, no header", default, both, []))
    set_tracer_provider(TracerProvider(resource={"service.name": "shop"}, shutdown_on_exit=False))
    print(f"{'µs':28}{'asgi':>8}{'theirs':>8}{'ratio':>7}{'dict':>9}{'theirs':>8}{'ratio':>7}")
    for title, names, other, needed in rows:
        headers = {**USUAL, **{name: HEADERS[name] for name in needed}}
        ours = propagators_from_names(names)
        calls = [our_asgi(ours, headers), from_dict(ours, headers), from_dict(other, headers)]
        with_asgi = their_asgi(other, headers)
        asgi_us, dict_us, other_dict_us, *more = microseconds(
            [*calls, with_asgi] if with_asgi else calls, options.calls, options.rounds
        )
        line = f"{more[0]:8.2f}{asgi_us / more[0]:7.2f}" if more else f"{'-':>8}{'-':>7}"
        print(f"{title:28}{asgi_us:8.2f}{line}{dict_us:9.2f}{other_dict_us:8.2f}{dict_us / other_dict_us:7.2f}")


if __name__ == "__main__":
    main()
