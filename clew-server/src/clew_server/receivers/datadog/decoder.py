"""A request of a Datadog tracer, by its path, into OTLP. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from clew_server.errors import TooLarge, Unsupported
from clew_server.receivers.contract import MAX_REQUEST_BYTES, Head, OtlpBatch
from clew_server.receivers.datadog.payload import RawSpan, chunks_json, chunks_v04, chunks_v05
from clew_server.receivers.datadog.process import of_chunk, of_headers, resource_of
from clew_server.receivers.datadog.spans import Malformed, high_half, map_of, text_of, written
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import Groups, batch

V03: Final = "/v0.3/traces"
V04: Final = "/v0.4/traces"
V05: Final = "/v0.5/traces"
TRACES: Final = (V03, V04, V05)
MSGPACK: Final = ("application/msgpack", "application/x-msgpack", "application/octet-stream", "")
JSON: Final = ("application/json", "text/json")

# What tracers send beside traces: path → as what it is counted.
OTHERS: Final = {
    "/v0.6/stats": "stats",
    "/v0.7/config": "config",
    "/v0.1/pipeline_stats": "pipeline_stats",
    "/telemetry/proxy/api/v2/apmtelemetry": "telemetry",
    "/profiling/v1/input": "profiles",
    "/debugger/v1/input": "debugger",
    "/debugger/v1/diagnostics": "debugger",
    "/symdb/v1/input": "debugger",
    "/tracer_flare/v1": "flare",
    "/dogstatsd/v2/proxy": "metrics",
}


def media_of(head: Head) -> str:
    """The media type of a request with traces. Raises Unsupported."""
    media = head.content_type.partition(";")[0].strip().lower()
    if media in JSON and head.path != V05:
        return "json"
    if media not in MSGPACK:
        raise Unsupported(f"Content-Type {media}: send application/msgpack", code="unsupported_media_type")
    return "msgpack"


def check(head: Head) -> None:
    """Raises Unsupported for traces in another media type."""
    if head.path not in OTHERS:
        media_of(head)


def decode(body: bytes, head: Head) -> OtlpBatch:
    """Raises BadInput, TooLarge, Unsupported."""
    kind = OTHERS.get(head.path)
    if kind is not None:
        return OtlpBatch(b"", b"", 0, None, {}, dropped={kind: 1})
    chunks: Callable[[bytes], Iterator[list[RawSpan | None]]]
    chunks = chunks_v05 if head.path == V05 else chunks_v04
    if media_of(head) == "json":
        chunks = chunks_json
    groups, rejected = Groups(), Counter[str]()
    of_request = of_headers(head.headers)
    size = 0
    for found in chunks(body):
        spans = [raw for raw in found if raw is not None]
        if len(spans) < len(found):
            rejected["malformed"] += len(found) - len(spans)
        size += _add(spans, of_request, groups, rejected)
        if size > MAX_REQUEST_BYTES:
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes, written as OTLP")
    return batch(groups, received=body, rejected=rejected)


def _add(spans: list[RawSpan], of_request: dict[str, Value], groups: Groups, rejected: Counter[str]) -> int:
    """Add the spans of a chunk; returns how many bytes they take."""
    metas = [map_of(raw.get("meta")) for raw in spans]
    process = of_chunk(metas, [map_of(raw.get("metrics")) for raw in spans], of_request)
    high_halves = high_half(spans)
    versions: dict[str, str] = {}
    for raw, meta in zip(spans, metas, strict=True):
        version = text_of(meta.get("version"))
        if version:
            versions.setdefault(text_of(raw.get("service")), version)
    resources: dict[str, bytes] = {}
    size = 0
    for raw in spans:
        service = text_of(raw.get("service"))
        try:
            one = written(raw, high_halves)
        except Malformed as error:
            rejected[error.reason] += 1
            continue
        if service not in resources:
            resources[service] = resource_of(service, versions.get(service, ""), process)
        groups.add(resources[service], "", "", one)
        size += len(one)
    return size


MAX_PAYLOAD_BYTES: Final = MAX_REQUEST_BYTES // 2
"""Tracers send at most 20 MiB."""
