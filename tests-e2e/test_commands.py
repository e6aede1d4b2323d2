"""Reading commands as people start them: any terminal, any address, any server at the other end, proxies."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.server import Server, clew_command
from harness.wire import fresh_name, new_trace_id, request, span

COMMANDS = ("search", "show", "doctor")
NAME = "GET /süd/日本/✓ · \u2028 \N{GRINNING FACE}"
ENCODINGS: dict[str, dict[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "ascii:strict": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "LC_ALL=C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}


@dataclass
class Stored:
    service: str
    trace_id: str


@pytest.fixture(scope="module")
def stored(server: Server) -> Stored:
    """A trace whose names no terminal of a single byte can show, with a failure."""
    service, trace_id = fresh_name("büro-日"), new_trace_id()
    root = span(trace_id, name=NAME)
    failed = span(trace_id, parent_id=root.span_id, name=NAME, failed=True)
    failed.status.message = "✖ kaputt – µ"
    server.export(request(service, [root, failed]))
    server.flush()
    return Stored(service, trace_id.hex())


def run(
    *words: str | bytes, environment: Mapping[str, str] | None = None, timeout_s: float = 100
) -> subprocess.CompletedProcess[bytes]:
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OTEL_", "LC_", "PYTHONIO", "NO_COLOR", "COLUMNS")) and not name.lower().endswith("_proxy")
    }  # fmt: skip
    done = subprocess.run(
        [*clew_command(), *words], capture_output=True, env=variables | dict(environment or {}), timeout=timeout_s, check=False
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


def words_of(command: str, stored: Stored) -> list[str]:
    return {"search": ["search", f"service={stored.service}"], "show": ["show", stored.trace_id], "doctor": ["doctor"]}[
        command
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_of_any_encoding_shows_what_it_can(
    server: Server, stored: Stored, command: str, encoding: str
) -> None:
    words = [*words_of(command, stored), "--server", server.http]
    shown = run(*words, environment=ENCODINGS[encoding])
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout
    if encoding in ("ascii", "LC_ALL=C"):
        assert shown.stdout.isascii()
    as_json = run(*words, "--json", environment=ENCODINGS[encoding])
    assert as_json.returncode == 0
    codec = "utf-8" if encoding == "utf-8" else ENCODINGS[encoding].get("PYTHONIOENCODING", "ascii").partition(":")[0]
    lines = [json.loads(line) for line in as_json.stdout.decode(codec).split("\n") if line]
    if command == "search":
        (trace,) = lines
        assert (trace["root_service"], trace["root_name"]) == (stored.service, NAME)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words", [["--help"], ["version"], ["search", "--help"], ["demo", "--help"], ["nonsense✖"], ["show"]]
)
def test_help_and_errors_are_printed_in_any_encoding(words: list[str], encoding: str) -> None:
    done = run(*words, environment=ENCODINGS[encoding])
    assert done.returncode == (2 if words in (["nonsense✖"], ["show"]) else 0)
    assert done.stdout or done.stderr


def test_an_id_that_is_cut_or_mistyped_is_answered_with_the_one_that_was_meant(server: Server, stored: Stored) -> None:
    wrong = stored.trace_id[:-1] + ("0" if stored.trace_id[-1] != "0" else "1")
    for command, trace_id, code in (("show", stored.trace_id[:12], 2), ("explain", wrong, 1)):
        done = run(command, trace_id, "--server", server.http)
        assert done.returncode == code
        assert f"A similar trace: {stored.trace_id} (begins alike)." in done.stderr.decode()


def test_marks_of_ours_become_ascii_ones_and_columns_stay(server: Server, stored: Stored) -> None:
    words = ["show", stored.trace_id, "--server", server.http]
    pretty = run(*words, environment=ENCODINGS["utf-8"]).stdout.decode().split("\n")
    plain = run(*words, environment=ENCODINGS["ascii"]).stdout.decode("ascii").split("\n")
    assert [len(line) for line in plain] == [len(line) for line in pretty]
    assert "#####" in plain[2]
    assert "x 1 failed" in plain[0]


def test_an_argument_that_the_locale_cannot_read_is_taken_as_utf8_or_refused(server: Server, stored: Stored) -> None:
    condition = f"service={stored.service}".encode()
    for encoding in ("LC_ALL=C", "utf-8"):
        found = run("search", condition, "--json", "--server", server.http, environment=ENCODINGS[encoding])
        assert found.returncode == 0, found.stderr
        for words in (["search", b"service=\xff"], ["search", "--from", b"\xff"], ["show", b"\xff"]):
            refused = run(*words, "--server", server.http, environment=ENCODINGS[encoding])
            assert refused.returncode == 2, refused.stderr
            assert b"no text" in refused.stderr


# -- width and colour


def on_a_terminal(*words: str, environment: Mapping[str, str], columns: int = 100) -> str:
    """What the command prints on a terminal so many columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "TERM", "PYTHONIOENCODING")
    }  # fmt: skip
    process = subprocess.Popen(
        [*clew_command(), *words], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=variables | dict(environment)
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        printed += piece
    os.close(ours)
    assert process.wait(100) == 0
    return printed.decode().replace("\r\n", "\n")


UTF8 = {"PYTHONIOENCODING": "utf-8", "TERM": "xterm"}


def test_colours_are_for_terminals_that_want_them(server: Server, stored: Stored) -> None:
    words = ["show", stored.trace_id, "--server", server.http]
    assert "\x1b[31m" in on_a_terminal(*words, environment=UTF8)
    assert "\x1b[31m" in on_a_terminal(*words, environment=UTF8 | {"NO_COLOR": ""})
    for more in ({"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(*words, environment=UTF8 | more)
    assert b"\x1b" not in run(*words).stdout


@pytest.mark.parametrize("width", [40, 72, 130])
def test_lines_are_as_wide_as_the_terminal_or_as_columns_says(server: Server, stored: Stored, width: int) -> None:
    shown = ["show", stored.trace_id, "--server", server.http]
    found = ["search", f"service={stored.service}", "--server", server.http]
    for words, rows in ((shown, slice(0, 5)), (found, slice(None))):
        terminal = on_a_terminal(*words, environment=UTF8 | {"NO_COLOR": "1"}, columns=width)
        variable = on_a_terminal(*words, environment=UTF8 | {"NO_COLOR": "1", "COLUMNS": str(width)}, columns=200)
        piped = run(*words, environment=UTF8 | {"COLUMNS": str(width)}).stdout.decode()
        assert terminal == variable == piped
        assert max(map(len, terminal.split("\n")[rows])) <= width
        assert stored.trace_id in terminal


# -- addresses, tokens, other servers


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "address",
    ["http://[::1", "http://a b", "http://x:99999", "http://x:port", "ftp://x", "http://", "localhost:16686", "http://süd",
     "http://x\n/", "http://127.0.0.1:1?q=1", "http://user:password@127.0.0.1:1"],
)  # fmt: skip
def test_what_cannot_be_an_address_is_a_mistake_of_the_command_line(stored: Stored, command: str, address: str) -> None:
    done = run(*words_of(command, stored), "--server", address)
    assert done.returncode == 2, done.stdout
    assert done.stderr.decode().startswith(f"clew {command}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "wants"),
    [(b"one\ntwo\n", "one token on one line"), (b"one two", "one token"), (b"", "one token"), (b"\xff", "ASCII"), (b"a\x00b", "one token"), (None, "No such file")],
)  # fmt: skip
def test_a_token_file_that_holds_no_token_is_a_mistake_of_the_command_line(
    server: Server, stored: Stored, tmp_path: Path, command: str, content: bytes | None, wants: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    for words, environment in ((["--token-file", str(file)], {}), ([], {"CLEW_TOKEN_FILE": str(file)})):
        done = run(*words_of(command, stored), "--server", server.http, *words, environment=environment)
        assert done.returncode == 2, done.stdout
        assert wants in done.stderr.decode()


@dataclass
class Other:
    """A server that is no clew: answers each request as it is told, and remembers what it was asked."""

    status: int = 404
    body: bytes = b"<html>nothing here</html>"
    location: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def other() -> Iterator[Callable[..., Other]]:
    running: list[ThreadingHTTPServer] = []

    def start(**options: object) -> Other:
        told = Other(**options)  # type: ignore[arg-type]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(told.status)
                if told.location:
                    self.send_header("Location", told.location)
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            do_POST = do_CONNECT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        told.url = f"http://127.0.0.1:{server.server_port}"
        return told

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>nothing here</html>"),
        (404, b'{"error": "no such index"}'),
        (404, b'{"data": null, "errors": [{"code": 404, "msg": "trace not found"}]}'),
        (400, b"bad"),
        (405, b""),
        (200, b"<html>welcome</html>"),
        (200, b"[]"),
        (200, b"[" * 100_000),
        (200, b'{"status": "up"}'),
        (200, b""),
    ],
)
def test_a_server_that_is_no_clew_is_said_to_be_none(
    stored: Stored, other: Callable[..., Other], command: str, status: int, body: bytes
) -> None:
    elsewhere = other(status=status, body=body)
    done = run(*words_of(command, stored), "--server", elsewhere.url)
    assert done.returncode == 7, done
    assert b"no clew server" in done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_token_is_not_taken_along_to_where_a_redirect_leads(
    stored: Stored, other: Callable[..., Other], tmp_path: Path, command: str
) -> None:
    target = other(status=200, body=b"{}")
    elsewhere = other(status=302, location=f"{target.url}/elsewhere", body=b"")
    (tmp_path / "token").write_text("secret\n")
    words = ["--server", elsewhere.url, "--token-file", str(tmp_path / "token")]
    words += ["--endpoint", elsewhere.url] if command == "doctor" else []
    done = run(*words_of(command, stored), *words)
    assert done.returncode == 7
    assert f"{target.url}/elsewhere".encode() in done.stdout + done.stderr
    assert target.asked == []


def test_an_unknown_trace_is_still_not_found(server: Server) -> None:
    done = run("show", "ab" * 16, "--server", server.http)
    assert (done.returncode, b"There is no trace" in done.stderr) == (1, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_speaks_no_http_is_not_reachable(stored: Stored, command: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(100)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        done = run(*words_of(command, stored), "--server", f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 7, done


# -- proxies


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.9"])
def test_no_proxy_leads_to_this_machine(
    server: Server, stored: Stored, other: Callable[..., Other], command: str, host: str
) -> None:
    proxy = other(status=502)
    # The endpoint is asked as an application asks it: its exporter obeys the variable for every address.
    environment = {"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "all_proxy": proxy.url, "no_proxy": "127.0.0.1,localhost" if command == "doctor" else ""}  # fmt: skip
    address = server.http.replace("127.0.0.1", host)
    done = run(*words_of(command, stored), "--server", address, environment=environment)
    if host == "127.0.0.9":  # the server listens on 127.0.0.1 only
        assert done.returncode == 7
    else:
        assert done.returncode == 0, done
    assert proxy.asked == []


@pytest.mark.parametrize("command", COMMANDS)
def test_other_addresses_obey_the_environment(stored: Stored, other: Callable[..., Other], command: str) -> None:
    proxy = other(status=404, body=b'{"error": {"code": "not_found", "message": "asked through the proxy"}}')
    words = [*words_of(command, stored), "--server", "http://clew.invalid:16686"]
    words += ["--endpoint", "http://127.0.0.1:1"] if command == "doctor" else []
    through = run(*words, environment={"http_proxy": proxy.url})
    assert proxy.asked
    assert all(
        path.startswith("http://clew.invalid:16686/api/v1/") for path, _ in proxy.asked if "127.0.0.1:1" not in path
    )
    assert through.returncode == (7 if command == "doctor" else 1), through
    proxy.asked.clear()
    straight = run(*words, environment={"http_proxy": proxy.url, "no_proxy": "127.0.0.1,.invalid"})
    assert straight.returncode == 7
    assert proxy.asked == []


def test_receivers_are_listed_with_what_came_to_each_and_how_to_send_to_it(server: Server, stored: Stored) -> None:
    done = run("receivers", "--server", server.http)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    row = next(line.split() for line in text.splitlines() if line.startswith("otlp-http "))
    assert row[1:3] == ["open", server.otlp_http]
    assert int(row[3]) >= 2
    assert f"otlp-http: OTEL_EXPORTER_OTLP_ENDPOINT={server.otlp_http}" in text
    assert "zipkin: not open; --receive zipkin opens it" in text
    lines = run("receivers", "--server", server.http, "--json").stdout.decode().splitlines()
    assert [json.loads(line)["name"] for line in lines] == [one["name"] for one in server.status()["receivers"]]
