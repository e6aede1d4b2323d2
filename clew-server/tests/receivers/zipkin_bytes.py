"""Zipkin requests for tests: as real clients send them, and built field by field."""

from __future__ import annotations

import ipaddress
import json
import struct
from typing import Any

from clew_server.receivers.contract import Head
from clew_server.receivers.zipkin import v2_proto
from clew_server.receivers.zipkin.decoder import V1_PATH, V2_PATH

TRACE_ID, SPAN_ID, PARENT_ID = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "0020000000000001"
HEADS = {
    "v2.json": Head(path=V2_PATH, content_type="application/json"),
    "v2.pb": Head(path=V2_PATH, content_type="application/x-protobuf"),
    "v1.json": Head(path=V1_PATH, content_type="application/json"),
    "v1.thrift": Head(path=V1_PATH, content_type="application/x-thrift"),
}


def v2_span(**fields: Any) -> dict[str, Any]:
    """A v2 span; a field that is None is left out."""
    span = {
        "traceId": TRACE_ID,
        "id": SPAN_ID,
        "name": "get /",
        "timestamp": 1_795_346_323_025_004,
        "duration": 5369,
        "localEndpoint": {"serviceName": "svc"},
        **fields,
    }
    return {key: value for key, value in span.items() if value is not None}


def to_json(*spans: Any) -> bytes:
    return json.dumps(spans).encode()


def to_proto(*spans: dict[str, Any]) -> bytes:
    """The same in protobuf; ids and addresses may be bytes, which are taken as they are."""
    made = v2_proto.message("ListOfSpans")
    kinds = ["", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"]
    for span in spans:
        one = made.spans.add(
            trace_id=_id(span["traceId"]),
            id=_id(span["id"]),
            parent_id=_id(span.get("parentId", "")),
            name=span.get("name", "").encode(),
            timestamp=span.get("timestamp", 0),
            duration=span.get("duration", 0),
            kind=kinds.index(span.get("kind", "")),
            debug=span.get("debug", False),
            shared=span.get("shared", False),
        )
        one.local_endpoint = _endpoint(span.get("localEndpoint"))
        one.remote_endpoint = _endpoint(span.get("remoteEndpoint"))
        for annotation in span.get("annotations", ()):
            one.annotations.add(timestamp=annotation["timestamp"], value=annotation["value"].encode())
        for key, value in span.get("tags", {}).items():
            one.tags.append(v2_proto.message("Tag", key=key.encode(), value=value.encode()).SerializeToString())
    request: bytes = made.SerializeToString()
    return request


def _id(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else bytes.fromhex(value)


def _endpoint(value: dict[str, Any] | None) -> bytes:
    if value is None:
        return b""
    made = v2_proto.message(
        "Endpoint",
        service_name=value.get("serviceName", "").encode(),
        ipv4=_packed(value.get("ipv4", "")),
        ipv6=_packed(value.get("ipv6", "")),
        port=value.get("port", 0),
    )
    written: bytes = made.SerializeToString()
    return written


def _packed(address: str | bytes) -> bytes:
    return address if isinstance(address, bytes) else ipaddress.ip_address(address).packed if address else b""


class Thrift:
    """Thrift's binary encoding: (type, value) pairs by field number."""

    @staticmethod
    def struct(fields: dict[int, tuple[int, bytes]]) -> bytes:
        return b"".join(struct.pack(">bh", type_, number) + value for number, (type_, value) in fields.items()) + b"\0"

    @staticmethod
    def i64(value: int) -> tuple[int, bytes]:
        return 10, struct.pack(">q", value)

    @staticmethod
    def id(value: bytes) -> tuple[int, bytes]:
        return 10, value

    @staticmethod
    def i32(value: int) -> tuple[int, bytes]:
        return 8, struct.pack(">i", value)

    @staticmethod
    def i16(value: int) -> tuple[int, bytes]:
        return 6, struct.pack(">h", value)

    @staticmethod
    def true() -> tuple[int, bytes]:
        return 2, b"\1"

    @staticmethod
    def string(value: bytes) -> tuple[int, bytes]:
        return 11, struct.pack(">i", len(value)) + value

    @staticmethod
    def inner(fields: dict[int, tuple[int, bytes]]) -> tuple[int, bytes]:
        return 12, Thrift.struct(fields)

    @staticmethod
    def list_of(*structs: dict[int, tuple[int, bytes]]) -> tuple[int, bytes]:
        return 15, Thrift.body(*structs)

    @staticmethod
    def body(*structs: dict[int, tuple[int, bytes]]) -> bytes:
        return struct.pack(">bi", 12, len(structs)) + b"".join(Thrift.struct(one) for one in structs)
