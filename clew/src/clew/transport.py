"""What a call looks like to any middleware, whatever carries it, and which call is current."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from opentelemetry.util.types import AttributeValue

from clew.carriers import Carrier

#: The address of the other side: host and port; port 0 when it is not known.
Peer = tuple[str, int]


@runtime_checkable
class Transport(Protocol):
    """One call, described by the instrumentation that knows it.

    Built when the call starts and read by middleware; nothing in it changes afterwards but the carriers, and the
    operation where the route is known only at the end. A transport may have a `path` and, for HTTP, a `url`
    besides; what is excluded by path is compared with them.
    """

    @property
    def kind(self) -> str:
        """The family: `http`, `grpc`, `messaging`, `db`, …"""

    @property
    def component(self) -> str:
        """Its name on the span: `HTTP`, `gRPC`, `MongoDB`, …"""

    @property
    def operation(self) -> str:
        """The span's name, of low cardinality: method and route template, full method, command."""

    @property
    def carrier(self) -> Carrier | None:
        """The request's own headers; None when the protocol has none."""

    @property
    def reply_carrier(self) -> Carrier | None:
        """The reply's own headers; None when there are none (yet)."""

    @property
    def peer(self) -> Peer | None:
        """The other side, when it is known."""

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the transport says about the call, in OpenTelemetry's names. Called once, only when it is wanted."""


class Concluding(Protocol):
    """A transport that can read its own replies."""

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """What the end of the call adds to the span. Exactly one of reply and error is meaningful."""


@dataclass(slots=True)
class Outcome:
    """How a call ended, in the transport's own terms; given to `Tracer.end` as its reply.

    `error_type` makes the span an error without an exception (`"500"`); `message` is the status message and
    goes before that of an exception; `code` is the protocol's number for how it ended; `cancelled` marks the
    span as cancelled. `reply` is the application's own object.
    """

    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    error_type: str | None = None
    message: str | None = None
    code: int | None = None
    cancelled: bool = False
    reply: object = None


@dataclass(slots=True)
class Call:
    """A transport of plain values, for scenarios that need no class of their own."""

    kind: str
    component: str
    operation: str
    carrier: Carrier | None = None
    reply_carrier: Carrier | None = None
    peer: Peer | None = None
    values: Mapping[str, AttributeValue] = field(default_factory=dict)

    def attributes(self) -> Mapping[str, AttributeValue]:
        """The values given."""
        return self.values


#: The call this process is answering, and the one it is making. Instrumentations set them around a handler.
server_transport: Final[ContextVar[Transport | None]] = ContextVar("clew_server_transport", default=None)
client_transport: Final[ContextVar[Transport | None]] = ContextVar("clew_client_transport", default=None)


def current_server_transport() -> Transport | None:
    """The call being answered here, or None."""
    return server_transport.get()


def current_client_transport() -> Transport | None:
    """The call being made here, or None."""
    return client_transport.get()
