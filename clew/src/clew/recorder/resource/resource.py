"""What produced the spans: the resource's attributes, from the process, the machine, `OTEL_*` variables and options."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from clew import __version__, environment, guard
from clew.recorder.limits import clean_attributes
from clew.recorder.resource.container import container_id
from clew.recorder.sdk.seen_as import seen_as

UNKNOWN_SERVICE: Final = "unknown_service:python"

# The names of semantic conventions for what the operating system calls its processors.
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm32",
    "armv6l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ppc64le": "ppc64",
}


class Resource:
    """Attributes and schema URL of what produced the spans; read-only, values keep their types."""

    __class__ = property(seen_as("Resource", "opentelemetry.sdk.resources"))  # see seen_as

    def __init__(self, attributes: Mapping[str, Any], schema_url: str = "", *, generated_id: bool = False) -> None:
        """`generated_id` says that `service.instance.id` was made up here, so that a forked child makes up its own."""
        self.attributes: Mapping[str, Any] = MappingProxyType(clean_attributes(attributes, None, None)[0])
        self.schema_url = schema_url
        self._generated_id = generated_id

    def in_this_process(self) -> Resource:
        """The same resource with this process' ids in the place of its parent's: for the child after a fork."""
        ids = _process_ids()
        changed = dict(self.attributes)
        if "process.pid" in changed:
            changed.update({key: ids[key] for key in ("process.pid", "process.parent_pid") if key in changed})
        if self._generated_id:
            changed["service.instance.id"] = ids["service.instance.id"]
        return Resource(changed, self.schema_url, generated_id=self._generated_id)


def default_resource(service_name: str | None = None, attributes: Mapping[str, Any] | None = None) -> Resource:
    """The process' resource: detected values, then the environment's, then `attributes`, then `service_name`.

    Without a service name anywhere it is `unknown_service:python`. Of the command only the program is told, as
    arguments may hold secrets.
    """
    given: dict[str, Any] = {}
    wanted = environment.read("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS")
    if wanted:
        # Only now: installed detectors are the SDK's.
        from clew.recorder.resource.detectors import detect

        given.update(detect(wanted))
    given.update(environment.read("OTEL_RESOURCE_ATTRIBUTES") or {})
    named = environment.read("OTEL_SERVICE_NAME")
    if named:
        given["service.name"] = named
    given.update(attributes or {})
    if service_name:
        given["service.name"] = service_name
    if not given.get("service.name"):
        given["service.name"] = UNKNOWN_SERVICE
    return Resource({**_detected(), **_process_ids(), **given}, generated_id="service.instance.id" not in given)


def _detected() -> dict[str, Any]:
    found: dict[str, Any] = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "clew",
        "telemetry.sdk.version": __version__,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, sys.version_info[:3])),
        "process.runtime.description": sys.version,
        "os.type": "windows" if sys.platform == "win32" else sys.platform,
    }
    if sys.executable:
        found["process.executable.path"] = sys.executable
        found["process.executable.name"] = os.path.basename(sys.executable)
    if sys.orig_argv:
        found["process.command"] = sys.orig_argv[0]
    try:
        found.update(_machine())
        container = container_id()
        if container:
            found["container.id"] = container
    except Exception as error:  # an unusual machine must not prevent tracing
        guard.swallow("detecting the resource", error)
    return found


def _machine() -> dict[str, str]:
    found: dict[str, str] = {}
    if hasattr(os, "uname"):
        names = os.uname()
        found["host.name"] = names.nodename
        found["host.arch"] = _ARCHITECTURES.get(names.machine, names.machine)
    if hasattr(os, "getuid"):
        import pwd

        try:
            found["process.owner"] = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            # In containers a process often runs as a number without a name.
            found["process.owner"] = str(os.getuid())
    return found


def _process_ids() -> dict[str, Any]:
    raw = os.urandom(16).hex()
    return {
        "process.pid": os.getpid(),
        "process.parent_pid": os.getppid(),
        # The form of a random UUID (RFC 9562, version 4), without importing uuid.
        "service.instance.id": (
            f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-{'89ab'[int(raw[16], 16) & 3]}{raw[17:20]}-{raw[20:]}"
        ),
    }
