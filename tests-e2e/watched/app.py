"""A service that makes a call each second with its system's own agent: SYSTEM ADDRESS SERVICE SECONDS. Every tenth call fails.

What the agent logs, from debug on, goes to stderr, with the level first. Prints how many calls it made, then stays until its input ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

system, address, service, seconds = sys.argv[1:]
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)

Call = Callable[[int], None]
"""Makes a call; raises LookupError for one that fails."""


def fail(number: int) -> None:
    if number % 10 == 9:
        raise LookupError("no stock")


def skywalking(how: str) -> Call:
    from skywalking.trace.context import get_context

    from skywalking import Component, Layer, agent, config

    config.init(
        agent_collector_backend_services=address,
        agent_protocol=how,
        agent_name=service,
        agent_instance_name=f"{service}-1",
        agent_meter_reporter_active=how == "grpc",
        agent_log_reporter_active=False,
        agent_profile_active=how == "grpc",
        agent_logging_level="DEBUG",
        agent_disable_plugins=[".*"],
    )
    agent.start()

    def call(number: int) -> None:
        with get_context().new_entry_span(op="/buy") as entry:
            entry.layer, entry.component = Layer.Http, Component.Flask
            with get_context().new_exit_span(op="/stock", peer="127.0.0.1:8094", component=Component.Requests):
                fail(number)

    return call


def pinpoint() -> Call:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    import pinpointPy
    from flask import Flask
    from pinpointPy.CommonPlugin import PinpointCommonPlugin
    from pinpointPy.Flask import PinPointMiddleWare

    pinpointPy.set_agent(f"{service}-1", service, f"tcp:{address}", -1, log_level=logging.DEBUG)
    if hasattr(pinpointPy, "use_thread_local_context"):
        pinpointPy.use_thread_local_context()
    app = Flask(__name__)
    app.wsgi_app = PinPointMiddleWare(app, app.wsgi_app)  # type: ignore[method-assign]

    @app.route("/buy/<int:number>")
    def buy(number: int) -> str:
        with contextlib.suppress(LookupError):
            look(number)
        return "bought"

    look = PinpointCommonPlugin("look")(fail)

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def call(number: int) -> None:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", f"/buy/{number}")
        assert connection.getresponse().read() == b"bought"
        connection.close()

    return call


def opencensus() -> Call:
    from opencensus.common.transports.async_ import AsyncTransport
    from opencensus.ext.ocagent.trace_exporter import TraceExporter
    from opencensus.trace.samplers import AlwaysOnSampler
    from opencensus.trace.tracer import Tracer

    exporter = TraceExporter(service_name=service, endpoint=address, transport=AsyncTransport)

    def call(number: int) -> None:
        tracer = Tracer(sampler=AlwaysOnSampler(), exporter=exporter)
        with tracer.span("buy"), tracer.span("stock"):
            fail(number)

    return call


def datadog() -> Call:
    os.environ.update(DD_TRACE_AGENT_URL=address, DD_SERVICE=service)
    from ddtrace.trace import tracer

    def call(number: int) -> None:
        with tracer.trace("buy"), tracer.trace("stock"):
            fail(number)

    return call


def sentry() -> Call:
    import sentry_sdk

    sentry_sdk.init(dsn=address, traces_sample_rate=1.0, debug=True)

    def call(number: int) -> None:
        with sentry_sdk.start_transaction(op="http.server", name="buy"), sentry_sdk.start_span(op="db", name="stock"):
            try:
                fail(number)
            except LookupError:
                sentry_sdk.capture_exception()

    return call


def cat() -> Call:
    import cat as client

    client.init(service, sampling=True)

    def call(number: int) -> None:
        with client.Transaction("URL", "/buy"), client.Transaction("SQL", "select") as inner:
            try:
                fail(number)
            except LookupError as error:
                client.log_exception(error)
                inner.set_status("LookupError")

    return call


SYSTEMS = {
    "skywalking-grpc": lambda: skywalking("grpc"),
    "skywalking-http": lambda: skywalking("http"),
    "pinpoint-json": pinpoint,
    "opencensus": opencensus,
    "datadog": datadog,
    "sentry": sentry,
    "cat": cat,
}

call = SYSTEMS[system]()
end_s, made = time.monotonic() + float(seconds), 0
while time.monotonic() < end_s:
    with contextlib.suppress(LookupError):
        call(made)
    made += 1
    time.sleep(1)
print(f"made {made}", flush=True)
sys.stdin.read()
