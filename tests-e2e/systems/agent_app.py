"""A service traced by another system's agent: SYSTEM WHERE SERVICE calls|answers JSON.

`calls` with a list of systems: for each of them a span that calls it; prints the headers that the agent writes, by system. `answers` with
headers by system: for each of them a span of a server that was called with these. WHERE is the address of the system's receiver.
Then it prints `sent`, and stays until its input ends: some agents send in a thread for which nobody can wait.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SERVED = "called by "
CALLED = "calls "


class OfJaeger:
    """jaeger-client."""

    def __init__(self, where: str, service: str) -> None:
        from jaeger_client import Config

        host, _, port = where.rpartition(":")
        config = {
            "sampler": {"type": "const", "param": 1},
            "local_agent": {"reporting_host": host, "reporting_port": int(port)},
            "generate_128bit_trace_id": True,
        }
        self._tracer: Any = Config(config=config, service_name=service, validate=True).new_tracer()

    def calls(self, other: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        with self._tracer.start_active_span("work"), self._tracer.start_active_span(CALLED + other) as scope:
            scope.span.set_tag("span.kind", "client")
            self._tracer.inject(scope.span.context, "http_headers", headers)
        return headers

    def answers(self, other: str, headers: dict[str, str]) -> None:
        caller = self._tracer.extract("http_headers", headers)
        self._tracer.start_span(SERVED + other, child_of=caller, tags={"span.kind": "server"}).finish()

    def end(self) -> None:
        closing = self._tracer.close()
        while not closing.done():
            time.sleep(0.01)


class OfZipkin:
    """py-zipkin."""

    def __init__(self, where: str, service: str) -> None:
        import requests
        from py_zipkin import Encoding

        def send(body: Any) -> None:
            answer = requests.post(
                f"{where}/api/v2/spans", data=body, headers={"Content-Type": "application/json"}, timeout=30
            )
            assert answer.status_code == 202, answer.text

        self._service = service
        self._common = {"service_name": service, "transport_handler": send, "encoding": Encoding.V2_JSON}

    def calls(self, other: str) -> dict[str, str]:
        from py_zipkin.request_helpers import create_http_headers
        from py_zipkin.zipkin import zipkin_client_span, zipkin_span

        with (
            zipkin_span(span_name="work", sample_rate=100.0, use_128bit_trace_id=True, **self._common),
            zipkin_client_span(service_name=self._service, span_name=CALLED + other),
        ):
            return dict(create_http_headers())

    def answers(self, other: str, headers: dict[str, str]) -> None:
        from py_zipkin import Kind
        from py_zipkin.request_helpers import extract_zipkin_attrs_from_headers
        from py_zipkin.zipkin import zipkin_span
        from requests.structures import CaseInsensitiveDict

        attrs = extract_zipkin_attrs_from_headers(CaseInsensitiveDict(headers))  # as a server has them
        with zipkin_span(span_name=SERVED + other, zipkin_attrs=attrs, kind=Kind.SERVER, **self._common):
            pass

    def end(self) -> None:
        pass


class OfSkyWalking:
    """apache-skywalking."""

    def __init__(self, where: str, service: str) -> None:
        from skywalking import agent, config

        config.init(
            agent_collector_backend_services=where,
            agent_protocol="grpc",
            agent_name=service,
            agent_instance_name=service + "-1",
            agent_meter_reporter_active=False,
            agent_log_reporter_active=False,
            agent_profile_active=False,
            agent_disable_plugins=[".*"],
        )
        agent.start()

    def calls(self, other: str) -> dict[str, str]:
        from skywalking.trace.context import get_context

        from skywalking import Component, Layer

        with get_context().new_entry_span(op="work") as entry:
            entry.layer, entry.component = Layer.Http, Component.Flask
            with get_context().new_exit_span(
                op=CALLED + other, peer="127.0.0.1:80", component=Component.Requests
            ) as call:
                call.layer = Layer.Http
                return {item.key: item.val for item in call.inject()}

    def answers(self, other: str, headers: dict[str, str]) -> None:
        from skywalking.trace.carrier import Carrier
        from skywalking.trace.context import get_context

        from skywalking import Component, Layer

        carrier = Carrier()
        for item in carrier:
            item.val = headers.get(item.key, item.val)
        with get_context().new_entry_span(op=SERVED + other, carrier=carrier) as entry:
            entry.layer, entry.component = Layer.Http, Component.Flask

    def end(self) -> None:
        pass  # the agent sends what it has when the process ends


class OfDatadog:
    """ddtrace, whose agent's address is in the environment."""

    def __init__(self, where: str, service: str) -> None:
        from ddtrace.propagation.http import HTTPPropagator
        from ddtrace.trace import tracer

        self._tracer, self._headers, self._service = tracer, HTTPPropagator, service

    def calls(self, other: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        with (
            self._tracer.trace("work", service=self._service),
            self._tracer.trace(CALLED + other, service=self._service) as call,
        ):
            call.set_tag("span.kind", "client")
            self._headers.inject(call.context, headers)
        return headers

    def answers(self, other: str, headers: dict[str, str]) -> None:
        self._tracer.context_provider.activate(self._headers.extract(headers))
        with self._tracer.trace(SERVED + other, service=self._service) as served:
            served.set_tag("span.kind", "server")

    def end(self) -> None:
        self._tracer.shutdown()


class OfSentry:
    """sentry-sdk, with transactions."""

    def __init__(self, where: str, service: str) -> None:
        import sentry_sdk

        dsn = f"http://key@{where.removeprefix('http://')}/{service}/1"
        sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0, default_integrations=False)
        self._sdk = sentry_sdk

    def calls(self, other: str) -> dict[str, str]:
        with (
            self._sdk.start_transaction(op="task", name="work"),
            self._sdk.start_span(op="http.client", name=CALLED + other),
        ):
            return dict(self._sdk.get_current_scope().iter_trace_propagation_headers())

    def answers(self, other: str, headers: dict[str, str]) -> None:
        transaction = self._sdk.continue_trace(headers, op="http.server", name=SERVED + other)
        with self._sdk.start_transaction(transaction):
            pass

    def end(self) -> None:
        self._sdk.get_client().close(timeout=20)


