"""Ways to a collector: TLS with certificates on both sides, proxies, slow answers, requests that are too large, files."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from clew.recorder.export.exporter import OtlpHttpExporter
from clew.recorder.export.file_exporter import FileExporter
from clew.recorder.export.pipeline import BatchOptions
from clew.recorder.export.splitting import halves
from clew.recorder.provider import TracerProvider


def sent_through(exporter: Any, spans: int = 1, **options: Any) -> dict[str, Any]:
    """What became of so many spans."""
    options = {"schedule_delay_s": 10, "timeout_s": 60, "retry_for_s": 0, **options}
    provider = TracerProvider(resource={"service.name": "test"}, exporter=exporter, batch=BatchOptions(**options))
    for number in range(spans):
        provider.get_tracer("tests").start_span(f"span {number}", attributes={"text": "x" * 100}).end()
    provider.force_flush()
    stats = provider.stats()
    provider.shutdown()
    return stats


ALL = {"recorded": 1, "sent": 1, "dropped": {}}
NONE = {"recorded": 1, "sent": 0, "dropped": {"unreachable": 1}}


# -- TLS ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server and a client it vouches for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        run("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text(extension)
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
        run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())
    run("ec", "-in", "client.key", "-out", "locked.key", "-aes256", "-passout", "pass:secret")
    return folder


@pytest.fixture
def tls_url(collector: Any, certificates: Path) -> Callable[[bool], str]:
    """Puts TLS before the collector double, and returns its address."""

    def wrap(wants_client: bool) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates / "ca.pem")
        server = collector.server
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        url: str = collector.url
        return url.replace("http:", "https:")

    return wrap


def test_a_collector_is_trusted_by_the_authority_that_is_given(
    tls_url: Callable[[bool], str], collector: Any, certificates: Path
) -> None:
    url = tls_url(False)
    assert sent_through(OtlpHttpExporter(url)) == NONE
    assert sent_through(OtlpHttpExporter(url, certificate_file=str(certificates / "ca.pem"))) == ALL
    assert len(collector.spans()) == 1


def test_a_collector_that_wants_to_know_the_client_is_shown_its_certificate(
    tls_url: Callable[[bool], str], certificates: Path
) -> None:
    url, authority = tls_url(True), str(certificates / "ca.pem")
    assert sent_through(OtlpHttpExporter(url, certificate_file=authority)) == NONE
    both = OtlpHttpExporter(
        url,
        certificate_file=authority,
        client_certificate_file=str(certificates / "client.pem"),
        client_key_file=str(certificates / "client.key"),
    )
    assert sent_through(both) == ALL
    one_file = OtlpHttpExporter(url, certificate_file=authority, client_certificate_file=str(certificates / "both.pem"))
    assert sent_through(one_file) == ALL


def test_files_that_cannot_be_used_are_refused_at_once(certificates: Path) -> None:
    url = "https://localhost/"
    with pytest.raises(OSError, match="No such file"):
        OtlpHttpExporter(url, certificate_file="/nowhere/ca.pem")
    with pytest.raises(ValueError, match="without its certificate"):
        OtlpHttpExporter(url, client_key_file=str(certificates / "client.key"))
    # Nobody is asked for a password at a terminal.
    with pytest.raises(ssl.SSLError):
        OtlpHttpExporter(
            url,
            client_certificate_file=str(certificates / "client.pem"),
            client_key_file=str(certificates / "locked.key"),
        )


# -- proxies --------------------------------------------------------------------------------------------------------------


class ProxyDouble:
    """A proxy that hands on what it is sent, and notes how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_CONNECT(self) -> None:
                proxy.asked.append(("CONNECT", self.path, self.headers.get("Proxy-Authorization")))
                host, _, port = self.path.partition(":")
                with socket.create_connection((host, int(port))) as other:
                    self.send_response(200)
                    self.end_headers()
                    back = threading.Thread(target=pump, args=(other, self.connection))
                    back.start()
                    pump(self.connection, other)
                    other.shutdown(socket.SHUT_RDWR)
                    back.join(5)
                self.close_connection = True

            def do_POST(self) -> None:
                proxy.asked.append(("POST", self.path, self.headers.get("Proxy-Authorization")))
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment,misc]
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyDouble]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    made = ProxyDouble()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


BASIC = "Basic " + base64.b64encode(b"ada:s:e cret").decode()


