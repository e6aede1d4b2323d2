"""Shared by sync and async gRPC: the `Call`, metadata, status and addresses. Does not import gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

from opentelemetry.context import Context, attach, detach
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.carriers import Carrier, GrpcCarrier
from clew.tracing.attributes import grpc_outcome, rpc_attributes
from clew.tracing.outcome import is_cancellation
from clew.transport import Call, Outcome, Peer

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
DEADLINE_EXCEEDED: Final = 4
#: Calls of this many methods, and of this many peers, are described without being looked at anew.
_MAX_KNOWN: Final = 1_024
# A client's deadline ends a little before the server's, which starts when the call arrives.
_TOLERANCE_S: Final = 0.05

#: Called once at the end, with the error if there was one.
Finish = Callable[[BaseException | None], None]


class GrpcTransport(Call):
    """A gRPC call; `method` is its full name, `/package.Service/Method`.

    A server gives the `context` of the call, which knows the peer, a client the peer itself if it is known.
    """

    __slots__ = ("_context", "_peer", "method")

    kind: Final = "grpc"
    component: Final = "gRPC"
    reply_carrier = None

    def __init__(self, method: str, carrier: Carrier, *, context: Any = None, peer: Peer | None = None) -> None:
        self.method: Final = method
        self.operation: Final = method.lstrip("/")
        self.carrier: Final = carrier
        self._context = context
        self._peer = peer

    @property
    def path(self) -> str:
        """What exclusions are compared with."""
        return self.method

    @property
    def peer(self) -> Peer | None:
        """The other side; determined only when it is read."""
        if self._peer is None and self._context is not None:
            try:
                self._peer = peer_from_text(self._context.peer())
            except Exception as failure:
                guard.swallow("reading a gRPC peer", failure)
        return self._peer

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an RPC."""
        return {**_attributes(self.method, self.peer, self._context is not None)}


def sent_call(method: str, metadata: Any, peer: Peer | None) -> GrpcTransport | None:
    """The call of a client, with a `GrpcCarrier` for its metadata; None if these cannot be read."""
    try:
        carrier = GrpcCarrier(metadata)
    except Exception:
        return None  # gRPC cannot read them either and raises its own error
    return guard.attempt("reading a gRPC call", GrpcTransport, method, carrier, peer=peer)


def received_call(method: str, metadata: Any, context: Any) -> GrpcTransport | None:
    """The call that a server answers; None if it cannot be read."""
    return guard.attempt("reading a gRPC call", GrpcTransport, method, ReceivedMetadata(metadata), context=context)


@lru_cache(_MAX_KNOWN)
def _attributes(method: str, peer: Peer | None, is_server: bool) -> Mapping[str, AttributeValue]:
    host, port = peer or ("", 0)
    attributes = rpc_attributes("grpc", method, None if is_server else host, port)
    if not host:
        return attributes
    if is_server:
        attributes[semconv.CLIENT_ADDRESS] = host
    # A client knows the name it asked for, which need not be an address.
    if is_server or _is_address(host):
        attributes[semconv.NETWORK_PEER_ADDRESS] = host
        if port:
            attributes[semconv.NETWORK_PEER_PORT] = port
    return attributes


