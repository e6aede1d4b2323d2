"""The kit of receivers: what came in is in the log once, as itself, and no bytes do more than be refused."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers.contract import PROTOBUF, Head, OtlpBatch, ReceiverSpec, Transport
from clew_server.testing.stand import ReceiverStand, StoredAs

_TIMEOUT_S = 100.0
_NO_ANSWER = 0
_UNANSWERED = ("udp", "tcp")
"""Over these nothing is acknowledged, and nothing is refused: a receiver that has no room waits."""


class SentSpan(NamedTuple):
    """A span that an encoder writes: a finished root that began at `start_unix_nano` and took a millisecond.

    Name and service are lower-case ASCII and follow from the ids, so that parts of two spans that were mixed up show.
    """

    trace_id: bytes
    span_id: bytes
    name: str
    service: str
    start_unix_nano: int


def _span(number: int, services: int) -> SentSpan:
    # Full-length ids: protocols with 64 bits of them have the high half in other fields.
    trace_id = (0xA0000000_00000000_C0000000_00000000 + number).to_bytes(16, "big")
    span_id = (0xE000_0000_0000_0000 + number).to_bytes(8, "big")
    return SentSpan(
        trace_id, span_id, f"op-{number}", f"service-{number % services}", 1_795_000_000_000_000_000 + number * 1000
    )


class ReceiverKit:
    """Subclass it as `Test…` with a spec and `encode`. Random choices come from `seed`, so that a failure can be repeated."""

    #: The receiver.
    spec: ClassVar[ReceiverSpec]
    #: How the kit sends, where that is another way than the spec's: over gRPC to an HTTP port that takes both.
    over: ClassVar[Transport | None] = None
    #: HTTP path or gRPC method to which `encode`'s bytes go; empty over UDP.
    path: ClassVar[str] = ""
    #: Over HTTP.
    content_type: ClassVar[str] = PROTOBUF
    #: What comes with a call over gRPC as metadata: for agents that send their name there.
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: HTTP status of yes.
    accepted_status: ClassVar[int] = 202
    #: Spans in one request; over UDP they must fit a datagram.
    spans_a_request: ClassVar[int] = 7
    #: Services that the spans of one request are of; 1 where a protocol's request is what one process sends.
    services: ClassVar[int] = 3
    #: How many broken forms of a request are tried, of each kind.
    tries: ClassVar[int] = 300
    seed: ClassVar[int] = 1

    def encode(self, spans: Sequence[SentSpan]) -> bytes:
        """A request with these spans, in the protocol's bytes."""
        raise NotImplementedError

    def framed(self, body: bytes) -> bytes:
        """Over TCP: the bytes in the frame that carries them."""
        raise NotImplementedError

    # What a subclass gets

    def test_every_span_is_in_the_log_once_and_as_itself_whatever_happens_on_the_way(self, tmp_path: Path) -> None:
        chance = random.Random(self.seed)
        sent: list[SentSpan] = []
        last = b""
        with ReceiverStand(self.spec, tmp_path / "wal") as stand:
            for turn in range(12):
                spans = self._spans(self.spans_a_request, behind=len(sent))
                body = self.encode(spans)
                if turn in (3, 7):
                    self._send_while_full(stand, body, chance)
                elif turn == 5:
                    self._restart(stand, last, chance)
                self._send(stand, body, chance)
                sent += spans
                last = body
                if stand.spec.transport in _UNANSWERED:
                    self._wait_for(stand, len(sent))
            stand.restart()
            stored = stand.logged()
        assert len(stored) == len(sent), "a span is lost or doubled"
        assert sorted(stored) == sorted(StoredAs(one.trace_id, one.span_id, one.name, one.service) for one in sent)

    def test_a_request_that_is_cut_anywhere_is_taken_or_refused(self) -> None:
        whole = self.encode(self._spans(3))
        step = max(1, len(whole) // self.tries)
        for end in range(0, len(whole), step):
            self.takes_or_refuses(whole[:end])

    def test_a_request_with_changed_bytes_is_taken_or_refused(self) -> None:
        chance = random.Random(self.seed)
        whole = self.encode(self._spans(3))
        for _ in range(self.tries):
            self.takes_or_refuses(_mutated(whole, chance))

    def test_bytes_without_meaning_are_taken_or_refused(self) -> None:
        chance = random.Random(self.seed)
        for size in range(self.tries):
            self.takes_or_refuses(chance.randbytes(size))
        for byte in range(256):
            self.takes_or_refuses(bytes([byte]) * 200)

    def test_a_sender_of_nonsense_harms_nobody_else(self, tmp_path: Path) -> None:
        chance = random.Random(self.seed)
        good = self._spans(self.spans_a_request)
        with ReceiverStand(self.spec, tmp_path / "wal") as stand:
            nonsense = next(body for body in _nonsense(chance) if not self.takes_or_refuses(body))
            self._send_raw(stand, nonsense, chance)
            if self.spec.transport in _UNANSWERED:
                stand.wait_until(lambda: stand.state.refused_requests == 1, "the nonsense is counted")
            assert stand.state.refused_requests == 1
            assert stand.state.last_error
            assert stand.state.last_client is not None
            assert stand.state.last_client.startswith("127.0.0.1:")
            self._send(stand, self.encode(good), chance)
            self._wait_for(stand, len(good))
            # Over UDP and TCP a span is in the log a moment before it is counted.
            stand.wait_until(lambda: stand.state.spans == len(good), "the good ones are counted")
            assert sorted(one.span_id for one in stand.logged()) == [one.span_id for one in good]

    # Its parts

    def takes_or_refuses(self, body: bytes) -> bool:
        """Whether the decoder takes the bytes. Fails for any other exception than BadInput, and for a batch that is not canonical."""
        head = Head(self.path, self.content_type, self.headers)
        try:
            self.spec.check(head)
            batch = self.spec.decode(body, head)
        except BadInput:
            return False
        _check_canonical(batch)
        return True

    def _spans(self, count: int, *, behind: int = 0) -> list[SentSpan]:
        return [_span(behind + number, self.services) for number in range(1, 1 + count)]

    def _send(self, stand: ReceiverStand, body: bytes, chance: random.Random) -> None:
        """Send until it is acknowledged, as an exporter does; over UDP once."""
        stand.wait_until(lambda: self._send_raw(stand, body, chance), "a good request is acknowledged")

    def _send_while_full(self, stand: ReceiverStand, body: bytes, chance: random.Random) -> None:
        """Refused for now, and afterwards sent again by the caller. Over UDP the receiver waits instead: see `_wait_for`."""
        if stand.spec.transport in _UNANSWERED:
            return
        stand.is_full = True
        stand.wait_until(lambda: not self._send_raw(stand, body, chance), "a full disk is a refusal")
        stand.is_full = False

    def _restart(self, stand: ReceiverStand, last: bytes, chance: random.Random) -> None:
        """Restart, and send what was acknowledged last again: its acknowledgement may have been lost on the way."""
        stand.restart()
        if stand.spec.transport not in _UNANSWERED:
            self._send(stand, last, chance)

    def _wait_for(self, stand: ReceiverStand, spans: int) -> None:
        stand.wait_until(lambda: len(stand.logged()) >= spans, f"{spans} spans are in the log")

    def _send_raw(self, stand: ReceiverStand, body: bytes, chance: random.Random) -> bool:
        """Send once; whether it was acknowledged (over UDP: always). A refusal that is no refusal of the protocol fails."""
        match self.over or self.spec.transport:
            case "http":
                status = self._post(stand.address, body, chance)
                assert status in (self.accepted_status, 400, 413, 415, 429, 503, _NO_ANSWER), status
                return status == self.accepted_status
            case "grpc":
                return self._call(stand.address, body)
            case "udp":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.sendto(body, stand.address)
                return True
            case "tcp":
                with socket.create_connection(stand.address, timeout=_TIMEOUT_S) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for piece in _split(self.framed(body), chance):
                        connection.sendall(piece)
                return True
            case other:
                raise NotImplementedError(f"the kit does not send over {other}")

    def _post(self, address: tuple[str, int], body: bytes, chance: random.Random) -> int:
        """POST over a bare socket, the bytes split at random places; now and then in HTTP's own chunks."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            "Host: localhost",
            f"Content-Type: {self.content_type}",
            "Connection: close",
        ]
        pieces = _split(body, chance)
        if chance.random() < 0.5:
            lines.append("Transfer-Encoding: chunked")
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece] + [b"0\r\n\r\n"]
        else:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        with socket.create_connection(address, timeout=_TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b""
            # A refusal can come before all is sent; the rest of the request then meets a closed connection.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in (*_split(head, chance), *pieces):
                    connection.sendall(piece)
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else _NO_ANSWER

    def _call(self, address: tuple[str, int], body: bytes) -> bool:
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"{address[0]}:{address[1]}", options=options) as channel:
            call = channel.unary_unary(self.path, request_serializer=bytes, response_deserializer=bytes)
            outcome = call.future(body, timeout=_TIMEOUT_S, metadata=tuple(self.headers.items()))
            outcome.exception()  # waits for the end
            code = outcome.code()
        assert code in (
            grpc.StatusCode.OK,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ), code
        return code is grpc.StatusCode.OK


def _split(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
    return [data[start:end] for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True)]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                del changed[at : at + chance.randrange(1, 9)]
            case _:
                changed[at:at] = changed[at : at + 8]
        if not changed:
            break
    return bytes(changed)


def _nonsense(chance: random.Random) -> Iterator[bytes]:
    while True:
        yield chance.randbytes(chance.randrange(20, 200))


def _check_canonical(batch: OtlpBatch) -> None:
    request = ExportTraceServiceRequest.FromString(batch.request)
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert len(spans) == batch.spans
    assert request.SerializeToString() == batch.request
    heads = b"".join(b"\x0a\x10" + span.trace_id + b"\x12\x08" + span.span_id for span in spans)
    assert (batch.heads or b"") == heads
    assert all(any(span.trace_id) and any(span.span_id) for span in spans)
