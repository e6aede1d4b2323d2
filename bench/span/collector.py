"""A collector in a process of its own: OTLP over HTTP and gRPC and Datadog's trace agent; answers at once, counts later.

    python bench/span/collector.py        # prints {"http": port, "grpc": port}, serves until it is terminated

`GET /taken` says what has arrived since it was last asked, decoded only then so that a sender never waits for it.
Requests below `/hang/` are read and never answered.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
import threading
import zlib
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NAME = "GET /users/{id}"
ATTRIBUTES = frozenset(("http.request.method", "http.route", "http.response.status_code", "user.id"))

_AGENT_INFO = json.dumps({"version": "7.60.0", "endpoints": ["/v0.4/traces", "/v0.5/traces"]}).encode()
_lock = threading.Lock()
_bodies: list[tuple[str, str, bytes]] = []


def keep(path: str, encoding: str, body: bytes) -> None:
    with _lock:
        _bodies.append((path, encoding, body))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/hang/"):
            threading.Event().wait()
        keep(self.path, self.headers.get("Content-Encoding", ""), body)
        if self.path == "/v1/traces":
            self._answer(b"", "application/x-protobuf")
        else:
            self._answer(b'{"rate_by_service":{}}', "application/json")

    do_PUT = do_POST

    def do_GET(self) -> None:
        if self.path == "/taken":
            self._answer(json.dumps(taken()).encode(), "application/json")
        else:
            self._answer(_AGENT_INFO, "application/json")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def taken() -> dict[str, Any]:
    """Counts since the last call; `whole` are the spans with the standard name and the four attributes."""
    with _lock:
        bodies = _bodies[:]
        _bodies.clear()
    counted: dict[str, Any] = {"requests": 0, "bytes": 0, "spans": 0, "whole": 0, "encodings": []}
    encodings = set()
    for path, encoding, body in bodies:
        plain = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(body)
        if path in ("/v1/traces", "grpc"):
            spans, whole = _count_otlp(plain)
        elif path.endswith("/traces"):
            spans, whole = _count_datadog(path, plain)
        else:
            continue
        encodings.add(encoding or "none")
        counted["requests"] += 1
        counted["bytes"] += len(body)
        counted["spans"] += spans
        counted["whole"] += whole
    counted["encodings"] = sorted(encodings)
    return counted


def _count_otlp(body: bytes) -> tuple[int, int]:
    spans = whole = 0
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans += 1
                named = {attribute.key for attribute in span.attributes}
                timed = 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                whole += span.name == NAME and named >= ATTRIBUTES and timed
    return spans, whole


def _count_datadog(path: str, body: bytes) -> tuple[int, int]:
    traces, _ = _msgpack(body, 0)
    spans = whole = 0
    if path == "/v0.5/traces":
        words, traces = traces
        for trace in traces:
            for _service, name, resource, *_ids, meta, metrics, _kind in trace:
                spans += 1
                named = {words[key] for key in (*meta, *metrics)}
                whole += NAME in (words[name], words[resource]) and named >= ATTRIBUTES
    else:
        for trace in traces:
            for span in trace:
                spans += 1
                named = {*span.get("meta", ()), *span.get("metrics", ())}
                whole += NAME in (span["name"], span["resource"]) and named >= ATTRIBUTES
    return spans, whole


_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LENGTHS |= {0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}


def _msgpack(data: bytes, at: int) -> tuple[Any, int]:
    """One value of MessagePack and where it ends: what Datadog's clients send, extension types excepted."""
    tag = data[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xE0:
        return tag - 0x100, at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in _NUMBERS:
        (number,) = struct.unpack_from(_NUMBERS[tag], data, at)
        return number, at + struct.calcsize(_NUMBERS[tag])
    if tag in _LENGTHS:
        (length,) = struct.unpack_from(_LENGTHS[tag], data, at)
        at += struct.calcsize(_LENGTHS[tag])
    elif tag < 0xA0:
        length = tag & 0x0F
    else:
        length = tag & 0x1F
    if 0xA0 <= tag < 0xC0 or 0xD9 <= tag <= 0xDB:
        return data[at : at + length].decode("utf-8", "replace"), at + length
    if 0xC4 <= tag <= 0xC6:
        return data[at : at + length], at + length
    if tag < 0x90 or tag >= 0xDE:
        mapping = {}
        for _ in range(length):
            key, at = _msgpack(data, at)
            mapping[key], at = _msgpack(data, at)
        return mapping, at
    items = []
    for _ in range(length):
        item, at = _msgpack(data, at)
        items.append(item)
    return items, at


class Server(ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET


def _export(request: bytes, context: grpc.ServicerContext) -> bytes:
    # The library has decompressed the message already.
    keep("grpc", "", request)
    return b""


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    over_grpc = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    export = grpc.unary_unary_rpc_method_handler(_export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    over_grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": export}),))
    grpc_port = over_grpc.add_insecure_port("127.0.0.1:0")
    over_grpc.start()
    print(json.dumps({"http": server.server_port, "grpc": grpc_port}), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
