"""What produced the spans: the resource's attributes, from options, `OTEL_*` variables and the process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_implementation, python_version
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

from clew import guard
from clew.recorder.limits import clean_attributes

UNKNOWN_SERVICE: Final = "unknown_service:python"


class Resource:
    """Attributes and schema URL of what produced the spans; read-only, values keep their types."""

    def __init__(self, attributes: Mapping[str, Any], schema_url: str = "") -> None:
        self.attributes: Mapping[str, Any] = MappingProxyType(clean_attributes(attributes, None, None)[0])
        self.schema_url = schema_url

    def in_this_process(self) -> Resource:
        """The same resource with this process' id, where it has one: for the child after a fork."""
        if "process.pid" not in self.attributes:
            return self
        changed = {**self.attributes, "process.pid": os.getpid()}
        if "service.instance.id" in changed:
            changed["service.instance.id"] = _instance_id()
        return Resource(changed, self.schema_url)


def default_resource(service_name: str | None = None, attributes: Mapping[str, Any] | None = None) -> Resource:
    """The process' resource: detected values, then the environment's, then `attributes`, then `service_name`.

    Without a service name anywhere it is `unknown_service:python`.
    """
    merged: dict[str, Any] = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "clew",
        "telemetry.sdk.version": _own_version(),
        "service.instance.id": _instance_id(),
        "process.pid": os.getpid(),
        "process.runtime.name": python_implementation().lower(),
        "process.runtime.version": python_version(),
        "host.name": os.uname().nodename,
    }
    merged.update(_attributes_from_environment())
    named = os.environ.get("OTEL_SERVICE_NAME", "").strip()
    if named:
        merged["service.name"] = named
    merged.update(attributes or {})
    if service_name:
        merged["service.name"] = service_name
    if not merged.get("service.name"):
        merged["service.name"] = UNKNOWN_SERVICE
    return Resource(merged)


def _attributes_from_environment() -> dict[str, str]:
    text = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    result: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            # The specification: one malformed pair discards the whole variable.
            guard.warn(
                "OTEL_RESOURCE_ATTRIBUTES", "clew: OTEL_RESOURCE_ATTRIBUTES has %r, not key=value; ignored", item
            )
            return {}
        result[unquote(key.strip())] = unquote(value.strip())
    return result


def _instance_id() -> str:
    raw = os.urandom(16).hex()
    # The form of a random UUID (RFC 9562, version 4), without importing uuid.
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-{'89ab'[int(raw[16], 16) & 3]}{raw[17:20]}-{raw[20:]}"


def _own_version() -> str:
    try:
        return version("clew")
    except PackageNotFoundError:
        return "0"
