"""requests, urllib3, http.client and urllib.request through the public kit, over real sockets."""

from __future__ import annotations

import http.client
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests
import requests.adapters
import urllib3
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import http_client as http_client_instrumentation
from clew.instrumentation import requests as requests_instrumentation
from clew.instrumentation import urllib3 as urllib3_instrumentation
from clew.testing import Body, ClientKit, SpanRecorder, assert_span

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer().running() as running:
        yield running


def names_and_urls(recorder: SpanRecorder) -> list[tuple[str, str]]:
    return [(span.name, span.attributes["url.full"]) for span in recorder.spans if span.kind is SpanKind.CLIENT]


class _Kit(ClientKit):
    component = "HTTP"
    span_name = "GET"
    same_exception = False
    takes_options = True
    overlaps = True
    answers = MappingProxyType(
        {200: StatusCode.UNSET, 302: StatusCode.UNSET, 404: StatusCode.ERROR, 500: StatusCode.ERROR}
    )

    @pytest.fixture(autouse=True)
    def connect(self) -> Iterator[None]:
        # A server for each call: two at once must not see each other's headers.
        self.peers: list[Any] = []
        yield
        for running in self.peers:
            running.__exit__(None, None, None)

    def get(self, url: str, tracer_provider: Any, **options: Any) -> None:
        raise NotImplementedError

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        server = Peer()
        running = server.running()
        running.__enter__()
        self.peers.append(running)
        server.body = body
        try:
            self.get(server.url + "/", tracer_provider, propagator=propagator, **options)
        except BaseException as error:
            return server.headers, error
        return server.headers, None

    def answer(self, tracer_provider: Any, status: int) -> None:
        with Peer().running() as server:
            self.get(f"{server.url}/status/{status}", tracer_provider)


class TestRequests(_Kit):
    def get(self, url: str, tracer_provider: Any, **options: Any) -> None:
        with clew.requests.traced(requests.Session(), tracer_provider=tracer_provider, **options) as session:
            session.get(url, allow_redirects=False, timeout=100, headers={"Traceparent": "mine"})


class TestUrllib3(_Kit):
    def get(self, url: str, tracer_provider: Any, **options: Any) -> None:
        with clew.urllib3.traced(urllib3.PoolManager(), tracer_provider=tracer_provider, **options) as manager:
            manager.request("GET", url, redirect=False, retries=False, timeout=100)


class TestHttpClient(_Kit):
    def get(self, url: str, tracer_provider: Any, **options: Any) -> None:
        host, _, path = url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=100)
        clew.http_client.traced(connection, tracer_provider=tracer_provider, **options)
        try:
            connection.request("GET", "/" + path)
            connection.getresponse().read()
        finally:
            connection.close()


@pytest.fixture
def patched(tracer_provider: Any) -> Iterator[SpanRecorder]:
    undos = [
        module.patch(tracer_provider)
        for module in (requests_instrumentation, urllib3_instrumentation, http_client_instrumentation)
    ]
    yield SpanRecorder(tracer_provider)
    for undo in undos:
        undo()


def by_requests(url: str) -> None:
    requests.get(url, timeout=100)


def by_urllib3(url: str) -> None:
    urllib3.request("GET", url, timeout=100)


def by_urllib(url: str) -> None:
    with urllib.request.urlopen(url, timeout=100) as response:  # loopback
        response.read()


@pytest.mark.parametrize("get", [by_requests, by_urllib3, by_urllib])
def test_with_everything_patched_a_request_has_one_span(
    get: Callable[[str], None], peer: Peer, patched: SpanRecorder
) -> None:
    get(f"{peer.url}/here?token=secret&page=2")
    span = patched.one()
    assert_span(
        span,
        name="GET",
        kind=SpanKind.CLIENT,
        status=StatusCode.UNSET,
        attributes={
            "http.request.method": "GET",
            "url.full": f"{peer.url}/here?token=REDACTED&page=2",
            "server.address": "127.0.0.1",
            "server.port": peer.port,
            "http.response.status_code": 200,
        },
    )
    (sent,) = [value for key, value in peer.headers if key.lower() == "traceparent"]
    assert sent[36:52] == f"{span.context.span_id:016x}"


@pytest.mark.parametrize("get", [by_requests, by_urllib3, by_urllib])
def test_a_redirect_followed_is_a_request_of_its_own(
    get: Callable[[str], None], peer: Peer, patched: SpanRecorder
) -> None:
    get(f"{peer.url}/redirect")
    assert names_and_urls(patched) == [("GET", f"{peer.url}/redirect"), ("GET", f"{peer.url}/there")]
    sent = [dict(headers).get("traceparent") or dict(headers).get("Traceparent") for _, _, headers in peer.requests]
    assert [value[36:52] for value in sent if value] == [f"{span.context.span_id:016x}" for span in patched.spans]


