"""`clew doctor` against a small server that speaks the two addresses doctor asks."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew import cli
from clew.recorder import _select


class Server:
    """The status, the OTLP endpoint and traces by id on one port, as far as doctor looks."""

    def __init__(self) -> None:
        self.traces: set[str] = set()
        self.token: str | None = None
        self.forgets = False
        self.last_error: str | None = None
        self.otlp_state = "open"
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status: int, body: bytes = b"{}") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def allowed(self) -> bool:
                return server.token is None or self.headers.get("Authorization") == f"Bearer {server.token}"

            def do_GET(self) -> None:
                if not self.allowed():
                    self.answer(401)
                elif self.path == "/api/v1/status":
                    self.answer(200, json.dumps(server.status()).encode())
                else:
                    self.answer(200 if self.path.rsplit("/", 1)[-1] in server.traces else 404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not self.allowed():
                    self.answer(401)
                    return
                for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                    if not server.forgets:
                        server.traces.add(resource_spans.scope_spans[0].spans[0].trace_id.hex())
                self.answer(200, b"")

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "accepted_spans": 7,
            "rejected_spans": {"zero_id": 2},
            "dead_letter_spans": 0,
            "receivers": [
                {
                    "name": "otlp-http",
                    "state": self.otlp_state,
                    "address": self.address,
                    "spans": 7,
                    "last_error": self.last_error,
                    "last_client": "127.0.0.1",
                },
                {"name": "zipkin", "state": "off", "address": None, "last_error": None},
            ],
        }

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "CLEW_SERVER"):
        monkeypatch.delenv(variable, raising=False)
    running = Server()
    yield running
    running.close()


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_all_is_well_where_a_span_comes_back(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--server", server.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    # What is installed here beside clew is named too, with advice in a line of its own.
    lines = [line for line in lines if "others may trace" not in line and "to have clew's only" not in line]
    assert all(line.startswith("✓") for line in lines), lines
    assert lines[0].endswith(f"recorder: {_select.selected.name}, {_select.reason}")
    assert "7 spans accepted, 2 rejected" in lines[1]
    assert "receiver otlp-http open" in lines[2]
    assert "took a span" in lines[3]
    assert "came back after" in lines[4]


def test_the_checks_are_json_lines_on_request(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--server", server.url, "--json"]) == 0
    checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [check["check"] for check in checks] == [
        "recorder",
        "doubled",
        "server",
        "receiver otlp-http",
        "endpoint",
        "read back",
    ]
    assert all(check["ok"] for check in checks)


def test_without_a_server_doctor_says_how_to_start_one(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    assert cli.main(["doctor", "--server", refusing, "--endpoint", refusing]) == 7
    text = capsys.readouterr().out
    assert f"✗ server {refusing}" in text
    assert "start one with `clew serve`" in text
    assert f"✗ endpoint {refusing}/v1/traces" in text


def test_a_server_with_a_token_wants_it(server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    server.token = "secret"
    assert cli.main(["doctor", "--server", server.url, "--endpoint", server.url]) == 7
    text = capsys.readouterr().out
    assert "HTTP 401" in text
    assert "--token-file" in text
    token = tmp_path / "token"
    token.write_text("secret\n")
    assert cli.main(["doctor", "--server", server.url, "--token-file", str(token)]) == 0


def test_the_last_error_of_a_receiver_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.last_error = "not protobuf"
    assert cli.main(["doctor", "--server", server.url]) == 0
    assert "→ last error: not protobuf (from 127.0.0.1)" in capsys.readouterr().out


def test_a_receiver_that_did_not_open_is_a_fault(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.otlp_state = "failed"
    server.last_error = "port 4318 is taken"
    assert cli.main(["doctor", "--server", server.url, "--endpoint", server.url]) == 7
    assert "✗ receiver otlp-http is not open: port 4318 is taken" in capsys.readouterr().out


def test_a_span_that_does_not_come_back_is_a_fault(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.forgets = True
    monkeypatch.setattr("clew.doctor._COME_BACK_S", 0.2)
    assert cli.main(["doctor", "--server", server.url]) == 7
    assert "was taken and cannot be read: HTTP 404" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--server", "nowhere"], ["--endpoint", "4318"], ["--token-file", "absent/token"]])
def test_options_that_cannot_be_meant_are_a_usage_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *options]) == 2
    assert capsys.readouterr().err.startswith("clew doctor: ")


def test_it_names_what_may_trace_the_same_calls_and_how_to_choose(server: Server, capsys: Any) -> None:
    cli.main(["doctor", "--server", server.url, "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (said,) = [line for line in lines if line["check"] == "doubled"]
    assert said["ok"]
    assert "FastAPI 0." in said["text"]
    assert "opentelemetry-instrumentation-requests" in said["text"]
    assert 'FastAPI(telemetry={"tracing": False})' in said["advice"]
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=fastapi,httpx" in said["advice"]
