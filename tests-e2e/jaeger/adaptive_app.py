"""A service whose sampler asks for its strategy: HOST UDP_PORT SAMPLING_PORT SERVICE; calls two operations until stdin ends."""

from __future__ import annotations

import sys
import threading
import time

from jaeger_client import Config

host, udp_port, sampling_port, service = sys.argv[1:]
config = {
    "sampling_refresh_interval": 0.5,
    "local_agent": {"reporting_host": host, "reporting_port": int(udp_port), "sampling_port": int(sampling_port)},
}
tracer = Config(config=config, service_name=service, validate=True).new_tracer()
ended = threading.Event()


def call(operation: str, a_second: float) -> None:
    number = 0
    while not ended.is_set():
        number += 1
        tracer.start_span(operation, tags={"number": number}).finish()
        time.sleep(1 / a_second)


for each in (("busy", 400.0), ("quiet", 5.0)):
    threading.Thread(target=call, args=each, daemon=True).start()
sys.stdin.read()
ended.set()
