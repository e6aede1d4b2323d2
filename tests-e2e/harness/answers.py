"""What the stories read out of answers: spans by their names, attributes as values, receivers as the status shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.server import Server

Item = dict[str, Any]


def attributes(item: Mapping[str, Any]) -> Item:
    """The attributes of a span, event, resource or scope in OTLP JSON; integers as int."""
    found: Item = {}
    for pair in item.get("attributes", ()):
        ((kind, value),) = pair["value"].items()
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found


def _own_name(span: Item) -> str:
    return str(span["name"])


def spans_by_name(answer: Mapping[str, Any], named: Callable[[Item], str] = _own_name) -> dict[str, Item]:
    """The spans of an OTLP JSON answer, each name once, with `service`, `resource` (its attributes) and `scope` (name, version)."""
    found: dict[str, Item] = {}
    for group in answer["resourceSpans"]:
        resource = attributes(group["resource"])
        for scope in group["scopeSpans"]:
            known = scope.get("scope", {})
            for span in scope["spans"]:
                name = named(span)
                assert name not in found
                found[name] = {
                    **span,
                    "service": resource["service.name"],
                    "resource": resource,
                    "scope": (known.get("name", ""), known.get("version", "")),
                }
    return found


def receiver(server: Server, name: str) -> Item:
    """What the server's status says of a receiver."""
    (found,) = (one for one in server.status()["receivers"] if one["name"] == name)
    return dict(found)


def wait_until(is_so: Callable[[], bool], within_s: float = 100, about: Callable[[], object] = str) -> None:
    """Wait for a condition, not for a time; the limit is for a test that fails, which then shows `about`."""
    end_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end_s, f"it did not become so within {within_s:.0f} s\n{about()}"
        time.sleep(0.02)
