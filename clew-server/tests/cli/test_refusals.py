"""What the reading commands say of answers that are no success."""

from __future__ import annotations

import argparse
import http.server
import threading
from email.message import Message
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError

import pytest

from clew_server.cli._client import NOT_REACHABLE, USAGE, Client, CommandFailed


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (431, USAGE, "the query is too long for an address (HTTP 431 why)"),
        (414, USAGE, "the query is too long for an address (HTTP 414 why)"),
        (400, NOT_REACHABLE, "what answers at http://localhost:1 is no clew server: HTTP 400 why"),
    ],
)
def test_a_refusal_that_is_not_of_the_api(status: int, code: int, sentence: str) -> None:
    client = Client(argparse.Namespace(server="http://localhost:1", token_file=None))
    failed = client._refused(HTTPError("http://localhost:1/", status, "why", Message(), BytesIO(b"in words")))
    assert (failed.code, str(failed)) == (code, sentence)


class _Page(http.server.BaseHTTPRequestHandler):
    """A program that answers everything with a page, as the UI does for its own addresses."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, format: str, *args: object) -> None: ...


def test_a_page_is_no_answer_to_be_read_piece_by_piece() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.handle_request).start()
        where = f"http://127.0.0.1:{server.server_address[1]}/foo"
        client = Client(argparse.Namespace(server=where, token_file=None))
        with pytest.raises(CommandFailed) as failed:
            client.opened("/api/v1/tail", "text/event-stream")
    assert failed.value.code == NOT_REACHABLE
    assert (
        str(failed.value)
        == f"what answers at {where} is no clew server: its answer is text/html, not text/event-stream"
    )


def test_of_a_token_that_was_sent_it_is_said_that_it_is_another(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    client = Client(argparse.Namespace(server="http://localhost:1", token_file=str(tmp_path / "token")))
    failed = client._refused(HTTPError("http://localhost:1/", 401, "no", Message(), BytesIO(b"")))
    assert (failed.code, str(failed)) == (
        USAGE,
        f"the token in {tmp_path / 'token'} is not the one of http://localhost:1",
    )


def test_the_proxy_that_was_asked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy.example:3128")
    failed = Client(argparse.Namespace(server="http://far.example:16686", token_file=None)).gone(OSError("refused"))
    where = "http://far.example:16686 through the proxy http://proxy.example:3128"
    assert str(failed) == f"no clew answers at {where} (refused); start one with: clew serve"
    # One of this machine, and one that is excepted, are asked straight.
    monkeypatch.setenv("no_proxy", "far.example")
    for straight in ("http://far.example:16686", "http://localhost:16686"):
        failed = Client(argparse.Namespace(server=straight, token_file=None)).gone(OSError("refused"))
        assert str(failed).startswith(f"no clew answers at {straight} (")
