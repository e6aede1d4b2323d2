"""The resource of a Datadog span: its service, and what the first spans of its chunk and the request's headers say. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import resource

_LANGUAGES: Final = {".net": "dotnet", "dotnet": "dotnet", "javascript": "nodejs", "jvm": "java", "c++": "cpp"}
# Tags of a chunk's local root that describe its process → names in a resource.
OF_PROCESS: Final = {
    "env": "deployment.environment.name",
    "runtime-id": "service.instance.id",
    "_dd.hostname": "host.name",
    "language": "telemetry.sdk.language",
    "_dd.git.commit.sha": "vcs.ref.head.revision",
    "_dd.git.repository_url": "vcs.repository.url.full",
}
_HEADERS: Final = {
    "datadog-meta-lang": "telemetry.sdk.language",
    "datadog-meta-tracer-version": "telemetry.sdk.version",
    "datadog-meta-lang-version": "process.runtime.version",
    "datadog-meta-lang-interpreter": "process.runtime.name",
    "datadog-container-id": "container.id",
}


def of_headers(headers: Mapping[str, str]) -> dict[str, Value]:
    """What the headers of a request say of the process."""
    found: dict[str, Value] = {"telemetry.sdk.name": "datadog"}
    for key, name in _HEADERS.items():
        if headers.get(key):
            found[name] = _language(headers[key]) if name == "telemetry.sdk.language" else headers[key]
    return found


def of_chunk(
    metas: list[Mapping[str, Any]], metrics: list[Mapping[str, Any]], of_request: Mapping[str, Value]
) -> dict[str, Value]:
    """What the spans of a chunk say of their process; a tracer writes it to the first one."""
    found = dict(of_request)
    seen: set[str] = set()
    for meta in metas:
        for key, name in OF_PROCESS.items():
            value = meta.get(key)
            if isinstance(value, str) and value and key not in seen:
                seen.add(key)
                found[name] = _language(value) if key == "language" else value
    for one in metrics:
        pid = one.get("process_id")
        if isinstance(pid, int | float) and not isinstance(pid, bool) and pid == pid and 0 < pid < 1 << 53:
            found["process.pid"] = int(pid)
            break
    return found


def resource_of(service: str, version: str, of_chunk: Mapping[str, Value]) -> bytes:
    """The resource of a span of this service."""
    items: dict[str, Value] = {"service.name": service} if service else {}
    if version:
        items["service.version"] = version
    return resource({**items, **of_chunk})


def _language(said: str) -> str:
    return _LANGUAGES.get(said.lower(), said.lower())
