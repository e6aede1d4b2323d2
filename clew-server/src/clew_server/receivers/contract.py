"""The interface of a receiver: a pure decoder from bytes to a batch, and a state that can be shown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from clew_server.receivers.signals import SignalName

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


class Decoder(Protocol):
    """The pure half of a receiver. Called from any thread; holds no state."""

    def __call__(self, body: bytes, content_type: str) -> OtlpBatch:
        """Decode a decompressed body.

        One broken span does not cost its request the others: it is counted in `rejected`. Raises BadInput when nothing
        can be made of the bytes, TooLarge beyond the limits above, Unsupported for another media type. Does no I/O.
        """
        ...


@dataclass(slots=True)
class ReceiverState:
    """What `/api/v1/status` says about one listener. Written by its receiver only; times are ns since the epoch."""

    name: str
    transport: Literal["grpc", "http", "tcp", "udp", "file"]
    address: str = ""
    state: Literal["open", "off", "failed"] = "off"
    option: str = ""
    """What on the command line moves or closes it."""
    spans: int = 0
    refused_requests: int = 0
    last_error: str | None = None
    last_client: str | None = None
    last_seen_unix_nano: int | None = None
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

    def connections(self, now_unix_nano: int) -> int:
        """Clients heard of in the last minute: sockets themselves are counted by nobody here."""
        return sum(now_unix_nano - seen < _PEER_LIVES_NS for seen in self._peers.values())

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields, in its order."""
        return {
            "name": self.name,
            "transport": self.transport,
            "address": self.address,
            "state": self.state,
            "option": self.option,
            "connections": self.connections(time.time_ns()),
            "spans": self.spans,
            "refused_requests": self.refused_requests,
            "last_error": self.last_error,
            "last_client": self.last_client,
            "last_seen_unix_nano": None if self.last_seen_unix_nano is None else str(self.last_seen_unix_nano),
        }


_MOST_PEERS = 1024
_PEER_LIVES_NS = 60_000_000_000
