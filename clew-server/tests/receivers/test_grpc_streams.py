"""gRPC calls with many messages: each message is a request of its own, whenever it comes; a call that is open holds up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector.intake import Accepted
from clew_server.receivers.contract import (
    PROTOBUF,
    Answer,
    Decoder,
    Head,
    Limits,
    Other,
    OtlpBatch,
    PlainAnswers,
    ReceiverSpec,
    ReceiverState,
    Stream,
)
from clew_server.receivers.grpc import GrpcReceiver
from clew_server.receivers.otlp import decode_otlp
from clew_server.testing.stand import ReceiverStand

COLLECT, KEPT, EACH = "/test.Spans/collect", "/test.Spans/kept", "/test.Spans/each"
BEAT, METRICS, PING, COMMANDS = "/test.Other/beat", "/test.Other/metrics", "/test.Other/ping", "/test.Other/commands"
END = object()


class _Answers(PlainAnswers):
    def accepted(self, batch: OtlpBatch, head: Head) -> Answer:
        return Answer(body=b"yes" + str(batch.spans).encode())


def decode_traces(body: bytes, head: Head) -> OtlpBatch:
    return decode_otlp(body, PROTOBUF)


def remembering(head: Head) -> Decoder:
    """The first message of a call is the name of its service; spans come behind it."""
    service: list[str] = []

    def decode(body: bytes, head: Head) -> OtlpBatch:
        if not service:
            service.append(body.decode())
            return OtlpBatch(body, b"", 0, None, {})
        message = ExportTraceServiceRequest.FromString(body)
        message.resource_spans[0].resource.attributes[0].value.string_value = service[0]
        return decode_traces(message.SerializeToString(), head)

    return decode


def spec(**limits: Any) -> ReceiverSpec:
    return ReceiverSpec(
        name="streams",
        transport="grpc",
        default_port=1,
        decode=decode_traces,
        streams={
            COLLECT: Stream(),
            KEPT: Stream(keep_open=True),
            EACH: Stream(answer_each=True, decoder=remembering),
        },
        others={
            BEAT: Other(answer=b"alive"),
            METRICS: Other(kind="metrics"),
            PING: Other(kind="ping", answer=b"pong", answers="each"),
            COMMANDS: Other(answers="never"),
        },
        answers=_Answers(),
        limits=Limits(**limits),
    )


def spans(count: int = 1, *, first: int = 1, name: str = "op") -> bytes:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "svc"
    scope = resource.scope_spans.add()
    for number in range(first, first + count):
        scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=name)
    return message.SerializeToString()


class Call:
    """A call whose messages are sent one by one."""

    def __init__(self, channel: grpc.Channel, method: str) -> None:
        self._messages: queue.Queue[Any] = queue.Queue()
        self.answers = channel.stream_stream(method)(iter(self._messages.get, END), timeout=100)

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self._messages.put(message)

    def half_close(self) -> None:
        self._messages.put(END)

    def code(self) -> grpc.StatusCode:
        """How the call ended."""
        with contextlib.suppress(grpc.RpcError):
            for _ in self.answers:
                pass
        code: grpc.StatusCode = self.answers.code()
        return code


class Gate:
    """Before a stand's log: nothing is accepted until it is opened. `together`: spans of each request that came to it."""

    def __init__(self, stand: ReceiverStand) -> None:
        self._stand = stand
        self._accept = stand.intake.accept
        self._opened = asyncio.Event()
        self.together: list[int] = []
        stand.intake.accept = self._wait_and_accept  # type: ignore[method-assign,assignment]

    def open(self) -> None:
        async def set_it() -> None:
            self._opened.set()

        self._stand.run(set_it())

    async def _wait_and_accept(self, batch: OtlpBatch) -> Accepted:
        self.together.append(batch.spans)
        await self._opened.wait()
        return await self._accept(batch)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ReceiverStand]:
    with ReceiverStand(spec(), tmp_path / "wal") as stand:
        yield stand


@pytest.fixture
def channel(stand: ReceiverStand) -> Iterator[grpc.Channel]:
    with connected(stand) as channel:
        yield channel