@lru_cache(_MAX_KNOWN)
def peer_from_text(text: str) -> Peer | None:
    """Host and port of a peer (`ipv4:127.0.0.1:50051`, `ipv6:%5B::1%5D:50051`, `unix:/path`) or target (`dns:///host:1`).

    The path of a Unix socket has port 0. None where there is no address, or several.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        path = rest.removeprefix("//") if rest.startswith("///") else rest
        return (path, 0) if path else None
    if colon and scheme in ("ipv4", "ipv6", "dns", "passthrough"):
        text = rest.rpartition("/")[2]
    elif "://" in text:
        # Schemes of other resolvers: xds:///name, google-c2p:///name.
        name = rest.rpartition("/")[2]
        return (name, 0) if name else None
    text = unquote(text)
    if "," in text or not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (host.count(":") and not host.endswith("]")):
        return text.strip("[]"), 0
    return host.strip("[]"), int(port)


def _is_address(host: str) -> bool:
    if host.startswith("/"):
        return True
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class ReceivedMetadata:
    """The metadata of a call received, as a carrier that is read only."""

    __slots__ = ("_index", "_is_plain", "_pairs")

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        pairs: Any = () if metadata is None else metadata if isinstance(metadata, (tuple, list)) else tuple(metadata)
        self._pairs: tuple[tuple[str, str | bytes], ...] = pairs
        # gRPC lowers the names; of one that is repeated the last is here.
        self._index: dict[str, str | bytes] = dict(pairs)
        self._is_plain = len(self._index) == len(pairs)

    def has_any(self, keys: Iterable[str]) -> bool:
        """Whether one of these names, in lower case, is there."""
        index = self._index
        for key in keys:  # noqa: SIM110  # any() would make a generator, on the hot path
            if key in index:
                return True
        return False

    def get(self, key: str) -> list[str]:
        key = key.lower()
        value = self._index.get(key)
        if value is None:
            return []
        if self._is_plain:
            return [value if isinstance(value, str) else value.decode("latin-1")]
        return [
            value if isinstance(value, str) else value.decode("latin-1") for name, value in self._pairs if name == key
        ]

    def set(self, key: str, value: str) -> None:
        raise TypeError("the metadata of a call received cannot be written")

    def keys(self) -> list[str]:
        return list(self._index)


class Replies:
    """An iterator whose span is current while it computes a message; it ends with the last, a failure, or the reader."""

    __slots__ = ("_context", "_current", "_finish", "_stream", "_transport")

    def __init__(
        self,
        stream: Any,
        context: Context,
        current: ContextVar[Call | None],
        transport: Call,
        finish: Finish,
    ) -> None:
        self._stream = stream
        self._context = context
        self._current = current
        self._transport = transport
        self._finish: Finish | None = finish

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        transport_token = self._current.set(self._transport)
        token = attach(self._context)
        try:
            return next(self._stream)
        except StopIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            detach(token)
            self._current.reset(transport_token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """The reader stops before the end."""
        failure: BaseException = GeneratorExit()
        try:
            close = getattr(self._stream, "close", None)
            if close is not None:
                transport_token = self._current.set(self._transport)
                token = attach(self._context)
                try:
                    close()
                finally:
                    detach(token)
                    self._current.reset(transport_token)
        except BaseException as error:
            failure = error
            raise
        finally:
            self._end(failure)

    def __del__(self) -> None:
        if self._finish is not None:
            self.close()

    def _end(self, error: BaseException | None) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(error)


class NoMessage:
    """What is said of the reply of a call that failed: Kratos counts it, too."""

    @staticmethod
    def ByteSize() -> int:  # as protobuf calls it
        return 0


def status_given(
    code: int | None, details: Any, reply: object, error: BaseException | None
) -> tuple[Outcome | None, BaseException | None]:
    """Outcome and error of a handler that was not cancelled; the error is None where it only sets a status."""
    if error is None:
        text = text_of(details) if code else None
        outcome = grpc_outcome(code or OK, text, server=True, reply=reply)
        # For conventions that count more codes as failures.
        outcome.message = text
        return outcome, None
    if is_cancellation(error):
        return cancelled_outcome(), error
    if not isinstance(error, Exception):
        return None, error
    outcome = grpc_outcome(code or UNKNOWN, None, server=True)
    # The exception says it better.
    outcome.error_type = None
    return outcome, error


def given_up_outcome(remaining_s: float | None) -> Outcome:
    """The outcome of a call whose caller is gone: its deadline has passed, or it has cancelled."""
    if remaining_s is not None and remaining_s < _TOLERANCE_S:
        return grpc_outcome(DEADLINE_EXCEEDED, "Deadline Exceeded", server=True)
    return cancelled_outcome()


def cancelled_outcome() -> Outcome:
    """The outcome of a call that was cancelled."""
    outcome = grpc_outcome(CANCELLED, None, server=True)
    outcome.cancelled = True
    return outcome


def code_number(code: Any) -> int | None:
    """gRPC has codes as enum members, as their numbers and as None for not set."""
    if code is None or isinstance(code, int):
        return code
    number: int = code.value[0]
    return number


def text_of(details: Any) -> str | None:
    """gRPC has details as text, as bytes and as None."""
    return details.decode("utf-8", "replace") if isinstance(details, bytes) else details


def method_name(method: str | bytes) -> str:
    """The full name as text."""
    return method if isinstance(method, str) else method.decode()
