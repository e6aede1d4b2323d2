"""Zipkin's collector on a socket: every encoding acknowledged with 202 once it is in the log, and a reason for what is not."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew_server.collector.intake import DiskRoom
from clew_server.receivers.contract import MAX_REQUEST_BYTES

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from zipkin_bytes import HEADS, SPAN_ID, Thrift, to_json, to_proto, v2_span

BODIES = {
    "v2.json": to_json(v2_span()),
    "v2.pb": to_proto(v2_span()),
    "v1.json": to_json({"traceId": "1", "id": SPAN_ID}),
    "v1.thrift": Thrift.body({1: Thrift.i64(1), 4: Thrift.i64(int(SPAN_ID, 16) - (1 << 64))}),
}


@pytest.fixture
def server(listen: Callable[..., Any]) -> Any:
    return listen("zipkin")


@pytest.fixture
def client(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.others["zipkin"].address, trust_env=False, timeout=100) as client:
        yield client


@pytest.mark.parametrize("packed", [False, True])
def test_each_encoding_is_acknowledged_with_202_and_in_the_log(server: Any, client: httpx.Client, packed: bool) -> None:
    for form, body in BODIES.items():
        head = HEADS[form]
        headers = {"content-type": head.content_type} | ({"content-encoding": "gzip"} if packed else {})
        sent = body if not packed else gzip.compress(body)
        answer = client.post(head.path, content=sent, headers=headers)
        assert (answer.status_code, answer.content) == (202, b""), form
    assert [span.span_id.hex() for span in server.logged()] == [SPAN_ID] * 4
    state = server.others["zipkin"].as_dict()
    assert (state["spans"], state["refused_requests"]) == (4, 0)


def test_nothing_sent_is_acknowledged(client: httpx.Client) -> None:
    for body in (b"", b"[]"):
        assert client.post("/api/v2/spans", content=body).status_code == 202


def test_what_cannot_be_read_is_answered_with_the_reason_as_text(server: Any, client: httpx.Client) -> None:
    for path, body, headers, status, said in (
        ("/api/v2/spans", b"[{]", {}, 400, "not JSON"),
        ("/api/v2/spans", BODIES["v1.thrift"], {"content-type": "application/x-thrift"}, 400, "JSON or protobuf"),
        ("/api/v1/spans", BODIES["v2.json"], {}, 400, "/api/v2/spans"),
        ("/api/v2/spans", b"[]", {"content-encoding": "br"}, 415, "gzip"),
        ("/api/v2/spans", b"x", {"content-encoding": "gzip"}, 400, "gzip"),
        ("/api/v2/spans", gzip.compress(bytes(MAX_REQUEST_BYTES + 1)), {"content-encoding": "gzip"}, 413, "bytes"),
        ("/api/v2/elsewhere", b"[]", {}, 404, "/api/v2/spans"),
    ):
        answer = client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
        assert said in answer.text
    assert server.logged() == []
    assert client.post("/api/v2/spans", content=BODIES["v2.json"]).status_code == 202


def test_without_room_on_disk_the_answer_is_503_and_nothing_is_acknowledged(listen: Callable[..., Any]) -> None:
    server = listen("zipkin", disk_room=lambda: DiskRoom(0, 10**12))
    answer = httpx.post(f"{server.others['zipkin'].address}/api/v2/spans", content=BODIES["v2.json"], trust_env=False)
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (503, True)
    assert server.logged() == []
