"""What an instance says of itself (`InstanceProperties`), kept apart from its spans, and the resource that is made of it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from google.protobuf.message import DecodeError

from clew_server.errors import BadInput, TooLarge
from clew_server.model.facts import Fact
from clew_server.receivers.contract import Head
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import resource, whole_characters
from clew_server.receivers.memory import check_memory
from clew_server.receivers.skywalking.messages import PropertiesMessage

PROPERTIES: Final = "properties"
"""Key of the one fact about an instance: a list of pairs in JSON."""
_MOST: Final = 1024
_LANGUAGES: Final = {
    "node": "nodejs",
    "nodejs": "nodejs",
    "node.js": "nodejs",
    "golang": "go",
    "c#": "dotnet",
    ".net": "dotnet",
}
_STANDARD: Final = {
    "hostname": "host.name",
    "OS Name": "os.description",
    "os_name": "os.description",
    "Process No.": "process.pid",
    "process_no": "process.pid",
    "namespace": "service.namespace",
    "JVM Arguments": "process.command_args",
    "Start Time": "process.creation.time",
    "version": "telemetry.sdk.version",
}


def agent_of(service: str, instance: str) -> str:
    """How an instance is told from others."""
    return f"{service}\0{instance}"


def properties_of_message(body: bytes, head: Head) -> Sequence[Fact]:
    """What a `InstanceProperties` says. Raises BadInput, TooLarge."""
    try:
        found = PropertiesMessage.FromString(body)
    except DecodeError as error:
        check_memory(error)
        raise BadInput(f"the bytes are not InstanceProperties of SkyWalking: {error}", code="malformed") from error
    pairs = [(_text(one.key), _text(one.value)) for one in found.properties[: _MOST + 1]]
    return facts_of(_text(found.service), _text(found.serviceInstance), pairs, _text(found.layer))


def facts_of(service: str, instance: str, pairs: Sequence[tuple[str, str]], layer: str) -> Sequence[Fact]:
    """The fact about an instance. Raises TooLarge, BadInput for an instance without a name."""
    if len(pairs) > _MOST:
        raise TooLarge(f"more than {_MOST} properties of one instance")
    if not service:
        raise BadInput("properties of an instance without the name of its service", code="malformed")
    if layer:
        pairs = [*pairs, ("layer", layer)]
    value = json.dumps(pairs, ensure_ascii=True, separators=(",", ":")).encode()
    return [Fact(agent_of(service, instance), PROPERTIES, value)]


def resource_of(service: str, instance: str, head: Head) -> bytes:
    """The inside of a resource, with what the instance has said of itself so far."""
    return _resource(service, instance, head.known.of(agent_of(service, instance)).get(PROPERTIES, b""))


@lru_cache(maxsize=1024)
def _resource(service: str, instance: str, properties: bytes) -> bytes:
    items: dict[str, Value] = {"service.name": service} if service else {}
    if instance:
        items["service.instance.id"] = instance
    if properties:
        for key, value in _read(json.loads(properties)).items():
            items.setdefault(key, value)
    return resource(items)


def _read(pairs: Iterable[Sequence[str]]) -> Mapping[str, Value]:
    """Attributes: each property under a name of its own, and beside it the standard one."""
    values: dict[str, list[str]] = {}
    for key, said in pairs:
        values.setdefault(key, []).append(said)
    items: dict[str, Value] = {}
    for key, found in values.items():
        value: Value = found[0] if len(found) == 1 else tuple(map(whole_characters, found))
        items.setdefault(f"sw8.{_plain(key)}", value)
    for key, found in values.items():
        if key == "ipv4":
            items["host.ip"] = tuple(map(whole_characters, found))
        elif key == "language":
            items["telemetry.sdk.language"] = _LANGUAGES.get(found[0].lower(), found[0].lower())
            items["telemetry.sdk.name"] = "skywalking"
        elif key in _STANDARD:
            items.setdefault(_STANDARD[key], found[0])
    return items


def _plain(key: str) -> str:
    """`Process No.` is `process_no`."""
    return "_".join(key.lower().replace(".", " ").split())


def _text(raw: Any) -> str:
    decoded: str = raw.decode("utf-8", "replace")
    return decoded
