"""The interface of a receiver: a spec with a pure decoder from bytes to a batch, and a state that can be shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from clew_server.model.facts import NOTHING_KNOWN, Fact, Known
from clew_server.receivers.signals import SignalName
from clew_server.status import ReceiverStatus

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MAX_REQUEST_BYTES = 64 << 20
"""After decompression; more is 413, RESOURCE_EXHAUSTED."""
MAX_REQUEST_SPANS = 200_000


class OtlpBatch(NamedTuple):
    """One request, decoded, checked, and in canonical form."""

    received: bytes
    """The body as it came, after decompression."""
    request: bytes
    """Canonical ExportTraceServiceRequest without the rejected spans and without unknown top-level fields."""
    spans: int
    """Spans in `request`; 0 when there is nothing to store."""
    heads: bytes | None
    """The first 28 bytes of each span (0a 10, trace id, 12 08, span id), in order."""
    rejected: Mapping[str, int]
    """Spans left out, by reason: `trace_id`, `span_id`, `malformed`; `log_record` for broken log records."""
    fragments: int = 0
    """How many of `spans` are no spans of their own (`model.fragments`)."""
    dropped: Mapping[str, int] = MappingProxyType({})
    """What was well formed and is not kept, by kind: `log`."""
    signal: SignalName = "traces"
    lacking: Sequence[tuple[str, str]] = ()
    """Facts that its spans refer to and that were not known, as agent and key. Where they come within a moment, the message is
    decoded again."""
    notes: Sequence[Fact] = ()
    """What is remembered of the facts that are lacking where the spans are stored without them."""
    unnamed: int = 0
    """How many of `spans` have a number where a name belongs, since facts are lacking."""

    @property
    def rejection(self) -> str:
        """One sentence for the sender about what was left out; empty when nothing was."""
        one = "log record" if self.signal == "logs" else "span"
        return "; ".join(
            f"{count} {one}{'s' * (count != 1)} rejected: {_REASONS.get(why, why)}"
            for why, count in self.rejected.items()
        )


_REASONS = {
    "trace_id": "a trace id is 16 bytes, not all zero",
    "span_id": "a span id is 8 bytes, not all zero",
    "malformed": "the span, its scope or its resource holds a value that OTLP does not allow there",
    "log_record": "the record, its scope or its resource holds a value that OTLP does not allow there",
}


@dataclass(frozen=True, slots=True)
class Head:
    """What came with the bytes of a request; every field may be empty."""

    path: str = ""
    """Path of an HTTP request, full name of a gRPC method (`/package.Service/Method`)."""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; of a repeated header the last value."""
    query: str = ""
    """The part of the address behind the question mark, as it came."""
    known: Known = NOTHING_KNOWN
    """What agents of this receiver's system have said of themselves."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Of a path that a pattern of the spec fits: what stood in its places, by name."""


class Decoder(Protocol):
    """The pure half of a receiver. Called from any thread; holds no state and does no I/O."""

    def __call__(self, body: bytes, head: Head) -> OtlpBatch:
        """Decode a decompressed body into OTLP; `canonical.canonical` makes the batch of the request that was built.

        One broken span does not cost its request the others: it is counted in `rejected`. Raises BadInput when nothing
        can be made of the bytes, TooLarge beyond the limits above, Unsupported for another media type, and nothing else
        but MemoryError.
        """
        ...


