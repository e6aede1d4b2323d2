"""What some tags stand for in systems whose spans have no fields of their own for it: status, scope, trace state, links. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from clew.otlp import encode
from clew_server.receivers.foreign.conventions import CLIENT, Value

UNSET: Final = 0
OK: Final = 1
ERROR: Final = 2

_STATUS_CODES: Final = {"UNSET": UNSET, "OK": OK, "ERROR": ERROR}
SPECIAL: Final = frozenset(
    (
        "error",
        "otel.status_code",
        "otel.scope.name",
        "otel.scope.version",
        "otel.library.name",
        "otel.library.version",
        "w3c.tracestate",
        "otlp.link.0",
    )
)
"""Tags that stand for fields of a span."""
_MOST_LINKS = 1024
_LINK: Final = re.compile(r"([0-9a-fA-F]{32})\|([0-9a-fA-F]{16})\|([^|]*)\|(\{.*\}|null|)\|([0-9]{1,9})", re.DOTALL)


class Marks(NamedTuple):
    """What was found; `tags` are those that are left, in their order."""

    tags: Mapping[str, Value]
    status_code: int = UNSET
    status_message: str = ""
    scope_name: str = ""
    scope_version: str = ""
    trace_state: str = ""
    links: tuple[bytes, ...] = ()
    """OTLP links, as `clew.otlp.encode.link` writes them."""

    @classmethod
    def of(cls, tags: Mapping[str, Value]) -> Marks:
        """Read the tags of a span.

        `error` means that the span failed, unless it is false, and stays a tag. `otel.status_code` says more and goes, as do the
        scope, the trace state and the links (`otlp.link.N`) that OpenTelemetry's exporters write as tags.
        """
        if SPECIAL.isdisjoint(tags):
            return cls(tags)
        left = dict(tags)
        code, message = _status(left)
        name = _taken(left, "otel.scope.name", "otel.library.name")
        version = _taken(left, "otel.scope.version", "otel.library.version")
        return cls(left, code, message, name, version, _taken(left, "w3c.tracestate"), _links(left))


def is_error(value: Value) -> bool:
    """Whether a tag `error` with this value says that the span failed."""
    return value is not False and not (isinstance(value, str) and value.strip().lower() == "false")


def is_failed_answer(status: Value, kind: int) -> bool:
    """Whether an HTTP status, a number or its digits, says that the span failed: 5xx, for a client 4xx too."""
    least = 400 if kind == CLIENT else 500
    if isinstance(status, str):
        return len(status) == 3 and status.isdecimal() and least <= int(status) < 600
    return isinstance(status, int | float) and least <= status < 600


def _status(left: dict[str, Value]) -> tuple[int, str]:
    said = left.get("otel.status_code")
    code = _STATUS_CODES.get(said.upper()) if isinstance(said, str) else None
    if code is not None:
        del left["otel.status_code"]
    error = left.get("error")
    failed = error is not None and is_error(error)
    if code is None or (code == UNSET and failed):
        code = ERROR if failed else UNSET
    if code != ERROR:
        return code, ""
    message = left.get("otel.status_description")
    if isinstance(message, str) and message:
        del left["otel.status_description"]
        return code, message
    return code, error if isinstance(error, str) and error.lower() not in ("true", "false") else ""


def _taken(left: dict[str, Value], *keys: str) -> str:
    """The first text under one of these keys, which goes; under another key it goes if it says the same."""
    found = ""
    for key in keys:
        value = left.get(key)
        if isinstance(value, str) and value and (not found or value == found):
            found = value
            del left[key]
    return found


def _links(left: dict[str, Value]) -> tuple[bytes, ...]:
    """The links that the OpenTelemetry Collector writes: trace, span, state, attributes in JSON, and how many were dropped."""
    links: list[bytes] = []
    for number in range(_MOST_LINKS):
        key = f"otlp.link.{number}"
        value = left.get(key)
        if value is None:
            break
        found = _LINK.fullmatch(value) if isinstance(value, str) else None
        items = json_object(found[4]) if found and found[4].startswith("{") else {}
        if found is None or items is None:
            continue
        del left[key]
        ids = int(found[1], 16), int(found[2], 16)
        links.append(encode.link(*ids, found[3], items, min(int(found[5]), 2**32 - 1), 0))
    return tuple(links)


def json_object(text: str) -> dict[str, Any] | None:
    """An object in JSON that an attribute can hold, with the values below its keys as text where they are nested; else None."""
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            return None
        return {key: json.dumps(one) if isinstance(one, dict | list) else one for key, one in value.items()}
    except (ValueError, RecursionError):
        return None
