"""Requests that are sent more than once, by every client: a span for each that a server sees, numbered and connected."""

from __future__ import annotations

import asyncio
import http.client
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import requests.adapters
import requests.auth
import urllib3
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import aiohttp as aiohttp_instrumentation
from clew.instrumentation import http_client as http_client_instrumentation
from clew.instrumentation import httpx as httpx_instrumentation
from clew.instrumentation import requests as requests_instrumentation
from clew.instrumentation import urllib3 as urllib3_instrumentation
from clew.testing import SpanRecorder, assert_span

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer

CHALLENGE = 'Digest realm="shop", nonce="n", qop="auth", algorithm=MD5'


class Server:
    """Answers 503 below `/busy/2/…` for the first two requests, wants a digest at `/digest`, closes `/cut/1` unanswered."""

    def __init__(self) -> None:
        self.traceparents: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.traceparents.append(self.headers.get("traceparent"))
                kind, _, rest = self.path.removeprefix("/").partition("/")
                number = len(server.traceparents)
                if kind == "cut" and number <= int(rest):
                    self.close_connection = True
                    return
                status = 503 if kind == "busy" and number <= int(rest) else 200
                if kind == "digest" and "Digest" not in (self.headers.get("authorization") or ""):
                    status = 401
                if kind == "hops" and int(rest):
                    status = 302
                self.send_response(status)
                if status == 401:
                    self.send_header("www-authenticate", CHALLENGE)
                if status == 302:
                    self.send_header("location", f"/hops/{int(rest) - 1}")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


MODULES = (
    requests_instrumentation,
    urllib3_instrumentation,
    http_client_instrumentation,
    httpx_instrumentation,
    aiohttp_instrumentation,
)


@pytest.fixture
def patched(tracer_provider: Any) -> Iterator[SpanRecorder]:
    undos = [module.patch(tracer_provider) for module in MODULES]
    yield SpanRecorder(tracer_provider)
    for undo in undos:
        undo()


def retrying_session(total: int = 3) -> requests.Session:
    session = requests.Session()
    retries = urllib3.Retry(total, status_forcelist=[503], backoff_factor=0)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
    return session


def counts(recorder: SpanRecorder) -> list[int]:
    return [span.attributes.get("http.request.resend_count", 0) for span in recorder.spans]


def assert_as_the_server_saw(server: Server, recorder: SpanRecorder) -> None:
    """One CLIENT span for each request, which the server was told of; they do not overlap."""
    spans = recorder.spans
    assert all(span.kind is SpanKind.CLIENT for span in spans)
    assert [value and value[36:52] for value in server.traceparents] == [
        f"{span.context.span_id:016x}" for span in spans
    ]
    assert all(one.end_time <= other.start_time for one, other in pairwise(spans))
    assert recorder.open == 0


@pytest.mark.parametrize("is_explicit", [False, True])
def test_each_retry_of_requests_is_a_span(server: Server, tracer_provider: Any, is_explicit: bool) -> None:
    recorder = SpanRecorder(tracer_provider)
    session = retrying_session()
    undos = [] if is_explicit else [module.patch(tracer_provider) for module in MODULES]
    if is_explicit:
        clew.requests.traced(session, tracer_provider=tracer_provider)
    try:
        response = session.get(f"{server.url}/busy/2", timeout=100)
    finally:
        session.close()
        for undo in undos:
            undo()
    assert response.status_code == 200
    assert_as_the_server_saw(server, recorder)
    assert counts(recorder) == [0, 1, 2]
    for busy in recorder.spans[:2]:
        assert_span(busy, status=StatusCode.ERROR, attributes={"error.type": "503", "http.response.status_code": 503})
    assert_span(recorder.spans[2], status=StatusCode.UNSET, attributes={"http.response.status_code": 200})


def test_retries_of_requests_that_all_fail_say_what_the_server_answered(server: Server, patched: SpanRecorder) -> None:
    with retrying_session(1) as session, pytest.raises(requests.exceptions.RetryError):
        session.get(f"{server.url}/busy/9", timeout=100)
    assert_as_the_server_saw(server, patched)
    assert counts(patched) == [0, 1]
    for busy in patched.spans:
        assert_span(busy, status=StatusCode.ERROR, attributes={"error.type": "503", "http.response.status_code": 503})


@pytest.mark.parametrize("get", ["requests", "urllib3"])
def test_a_connection_that_is_cut_and_tried_again_is_two_spans(server: Server, patched: SpanRecorder, get: str) -> None:
    if get == "requests":
        with retrying_session() as session:
            session.get(f"{server.url}/cut/1", timeout=100)
    else:
        urllib3.PoolManager().request("GET", f"{server.url}/cut/1", retries=urllib3.Retry(3, backoff_factor=0))
    assert_as_the_server_saw(server, patched)
    assert counts(patched) == [0, 1]
    assert_span(patched.spans[0], status=StatusCode.ERROR, attributes={"error.type": "http.client.RemoteDisconnected"})
    assert_span(patched.spans[1], status=StatusCode.UNSET)


