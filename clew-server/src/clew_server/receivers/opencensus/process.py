"""The sender: a node of OpenCensus and a resource as a resource of OTLP. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.foreign.writing import resource
from clew_server.receivers.opencensus.values import ns_of

LANGUAGES: Final = {
    1: "cpp",
    2: "dotnet",
    3: "erlang",
    4: "go",
    5: "java",
    6: "nodejs",
    7: "php",
    8: "python",
    9: "ruby",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_S: Final = 253_402_300_799  # the end of the year 9999
_STANDARD: Final = {"host.hostname": "host.name", "cloud.zone": "cloud.availability_zone"}
"""Labels of OpenCensus' resources that OpenTelemetry has by another name."""


def resource_of(node: Any, described: Any) -> bytes:
    """The resource of spans of this Node and this Resource, each of which may be None."""
    items: dict[str, Value] = {}
    if node is not None:
        _describe(node, items)
        _put_all(node.attributes, items, "opencensus.attribute.")
    if described is not None:
        if described.type:
            items["opencensus.resource_type"] = text(described.type)
        _put_all(described.labels, items, "opencensus.label.")
    for key, name in _STANDARD.items():
        if key in items:
            items.setdefault(name, items[key])
    return resource(items)


def _describe(node: Any, items: dict[str, Value]) -> None:
    if node.service_info.name:
        items["service.name"] = text(node.service_info.name)
    if node.HasField("identifier"):
        process = node.identifier
        if process.host_name:
            items["host.name"] = text(process.host_name)
        if process.pid:
            items["process.pid"] = int(process.pid)
        if process.HasField("start_timestamp"):
            items["process.creation.time"] = _moment(ns_of(process.start_timestamp))
    if node.HasField("library_info"):
        library = node.library_info
        items["telemetry.sdk.name"] = "opencensus"
        if library.language:
            items["telemetry.sdk.language"] = LANGUAGES.get(library.language, str(library.language))
        if library.core_library_version:
            items["telemetry.sdk.version"] = text(library.core_library_version)
        if library.exporter_version:
            items["opencensus.exporter_version"] = text(library.exporter_version)


def _put_all(entries: Any, items: dict[str, Value], other: str) -> None:
    """Add entries of a map; `other` goes before a key that says something else already."""
    for one in entries:
        key, value = text(one.key), text(one.value)
        items[other + key if items.get(key, value) != value else key] = value


def _moment(time_ns: int) -> str:
    """ISO 8601; the number itself, in ns, for a time that this has no form for."""
    seconds, ns = divmod(time_ns, 1_000_000_000)
    if not 0 <= seconds <= _LAST_S:
        return str(time_ns)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{ns:09d}Z"
