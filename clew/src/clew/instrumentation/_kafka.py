"""What the three clients of Kafka have in common: headers, spans of messages sent, given out singly and in batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry.trace import get_current_span

from clew import guard, semconv
from clew.instrumentation._handling import Around, Handling, Turns, current_handling, install
from clew.instrumentation._messages import MessageTracing, MessageTransport, header_texts
from clew.instrumentation._patching import Undo, argument, with_argument
from clew.transport import Outcome, Peer, server_transport

SYSTEM: Final = "kafka"
COMPONENT: Final = "Kafka"
#: The attribute of a client that says how it is traced.
MARK: Final = "_clew_tracing"
# Modules that call a function on behalf of others: its result is used somewhere else.
_OURS: Final = "clew.instrumentation."
_EXECUTORS: Final = ("concurrent.futures.thread", "clew.instrumentation.threads", "confluent_kafka.aio")

# -- messages -----------------------------------------------------------------------------------------------------------


class KafkaHeaders:
    """Headers of a Kafka message: pairs of a name and bytes, of which several may have one name."""

    __slots__ = ("headers",)

    def __init__(self, headers: Iterable[tuple[str, Any]] | None) -> None:
        """`headers` are copied."""
        self.headers: list[tuple[str, Any]] = [] if headers is None else list(headers)

    def get(self, key: str) -> list[str]:
        return header_texts(self.headers, key)

    def set(self, key: str, value: str) -> None:
        name = key.lower()
        # A message that is passed on brings its sender's.
        self.headers[:] = [pair for pair in self.headers if str(pair[0]).lower() != name]
        self.headers.append((name, value.encode("latin-1", "replace")))

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name, _ in self.headers if isinstance(name, str)))


def own_headers(given: Any, kinds: tuple[type, ...] = (list,)) -> KafkaHeaders | None:
    """A copy of the headers that an application gives; None for those that its library is going to refuse."""
    if given is None:
        return KafkaHeaders(None)
    if not isinstance(given, kinds):
        return None
    several: Any = given.items() if isinstance(given, dict) else given
    pairs = list(several)
    return KafkaHeaders(pairs) if all(isinstance(one, tuple) and len(one) == 2 for one in pairs) else None


class Client(NamedTuple):
    """What is known of a producer or consumer."""

    client_id: str | None = None
    group: str | None = None
    peer: Peer | None = None


def client_from_settings(client_id: Any, group: Any, servers: Any) -> Client:
    """`servers` are those the client starts with: `host:port`, several separated by commas or as a sequence."""
    return Client(
        client_id if isinstance(client_id, str) else None, group if isinstance(group, str) else None, _peer(servers)
    )


def _peer(servers: Any) -> Peer | None:
    several = servers.split(",") if isinstance(servers, str) else list(servers or ())
    # With several servers it is not known which one has the message.
    if len(several) != 1:
        return None
    host, _, port = str(several[0]).strip().rpartition("://")[2].rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


class Message(NamedTuple):
    """A message that was received, whichever library it comes from."""

    topic: str
    partition: int
    offset: int
    key: str | None
    size_bytes: int | None
    is_tombstone: bool
    headers: Sequence[tuple[str, Any]] | None


def message_of(given: Any) -> Message:
    """Reads a `ConsumerRecord` of aiokafka or kafka-python, or a `Message` of confluent-kafka. Raises AttributeError."""
    if callable(given.topic):
        value = given.value()
        return Message(
            given.topic(),
            given.partition(),
            given.offset(),
            _text(given.key()),
            _size_bytes(value),
            value is None,
            given.headers(),
        )
    size = given.serialized_value_size
    return Message(
        given.topic,
        given.partition,
        given.offset,
        _text(given.key),
        size if size is not None and size >= 0 else None,
        given.value is None,
        given.headers,
    )


def _size_bytes(value: Any) -> int | None:
    """Of a value as it is on its way; None for what is not serialised yet, or no longer."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    return len(value) if isinstance(value, (bytes, bytearray)) else None


def _text(key: Any) -> str | None:
    """A key as text, where it is one."""
    if isinstance(key, bytes):
        try:
            return key.decode()
        except UnicodeDecodeError:
            return None
    return key if isinstance(key, str) else None


class KafkaTransport(MessageTransport):
    """A message of Kafka that is handled; `place` is where it stands."""

    __slots__ = ("place",)

    def __init__(self, message: Message, operation: Any, client: Client) -> None:
        super().__init__(
            SYSTEM,
            COMPONENT,
            operation,
            operation,
            message.topic,
            KafkaHeaders(message.headers),
            peer=client.peer,
            partition=message.partition,
            kafka_offset=message.offset,
            kafka_key=message.key,
            kafka_is_tombstone=message.is_tombstone,
            body_size_bytes=message.size_bytes,
            consumer_group=client.group,
            client_id=client.client_id,
        )
        self.place: Final = (message.topic, message.partition, message.offset)