class Answer(NamedTuple):
    """What a sender is told: an HTTP response, or over gRPC the bytes of the response message (`body` only)."""

    status: int = 202
    body: bytes = b""
    media: str = "text/plain"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Answers(Protocol):
    """How one protocol says yes and no. Pure; called in the event loop."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        """The answer to a request whose spans are in the log."""
        ...

    def refused(self, status: int, message: str, head: Head) -> Answer:
        """The answer to a request that was not taken. `status`: 400, 401, 403, 404, 405, 413, 415, 500 or 503 (retry).

        Not asked over gRPC, which has one form of refusal for all protocols.
        """
        ...


class PlainAnswers:
    """202 with nothing, or the reason as text: what Zipkin and Jaeger say over HTTP. Over gRPC: an empty message."""

    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        return Answer()

    def refused(self, status: int, message: str, head: Head) -> Answer:
        return Answer(status, message.encode())


PLAIN_ANSWERS = PlainAnswers()

Transport = Literal["grpc", "http", "tcp", "udp", "file"]
Encoding = Literal["gzip", "deflate", "br"]
"""A Content-Encoding. `br` needs the package `brotli`."""


class Frame(NamedTuple):
    """What one frame of a TCP connection is for."""

    spans: bytes | None = None
    """What the decoder gets; None for a frame that carries no spans."""
    dropped: str = ""
    """As what a frame is counted that is well formed and not kept; empty where nothing is lost with it."""
    answer: bytes = b""
    """What is sent back, when the frames before it are in the log."""


class Framing(Protocol):
    """How one protocol cuts a TCP connection into frames: a head that says how long the rest is. Pure; called in the event loop."""

    @property
    def head_bytes(self) -> int:
        """Length of the head of every frame."""
        ...

    def greeting(self, now_unix_nano: int) -> bytes:
        """What is sent to a new connection before anything is read; empty for nothing."""
        ...

    def length(self, head: bytes) -> int:
        """How many bytes follow a head. Raises BadInput for one that is none, which ends the connection."""
        ...

    def frame(self, head: bytes, body: bytes, number: int) -> Frame:
        """What a whole frame is for. `number` is greater with each frame, also after a restart: for senders that ask for a
        number of their own. Raises BadInput for a frame that costs itself only."""
        ...


class Following(Protocol):
    """How one system's files are followed. Pure; called in the receiver's thread."""

    def follows(self, name: str) -> bool:
        """Whether a file with this name is one of them."""
        ...

    def whole_bytes(self, data: bytes, head: bytes) -> int:
        """How many bytes of `data`, from the position in a file on, are whole records; `head` is how the file begins."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener takes at most."""

    message_bytes: int = MAX_REQUEST_BYTES
    """Of a request after decompression, of a gRPC message, of a datagram."""
    connections: int = 4096
    """Open at the same time; one more is refused."""
    idle_s: float = 75.0
    """A connection without a request for this long is closed."""
    queue_bytes: int = 16 << 20
    """Datagrams that wait to be decoded; more are dropped and counted."""
    streams: int = 4096
    """gRPC calls with more than one message that are open at the same time; one more is refused for now."""
    stream_idle_s: float = 3600.0
    """A gRPC stream without a message for this long ends, so that the agent opens it anew."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A gRPC method of which every message is a request: decoded and accepted when it comes, not when the call ends."""

    answer_each: bool = False
    """One response for each message (a bidirectional method); else one when the client has sent all."""
    keep_open: bool = False
    """A message that cannot be decoded is counted as refused and the next ones are taken; else it ends the call. For agents
    that do not send again what they had in a call that failed. What is refused for now (no room) always ends it."""
    decoder: Callable[[Head], Decoder] | None = None
    """Makes the decoder of one call, which may remember earlier messages of it; None: the spec's `decode`."""


@dataclass(frozen=True, slots=True)
class Other:
    """A gRPC method that carries no spans: its messages are read, counted, and answered with constant bytes."""

    kind: str = ""
    """As what its messages are counted in `dropped`; empty where nothing is lost with them (a heartbeat)."""
    answer: bytes = b""
    answers: Literal["once", "each", "never"] = "once"
    """`once`: one response when the client has sent all (unary and client-streaming methods). `each`: one for each message
    (bidirectional). `never`: no response, and the call stays open until the client or the server stops (commands that an
    agent waits for)."""


def _decodes_at_once(body: bytes, head: Head) -> bool:
    return len(body) <= 16 << 10


_SAID = Answer(200)


def _nothing_to_check(head: Head) -> None:
    pass


def _nothing_to_say(head: Head) -> str | None:
    return None


def _as_it_came(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, slots=True)
class ReceiverSpec:
    """One listener: all there is to say about a protocol on a transport. `table.py` has a line for each."""

    name: str
    """As in `--receive`."""
    transport: Transport
    default_port: int
    decode: Decoder
    paths: tuple[str, ...] = ()
    """HTTP paths that are sent to, or gRPC methods. Other paths go to the listener's other app, or are 404. An HTTP path may be a
    pattern: `{name}` in `/api/{name}/store/` stands for one segment, which the decoder finds in `Head.parts` (`paths.Paths`)."""
    verbs: tuple[str, ...] = ("POST",)
    """HTTP methods by which `paths` are sent to, the usual one first."""
    shares_paths: bool = False
    """Whether other methods than `verbs` on `paths` are for the listener's other app: Zipkin asks where it sends to."""
    answers: Answers = PLAIN_ANSWERS
    limits: Limits = Limits()
    encodings: tuple[Encoding, ...] = ("gzip",)
    """Over HTTP: how a body may be compressed."""
    token_of: Callable[[Head], str] | None = None
    """Over HTTP: the token that a sender says elsewhere than in `Authorization`, empty where it says none. For protocols whose
    clients cannot set that header. Pure; called before anything else is looked at."""
    check: Callable[[Head], None] = _nothing_to_check
    """Looks at the head before the body is read; raises what the decoder would raise (Unsupported for a media type)."""
    is_quick: Callable[[bytes, Head], bool] = _decodes_at_once
    """Whether decoding takes a few milliseconds whatever the bytes are; the rest is decoded in a thread. May raise what
    the decoder raises."""
    ports: int = 1
    """Over gRPC: so many ports in a row take the same, for agents that use one for each kind of message."""
    streams: Mapping[str, Stream] = field(default_factory=dict)
    """gRPC methods with many messages a call; none of them is in `paths`."""
    others: Mapping[str, Other] = field(default_factory=dict)
    """gRPC methods that carry no spans."""
    remembers: Mapping[str, Callable[[bytes, Head], Sequence[Fact]]] = field(default_factory=dict)
    """HTTP paths and unary gRPC methods by which agents say something of themselves, each with a pure function from a message
    to what it says. It is durable before the agent gets its answer, `said`, and the system's decoders find it in `Head.known`.
    The functions raise what a decoder raises."""
    said: Answer = _SAID
    """The answer to such a message."""
    framing: Framing | None = None
    """Over TCP: how a connection is cut into what `decode` gets."""
    following: Following | None = None
    """Of files: which ones, and where a record ends. The decoder's `Head.path` is then the name of the file."""
    not_found: Callable[[Head], str | None] = _nothing_to_say
    """A sentence for a sender that asks for a path that this protocol has and clew does not take."""
    repair: Callable[[bytes], bytes] = _as_it_came
    """Over HTTP: makes a request of the first bytes of one, for clients that do not write HTTP as it is."""
    grpc: ReceiverSpec | None = None
    """Over HTTP: what the same port takes over gRPC; of that spec the name and the port are not used."""

    @property
    def system(self) -> str:
        """The first part of the name: receivers of one system share what its agents say of themselves."""
        return self.name.partition("-")[0]


