"""A service traced by another system's agent: SYSTEM WHERE SERVICE calls|answers JSON.

`calls` with a list of systems: for each of them a span that calls it; prints the headers that the agent writes, by system. `answers` with
headers by system: for each of them a span of a server that was called with these. WHERE is the address of the system's receiver.
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


AGENTS: dict[str, Any] = {
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
        print(json.dumps({other: agent.calls(other) for other in json.loads(said)}))
    else:
        for other, headers in json.loads(said).items():
            agent.answers(other, headers)
    agent.end()
