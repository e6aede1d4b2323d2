"""What the W3C's trace-context test suite asks at level 2, asked of a running service in our own words.

The suite itself is no package; `harness/w3c_service.py` says how to run it beside us.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
import waitress

from clew.recorder.provider import TracerProvider
from harness.w3c_service import application, wsgi_application

TRACE = "12345678901234567890123456789012"
PARENT = f"00-{TRACE}-1234567890123456-01"
Headers = list[tuple[str, str]]


class Callback(http.server.BaseHTTPRequestHandler):
    """Keeps the headers of what the service calls."""

    received: list[Headers]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.received.append(self.headers.items())
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


class Service:
    """A service of ours that has been started, and the one it calls."""

    def __init__(self, port: int, callback: http.server.ThreadingHTTPServer) -> None:
        self.port = port
        self.callback = callback

    def ask(self, headers: Headers, calls: int = 1) -> list[dict[str, list[str]]]:
        """The headers of the calls the service makes when asked with these, by lower-case name."""
        Callback.received = []
        url = f"http://127.0.0.1:{self.callback.server_port}/"
        body = json.dumps([{"url": url, "arguments": []}] * calls).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        connection.putrequest("POST", "/test")
        for name, value in [*headers, ("content-length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body)
        assert connection.getresponse().status == 200
        connection.close()
        found: list[dict[str, list[str]]] = []
        for received in Callback.received:
            by_name: dict[str, list[str]] = {}
            for name, value in received:
                by_name.setdefault(name.lower(), []).append(value)
            found.append(by_name)
        assert len(found) == calls
        return found


@contextmanager
def serving(kind: str, provider: TracerProvider) -> Iterator[int]:
    """The port of a service of this kind."""
    if kind == "wsgi":
        channels: dict[int, Any] = {}
        wsgi = waitress.create_server(wsgi_application(provider), map=channels, host="127.0.0.1", port=0)
        closing = threading.Event()

        def run() -> None:
            try:
                wsgi.run()
            except OSError:  # its loop waits on a socket that is closed meanwhile
                if not closing.is_set():
                    raise

        runner = threading.Thread(target=run, daemon=True)
        runner.start()
        yield wsgi.effective_port
        closing.set()
        wsgi.task_dispatcher.shutdown()
        wsgi.close()
        # Its loop looks every second whether there is anything left to serve.
        runner.join(100)
        # On a busy machine it ends before it has seen that clients have gone, and leaves their connections open.
        waitress.wasyncore.close_all(channels)
        return
    asgi = Server(uvicorn.Config(application(provider), port=0, log_level="warning"))
    runner = threading.Thread(target=asgi.run, daemon=True)
    runner.start()
    assert asgi.is_up.wait(100)
    yield asgi.servers[0].sockets[0].getsockname()[1]
    asgi.should_exit = True
    runner.join(100)


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    callback = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Callback)
    called = threading.Thread(target=callback.serve_forever, daemon=True)
    called.start()
    provider = TracerProvider(shutdown_on_exit=False)
    try:
        with serving(request.param, provider) as port:
            yield Service(port, callback)
    finally:
        callback.shutdown()
        callback.server_close()
        called.join(100)
        provider.shutdown()


def parent(headers: dict[str, list[str]]) -> tuple[str, str, int]:
    (text,) = headers["traceparent"]
    match = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", text)
    assert match is not None
    assert set(match[1]) != {"0"}
    assert set(match[2]) != {"0"}
    return match[1], match[2], int(match[3], 16)


def state(headers: dict[str, list[str]]) -> str:
    return ",".join(headers.get("tracestate", []))


@pytest.mark.parametrize(
    "text",
    [
        PARENT,
        f"\t {PARENT} ",
        f"cc-{TRACE}-1234567890123456-01",
        f"cc-{TRACE}-1234567890123456-01-what-the-future-will-be-like",
    ],
)
@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "TRACEPARENT"])
def test_a_valid_parent_goes_on_with_a_span_of_ours(service: Service, name: str, text: str) -> None:
    trace, span, flags = parent(service.ask([(name, text)])[0])
    assert trace == TRACE
    assert span != "1234567890123456"
    assert flags & 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("trace-parent", PARENT)],
        [("trace.parent", PARENT)],
        [("traceparent", PARENT), ("traceparent", PARENT.replace("01", "02"))],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", f"{PARENT}.")],
        [("traceparent", f"{PARENT}-what")],
        [("traceparent", f"cc-{TRACE}-1234567890123456-01.what")],
        [("traceparent", f"ff-{TRACE}-1234567890123456-01")],
        [("traceparent", f".0-{TRACE}-1234567890123456-01")],
        [("traceparent", f"0-{TRACE}-1234567890123456-01")],
        [("traceparent", f"000-{TRACE}-1234567890123456-01")],
        [("traceparent", f"00-{'0' * 32}-1234567890123456-01")],
        [("traceparent", f"00-.{TRACE[1:]}-1234567890123456-01")],
        [("traceparent", f"00-{TRACE}3-1234567890123456-01")],
        [("traceparent", f"00-{TRACE[1:]}-1234567890123456-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", f"00-{TRACE}-.234567890123456-01")],
        [("traceparent", f"00-{TRACE}-12345678901234567-01")],
        [("traceparent", f"00-{TRACE}-123456789012345-01")],
        [("traceparent", f"00-{TRACE}-1234567890123456-.0")],
        [("traceparent", f"00-{TRACE}-1234567890123456-001")],
        [("traceparent", f"00-{TRACE}-1234567890123456-1")],
    ],
)
def test_anything_else_starts_a_new_trace_without_the_state(service: Service, headers: Headers) -> None:
    sent = service.ask([*headers, ("tracestate", "foo=1")])[0]
    assert parent(sent)[0] != TRACE
    assert "foo" not in state(sent)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["foo=1"], "foo=1"),
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo@=1,bar@baz@=2"], "foo@=1,bar@baz@=2"),
        (["0foo=1"], "0foo=1"),
        ([f"{'z' * 256}=1"], f"{'z' * 256}=1"),
        ([",".join(f"bar{at:02}={at}" for at in range(32))], ",".join(f"bar{at:02}={at}" for at in range(32))),
        ([",".join(f"bar{at:02}={at}" for at in range(33))], ""),
        ([f"{'z' * 257}=1"], ""),
        (["@foo=1,bar=2"], ""),
        (["foo =1"], ""),
        (["FOO=1"], ""),
        (["foo.bar=1"], ""),
        (["foo=bar=baz"], ""),
        (["foo=,bar=3"], ""),
    ],
)
def test_the_state_goes_on_as_it_came_or_not_at_all(service: Service, headers: list[str], expected: str) -> None:
    sent = service.ask([("traceparent", PARENT), *[("tracestate", text) for text in headers]])[0]
    assert parent(sent)[0] == TRACE
    assert state(sent) == expected


def test_repeated_keys_do_not_cost_the_state(service: Service) -> None:
    for text in ("foo=1,foo=1", "foo=1,foo=2", "bar=1,foo=1,foo=2"):
        assert "foo=1" in state(service.ask([("traceparent", PARENT), ("tracestate", text)])[0])


def test_calls_of_one_request_share_the_trace_and_not_the_span(service: Service) -> None:
    found = [parent(sent) for sent in service.ask([("traceparent", PARENT)], calls=3)]
    assert {trace for trace, _, _ in found} == {TRACE}
    assert len({span for _, span, _ in found}) == 3


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_the_random_flag_is_kept_as_it_came(service: Service, flags: str) -> None:
    assert parent(service.ask([("traceparent", PARENT[:-2] + flags)])[0])[2] == int(flags)


def test_a_new_trace_is_random(service: Service) -> None:
    found = [parent(service.ask([])[0]) for _ in range(5)]
    assert len({trace[-14:] for trace, _, _ in found}) == 5
    # That it is random is not said: older receivers would begin another trace.
    assert {flags for _, _, flags in found} == {1}