def _none_lost() -> int:
    return 0


@dataclass(slots=True)
class ReceiverState:
    """What `/api/v1/status` says about one listener. Written by its receiver only; times are ns since the epoch."""

    name: str
    transport: Transport
    address: str = ""
    state: Literal["open", "off", "failed"] = "off"
    option: str = ""
    """What on the command line moves or closes it."""
    point_at: str = ""
    """How to tell an agent to send here, with `{address}`, `{host}` and `{port}`."""
    spans: int = 0
    refused_requests: int = 0
    last_error: str | None = None
    last_client: str | None = None
    last_seen_unix_nano: int | None = None
    files: int = 0
    """Files that are followed."""
    lost: Callable[[], int] = _none_lost
    """Datagrams that came and could not be kept; the receiver sets it."""
    dropped: dict[str, int] = field(default_factory=dict)
    """What was well formed, acknowledged and not kept, by kind (`jvm_metrics`)."""
    unnamed: int = 0
    """Spans that were accepted before their agent had said the names to which they refer by number."""
    _peers: dict[str, int] = field(default_factory=dict)

    def saw(self, peer: str, now_unix_nano: int) -> None:
        """Note a request of this client, `host:port`."""
        self.last_client = peer
        self.last_seen_unix_nano = now_unix_nano
        self._peers.pop(peer, None)
        self._peers[peer] = now_unix_nano
        if len(self._peers) > _MOST_PEERS:
            del self._peers[next(iter(self._peers))]

    def refused(self, why: str) -> None:
        """Note a request that got an error for an answer."""
        self.refused_requests += 1
        self.last_error = why

    def took(self, batch: OtlpBatch) -> None:
        """Note an accepted request: its spans, and what of it is not kept."""
        self.spans += batch.spans - batch.fragments
        self.unnamed += batch.unnamed
        for kind, count in batch.dropped.items():
            self.dropped[kind] = self.dropped.get(kind, 0) + count

    def connections(self, now_unix_nano: int) -> int:
        """Clients heard of in the last minute: sockets themselves are not counted here."""
        # Copied at once: over UDP `saw` is called by another thread.
        return sum(now_unix_nano - seen < _PEER_LIVES_NS for seen in list(self._peers.values()))

    def pointed(self) -> str:
        """How to tell an agent to send here, where this is open."""
        host, _, port = self.address.removeprefix("http://").rpartition(":")
        return self.point_at.format(address=self.address, host=host, port=port) if self.address else ""

    def status(self) -> ReceiverStatus:
        """What is shown of it now."""
        return ReceiverStatus(
            name=self.name,
            transport=self.transport,
            address=self.address,
            state=self.state,
            option=self.option,
            point_at=self.pointed(),
            connections=self.connections(time.time_ns()),
            spans=self.spans,
            refused_requests=self.refused_requests,
            dropped_datagrams=self.lost(),
            files=self.files,
            dropped=dict(self.dropped),
            unnamed_spans=self.unnamed,
            last_error=self.last_error,
            last_client=self.last_client,
            last_seen_unix_nano=self.last_seen_unix_nano,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return self.status().as_json()


_MOST_PEERS = 1024
_PEER_LIVES_NS = 60_000_000_000