class OfOpenCensus:
    """opencensus with the exporter for its agent."""

    def __init__(self, where: str, service: str) -> None:
        from opencensus.ext.ocagent.trace_exporter import TraceExporter
        from opencensus.trace.propagation.trace_context_http_header_format import TraceContextPropagator
        from opencensus.trace.samplers import AlwaysOnSampler
        from opencensus.trace.tracer import Tracer

        self._headers = TraceContextPropagator()
        exporter = TraceExporter(service_name=service, endpoint=where)
        self._tracer = lambda context: Tracer(context, AlwaysOnSampler(), exporter, self._headers)

    def calls(self, other: str) -> dict[str, str]:
        from opencensus.trace.span import SpanKind

        tracer = self._tracer(None)
        with tracer.span("work"), tracer.span(CALLED + other) as call:
            call.span_kind = SpanKind.CLIENT
            return dict(self._headers.to_headers(tracer.span_context))

    def answers(self, other: str, headers: dict[str, str]) -> None:
        from opencensus.trace.span import SpanKind

        with self._tracer(self._headers.from_headers(headers)).span(SERVED + other) as served:
            served.span_kind = SpanKind.SERVER

    def end(self) -> None:
        pass


class OfPinpoint:
    """pinpointPy, which traces what Flask serves and what requests sends."""

    def __init__(self, where: str, service: str) -> None:
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        import pinpointPy
        from flask import Flask
        from pinpointPy.Flask import PinPointMiddleWare

        pinpointPy.set_agent(f"{service}-1", service, f"tcp:{where}", -1)
        pinpointPy.use_thread_local_context()
        pinpointPy.monkey_patch_for_pinpoint()
        got: list[dict[str, str]] = []

        class Called(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                got.append(dict(self.headers))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        other = HTTPServer(("127.0.0.1", 0), Called)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        app = Flask(__name__)
        app.wsgi_app = PinPointMiddleWare(app, app.wsgi_app)  # type: ignore[method-assign]
        self._client, self._got, self._port = app.test_client(), got, other.server_port

        @app.route("/<what>")
        def serve(what: str) -> str:
            import requests

            if what == "work":
                requests.get(f"http://127.0.0.1:{self._port}/", timeout=30)
            return what

    def calls(self, other: str) -> dict[str, str]:
        assert self._client.get("/work").status_code == 200
        return self._got.pop()

    def answers(self, other: str, headers: dict[str, str]) -> None:
        assert self._client.get("/served", headers=headers).status_code == 200

    def end(self) -> None:
        pass


class OfCat:
    """cat-sdk, whose functions for headers are there in C only."""

    def __init__(self, where: str, service: str) -> None:
        import ctypes
        from pathlib import Path

        import cat

        cat.init(service, sampling=True)
        library = ctypes.CDLL(str(Path(cat.__file__).parent / "lib/linux-glibc/libcatclient.so"))
        library.createMessageId.restype = ctypes.c_char_p
        library.createRemoteServerMessageId.restype = ctypes.c_char_p
        self._cat, self._library = cat, library

    def calls(self, other: str) -> dict[str, str]:
        own = bytes(self._library.createMessageId())
        self._library.setThreadLocalMessageTreeId(own)
        with self._cat.Transaction("URL", "/work"), self._cat.Transaction("Call", CALLED + other):
            child = bytes(self._library.createRemoteServerMessageId(b"between"))
            self._cat.log_event("RemoteCall", "", "0", child.decode())
        return {"x-cat-root-id": own.decode(), "x-cat-parent-id": own.decode(), "x-cat-id": child.decode()}

    def answers(self, other: str, headers: dict[str, str]) -> None:
        self._library.setThreadLocalMessageTreeRootId(headers["x-cat-root-id"].encode())
        self._library.setThreadLocalMessageTreeParentId(headers["x-cat-parent-id"].encode())
        self._library.setThreadLocalMessageTreeId(headers["x-cat-id"].encode())
        with self._cat.Transaction("Service", SERVED + other):
            pass

    def end(self) -> None:
        pass


AGENTS: dict[str, Any] = {
    "pinpoint": OfPinpoint,
    "cat": OfCat,
    "jaeger": OfJaeger,
    "zipkin": OfZipkin,
    "skywalking": OfSkyWalking,
    "datadog": OfDatadog,
    "sentry": OfSentry,
    "opencensus": OfOpenCensus,
}

if __name__ == "__main__":
    system, where, service, what, said = sys.argv[1:]
    agent = AGENTS[system](where, service)
    if what == "calls":
        print(json.dumps({other: agent.calls(other) for other in json.loads(said)}), flush=True)
    else:
        for other, headers in json.loads(said).items():
            agent.answers(other, headers)
    agent.end()
    print("sent", flush=True)
    sys.stdin.read()
