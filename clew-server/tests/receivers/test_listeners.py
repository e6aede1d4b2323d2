"""The table of receivers, and what becomes of those that cannot open."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from clew_server.collector.intake import Intake
from clew_server.collector.wal import Wal
from clew_server.config import Listening
from clew_server.receivers import listeners as module
from clew_server.receivers import table
from clew_server.receivers.listeners import Listeners
from clew_server.sockets.listening import PortTaken


@pytest.mark.parametrize("line", table.RECEIVERS, ids=lambda line: line.name)
def test_a_line_of_the_table_says_what_its_spec_says(line: table.Line) -> None:
    spec = line.load()
    assert (spec.name, spec.transport, spec.default_port) == (line.name, line.transport, line.default_port)
    assert table.pointed(line, "127.0.0.1"), "users are told how to point an agent at it"
    has_paths = spec.transport not in ("udp", "tcp", "file")
    assert has_paths == (spec.paths != ()) or line.name in ("jaeger-sampling", "cat-router")
    assert spec.limits.message_bytes <= 64 << 20


def test_a_default_receiver_whose_port_is_taken_is_said_and_the_others_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Wal(tmp_path / "wal")
    log.open()

    async def run(taken: int, must_open: bool) -> None:
        listeners = Listeners()
        try:
            listeners.bind(
                [
                    Listening("otlp-http", "127.0.0.1"),
                    Listening("zipkin", "127.0.0.1", taken, must_open),
                    Listening("jaeger-compact", "127.0.0.1"),
                ]
            )
            await listeners.start(Intake(log), token=None, others={})
            states = {state.name: state for state in listeners.states}
            assert {name: state.state for name, state in states.items() if state.state != "off"} == {
                "otlp-http": "open",
                "zipkin": "failed",
                "jaeger-compact": "open",
            }
            assert f"port {taken} on 127.0.0.1 is taken" in str(states["zipkin"].last_error)
            assert "--receive zipkin@HOST:PORT" in caplog.text
            assert states["jaeger-compact"].pointed() == "JAEGER_AGENT_HOST=127.0.0.1 JAEGER_AGENT_PORT={}".format(
                states["jaeger-compact"].address.rpartition(":")[2]
            )
        finally:
            await listeners.stop()
        assert {state.state for state in listeners.states} == {"off", "failed"}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asyncio.run(run(port, must_open=False))
        with pytest.raises(PortTaken):
            asyncio.run(run(port, must_open=True))
    log.close()


def test_all_stop_at_once_and_what_one_fails_with_is_raised_when_all_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that holds an upload keeps its port from ending for 3 s: for each port in turn that would be too long."""
    log = Wal(tmp_path / "wal")
    log.open()
    stop = module._Http.stop
    ended: list[str] = []

    async def run() -> None:
        both = asyncio.Barrier(2)

        async def stop_together(listener: module._Http) -> None:
            await both.wait()
            await stop(listener)
            ended.append("ended")
            raise OSError("no such thing")

        monkeypatch.setattr(module._Http, "stop", stop_together)
        listeners = Listeners()
        listeners.bind([Listening("otlp-http", "127.0.0.1"), Listening("zipkin", "127.0.0.1")])
        await listeners.start(Intake(log), token=None, others={})
        async with asyncio.timeout(100):
            with pytest.raises(OSError, match="no such thing"):
                await listeners.stop()
            await listeners.stop()  # as after a start that failed: nothing is left

    asyncio.run(run())
    assert ended == ["ended"] * 2
    log.close()