def test_a_proxy_of_the_environment_is_asked_with_the_whole_address(
    proxy: ProxyDouble, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://ada:s%3Ae%20cret@{proxy.address}")
    assert sent_through(OtlpHttpExporter(collector.url)) == ALL
    assert proxy.asked == [("POST", collector.url, BASIC)]
    assert collector.bodies == []


def test_an_address_with_tls_is_reached_through_a_tunnel(
    proxy: ProxyDouble,
    tls_url: Callable[[bool], str],
    collector: Any,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"ada:s%3Ae%20cret@{proxy.address}")
    exporter = OtlpHttpExporter(tls_url(False), certificate_file=str(certificates / "ca.pem"))
    assert sent_through(exporter, 3) == {"recorded": 3, "sent": 3, "dropped": {}}
    assert proxy.asked == [("CONNECT", f"127.0.0.1:{collector.server.server_port}", BASIC)]
    assert "Proxy-Authorization" not in collector.headers[0]
    assert len(collector.spans()) == 3


def test_addresses_of_no_proxy_are_asked_straight(
    proxy: ProxyDouble, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.address)
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    assert sent_through(OtlpHttpExporter(collector.url)) == ALL
    assert proxy.asked == []


def test_a_proxy_that_is_no_address_is_named_and_ignored(
    collector: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("http_proxy", "socks5://user:secret@proxy:1080")
    monkeypatch.delenv("no_proxy", raising=False)
    assert sent_through(OtlpHttpExporter(collector.url)) == ALL
    assert "secret" not in caplog.text


# -- addresses ------------------------------------------------------------------------------------------------------------


def test_user_and_password_of_an_address_are_sent_and_never_shown(collector: Any) -> None:
    exporter = OtlpHttpExporter(collector.url.replace("//", "//ada:s%3Ae%20cret@"))
    assert sent_through(exporter) == ALL
    assert collector.headers[0]["Authorization"] == BASIC
    assert exporter.url == collector.url
    with pytest.raises(ValueError, match="ftp://there/") as refused:
        OtlpHttpExporter("ftp://ada:secret@there/")
    assert "secret" not in str(refused.value)


# -- slow answers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that answers a byte at a time, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n")
                while not stop.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
    stop.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_an_answer_that_drips_is_given_up_when_the_time_for_one_request_is_over(dripping: str) -> None:
    began = monotonic()
    assert sent_through(OtlpHttpExporter(dripping), timeout_s=0.5) == NONE
    assert 0.4 < monotonic() - began < 100  # it would drip for ever


@pytest.mark.parametrize("arrives", [b"", b"\x0a\x02"])
def test_an_answer_that_is_cut_off_is_none_and_the_spans_are_sent_again(arrives: bytes) -> None:
    """How many of them were rejected would have stood in the rest of it."""
    rejection = b"\x0a\x02\x08\x01"  # partial success: one span
    requests = 0

    class Cutting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal requests
            requests += 1
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(rejection)))
            self.end_headers()
            self.wfile.write(arrives if requests == 1 else rejection)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Cutting) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        exporter = OtlpHttpExporter(f"http://127.0.0.1:{server.server_port}/v1/traces")
        stats = sent_through(exporter, 3, retry_for_s=100)
        server.shutdown()
    assert (stats, requests) == ({"recorded": 3, "sent": 2, "dropped": {"rejected": 1}}, 2)


# -- too large ------------------------------------------------------------------------------------------------------------


