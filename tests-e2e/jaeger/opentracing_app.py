"""Two services that trace with jaeger-client over UDP: HOST PORT FRONT BACK START_US; prints the trace id."""

from __future__ import annotations

import sys
import time

import opentracing
from jaeger_client import Config

host, port, front, back, start_us = sys.argv[1:]
start_s = int(start_us) / 1e6


def tracer_of(service: str) -> object:
    config = {
        "sampler": {"type": "const", "param": 1},
        "local_agent": {"reporting_host": host, "reporting_port": int(port)},
        "generate_128bit_trace_id": True,
    }
    return Config(config=config, service_name=service, validate=True).new_tracer()


first, second = tracer_of(front), tracer_of(back)
buy = first.start_span("get /buy", tags={"span.kind": "server", "http.method": "GET"}, start_time=start_s)
post = first.start_span(
    "post", child_of=buy, tags={"span.kind": "client", "peer.service": back}, start_time=start_s + 0.0625
)
post.log_kv({"event": "queued", "size": 3}, timestamp=start_s + 0.0703125)
headers: dict[str, str] = {}
first.inject(post.context, opentracing.Format.HTTP_HEADERS, headers)
caller = second.extract(opentracing.Format.HTTP_HEADERS, headers)
stock = second.start_span("post /stock", child_of=caller, tags={"span.kind": "server"}, start_time=start_s + 0.07)
stock.set_tag("http.status_code", 500)
stock.set_tag("error", True)
stock.log_kv({"event": "error", "error.kind": "LookupError", "message": "no stock"}, timestamp=start_s + 0.09375)
look = second.start_span(
    "look", child_of=stock, tags={"span.kind": "internal", "ratio": 0.5, "ok": True}, start_time=start_s + 0.078125
)
look.finish(finish_time=start_s + 0.09375)
stock.finish(finish_time=start_s + 0.1)
post.finish(finish_time=start_s + 0.125)
buy.finish(finish_time=start_s + 0.25)
print(f"{buy.trace_id:032x}")
for closing in [first.close(), second.close()]:
    while not closing.done():  # a future of the reporter's own event loop, in a thread of its own
        time.sleep(0.01)
