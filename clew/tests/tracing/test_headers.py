"""Captured headers and clients behind proxies."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from clew.carriers import DictCarrier
from clew.testing import FakeTransport, SpanRecorder, assert_span
from clew.tracing import Tracer
from clew.tracing.headers import HeaderCapture, TrustedProxies, capture_from_names

VARIABLE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"


def test_headers_named_are_kept_with_all_their_values_and_no_others() -> None:
    capture = HeaderCapture(["X-Shop", "x-tea-*"], "http.request.header.")
    carrier = DictCarrier({"X-Shop": ["a", "b"], "X-Tea-Kind": "green", "X-Other": "c"})
    assert capture.attributes(carrier) == {
        "http.request.header.x-shop": ["a", "b"],
        "http.request.header.x-tea-kind": ["green"],
    }


def test_addresses_in_headers_lose_their_secrets() -> None:
    capture = HeaderCapture(["referer", "host"], "http.request.header.")
    carrier = DictCarrier({"referer": "http://shop/?token=S", "host": "shop"})
    assert capture.attributes(carrier)["http.request.header.referer"] == ["http://shop/?token=REDACTED"]


@pytest.mark.parametrize(
    "name",
    ["authorization", "Proxy-Authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-session-id"],
)
def test_a_credential_is_never_kept_even_if_named(name: str) -> None:
    capture = HeaderCapture([name], "h.")
    assert capture.attributes(DictCarrier({name: "secret"})) == {f"h.{name.lower()}": ["REDACTED"]}


def test_more_is_redacted_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", "x-tea.*")
    capture = HeaderCapture(["x-tea-kind", "x-shop"], "h.")
    assert capture.attributes(DictCarrier({"x-tea-kind": "green", "x-shop": "a"})) == {
        "h.x-tea-kind": ["REDACTED"],
        "h.x-shop": ["a"],
    }


def test_the_variable_names_headers_where_no_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "Content-Type,X-Tea.*")
    capture = capture_from_names(None, server=True, response=False)
    assert capture is not None
    carrier = DictCarrier({"content-type": "text/plain", "x-tea-kind": "green"})
    assert sorted(capture.attributes(carrier)) == ["http.request.header.content-type", "http.request.header.x-tea-kind"]
    assert capture_from_names([], server=True, response=False) is None
    assert capture_from_names(None, server=False, response=False) is None
    monkeypatch.setenv(VARIABLE, "([")
    assert capture_from_names(None, server=True, response=False) is None
    with pytest.raises(TypeError):
        capture_from_names("content-type", server=True, response=False)


def test_only_http_has_captured_headers(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, request_headers=["x-shop"])
    for kind, wanted in (("http", ("a",)), ("grpc", None)):
        call = FakeTransport("op", kind=kind, headers={"x-shop": "a"})
        tracer.end(tracer.start("op", call.carrier, transport=call), transport=call)
        assert recorder.one().attributes.get("http.request.header.x-shop") == wanted
        recorder.clear()


@pytest.mark.parametrize(
    ("trusted", "socket", "headers", "client"),
    [
        ([], "10.0.0.1", {"x-forwarded-for": "1.2.3.4"}, "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", {"x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.0.0.2"}, "1.2.3.4"),
        (["10.0.0.0/8"], "9.9.9.9", {"x-forwarded-for": "1.2.3.4"}, "9.9.9.9"),
        (["*"], "9.9.9.9", {"x-forwarded-for": "1.2.3.4, 5.6.7.8"}, "1.2.3.4"),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", {"x-forwarded-for": "1.2.3.4:5555"}, "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", {"forwarded": 'for="[2001:db8::1]:80";proto=https', "x-forwarded-for": "x"}, "2001:db8::1"),
        (["10.0.0.0/8"], "10.0.0.1", {"forwarded": "proto=http;For=1.2.3.4, for=10.0.0.3"}, "1.2.3.4"),
        (["10.0.0.0/8"], "10.0.0.1", {}, "10.0.0.1"),
        (["unix"], "unix", {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        (["2001:db8::/32"], "2001:db8::1", {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        (["10.0.0.0/8"], "nonsense", {"x-forwarded-for": "1.2.3.4"}, "nonsense"),
    ],
)  # fmt: skip
def test_a_client_is_who_the_last_trusted_proxy_was_asked_by(
    trusted: list[str], socket: str, headers: dict[str, str], client: str
) -> None:
    assert TrustedProxies(trusted).client(socket, DictCarrier(headers)) == client


def test_a_server_told_whom_to_trust_names_client_and_peer(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    call = FakeTransport(
        "GET",
        kind="http",
        peer=("10.0.0.1", 80),
        headers={"x-forwarded-for": "1.2.3.4"},
        values={"client.address": "10.0.0.1"},
    )
    tracer = Tracer(SpanKind.SERVER, tracer_provider=tracer_provider, trusted_proxies=["10.0.0.1"])
    tracer.end(tracer.start("GET", call.carrier, transport=call))
    assert_span(
        recorder.one(),
        attributes={"client.address": "1.2.3.4", "network.peer.address": "10.0.0.1", "network.peer.port": 80},
    )
