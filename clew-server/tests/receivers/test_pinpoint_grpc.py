"""Pinpoint's three ports: what agents say is answered when it is on disk, and what they hold open stays open."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from clew_server.model.pinpoint import late
from clew_server.receivers import grpc as grpc_receiver
from clew_server.receivers.pinpoint import specs
from clew_server.testing import ReceiverStand, pinpoint
from clew_server.testing.pinpoint import Chunk, Event, Span

SUCCESS = b"\x08\x01"
METADATA = tuple(pinpoint.HEADERS.items())


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ReceiverStand]:
    with ReceiverStand(specs.COLLECTOR, tmp_path / "wal") as running:
        yield running


class Agent:
    """Calls of one agent at one of the three ports."""

    def __init__(self, stand: ReceiverStand, port: int) -> None:
        host, first = stand.address
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(f"{host}:{first + port}", options=options)

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def say(self, method: str, body: bytes) -> bytes:
        call = self._channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        answer: bytes = call(body, timeout=100, metadata=METADATA)
        return answer

    def stream(self, method: str, bodies: Any) -> Any:
        call = self._channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
        return call(bodies, timeout=100, metadata=METADATA)


@pytest.mark.parametrize("port", [0, 1, 2])
def test_each_of_the_three_ports_takes_everything(stand: ReceiverStand, port: int) -> None:
    with Agent(stand, port) as agent:
        assert agent.say("/v1.Metadata/RequestApiMetaData", pinpoint.api_metadata(4, "a.A.m()")) == SUCCESS
        assert list(agent.stream("/v1.Agent/PingSession", iter([b"", b""]))) == [b"", b""]
        assert list(agent.stream("/v1.Stat/SendAgentStat", iter([b"\x0a\0", b"\x0a\0"]))) == [b""]
        assert agent.say(specs.SEND_SPAN, pinpoint.span_message(Span(7, rpc="", api_id=4))) == b""
    assert [one.name for one in stand.logged()] == ["A.m"]
    assert stand.state.dropped == {"agent_statistics": 2}


@pytest.mark.parametrize("method", [specs.SEND_SPAN, specs.SEND_SPAN_BATCH])
def test_names_that_come_a_moment_after_their_span_are_its_names_for_search_too(
    stand: ReceiverStand, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_receiver, "FACTS_WITHIN_S", 60.0)  # however slow the machine is
    message = pinpoint.span_message(Span(7, rpc="", api_id=4, events=[Event(0, 1, 0, 1, 5000, api_id=5)]))
    body = message if method == specs.SEND_SPAN else pinpoint.batch_message([message])
    with Agent(stand, 0) as metadata, Agent(stand, 2) as spans, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(spans.say, method, body)
        while not stand.state.last_client:
            time.sleep(0.001)
        metadata.say("/v1.Metadata/RequestApiMetaData", pinpoint.api_metadata(4, "a.A.m()"))
        metadata.say("/v1.Metadata/RequestApiMetaData", pinpoint.api_metadata(5, "b.B.n()"))
        sent.result(100)
    assert [one.name for one in stand.logged()] == ["A.m", "B.n"]
    assert stand.state.unnamed == 0


def test_an_agent_that_does_not_say_its_names_is_waited_for_once(
    stand: ReceiverStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_receiver, "FACTS_WITHIN_S", 3.0)
    messages = [pinpoint.span_message(Span(number, rpc="", api_id=number)) for number in range(1, 40)]
    began_s = time.monotonic()
    with Agent(stand, 2) as agent:
        assert list(agent.stream(specs.SEND_SPAN, iter(messages))) == [b""]
        assert time.monotonic() - began_s < 100, "39 waits of three seconds each would take longer"
        assert len(stand.logged()) == 39
        assert stand.state.as_dict()["unnamed_spans"] == 39
        known = stand.remembered.facts("pinpoint")
        assert late(known) == []
        agent.say("/v1.Metadata/RequestApiMetaData", pinpoint.api_metadata(7, "a.A.m()"))
    # What was stored without its name is noted, so that queries know which spans the name is of.
    assert [(one.agent_id, one.reference, one.span.name) for one in late(known)] == [("agent-1", "api:7", "A.m")]


def test_what_an_agent_said_is_known_after_a_restart(stand: ReceiverStand) -> None:
    with Agent(stand, 0) as agent:
        assert agent.say("/v1.Agent/RequestAgentInfo", b"\x0a\x05host1") == SUCCESS
        assert agent.say("/v1.Metadata/RequestApiMetaData", pinpoint.api_metadata(4, "a.A.m()")) == SUCCESS
        assert agent.say("/v1.Metadata/RequestSqlMetaData", pinpoint.id_and_text(1, "select 1")) == SUCCESS
        assert agent.say("/v1.Metadata/RequestStringMetaData", pinpoint.id_and_text(1, "text")) == SUCCESS
    stand.restart()
    with Agent(stand, 2) as agent:
        agent.say(specs.SEND_SPAN, pinpoint.span_message(Span(7, events=[Event(0, 1, api_id=4)])))
    assert sorted(one.name for one in stand.logged()) == ["/", "A.m"]


def test_a_full_disk_is_no_success_and_a_broken_message_is_refused(stand: ReceiverStand) -> None:
    def answered(agent: Agent, body: bytes) -> grpc.StatusCode:
        try:
            agent.say("/v1.Metadata/RequestApiMetaData", body)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    good = pinpoint.api_metadata(4, "a.A.m()")
    with Agent(stand, 0) as agent:
        stand.is_full = True
        stand.wait_until(lambda: answered(agent, good) is grpc.StatusCode.UNAVAILABLE, "the disk is full")
        stand.is_full = False
        stand.wait_until(lambda: answered(agent, good) is grpc.StatusCode.OK, "there is room")
        assert answered(agent, b"\xff\xff") is grpc.StatusCode.INVALID_ARGUMENT


def test_a_broken_message_in_a_stream_costs_itself_and_the_stream_goes_on(stand: ReceiverStand) -> None:
    with Agent(stand, 2) as agent:
        messages = [pinpoint.span_message(Span(1)), b"\xff\xff", pinpoint.span_message(Span(2))]
        assert list(agent.stream(specs.SEND_SPAN, iter(messages))) == [b""]
    assert sorted(one.span_id[-1] for one in stand.logged()) == [1, 2]
    assert stand.state.refused_requests == 1


def test_of_a_batch_each_message_is_taken_that_is_one_and_the_agent_is_told_of_the_others(stand: ReceiverStand) -> None:
    good = [
        pinpoint.span_message(Span(1, events=[Event(0, 1)])),
        pinpoint.chunk_message(Chunk(1, events=[Event(1, 1)])),
        pinpoint.span_message(Span(2)),
    ]
    with Agent(stand, 2) as agent:
        assert agent.say(specs.SEND_SPAN_BATCH, pinpoint.batch_message(good)) == b""
        assert len(stand.logged()) == 4
        answer = agent.say(
            specs.SEND_SPAN_BATCH, pinpoint.batch_message([pinpoint.span_message(Span(3)), b"\xff", b"\x0a\x7f"])
        )
        assert answer.startswith(b"\x0a")
        assert b"\x08\x02" in answer
        assert b"2 spans rejected" in answer
        with pytest.raises(grpc.RpcError, match="PSpanMessageBatch") as raised:
            agent.say(specs.SEND_SPAN_BATCH, b"\x0a\x7f")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(one.span_id[-1] for one in stand.logged() if one.name == "/") == [1, 2, 3]
    assert stand.intake.statistics().rejected_spans == {"malformed": 2}


def test_a_span_is_in_the_log_while_its_stream_is_still_open_and_commands_wait(stand: ReceiverStand) -> None:
    ended = threading.Event()

    def messages() -> Iterator[bytes]:
        yield pinpoint.span_message(Span(1))
        assert ended.wait(100)

    with Agent(stand, 0) as agent, Agent(stand, 2) as spans:
        commands = agent.stream("/v1.ProfilerCommandService/HandleCommandV2", iter([]))
        stream = spans.stream(specs.SEND_SPAN, messages())
        stand.wait_until(lambda: len(stand.logged()) == 1, "the span is in the log")
        assert not commands.done()
        ended.set()
        assert list(stream) == [b""]
        assert not commands.done()
        commands.cancel()