def sending(
    topic: Any, value: Any, key: Any, carrier: KafkaHeaders | None, partition: Any, client: Client
) -> MessageTransport:
    """One message that is sent."""
    return MessageTransport(
        SYSTEM,
        COMPONENT,
        "send",
        "send",
        topic if isinstance(topic, str) else None,
        carrier,
        peer=client.peer,
        partition=partition if isinstance(partition, int) and partition >= 0 else None,
        kafka_key=_text(key),
        kafka_is_tombstone=value is None,
        body_size_bytes=_size_bytes(value),
        client_id=client.client_id,
    )


def _fetched(messages: Sequence[Message], client: Client, *, is_batch: bool) -> MessageTransport:
    """Messages that a consumer gives out together, or one alone."""
    topics = {message.topic for message in messages}
    partitions = {(message.topic, message.partition) for message in messages}
    first = messages[0]
    of_one: dict[str, Any] = {}
    if not is_batch:
        of_one = {"kafka_offset": first.offset, "kafka_key": first.key, "body_size_bytes": first.size_bytes}
    return MessageTransport(
        SYSTEM,
        COMPONENT,
        "receive",
        "poll",
        first.topic if len(topics) == 1 else None,
        None,
        peer=client.peer,
        partition=first.partition if len(partitions) == 1 else None,
        batch_count=len(messages) if is_batch else None,
        consumer_group=client.group,
        client_id=client.client_id,
        **of_one,
    )


# -- sending ------------------------------------------------------------------------------------------------------------


class Sending:
    """The PRODUCER span of one message, from its beginning until the broker has it or refuses it."""

    __slots__ = ("_scope",)

    def __init__(self, tracing: MessageTracing, call: MessageTransport) -> None:
        """Starts the span and writes it into the message's headers."""
        self._scope = tracing.producer.scope(call)

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """The client takes the message; what it raises is the end."""
        self._scope.enter()
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            self._scope.leave()

    def done(self, partition: int | None = None, offset: int | None = None) -> None:
        """The broker has the message, as far as is known. A second end does nothing."""
        attributes: dict[str, Any] = {}
        if partition is not None and partition >= 0:
            attributes[semconv.MESSAGING_DESTINATION_PARTITION_ID] = str(partition)
        if offset is not None and offset >= 0:
            attributes[semconv.MESSAGING_KAFKA_OFFSET] = offset
        self._scope.finish(Outcome(attributes))

    def failed(self, error: BaseException) -> None:
        """It was not sent; errors of the protocol are named as the protocol names them."""
        self._scope.finish(Outcome(error_type=protocol_name(error)), error)

    def refused(self, name: str, text: str) -> None:
        """The same where the library says what was wrong without an exception."""
        self._scope.finish(Outcome(error_type=name, message=text))


def protocol_name(error: BaseException) -> str | None:
    """`MESSAGE_TOO_LARGE`: the name of a code of the protocol, None for what is none."""
    code, name = getattr(error, "errno", None), getattr(error, "message", None)
    if isinstance(code, int) and code > 0 and isinstance(name, str) and name.isupper():
        return name
    # confluent-kafka has the code within.
    if type(error).__module__ in ("cimpl", "confluent_kafka.error") and error.args:
        name = getattr(error.args[0], "name", None)
        return str(name()) if callable(name) else None
    return None


# -- receiving ----------------------------------------------------------------------------------------------------------


class Reader(Turns):
    """The messages of a consumer, and the span of the last one."""

    __slots__ = ("client",)

    def __init__(self, tracing: MessageTracing, client: Client) -> None:
        super().__init__(tracing)
        self.client: Final = client

    def again(self) -> Reader:
        """A new object for the same consumer."""
        return Reader(self.tracing, self.client)

    def call_of(self, given: Any) -> KafkaTransport:
        """The `Call` for the handling of a message."""
        return KafkaTransport(message_of(given), "process", self.client)

    def give(self, given: Any, *, elsewhere: bool) -> None:
        """`given` was asked for alone: it is dealt with until `done`, unless that is done `elsewhere` or in a request."""
        if elsewhere or get_current_span().get_span_context().is_valid:
            self.note([given], is_batch=False)
        else:
            self.handle(given)

    def note(self, given: Sequence[Any], *, is_batch: bool = True) -> None:
        """A span that says that messages were fetched, linked to their senders."""
        try:
            messages = [message_of(one) for one in given]
            if messages:
                call = _fetched(messages, self.client, is_batch=is_batch)
                self.tracing.received(call, [KafkaHeaders(message.headers) for message in messages])
        except Exception as failure:
            guard.swallow("reading messages of Kafka", failure)


@contextmanager
def processing(tracing: MessageTracing, given: Any, client: Client) -> Iterator[None]:
    """The handling of one message; that which has begun already by iterating is taken over."""
    current = guard.attempt("reading a message of Kafka", _handling, tracing, given, client)
    if current is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        current.end(error)
        raise
    else:
        current.end()


