"""`POST /api/v1/traces/answers`: where each trace of a list failed and where its time went."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import Server
from harness.wire import fresh_name, new_trace_id, request, span

MS = 1_000_000


@dataclass
class Shop:
    """A trace that failed in its database call, one that succeeded, one whose failure was handled, one that is too large."""

    web: str
    failed: str
    call: str
    fine: str
    handled: str
    large: str


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    web, now = fresh_name("web"), time.time_ns()
    spans: list[Span] = []

    def trace(*, root_failed: bool, call_failed: bool) -> tuple[str, str]:
        trace_id = new_trace_id()
        root = span(trace_id, name="GET /cart", start_unix_nano=now, duration_ns=100 * MS, failed=root_failed)
        call = span(
            trace_id,
            parent_id=root.span_id,
            name="SELECT carts",
            kind=Span.SPAN_KIND_CLIENT,
            start_unix_nano=now + 10 * MS,
            duration_ns=80 * MS,
            failed=call_failed,
            values={"db.namespace": "carts", "error.type": "OperationalError"},
        )
        spans.extend((root, call))
        return trace_id.hex(), call.span_id.hex()

    failed, call = trace(root_failed=True, call_failed=True)
    fine, _ = trace(root_failed=False, call_failed=False)
    handled, _ = trace(root_failed=False, call_failed=True)
    large = new_trace_id()
    spans += [span(large, start_unix_nano=now + n, duration_ns=1) for n in range(10_001)]
    server.export(request(web, spans))
    server.flush()
    return Shop(web, failed, call, fine, handled, large.hex())


def ask(server: Server, body: Any, status: int = 200) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(f"{server.http}/api/v1/traces/answers", content=content, timeout=100)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_each_trace_says_where_it_failed_and_where_its_time_went(server: Server, shop: Shop) -> None:
    answers = ask(server, {"trace_ids": [shop.failed, shop.fine, shop.handled, shop.large, "ab" * 16]})["answers"]
    failed, fine, handled, large, unknown = answers
    shares = [{"owner": "carts", "share": 0.8}, {"owner": shop.web, "share": 0.2}]
    assert failed == {
        "trace_id": shop.failed,
        "origin": {
            "service": shop.web,
            "operation": "SELECT carts",
            "type": "OperationalError",
            "message": "it failed",
            "span_id": shop.call,
        },
        "origins": 1,
        "handled": 0,
        "shares": shares,
        "other": 0,
        "values": {},
        "skipped": None,
    }
    nothing = {"origin": None, "origins": 0, "handled": 0, "other": 0, "values": {}}
    assert fine == {"trace_id": shop.fine, **nothing, "shares": shares, "skipped": None}
    assert handled == {"trace_id": shop.handled, **nothing, "handled": 1, "shares": shares, "skipped": None}
    assert large == {"trace_id": shop.large, **nothing, "shares": [], "skipped": large["skipped"]}
    assert "10,001 spans" in large["skipped"]
    assert unknown["trace_id"] == "ab" * 16
    assert "There is no trace" in unknown["skipped"]


def test_columns_are_the_values_of_attributes_in_each_trace(server: Server, shop: Shop) -> None:
    columns = ["db.namespace", "service.name", "absent", "x" * 300]
    fine, large = ask(server, {"trace_ids": [shop.fine, shop.large], "columns": columns})["answers"]
    assert fine["values"] == {"db.namespace": ["carts"], "service.name": [shop.web], "absent": [], "x" * 300: []}
    assert large["values"] == {}


def test_an_id_that_comes_twice_is_answered_once_in_its_plain_form(server: Server, shop: Shop) -> None:
    dashed = f"{shop.fine[:8]}-{shop.fine[8:]}".upper()
    assert [one["trace_id"] for one in ask(server, {"trace_ids": [dashed, shop.fine]})["answers"]] == [shop.fine]
    assert ask(server, {"trace_ids": []}) == {"answers": []}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_body"),
        (b"[]", "bad_body"),
        (b"{}", "bad_body"),
        (b'{"trace_ids": "ab"}', "bad_body"),
        (b'{"trace_ids": [5]}', "bad_body"),
        (b'{"trace_ids": ["xyz"]}', "bad_id"),
        (b'{"trace_ids": ["' + b"0" * 32 + b'"]}', "bad_id"),
        (json.dumps({"trace_ids": [f"{n:032x}" for n in range(1, 52)]}).encode(), "too_many"),
        (b'{"trace_ids": [], "columns": "zone"}', "bad_body"),
        (rb'{"trace_ids": [], "columns": ["\ud800"]}', "bad_body"),
        (json.dumps({"trace_ids": [], "columns": [f"c{n}" for n in range(11)]}).encode(), "too_many"),
        (b" " * 70_000, "bad_body"),
        (b"[" * 60_000, "bad_body"),
    ],
)
def test_a_body_that_is_none_is_refused(server: Server, body: bytes, code: str) -> None:
    assert ask(server, body, 400)["error"]["code"] == code
