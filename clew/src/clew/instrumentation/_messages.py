"""What every message queue has in common: a message that is sent or handled becomes a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from clew import guard
from clew.carriers import Carrier
from clew.tracing.attributes import MessagingOperation, messaging_attributes, messaging_span_name
from clew.tracing.options import MessagingOptions
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, client_transport, server_transport

T = TypeVar("T")
OPTIONS: Final = MessagingOptions
#: Where names are made up for each client, as those of reply queues, they are no use in a span's name.
TEMPORARY: Final = "(temporary)"


class HeadersCarrier:
    """Headers of a message whose values are text, bytes or anything else; what is no text is not read."""

    __slots__ = ("headers",)

    def __init__(self, headers: MutableMapping[str, Any] | None) -> None:
        self.headers: MutableMapping[str, Any] = {} if headers is None else headers

    def get(self, key: str) -> list[str]:
        found: list[str] = []
        for name, value in self.headers.items():
            if isinstance(name, str) and (name == key or name.lower() == key.lower()):
                if isinstance(value, str):
                    found.append(value)
                elif isinstance(value, (bytes, bytearray)):
                    found.append(bytes(value).decode("latin-1"))
        return found

    def set(self, key: str, value: str) -> None:
        self.headers[key.lower()] = value

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name in self.headers if isinstance(name, str)))


class MessageTransport:
    """Something done with a message, or with several, as a call."""

    __slots__ = ("_details", "_operation_type", "_peer", "_system", "carrier", "component", "operation")

    kind: Final = "messaging"
    reply_carrier: Final = None

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

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """A broker answers nothing that the span should say."""
        return None


class MessageTracing:
    """Makes the spans of one set of options: PRODUCER where messages are sent, CONSUMER where they are handled."""

    __slots__ = ("_join", "consumer", "is_on", "producer")

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError for an unknown convention and another way to join than `parent` and `link`."""
        given = dict(options)
        join = given.pop("join", "parent")
        if join not in ("parent", "link"):
            raise ValueError(f"join is parent or link, not {join!r}")
        self._join = join
        self.producer: Final = Tracer(SpanKind.PRODUCER, **given)
        self.consumer: Final = Tracer(SpanKind.CONSUMER, **given)
        #: Off once what was patched is taken back: objects made meanwhile keep this one.
        self.is_on = True

    def send(self, call: MessageTransport, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Send a message, whose headers `call.carrier` writes, by `function`."""
        span, context = self.producer.begin(call.operation, call.carrier, call)
        token, transport_token = attach(context), client_transport.set(call)
        try:
            reply = function(*args, **kwargs)
        except BaseException as error:
            self.producer.end(span, error=error, transport=call)
            raise
        finally:
            client_transport.reset(transport_token)
            detach(token)
        self.producer.end(span, transport=call)
        return reply

    async def asend(
        self, call: MessageTransport, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
    ) -> T:
        """The same where sending is awaited."""
        span, context = self.producer.begin(call.operation, call.carrier, call)
        token, transport_token = attach(context), client_transport.set(call)
        try:
            reply = await function(*args, **kwargs)
        except BaseException as error:
            self.producer.end(span, error=error, transport=call)
            raise
        finally:
            client_transport.reset(transport_token)
            detach(token)
        self.producer.end(span, transport=call)
        return reply

    def begin(self, call: MessageTransport) -> tuple[Span, Context]:
        """A span for the handling of one message, joined to its sender's as the options say, and its context."""
        consumer = self.consumer
        if self._join == "parent":
            return consumer.begin(call.operation, call.carrier, call)
        link = consumer.link(call.carrier)
        # A trace of its own, with the sender's baggage.
        outside = attach(set_span_in_context(INVALID_SPAN, consumer.extract(call.carrier)))
        try:
            return consumer.begin(call.operation, None, call, () if link is None else (link,))
        finally:
            detach(outside)

    @contextmanager
    def handling(self, call: MessageTransport) -> Iterator[None]:
        """The handling of one message."""
        consumer = self.consumer
        span, context = self.begin(call)
        token, transport_token = attach(context), server_transport.set(call)
        try:
            yield
        except BaseException as error:
            consumer.end(span, error=error, transport=call)
            raise
        else:
            consumer.end(span, transport=call)
        finally:
            server_transport.reset(transport_token)
            detach(token)

    def received(self, call: MessageTransport, carriers: list[Carrier | None]) -> None:
        """A span that says that messages were fetched, linked to their senders; what is done with them comes later."""
        try:
            span, _ = self.consumer.begin(call.operation, None, call, self.consumer.links(carriers))
            self.consumer.end(span, transport=call)
        except Exception as failure:
            guard.swallow(f"noting messages of {call.component}", failure)
