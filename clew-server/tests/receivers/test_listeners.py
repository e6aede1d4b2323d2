"""The table of receivers, and what becomes of those that cannot open."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from clew_server.collector.intake import Intake
from clew_server.collector.wal import Wal
from clew_server.config import Listening
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
