"""The resource of an event: its service, and what it says of the process that sent it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.sentry.values import Json, map_of, pairs_of, put, put_all, text_of

_LANGUAGES: Final = {"node": "nodejs", "javascript": "webjs", "csharp": "dotnet", "native": "cpp", "cocoa": "swift"}
_NO_LANGUAGES: Final = frozenset(("", "other"))
_SERVICE_TAGS: Final = ("service.name", "service")
# Attributes of streamed spans and logs that describe the process → names in a resource.
STREAMED: Final = {
    "sentry.environment": "deployment.environment.name",
    "sentry.sdk.name": "telemetry.sdk.name",
    "sentry.sdk.version": "telemetry.sdk.version",
    "process.runtime.name": "process.runtime.name",
    "process.runtime.version": "process.runtime.version",
    "process.pid": "process.pid",
    "process.executable.name": "process.executable.name",
    "os.name": "os.name",
    "os.version": "os.version",
    "sentry.dist": "sentry.dist",
}


def of_event(event: Json, parts: Mapping[str, str]) -> dict[str, Value]:
    """The resource of a transaction or an error. `parts`: of the path, `project` and perhaps `service`. Raises Malformed."""
    found: dict[str, Value] = {}
    contexts = map_of(event.get("contexts"))
    put_all(found, "", map_of(contexts.get("otel")).get("resource"))
    tags = dict(pairs_of(event.get("tags")))
    _put_service(found, tags, event.get("release"), parts)
    put(found, "deployment.environment.name", event.get("environment"))
    put(found, "host.name", event.get("server_name"))
    sdk = map_of(event.get("sdk"))
    put(found, "telemetry.sdk.name", sdk.get("name"))
    put(found, "telemetry.sdk.version", sdk.get("version"))
    put_all(found, "sentry.sdk.", sdk, without=("name", "version"))
    _put_language(found, text_of(event.get("platform")))
    runtime, system = map_of(contexts.get("runtime")), map_of(contexts.get("os"))
    put(found, "process.runtime.name", runtime.get("name"))
    put(found, "process.runtime.version", runtime.get("version"))
    put(found, "process.runtime.description", runtime.get("build") or runtime.get("raw_description"))
    put(found, "os.name", system.get("name"))
    put(found, "os.version", system.get("version"))
    put(found, "os.build_id", system.get("build"))
    put(found, "os.description", system.get("raw_description") or system.get("kernel_version"))
    put_all(found, "", contexts.get("cloud_resource"), without=("type",))
    put(found, "sentry.dist", event.get("dist"))
    return found


def of_streamed(attributes: dict[str, Value], parts: Mapping[str, str]) -> dict[str, Value]:
    """The resource of a streamed span or log. What goes there leaves `attributes`."""
    found: dict[str, Value] = {}
    release = attributes.pop("sentry.release", None)
    tags: dict[str, Value] = {key: attributes[key] for key in _SERVICE_TAGS if key in attributes}
    _put_service(found, tags, release, parts)
    attributes.pop("service.name", None)
    for key, name in STREAMED.items():
        if key in attributes:
            found[name] = attributes.pop(key)
    _put_language(found, text_of(attributes.pop("sentry.platform", "")))
    return found


def _put_service(found: dict[str, Value], tags: Mapping[str, Any], release: Any, parts: Mapping[str, str]) -> None:
    release = text_of(release)
    package, at, version = release.partition("@")
    if not at:
        package, version = "", release
    project = parts.get("project", "")
    names = [*(text_of(tags.get(key)) for key in _SERVICE_TAGS), parts.get("service", ""), package]
    names.append(f"sentry-{project}" if project else "")
    put(found, "service.name", next(filter(None, names), None))
    put(found, "service.version", version or None)
    put(found, "sentry.release", release or None)
    put(found, "sentry.project", project or None)


def _put_language(found: dict[str, Value], platform: str) -> None:
    """The platform, or what the SDK's name says (`sentry.python.django`)."""
    if not platform:
        platform = text_of(found.get("telemetry.sdk.name")).partition(".")[2].partition(".")[0]
    if platform not in _NO_LANGUAGES:
        put(found, "telemetry.sdk.language", _LANGUAGES.get(platform, platform))
