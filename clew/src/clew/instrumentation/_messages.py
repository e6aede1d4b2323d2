"""Shared by all message queues: the `Call` for a message that is sent or handled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeVar

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from clew import guard
from clew.carriers import Carrier
from clew.instrumentation._calls import traced_acall, traced_call
from clew.tracing.attributes import MessagingOperation, messaging_attributes, messaging_span_name
from clew.tracing.options import MessagingOptions
from clew.tracing.scope import Scope
from clew.tracing.tracer import Tracer
from clew.transport import Call, Peer

T = TypeVar("T")
OPTIONS: Final = MessagingOptions
#: Where names are made up for each client, as those of reply queues, they are no use in a span's name.
TEMPORARY: Final = "(temporary)"


def header_texts(pairs: Iterable[tuple[Any, Any]], key: str) -> list[str]:
    """The values of one header, in any case of its letters; those that are neither text nor bytes are left out."""
    found: list[str] = []
    wanted = key.lower()
    for name, value in pairs:
        if isinstance(name, str) and name.lower() == wanted:
            if isinstance(value, str):
                found.append(value)
            elif isinstance(value, (bytes, bytearray)):
                found.append(bytes(value).decode("latin-1"))
    return found


class HeadersCarrier:
    """Headers of a message whose values are text, bytes or anything else; what is no text is not read."""

    __slots__ = ("headers",)

    def __init__(self, headers: MutableMapping[str, Any] | None) -> None:
        self.headers: MutableMapping[str, Any] = {} if headers is None else headers

    def get(self, key: str) -> list[str]:
        return header_texts(self.headers.items(), key)

    def set(self, key: str, value: str) -> None:
        self.headers[key.lower()] = value

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name in self.headers if isinstance(name, str)))


class MessageTransport(Call):
    """Something done with a message, or with several, as a call."""

    __slots__ = ("_details", "_operation_type", "_peer", "_system")

    kind: Final = "messaging"
    reply_carrier = None

    def __init__(
        self,
        system: str,
        component: str,
        operation_type: MessagingOperation,
        operation_name: str,
        destination: str | None,
        carrier: Carrier | None,
        *,
        shown_destination: str | None = None,
        peer: Peer | None = None,
        **details: Any,
    ) -> None:
        """`destination` is where the message goes, `shown_destination` what the name says of it where that is another.

        `details` are further arguments of `messaging_attributes`.
        """
        self._system = system
        self._operation_type: MessagingOperation = operation_type
        self._peer = peer
        self.component: Final = component
        self.carrier: Final = carrier
        self.operation: Final = messaging_span_name(operation_name, shown_destination or destination)
        self._details = {"operation_name": operation_name, "destination": destination, **details}

    @property
    def peer(self) -> Peer | None:
        """The broker."""
        return self._peer

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of messaging."""
        host, port = self._peer or (None, None)
        return messaging_attributes(self._system, self._operation_type, host=host, port=port, **self._details)


class MessageTracing:
    """Makes the spans of one set of options: PRODUCER where messages are sent, CONSUMER where they are handled."""

    __slots__ = ("_join", "consumer", "is_on", "producer")

    def __init__(self, options: Mapping[str, Any], scope: str) -> None:
        """`scope` is the name of the instrumentation scope. Raises ValueError for an unknown convention and another way to join than `parent` and `link`."""
        given = dict(options)
        join = given.pop("join", "parent")
        if join not in ("parent", "link"):
            raise ValueError(f"join is parent or link, not {join!r}")
        self._join = join
        self.producer: Final = Tracer(SpanKind.PRODUCER, scope=scope, **given)
        self.consumer: Final = Tracer(SpanKind.CONSUMER, scope=scope, **given)
        #: Off once what was patched is taken back: objects made meanwhile keep this one.
        self.is_on = True

    # The sync twin of `asend`, written by scripts/sync_twins.py.
    def send(self, call: MessageTransport, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Send a message, whose headers `call.carrier` writes, by `function`."""
        return traced_call(self.producer, call, function, *args, **kwargs)

    async def asend(
        self, call: MessageTransport, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
    ) -> T:
        """The same where sending is awaited."""
        return await traced_acall(self.producer, call, function, *args, **kwargs)

    def begin(self, call: MessageTransport) -> tuple[Span, Context]:
        """A span for the handling of one message, joined to its sender's as the options say, and its context."""
        consumer = self.consumer
        if self._join == "parent":
            return consumer.begin(call.operation, call.carrier, call)
        link = consumer.link(call.carrier)
        # A new trace, with the sender's baggage.
        outside = attach(set_span_in_context(INVALID_SPAN, consumer.extract(call.carrier)))
        try:
            return consumer.begin(call.operation, None, call, () if link is None else (link,))
        finally:
            detach(outside)

    def handling(self, call: MessageTransport) -> Scope:
        """The bracket around the handling of one message."""
        return Scope(self.consumer, call, begun=self.begin(call))

    def received(self, call: MessageTransport, carriers: list[Carrier | None]) -> None:
        """A span that says that messages were fetched, linked to their senders; what is done with them comes later."""
        try:
            span, _ = self.consumer.begin(call.operation, None, call, self.consumer.links(carriers))
            self.consumer.end(span, transport=call)
        except Exception as failure:
            guard.swallow(f"noting messages of {call.component}", failure)