def _handling(tracing: MessageTracing, given: Any, client: Client) -> Handling:
    call = KafkaTransport(message_of(given), "process", client)
    current = current_handling.get()
    if (
        current is not None
        and server_transport.get() is current.call
        and isinstance(current.call, KafkaTransport)
        and current.call.place == call.place
    ):
        return current
    return Handling(tracing, call, given)


def is_elsewhere() -> bool:
    """Whether the caller is an executor or a lambda, so that what is done with the result is not done after it."""
    frame = sys._getframe(1)
    name: str = frame.f_globals.get("__name__", "")
    while name.startswith(_OURS) and not name.startswith(_EXECUTORS) and frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_globals.get("__name__", "")
    return name.startswith(_EXECUTORS) or frame.f_code.co_name == "<lambda>"


class SendArguments(NamedTuple):
    """The places of what a library's `send` takes; each has the name it has here, too."""

    topic: int
    value: int
    key: int
    partition: int
    headers: int


def begun(
    tracing: MessageTracing,
    client: Client,
    places: SendArguments,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    can_carry: bool = True,
) -> tuple[Sending, tuple[Any, ...], dict[str, Any]]:
    """The span of a message that `send` is given, and the arguments with the context in the message's headers.

    `can_carry` is false where the broker knows no headers.
    """
    carrier = own_headers(argument(args, kwargs, places.headers, "headers")) if can_carry else None
    call = sending(
        argument(args, kwargs, places.topic, "topic"),
        argument(args, kwargs, places.value, "value"),
        argument(args, kwargs, places.key, "key"),
        carrier,
        argument(args, kwargs, places.partition, "partition"),
        client,
    )
    own = Sending(tracing, call)
    if carrier is not None and carrier.headers:
        args, kwargs = with_argument(args, kwargs, places.headers, "headers", carrier.headers)
    return own, args, kwargs


# -- what is traced by hand, and by `clew.instrument()` -----------------------------------------------------------------


#: By which `processing` goes where it is given nothing else: the patch's, else the global provider's.
_patched: Final[list[MessageTracing]] = []
_readers: Final[WeakKeyDictionary[Any, Reader]] = WeakKeyDictionary()


@cache
def _plain() -> MessageTracing:
    return MessageTracing({}, "clew.kafka")


def use_by_default(tracing: MessageTracing) -> Undo:
    """Have `processing` go by this one, until the undo function is called."""
    _patched.append(tracing)

    def undo() -> None:
        tracing.is_on = False
        _patched.remove(tracing)

    return undo


def default_tracing() -> MessageTracing:
    """The tracing for a message whose consumer is not known."""
    return _patched[-1] if _patched else _plain()


def reader_of(consumer: Any) -> Reader | None:
    """How a consumer is traced, by hand or by the patch."""
    try:
        found = getattr(consumer, MARK, None) or _readers.get(consumer)
    except TypeError:  # no weak references
        return None
    return found if isinstance(found, Reader) else None


class Tracings:
    """How the clients of one library are traced: each by hand with its own options, the others by the patch, if any."""

    def __init__(
        self,
        producers: dict[type, dict[str, Around]],
        consumers: dict[type, dict[str, Around]],
        client_of: Callable[[Any], Client],
    ) -> None:
        """Each class with the functions that go around its methods; `client_of` says what is known of a client."""
        self._classes = {**producers, **consumers}
        self._consumers = tuple(consumers)
        self._client_of = client_of
        self._is_installed = False
        self._lock = Lock()

    def _tracing_of(self, client: Any, tracing: MessageTracing) -> MessageTracing | Reader:
        if not isinstance(client, self._consumers):
            return tracing
        return Reader(tracing, self._client_of(client))

    def trace(self, client: Any, tracing: MessageTracing) -> None:
        """Trace this one by what goes around the methods of its class, which looks for it there from now on."""
        if MARK in vars(client):
            return
        with self._lock:
            if not self._is_installed:
                for owner, around in self._classes.items():
                    install(owner, around, lambda known: vars(known).get(MARK))
                self._is_installed = True
        setattr(client, MARK, self._tracing_of(client, tracing))

    def patch(self, tracing: MessageTracing) -> Undo:
        """Trace all other clients; returns an undo function."""

        def unless_by_hand(client: Any) -> Any:
            if MARK in vars(client):
                return None
            if not isinstance(client, self._consumers):
                return tracing
            reader = _readers.get(client)
            if reader is None or reader.tracing is not tracing:
                reader = _readers[client] = Reader(tracing, self._client_of(client))
            return reader

        undos = [install(owner, around, unless_by_hand) for owner, around in self._classes.items()]
        undos.append(use_by_default(tracing))

        def undo() -> None:
            for reader in list(_readers.values()):
                if reader.tracing is tracing:
                    reader.done()
            for one in undos:
                one()

        return undo