def connected(stand: ReceiverStand) -> grpc.Channel:
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.insecure_channel(f"{stand.address[0]}:{stand.address[1]}", options=options)


def test_every_message_of_a_stream_is_in_the_log_when_the_call_is_answered(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, COLLECT)
    call.send(*(spans(2, first=1 + 2 * number) for number in range(300)))
    call.half_close()
    assert list(call.answers) == [b"yes0"]
    stored = [int.from_bytes(one.span_id, "big") for one in stand.logged()]
    assert sorted(stored) == list(range(1, 601))
    assert stand.state.spans == 600
    assert stand.intake.statistics().in_flight_bytes == 0


def test_a_stream_without_messages_is_answered(stand: ReceiverStand, channel: grpc.Channel) -> None:
    call = Call(channel, COLLECT)
    call.half_close()
    assert list(call.answers) == [b"yes0"]


def test_a_message_is_accepted_when_it_comes_while_the_stream_stays_open(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, COLLECT)
    for number in (1, 2, 3):
        call.send(spans(1, first=number))
        stand.wait_until(lambda number=number: stand.state.spans == number, "the message is counted")  # type: ignore[misc]
        assert len(stand.logged()) == number
    call.half_close()
    assert call.code() is grpc.StatusCode.OK


def test_each_message_has_an_answer_and_a_decoder_that_remembers_its_stream_only(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    first, second = Call(channel, EACH), Call(channel, EACH)
    first.send(b"front")
    second.send(b"back")
    assert (next(first.answers), next(second.answers)) == (b"yes0", b"yes0")
    first.send(spans(1, first=1))
    second.send(spans(2, first=2))
    assert (next(first.answers), next(second.answers)) == (b"yes1", b"yes2")
    first.half_close()
    second.half_close()
    assert {int.from_bytes(one.span_id, "big"): one.service for one in stand.logged()} == {
        1: "front",
        2: "back",
        3: "back",
    }
    assert first.code() is second.code() is grpc.StatusCode.OK


def test_a_bad_message_ends_the_stream_and_what_came_before_is_kept(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, COLLECT)
    call.send(spans(1), b"nonsense", spans(1, first=2))
    call.half_close()
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    stand.wait_until(lambda: [one.span_id[-1] for one in stand.logged()] == [1], "the first is kept")
    assert stand.state.refused_requests == 1


def test_where_the_agent_needs_its_stream_a_bad_message_is_counted_and_the_next_are_taken(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, KEPT)
    call.send(spans(1), b"nonsense", spans(1, first=2))
    call.half_close()
    assert call.code() is grpc.StatusCode.OK
    assert sorted(one.span_id[-1] for one in stand.logged()) == [1, 2]
    assert stand.state.refused_requests == 1
    assert stand.state.last_error


def test_messages_that_come_while_the_log_writes_are_one_record_and_so_many_are_read_ahead(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    gate = Gate(stand)
    call = Call(channel, COLLECT)
    call.send(spans(1))
    stand.wait_until(lambda: gate.together == [1], "the first is on its way")
    call.send(*(spans(1, first=number) for number in range(2, 402)))
    size = len(spans(1))
    stand.wait_until(lambda: stand.intake.statistics().in_flight_bytes >= 257 * size, "256 wait behind it")
    gate.open()
    call.half_close()
    assert list(call.answers) == [b"yes0"]
    assert gate.together[1] == 256
    assert sum(gate.together) == 401
    assert sorted(int.from_bytes(one.span_id, "big") for one in stand.logged()) == list(range(1, 402))
    assert stand.intake.statistics().in_flight_bytes == 0


def test_a_large_message_stops_the_reading_of_others_until_it_is_handled(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, KEPT)
    large = "n" * (2 << 20)
    call.send(*(spans(1, first=number, name=large if number % 2 else "op") for number in range(1, 9)))
    call.half_close()
    assert list(call.answers) == [b"yes0"]
    assert stand.state.spans == 8


def test_messages_that_are_sent_at_once_are_answered_each_in_order(stand: ReceiverStand, channel: grpc.Channel) -> None:
    call = Call(channel, EACH)
    call.send(b"svc", *(spans(number, first=100 * number) for number in range(1, 50)))
    call.half_close()
    assert list(call.answers) == [b"yes%d" % number for number in range(50)]
    assert call.code() is grpc.StatusCode.OK


def test_bad_messages_between_others_that_came_with_them_are_refused_alone(
    stand: ReceiverStand, channel: grpc.Channel
) -> None:
    call = Call(channel, KEPT)
    for number in range(1, 101):
        call.send(spans(1, first=number), b"nonsense")
    call.half_close()
    assert call.code() is grpc.StatusCode.OK
    assert sorted(int.from_bytes(one.span_id, "big") for one in stand.logged()) == list(range(1, 101))
    assert stand.state.refused_requests == stand.intake.statistics().refused_requests == 100


def test_what_was_read_of_a_stream_is_kept_where_its_client_goes(stand: ReceiverStand, channel: grpc.Channel) -> None:
    gate = Gate(stand)
    call = Call(channel, COLLECT)
    call.send(spans(1))
    stand.wait_until(lambda: gate.together == [1], "the first is on its way")
    call.send(*(spans(1, first=number) for number in range(2, 12)))
    stand.wait_until(lambda: stand.intake.statistics().in_flight_bytes == 11 * len(spans(1)), "the others are read")
    call.answers.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED
    gate.open()
    stand.wait_until(lambda: stand.state.spans == 11, "all are accepted")
    assert sorted(int.from_bytes(one.span_id, "big") for one in stand.logged()) == list(range(1, 12))
    stand.wait_until(lambda: stand.intake.statistics().in_flight_bytes == 0, "their room is given back")


@pytest.mark.parametrize("method", [COLLECT, KEPT, EACH])
def test_without_room_a_stream_is_told_to_come_again(stand: ReceiverStand, channel: grpc.Channel, method: str) -> None:
    call = Call(channel, method)
    if method == EACH:
        call.send(b"svc")
        next(call.answers)
    call.send(spans(1))
    stand.wait_until(lambda: stand.state.spans == 1, "the first is accepted")
    stand.is_full = True

    def is_refused() -> bool:
        call.send(spans(1, first=2))
        if method == EACH:
            with contextlib.suppress(grpc.RpcError):
                next(call.answers)
        return stand.state.refused_requests > 0

    stand.wait_until(is_refused, "the stream is refused")
    assert call.code() is grpc.StatusCode.UNAVAILABLE
    assert "google.rpc.retryinfo-bin" in dict(call.answers.trailing_metadata())
    stand.wait_until(lambda: stand.intake.statistics().in_flight_bytes == 0, "its room is given back")


def test_open_streams_end_with_unavailable_when_the_server_stops_and_what_was_sent_is_kept(tmp_path: Path) -> None:
    with ReceiverStand(spec(), tmp_path / "wal") as stand, connected(stand) as channel:
        taking, waiting, each = Call(channel, COLLECT), Call(channel, COMMANDS), Call(channel, EACH)
        taking.send(spans(3))
        each.send(b"svc")
        waiting.send(b"hello")
        waiting.half_close()
        next(each.answers)
        stand.wait_until(lambda: stand.state.spans == 3, "the spans are in the log")
        ended = threading.Event()

        def stop() -> None:
            stand.restart()
            ended.set()

        stopping = threading.Thread(target=stop)
        stopping.start()
        assert [one.code() for one in (taking, waiting, each)] == [grpc.StatusCode.UNAVAILABLE] * 3
        assert "clew is stopping" in taking.answers.details()
        assert ended.wait(100)
        stopping.join()
        assert len(stand.logged()) == 3


def test_a_stream_that_is_whole_when_the_server_stops_is_answered(tmp_path: Path) -> None:
    with ReceiverStand(spec(), tmp_path / "wal") as stand, connected(stand) as channel:
        call = Call(channel, COLLECT)
        call.send(*(spans(1, first=1 + number) for number in range(100)))
        call.half_close()
        stand.wait_until(lambda: stand.state.spans > 0, "the stream has begun")
        stand.restart()
        if call.code() is grpc.StatusCode.OK:
            assert len(stand.logged()) == 100
        assert len(stand.logged()) == len({one.span_id for one in stand.logged()})


def test_a_message_that_is_too_large_ends_its_stream_only(tmp_path: Path) -> None:
    with ReceiverStand(spec(message_bytes=10_000), tmp_path / "wal") as stand, connected(stand) as channel:
        large, other = Call(channel, KEPT), Call(channel, KEPT)
        large.send(spans(1), bytes(20_000))
        large.half_close()
        assert large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        other.send(spans(1, first=2))
        other.half_close()
        assert other.code() is grpc.StatusCode.OK
        assert len(stand.logged()) == 2


def test_a_stream_in_which_nothing_comes_ends_after_its_idle_time(tmp_path: Path) -> None:
    for idle_s in (0.2, 2, 20):
        with (
            ReceiverStand(spec(stream_idle_s=idle_s), tmp_path / f"wal-{idle_s}") as stand,
            connected(stand) as channel,
        ):
            call = Call(channel, COLLECT)
            call.send(spans(1))
            assert call.code() is grpc.StatusCode.UNAVAILABLE
            assert "open the stream again" in call.answers.details()
            if len(stand.logged()) == 1:
                return
    raise AssertionError("the message did not come within the idle time")


def test_one_stream_too_many_is_refused_until_another_has_ended(tmp_path: Path) -> None:
    with ReceiverStand(spec(streams=2), tmp_path / "wal") as stand, connected(stand) as channel:
        held = [Call(channel, COMMANDS), Call(channel, COLLECT)]
        held[1].send(spans(1))
        stand.wait_until(lambda: stand.state.spans == 1, "the second is open")
        stand.wait_until(lambda: Call(channel, COLLECT).code() is grpc.StatusCode.UNAVAILABLE, "a third is refused")
        held[0].answers.cancel()

        def is_taken() -> bool:
            call = Call(channel, COLLECT)
            call.half_close()
            return call.code() is grpc.StatusCode.OK

        stand.wait_until(is_taken, "there is room again")


def test_what_carries_no_spans_is_answered_and_counted_by_kind(stand: ReceiverStand, channel: grpc.Channel) -> None:
    assert channel.unary_unary(BEAT)(b"here", timeout=100) == b"alive"
    assert channel.unary_unary(METRICS)(b"1", timeout=100) == b""
    assert channel.stream_unary(METRICS)(iter((b"1", b"2", b"3")), timeout=100) == b""
    ping = Call(channel, PING)
    for _ in range(2):
        ping.send(b"?")
        assert next(ping.answers) == b"pong"
    ping.half_close()
    assert ping.code() is grpc.StatusCode.OK
    waiting = channel.unary_stream(COMMANDS)(b"anything to do?", timeout=60)
    assert waiting.is_active()
    waiting.cancel()
    assert stand.state.status().dropped == {"metrics": 4, "ping": 2}
    assert stand.intake.statistics().dropped_signals == {"metrics": 4, "ping": 2}
    assert stand.state.refused_requests == 0


def test_a_stream_needs_the_token_as_other_calls_do(stand: ReceiverStand) -> None:
    receiver = GrpcReceiver(
        spec(), stand.intake, ReceiverState("streams", "grpc"), host="127.0.0.1", port=0, token="secret"
    )
    port = stand.run(receiver.start())
    try:
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            for method in (COLLECT, EACH, METRICS, COMMANDS):
                assert Call(channel, method).code() is grpc.StatusCode.UNAUTHENTICATED
            answer = channel.stream_unary(COLLECT)(
                iter((spans(1),)), metadata=(("authorization", "Bearer secret"),), timeout=100
            )
            assert answer == b"yes0"
            for given in ("secret", "Bearer secret"):  # where agents of SkyWalking have it
                assert channel.unary_unary(BEAT)(b"", metadata=(("authentication", given),), timeout=100) == b"alive"
            with pytest.raises(grpc.RpcError, match="a token is needed"):
                channel.unary_unary(BEAT)(b"", metadata=(("authentication", "wrong"),), timeout=100)
    finally:
        stand.run(receiver.stop())
    assert len(stand.logged()) == 1
