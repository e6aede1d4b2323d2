"""Safe from the first day: who may ask, from where, and what a page from elsewhere cannot do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest

from harness.server import PROTOBUF, Server
from harness.wire import request, span, spans_of

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TOKEN = "correct horse battery staple".replace(" ", "-")


def ask(base: str, path: str, host: str, method: str = "GET") -> int:
    """Status for a request with this Host header."""
    address, port = base.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=100) as connection:
        connection.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer[9:12])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:16686", "localhost", "localhost:16686", "[::1]:16686", "LOCALHOST"]
)
def test_a_loopback_name_in_the_host_header_is_answered(server: Server, host: str) -> None:
    assert ask(server.http, "/api/v1/status", host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "127.0.0.1.example.org",
        "localhost.example.org:16686",
        "evil",
        "10.0.0.1",
        "",
        "[::1].evil.example",
        "[::1].evil.example:16686",
        "127.0.0.1:80.evil.example",
        "[127.0.0.1",
        "::1",
    ],
)
def test_another_name_in_the_host_header_is_refused_on_every_http_port(server: Server, host: str) -> None:
    """A page that rebinds its own name to loopback reads and writes nothing."""
    assert 400 <= ask(server.http, "/api/v1/status", host) < 500
    assert 400 <= ask(server.http, "/api/v1/traces", host) < 500
    assert 400 <= ask(server.http, "/api/v1/flush", host, "POST") < 500
    assert 400 <= ask(server.http, "/", host) < 500
    assert 400 <= ask(server.otlp_http, "/v1/traces", host, "POST") < 500
    assert 400 <= ask(server.otlp_http, "/metrics", host) < 500


@pytest.mark.parametrize("path", ["/", "/search", "/api/v1/status", "/api/v1/traces/xyz", "/nothing-here", "/metrics"])
def test_every_answer_forbids_sniffing_framing_and_foreign_scripts(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = {
        part.split()[0]: part.split()[1:]
        for part in answer.headers["content-security-policy"].split(";")
        if part.strip()
    }
    assert policy["frame-ancestors"] == ["'none'"]
    scripts = policy.get("script-src", policy["default-src"])
    assert "'unsafe-inline'" not in scripts
    assert "'unsafe-eval'" not in scripts
    assert not any("*" in source or source.startswith("http") for sources in policy.values() for source in sources)
    assert answer.headers.get("x-frame-options", "DENY").upper() == "DENY"


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/traces"])
def test_cors_is_closed(server: Server, path: str) -> None:
    asked = {
        "Origin": "https://example.org",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    for answer in (
        server.get(path, headers={"Origin": "https://example.org"}),
        httpx.options(server.http + path, headers=asked),
        httpx.options(server.otlp_http + "/v1/traces", headers=asked),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "path",
    ["/../VERSION", "/..%2f..%2fetc/passwd", "/assets/../../VERSION", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"],
)
def test_no_file_outside_the_ui_is_served(server: Server, path: str) -> None:
    address, port = server.http.removeprefix("http://").split(":")
    with socket.create_connection((address, int(port)), timeout=100) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert b"root:" not in answer


def test_a_bind_beyond_loopback_wants_a_token_or_insecure(make_server: Callable[..., Server], tmp_path: Path) -> None:
    refused = make_server("refused", options=["--host", "0.0.0.0"])
    refused.launch()
    assert refused.wait_ended() == 2
    assert "--token-file" in refused.printed()
    assert "--insecure" in refused.printed()
    assert "Traceback" not in refused.printed()
    assert not (refused.data_dir / "chdb").exists()

    allowed = make_server("allowed", options=["--host", "0.0.0.0", "--insecure"]).start()
    port = allowed.http.rsplit(":", 1)[1]
    assert httpx.get(f"http://127.0.0.1:{port}/api/v1/status").status_code == 200
    assert allowed.stop() == 0


def test_with_a_token_every_port_wants_it(make_server: Callable[..., Server], tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    server = make_server(options=["--token-file", str(token_file)], token=TOKEN).start()
    body = request("guarded", [span()])
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
    )
    for headers in wrong:
        for path in ("/api/v1/status", "/api/v1/traces", "/api/v1/services", "/metrics"):
            answer = httpx.get(server.http + path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert httpx.post(server.http + "/api/v1/flush", headers=headers).status_code == 401
        assert (
            httpx.post(
                server.otlp_http + "/v1/traces", content=body, headers={"Content-Type": PROTOBUF, **headers}
            ).status_code
            == 401
        )
        with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(EXPORT)(
                body, metadata=[(name.lower(), value) for name, value in headers.items()], timeout=30
            )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    for base in (server.http, server.otlp_http):
        assert httpx.get(base + "/healthz").status_code == 200
        assert httpx.get(base + "/readyz").status_code == 200
    assert httpx.get(server.http + "/").status_code == 200, "the UI's own files ask for the token themselves"

    server.export(body)
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        channel.unary_unary(EXPORT)(
            request("guarded", [span()]), metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30
        )
    server.flush()
    assert len(server.found(service="guarded")) == 2
    assert TOKEN not in server.printed()
    assert server.stop() == 0


def test_the_api_shows_attributes_as_data_never_as_a_page(server: Server) -> None:
    hostile = "<script>alert(1)</script>"
    one = span(name=hostile, values={hostile: hostile})
    server.export(request(hostile, [one]))
    answer = server.get(f"/api/v1/traces/{one.trace_id.hex()}")
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    assert spans_of(server.trace_bytes(one.trace_id)) == [one]
