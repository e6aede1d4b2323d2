"""What a call looks like to any middleware, whatever carries it, and which call is current."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.util.types import AttributeValue

from clew.carriers import Carrier

#: The address of the other side: host and port; port 0 when it is not known.
Peer = tuple[str, int]


@dataclass(slots=True)
class Outcome:
    """How a call ended, in the transport's own terms; given to `Tracer.end` as its reply.

    `error_type` makes the span an error without an exception (`"500"`); `message` is the status message and
    goes before that of an exception; `code` is the protocol's number for how it ended; `cancelled` marks the
    span as cancelled. `handled` says that the exception is no failure: the protocol uses it to answer, or the
    library handles it itself. `reply` is the application's own object.
    """

    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    error_type: str | None = None
    message: str | None = None
    code: int | None = None
    cancelled: bool = False
    handled: bool = False
    reply: object = None


class Call:
    """One call, described by the instrumentation that knows it. The one description every part of the tracing reads.

    Built when the call starts; nothing in it changes afterwards but the carriers, and the operation where the route
    is known only at the end. `Call(kind, component, operation, …)` is a call of plain values. An instrumentation
    derives a class of its own, which sets these attributes in its own way and says how replies are read.

    A class may have a `path` and, for HTTP, a `url` and a `route` besides; exclusion compares its rules with them.
    """

    __slots__ = ("carrier", "component", "is_over", "kind", "operation", "peer", "reply_carrier", "values")

    if TYPE_CHECKING:
        # Read-only for hooks and conventions that are given a call; derived classes have constants, attributes or properties.

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
        def peer(self) -> Peer | None:
            """The other side, when it is known."""

        reply_carrier: Carrier | None
        """The reply's own headers; None when there are none (yet)."""
        is_over: bool
        """Set when the call has ended: a task that was started within it and runs on is not part of it."""
        values: Mapping[str, AttributeValue]

    def __init__(
        self,
        kind: str,
        component: str,
        operation: str,
        carrier: Carrier | None = None,
        reply_carrier: Carrier | None = None,
        peer: Peer | None = None,
        values: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """A call of plain values; `values` are its attributes."""
        own: Any = self  # what is read-only to others is written here
        own.kind, own.component, own.operation = kind, component, operation
        own.carrier, own.reply_carrier, own.peer = carrier, reply_carrier, peer
        own.values = {} if values is None else values

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the call says about itself, in OpenTelemetry's names. Called once, only when it is wanted."""
        return self.values

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """What the end of the call adds to the span; exactly one of reply and error is meaningful. None adds nothing."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation}>"


#: The older name of `Call`.
Transport = Call

#: The call this process is answering, and the one it is making. Instrumentations set them around a handler.
server_transport: Final[ContextVar[Call | None]] = ContextVar("clew_server_transport", default=None)
client_transport: Final[ContextVar[Call | None]] = ContextVar("clew_client_transport", default=None)


def current_server_transport() -> Call | None:
    """The call being answered here, or None."""
    return server_transport.get()


def current_client_transport() -> Call | None:
    """The call being made here, or None. A task that outlives the call it was started in is not within it any more."""
    call = client_transport.get()
    return None if call is None or getattr(call, "is_over", False) else call
