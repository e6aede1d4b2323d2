"""What `clew import` costs, by the format of the file, against sending the same spans as OTLP protobuf in the same run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`, `receivers`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import varint
from harness.server import PROTOBUF, Server, clew_command
from lib import measure, stand
from receivers.encoders import ENCODERS

_Requests = Sequence[ExportTraceServiceRequest]
_ENCODE = {one.name: one.encode for one in ENCODERS}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    requests = [ExportTraceServiceRequest.FromString(body) for body in stand.make(chosen.spans, minutes=30).bodies]
    spans = sum(
        len(scope.spans) for one in requests for resource in one.resource_spans for scope in resource.scope_spans
    )
    files = {name: write(requests) for name, write in _FILES.items()}
    found: dict[str, list[tuple[float, float, float]]] = {"sent directly": [], **{name: [] for name in files}}
    for _ in range(chosen.rounds):  # one turn of everybody, then the next: what else the machine does hits all alike
        found["sent directly"].append(_run(spans, lambda server, _: _send(server, requests)))
        for name, content in files.items():
            found[name].append(_run(spans, lambda server, folder, content=content: _import(server, folder, content)))
    print(f"{spans:,} spans, {chosen.rounds} rounds, load {measure.load()}; medians; µs CPU a span, user and system")
    print(f"{'':28}{'MB':>7}{'spans/s':>10}{'server':>9}{'command':>9}{'together × direct':>19}")
    base = 0.0
    for name, runs in found.items():
        rate, server_us, command_us = (measure.median([run[at] for run in runs]) for at in range(3))
        base = base or server_us + command_us
        size = len(files[name]) / 1e6 if name in files else sum(one.ByteSize() for one in requests) / 1e6
        print(
            f"{name:28}{size:>7.1f}{rate:>10,.0f}{server_us:>9.1f}{command_us:>9.1f}{(server_us + command_us) / base:>19.2f}"
        )


def _run(spans: int, work: Callable[[Server, Path], float]) -> tuple[float, float, float]:
    """Spans a second until all is acknowledged, CPU of the server a span until all is searchable, CPU of the sender a span; in µs."""
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data", options=["--receive", "none"]).start()
        try:
            before, began = measure.cpu_s(server.pid), time.monotonic()
            sender_s = work(server, Path(folder))
            wall_s = time.monotonic() - began
            server.flush(300)
            cpu_s = measure.cpu_s(server.pid) - before
            assert server.status()["stored_spans"] == spans
        finally:
            server.close()
    return spans / wall_s, cpu_s * 1e6 / spans, sender_s * 1e6 / spans


def _send(server: Server, requests: _Requests) -> float:
    """What an exporter does: requests that are bytes already, over one connection. CPU of this process in seconds."""
    host, _, port = server.otlp_http.removeprefix("http://").rpartition(":")
    bodies = [one.SerializeToString() for one in requests]
    began = time.process_time()
    connection = HTTPConnection(host, int(port), timeout=120)
    for body in bodies:
        connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
        answer = connection.getresponse()
        assert not answer.read()
        assert answer.status == 200
    connection.close()
    return time.process_time() - began


def _import(server: Server, folder: Path, content: bytes) -> float:
    file = folder / "file"
    file.write_bytes(content)
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    before = os.times()
    subprocess.run(
        [*clew_command(), "import", str(file), "--server", server.http],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _delimited(requests: _Requests) -> bytes:
    return b"".join(varint(one.ByteSize()) + one.SerializeToString() for one in requests)


def _lines(name: str) -> Callable[[_Requests], bytes]:
    return lambda requests: b"\n".join(body for one in requests for body in _ENCODE[name](one))


def _zipkin(requests: _Requests) -> bytes:
    return b"[" + b",".join(body for one in requests for body in _ENCODE["Zipkin JSON"](one)) + b"]"


def _jaeger(requests: _Requests) -> bytes:
    """As Jaeger's UI saves a search: traces with their processes."""
    traces: dict[str, dict[str, Any]] = {}
    for request in requests:
        for resource in request.resource_spans:
            pairs = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            service = pairs.pop("service.name")
            for span in resource.scope_spans[0].spans:
                trace_id = span.trace_id.hex()
                trace = traces.setdefault(trace_id, {"traceID": trace_id, "spans": [], "processes": {}})
                key = f"{service} {pairs['service.instance.id']}"
                trace["processes"][key] = {"serviceName": service, "tags": [_tag(*pair) for pair in pairs.items()]}
                parent = {"refType": "CHILD_OF", "traceID": trace_id, "spanID": span.parent_span_id.hex()}
                trace["spans"].append(
                    {
                        "traceID": trace_id,
                        "spanID": span.span_id.hex(),
                        "operationName": span.name,
                        "references": [parent] if span.parent_span_id else [],
                        "startTime": span.start_time_unix_nano // 1000,
                        "duration": (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                        "tags": [
                            _tag(one.key, getattr(one.value, one.value.WhichOneof("value") or ""))
                            for one in span.attributes
                        ],
                        "logs": [],
                        "processID": key,
                        "warnings": None,
                    }
                )
    return json.dumps({"data": list(traces.values()), "total": 0, "limit": 0, "offset": 0, "errors": None}).encode()


def _tag(key: str, value: str | int) -> dict[str, Any]:
    return {"key": key, "type": "int64" if isinstance(value, int) else "string", "value": value}


_FILES: dict[str, Callable[[_Requests], bytes]] = {
    "OTLP protobuf, delimited": _delimited,
    "OTLP JSON lines": _lines("OTLP JSON"),
    "Jaeger JSON": _jaeger,
    "Zipkin JSON": _zipkin,
}


if __name__ == "__main__":
    main()