def test_a_retry_of_urllib3_is_counted(peer: Peer, patched: SpanRecorder) -> None:
    retries = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
    urllib3.PoolManager().request("GET", f"{peer.url}/flaky", retries=retries)
    first, second = patched.spans
    assert_span(first, status=StatusCode.ERROR, attributes={"error.type": "503"})
    assert "http.request.resend_count" not in first.attributes
    assert_span(second, status=StatusCode.UNSET, attributes={"http.request.resend_count": 1})


def test_a_server_that_is_not_there_is_an_error(patched: SpanRecorder) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:1/", timeout=100)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        urllib3.request("GET", "http://127.0.0.1:1/", retries=0)
    connection = http.client.HTTPConnection("127.0.0.1", 1)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")
    by_requests_, by_urllib3_, by_http_client = patched.spans
    assert_span(by_requests_, status=StatusCode.ERROR, attributes={"error.type": "requests.exceptions.ConnectionError"})
    assert_span(by_urllib3_, status=StatusCode.ERROR)
    assert_span(by_http_client, status=StatusCode.ERROR, attributes={"error.type": "ConnectionRefusedError"})
    assert patched.open == 0


def test_credentials_in_a_url_are_not_recorded(peer: Peer, patched: SpanRecorder) -> None:
    requests.get(peer.url.replace("http://", "http://ada:secret@"), timeout=100)
    assert "secret" not in str(dict(patched.one().attributes))


def test_headers_of_response_and_request_are_kept_by_list(peer: Peer, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    options: dict[str, Any] = {"request_headers": ["x-mine"], "response_headers": ["x-answer"]}
    session = clew.requests.traced(requests.Session(), tracer_provider=tracer_provider, **options)
    session.get(peer.url, headers={"X-Mine": "1"}, timeout=100)
    session.close()
    manager = clew.urllib3.traced(urllib3.PoolManager(), tracer_provider=tracer_provider, **options)
    manager.request("GET", peer.url, headers={"X-Mine": "1"})
    manager.clear()
    for span in recorder.spans:
        assert list(span.attributes["http.request.header.x-mine"]) == ["1"]
        assert list(span.attributes["http.response.header.x-answer"]) == ["yes"]


def test_a_hook_that_asks_for_something_else_has_a_span_of_its_own(peer: Peer, patched: SpanRecorder) -> None:
    def refresh(response: requests.Response, **_: Any) -> None:
        requests.post(f"{peer.url}/token", timeout=100)

    requests.get(f"{peer.url}/protected", hooks={"response": refresh}, timeout=100)
    assert [name for name, _ in names_and_urls(patched)] == ["GET", "POST"]


def test_a_request_whose_response_nobody_reads_is_marked(peer: Peer, patched: SpanRecorder) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", peer.port)
    connection.request("GET", "/first")
    connection.close()
    connection.request("GET", "/second")
    connection.getresponse().read()
    connection.close()
    first, second = patched.spans
    assert_span(first, status=StatusCode.UNSET, attributes={"clew.cancelled": True})
    assert_span(second, attributes={"http.response.status_code": 200})


def test_a_request_with_a_header_that_cannot_be_sent_is_an_error(patched: SpanRecorder) -> None:
    with pytest.raises(ValueError, match="Invalid header value"):
        http.client.HTTPConnection("127.0.0.1", 1).request("GET", "/", headers={"x": "a\nb"})
    assert_span(patched.one(), status=StatusCode.ERROR, attributes={"error.type": "ValueError"})
    assert patched.open == 0


def test_headers_a_caller_keeps_are_not_changed(peer: Peer, patched: SpanRecorder) -> None:
    mine = {"x-mine": "1"}
    urllib3.request("GET", peer.url, headers=mine)
    assert mine == {"x-mine": "1"}


def test_what_was_patched_is_silent_once_it_is_undone(peer: Peer, tracer_provider: Any) -> None:
    before = (requests.adapters.HTTPAdapter.send, http.client.HTTPConnection.getresponse)
    recorder = SpanRecorder(tracer_provider)
    for module in (requests_instrumentation, urllib3_instrumentation, http_client_instrumentation):
        module.patch(tracer_provider)()
    assert (requests.adapters.HTTPAdapter.send, http.client.HTTPConnection.getresponse) == before
    by_requests(peer.url)
    assert recorder.spans == []


def test_explicit_and_patched_make_one_span(peer: Peer, patched: SpanRecorder, tracer_provider: Any) -> None:
    clew.requests.traced(requests.Session(), tracer_provider=tracer_provider).get(peer.url, timeout=100)
    clew.urllib3.traced(urllib3.PoolManager(), tracer_provider=tracer_provider).request("GET", peer.url)
    assert len(patched.spans) == 2