def test_connections_that_are_refused_again_and_again_are_a_span_each(patched: SpanRecorder) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with retrying_session(2) as session, pytest.raises(requests.ConnectionError):
            session.get(url, timeout=100)
    assert counts(patched) == [0, 1, 2]
    assert all(span.status.status_code is StatusCode.ERROR for span in patched.spans)
    assert patched.open == 0


def test_a_request_keeps_the_headers_it_was_sent_with_first(server: Server, patched: SpanRecorder) -> None:
    with retrying_session() as session:
        response = session.get(f"{server.url}/busy/2", timeout=100)
    assert response.request.headers["traceparent"] == server.traceparents[0]


def hops_by_requests(url: str) -> None:
    requests.get(url, timeout=100)


def hops_by_urllib3(url: str) -> None:
    urllib3.PoolManager().request("GET", url)


def hops_by_urllib(url: str) -> None:
    urllib.request.urlopen(url, timeout=100).close()


def hops_by_httpx(url: str) -> None:
    httpx.get(url, follow_redirects=True, timeout=100)


def hops_by_aiohttp(url: str) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get(url):
            pass

    asyncio.run(main())


@pytest.mark.parametrize("get", [hops_by_requests, hops_by_urllib3, hops_by_urllib, hops_by_httpx, hops_by_aiohttp])
def test_redirects_are_counted_by_every_client(
    server: Server, patched: SpanRecorder, get: Callable[[str], None]
) -> None:
    get(f"{server.url}/hops/2")
    assert_as_the_server_saw(server, patched)
    assert counts(patched) == [0, 1, 2]
    # The next request is one of its own.
    patched.clear()
    server.traceparents.clear()
    get(f"{server.url}/hops/0")
    assert counts(patched) == [0]


def digest_by_requests(url: str) -> None:
    requests.get(url, auth=requests.auth.HTTPDigestAuth("ada", "pw"), timeout=100)


def digest_by_urllib(url: str) -> None:
    handler = urllib.request.HTTPDigestAuthHandler()
    handler.add_password("shop", url, "ada", "pw")
    urllib.request.build_opener(handler).open(url, timeout=100).close()


def digest_by_httpx(url: str) -> None:
    httpx.get(url, auth=httpx.DigestAuth("ada", "pw"), timeout=100)


def digest_by_aiohttp(url: str) -> None:
    async def main() -> None:
        middlewares = (aiohttp.DigestAuthMiddleware("ada", "pw"),)
        async with aiohttp.ClientSession(middlewares=middlewares) as session, session.get(url) as response:
            assert response.status == 200

    asyncio.run(main())


@pytest.mark.parametrize("get", [digest_by_requests, digest_by_urllib, digest_by_httpx, digest_by_aiohttp])
def test_what_is_sent_again_with_credentials_is_counted(
    server: Server, patched: SpanRecorder, get: Callable[[str], None]
) -> None:
    get(f"{server.url}/digest")
    assert_as_the_server_saw(server, patched)
    assert counts(patched) == [0, 1]
    assert patched.spans[0].status.status_code is StatusCode.ERROR


def test_an_authentication_in_a_session_traced_explicitly_is_two_spans(server: Server, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    with clew.requests.traced(requests.Session(), tracer_provider=tracer_provider) as session:
        session.get(f"{server.url}/digest", auth=requests.auth.HTTPDigestAuth("ada", "pw"), timeout=100)
    assert_as_the_server_saw(server, recorder)
    assert counts(recorder) == [0, 1]


def test_a_stale_connection_that_aiohttp_tries_again_is_two_spans(server: Server, patched: SpanRecorder) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{server.url}/first") as first:
                await first.read()
            server.traceparents.clear()
            patched.clear()
            # On the kept connection the server closes it without an answer; aiohttp asks once more.
            async with session.get(f"{server.url}/cut/1") as second:
                assert second.status == 200

    asyncio.run(main())
    assert_as_the_server_saw(server, patched)
    assert counts(patched) == [0, 1]
    assert_span(patched.spans[0], status=StatusCode.ERROR)
    assert_span(patched.spans[1], status=StatusCode.UNSET)


def get_by_http_client(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://").partition("/")[0], timeout=100)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    "get",
    [hops_by_requests, hops_by_urllib3, hops_by_urllib, hops_by_httpx, hops_by_aiohttp, get_by_http_client],
)
@pytest.mark.parametrize("path", ["/status/200", "/status/404"])
def test_every_client_says_what_it_was_connected_to(
    patched: SpanRecorder, get: Callable[[str], None], path: str
) -> None:
    with Peer().running() as peer:
        try:
            get(peer.url + path)
        except urllib.error.HTTPError:
            pass
        assert_span(
            patched.one(),
            attributes={
                "network.peer.address": "127.0.0.1",
                "network.peer.port": peer.port,
                "network.protocol.version": "1.1",
            },
        )


@pytest.mark.parametrize("rest", ["", "?a=1", "/"])
def test_an_address_without_a_path_is_whole(patched: SpanRecorder, rest: str) -> None:
    with Peer().running() as peer:
        urllib.request.urlopen(peer.url + rest, timeout=100).close()
        assert patched.one().attributes["url.full"] == peer.url + (rest if rest.startswith("/") else "/" + rest)
