"""How soon a span is found: by its trace id and by a search, counted from its acknowledgement, while a trickle comes in."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import httpx

from harness.server import PROTOBUF, Server
from harness.wire import fresh_name, new_trace_id, request, span
from lib import measure


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=30)
    options.add_argument("--spans-a-second", type=int, default=10, help="the trickle beside; 0 for none")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        stop = threading.Event()

        def trickle() -> None:
            with httpx.Client() as http:
                while not stop.wait(1 / chosen.spans_a_second):
                    body = request("trickle", [span()])
                    http.post(f"{server.otlp_http}/v1/traces", content=body, headers={"Content-Type": PROTOBUF})

        sender = threading.Thread(target=trickle)
        try:
            if chosen.spans_a_second:
                sender.start()
            by_id, in_search, barrier = [], [], []
            for _ in range(chosen.samples):
                service, trace_id = fresh_name("fresh"), new_trace_id()
                server.export(request(service, [span(trace_id)]))
                began = time.monotonic()
                while not server.trace_bytes(trace_id):
                    pass
                by_id.append((time.monotonic() - began) * 1000)
                while not server.found(service=service):
                    time.sleep(0.02)
                in_search.append(time.monotonic() - began)
            for _ in range(chosen.samples):
                server.export(request("barrier", [span()]))
                began = time.monotonic()
                server.flush()
                barrier.append(time.monotonic() - began)
            stop.set()
            if chosen.spans_a_second:
                sender.join()
            assert server.stop() == 0
        finally:
            stop.set()
            server.close()
    for name, values, unit in (
        ("by id", by_id, "ms"),
        ("in search", in_search, "s"),
        ("flush, which waits for no clock", barrier, "s"),
    ):
        print(
            f"{name}: p50 {measure.median(values):.2f} {unit}, p95 {measure.percentile(values, 95):.2f}, most {max(values):.2f} (n {len(values)})"
        )
    print(f"load {measure.load()}")


if __name__ == "__main__":
    main()
