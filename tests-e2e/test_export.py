"""A whole trace, streamed: the same spans in each form, whatever the asker takes, and no longer than somebody listens."""

from __future__ import annotations

import gzip
import json
import socket
import time

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import PROTOBUF, Server
from harness.wire import fresh_name, new_trace_id, request, span, spans_of

SPANS = 4_000


@pytest.fixture(scope="module")
def sent(server: Server) -> list[Span]:
    """Spans of two services, over a megabyte in each form."""
    trace_id, now = new_trace_id(), time.time_ns()
    root = span(trace_id, start_unix_nano=now)
    made = [root]
    for number in range(1, SPANS):
        values = {"url.path": f"/items/{number}", "note": 'ä "quoted" \u2028 ' + "x" * 200, "n": number}
        made.append(span(trace_id, parent_id=root.span_id, start_unix_nano=now + number, values=values))
    for service, some in ((fresh_name("cart"), made[::2]), (fresh_name("pay"), made[1::2])):
        server.export(request(service, some))
    return made


def path(sent: list[Span]) -> str:
    return f"/api/v1/traces/{sent[0].trace_id.hex()}"


def test_each_form_has_every_span_and_comes_in_pieces(server: Server, sent: list[Span]) -> None:
    by_id = {one.span_id: one for one in sent}
    answer = server.get(path(sent), headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    assert answer.headers["transfer-encoding"] == "chunked"
    assert {one.span_id: one for one in spans_of(answer.content)} == by_id
    answer = server.get(path(sent))
    assert answer.headers["content-type"] == "application/json"
    found = {
        one["spanId"]: {pair["key"]: pair["value"] for pair in one.get("attributes", ())}
        for group in answer.json()["resourceSpans"]
        for scope in group["scopeSpans"]
        for one in scope["spans"]
    }
    assert found.keys() == {span_id.hex() for span_id in by_id}
    last = found[sent[-1].span_id.hex()]
    assert last["note"] == {"stringValue": sent[-1].attributes[1].value.string_value}
    assert last["n"] == {"intValue": str(SPANS - 1)}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/x-protobuf;q=0, */*", "application/json"),
        ("application/json, application/x-protobuf;q=0.5", "application/json"),
        ("application/x-protobuf, application/json;q=0.9", PROTOBUF),
        ("Application/X-Protobuf", PROTOBUF),
        ("application/x-protobuf;q=0.2, text/html", PROTOBUF),
    ],
)
def test_the_form_is_the_one_that_is_wanted_most(server: Server, sent: list[Span], accept: str, kind: str) -> None:
    with Head(server, path(sent), {"Accept": accept}) as head:
        assert f"content-type: {kind}" in head


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", True), ("gzip;q=0", False), ("*", True), ("identity", False)]
)
def test_it_is_packed_where_that_is_wanted(server: Server, sent: list[Span], encoding: str, packed: bool) -> None:
    with server._client.stream(
        "GET", server.http + path(sent), headers={"Accept-Encoding": encoding, "Accept": PROTOBUF}
    ) as answer:
        assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
        body = b"".join(answer.iter_raw())
    assert len(spans_of(gzip.decompress(body) if packed else body)) == SPANS


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_columns_are_the_same_packed_and_not_and_are_not_sent_again_while_they_are(
    server: Server, sent: list[Span], encoding: str
) -> None:
    headers = {"Accept-Encoding": encoding}
    answer = server.get(f"{path(sent)}/skeleton", headers=headers)
    assert answer.headers.get("content-encoding") == (None if encoding == "identity" else "gzip")
    assert "Accept-Encoding" in answer.headers["vary"]
    columns = answer.json()
    assert columns["total"] == SPANS
    etag = answer.headers["etag"]
    assert etag == f'"{columns["etag"]}"'
    again = server.get(f"{path(sent)}/skeleton", headers={**headers, "If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


def test_askers_that_go_away_in_the_middle_leave_the_server_answering(server: Server, sent: list[Span]) -> None:
    for _ in range(20):
        with Head(server, path(sent), {}) as head:
            assert "200 OK" in head
    assert len(json.loads(server.get(path(sent)).content)["resourceSpans"]) == 2


class Head:
    """The head of an answer; the connection is cut without the rest having been read."""

    def __init__(self, server: Server, path: str, headers: dict[str, str]) -> None:
        host, _, port = server.http.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=100)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", *(f"{key}: {value}" for key, value in headers.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def __enter__(self) -> str:
        read = b""
        while b"\r\n\r\n" not in read:
            piece = self._socket.recv(4096)
            assert piece, read
            read += piece
        return read.partition(b"\r\n\r\n")[0].decode()

    def __exit__(self, *error: object) -> None:
        self._socket.close()
