"""One service calls another: how often, and how often that failed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

CallKind = Literal["call", "message", "database"]
Uninstrumented = Literal["caller", "callee"]

PEER_KEYS: Final = (
    "peer.service",
    "server.address",
    "net.peer.name",
    "db.namespace",
    "db.name",
    "messaging.destination.name",
    "messaging.destination",
    "db.system.name",
    "db.system",
    "messaging.system",
)
"""Attributes of a span that name the other side of its call where that sends no spans; the first that is not empty counts."""

DATABASE_KEYS: Final = ("db.system.name", "db.system", "db.namespace", "db.name")
"""One of these, not empty, on a client span makes its call one to a database."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Calls of `caller` to `callee` in a stretch of time. A side that sends no spans is named by an attribute of the other's span."""

    caller: str
    callee: str
    kind: CallKind
    uninstrumented: Uninstrumented | None
    """Which side sends no spans, None when both do."""
    calls: int
    failed: int
    """Calls of which the client's span or the called one has status error."""


class Dependencies(NamedTuple):
    """`found` is sorted by caller, callee and kind.

    `reason` is a sentence about what was not looked at or could not be read, so that calls are missing; None when nothing.
    """

    found: list[Dependency]
    reason: str | None