class Narrow:
    """A collector that takes requests of so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.taken: list[bytes] = []
        self.refused = 0
        narrow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fits = len(body) <= most_bytes
                if fits:
                    narrow.taken.append(body)
                else:
                    narrow.refused += 1
                self.send_response(200 if fits else 413)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def names(self) -> list[str]:
        return [
            span.name
            for body in self.taken
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_batch_that_is_too_large_is_sent_in_halves_and_the_next_ones_are_smaller() -> None:
    narrow = Narrow(20_000)
    provider = TracerProvider(
        resource={"service.name": "test"},
        exporter=OtlpHttpExporter(narrow.url),
        batch=BatchOptions(schedule_delay_s=10),
    )
    tracer = provider.get_tracer("tests")
    for _ in range(2):
        refused = narrow.refused
        for number in range(400):
            tracer.start_span(f"span {number}", attributes={"text": "x" * 100}).end()
        assert provider.force_flush()
    assert provider.stats() == {"recorded": 800, "sent": 800, "dropped": {}}
    assert narrow.names() == [f"span {number}" for number in range(400)] * 2
    assert narrow.refused == refused, "the second batch was as large as the first"
    provider.shutdown()
    narrow.close()


def test_a_single_span_that_is_too_large_is_dropped_by_that_name() -> None:
    narrow = Narrow(1_000)
    provider = TracerProvider(exporter=OtlpHttpExporter(narrow.url), batch=BatchOptions(schedule_delay_s=10))
    tracer = provider.get_tracer("tests")
    for text in ("small", "x" * 2_000, "small"):
        tracer.start_span("span", attributes={"text": text}).end()
    assert not provider.force_flush()
    assert provider.stats() == {"recorded": 3, "sent": 2, "dropped": {"too_large": 1}}
    provider.shutdown()
    narrow.close()


def test_a_collector_that_takes_nothing_is_not_asked_about_every_span() -> None:
    narrow = Narrow(0)
    stats = sent_through(OtlpHttpExporter(narrow.url), 1_000)
    assert stats["sent"] == 0
    assert sum(stats["dropped"].values()) == 1_000
    assert narrow.refused < 1_000
    narrow.close()


def test_halves_hold_every_span_below_its_own_resource_and_scope() -> None:
    request = ExportTraceServiceRequest()
    for service in ("a", "b"):
        resource = request.resource_spans.add(schema_url="of " + service)
        resource.resource.attributes.add(key="service.name").value.string_value = service
        for scope in ("x", "y"):
            spans = resource.scope_spans.add(schema_url="of " + scope)
            spans.scope.name = scope
            for number in range(3):
                spans.spans.add(name=f"{service}{scope}{number}", span_id=b"12345678")

    def places(data: bytes) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                one.resource.attributes[0].value.string_value,
                one.schema_url,
                scope.scope.name,
                scope.schema_url,
                span.name,
            )
            for one in ExportTraceServiceRequest.FromString(data).resource_spans
            for scope in one.scope_spans
            for span in scope.spans
        ]

    pair = halves(request.SerializeToString())
    assert pair is not None
    assert [part.spans for part in pair] == [6, 6]
    assert places(pair[0].request) + places(pair[1].request) == places(request.SerializeToString())
    assert halves(b"") is None


# -- files ----------------------------------------------------------------------------------------------------------------


def test_a_file_holds_a_line_of_otlp_json_for_each_batch(tmp_path: Path, collector: Any) -> None:
    path = tmp_path / "spans.jsonl"
    provider = TracerProvider(resource={"service.name": "test", "n": 7}, exporter=FileExporter(path))
    with_bytes = OtlpHttpExporter(collector.url)
    twin = TracerProvider(resource={"service.name": "test", "n": 7}, exporter=with_bytes)
    linked = SpanContext(1 << 100, 7, True, TraceFlags(1))
    attributes: dict[str, Any] = {
        "text": 'té "a"\n',
        "int": -(2**62),
        "float": 0.5,
        "nan": float("nan"),
        "bool": True,
        "bytes": b"\x00\xff",
        "list": ["a", "b"],
        "empty": [],
    }
    for one in (provider, twin):
        tracer = one.get_tracer("tests", "1.0", "https://example.org/schema", {"scope": True})
        span = tracer.start_span("work", kind=SpanKind.SERVER, attributes=attributes, links=[Link(linked, {"a": 1})])
        span.add_event("happened", {"n": 1}, 1_700_000_000_000_000_001)
        span.set_status(StatusCode.ERROR, "no tea")
        span.end()
        assert one.force_flush()
    provider.get_tracer("tests").start_span("later").end()
    provider.shutdown()
    twin.shutdown()
    first, second = path.read_text().splitlines()
    written = Parse(json_with_base64_ids(first), ExportTraceServiceRequest())
    (sent,) = collector.requests()
    for request in (written, sent):
        span = request.resource_spans[0].scope_spans[0].spans[0]
        span.trace_id = span.span_id = b""
        span.start_time_unix_nano = span.end_time_unix_nano = 0
    assert str(written) == str(sent)
    assert [one["name"] for one in json.loads(second)["resourceSpans"][0]["scopeSpans"][0]["spans"]] == ["later"]


def json_with_base64_ids(line: str) -> str:
    """Protobuf's own JSON has ids in base64, OTLP's in hex."""

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: base64.b64encode(bytes.fromhex(held)).decode()
                if key in ("traceId", "spanId", "parentSpanId")
                else convert(held)
                for key, held in value.items()
            }
        return [convert(one) for one in value] if isinstance(value, list) else value

    return json.dumps(convert(json.loads(line)))


def test_a_file_that_cannot_be_written_is_tried_again_and_counted(tmp_path: Path) -> None:
    assert sent_through(FileExporter(tmp_path / "no folder" / "spans.jsonl")) == NONE


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "spans.jsonl"
    assert sent_through(FileExporter(path)) == ALL
    size = path.stat().st_size
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        assert sent_through(FileExporter(path)) == NONE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.stat().st_size == size
    assert sent_through(FileExporter(path)) == ALL
    assert [len(json.loads(line)["resourceSpans"]) for line in path.read_text().splitlines()] == [1, 1]


def test_lines_can_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert sent_through(FileExporter("-")) == ALL
    assert "resourceSpans" in json.loads(capfd.readouterr().out)
