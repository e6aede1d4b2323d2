"""`/api/v1/baseline`: what is usual for an operation in the hour before a time and the same hour a day earlier."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import Server
from harness.wire import fresh_name, request, span

MS = 1_000_000
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


@dataclass
class Cart:
    """60 calls of one operation by servers and 40 by clients; call n takes n + 1 ms; every tenth failed."""

    service: str
    at: int


@pytest.fixture(scope="module")
def cart(server: Server) -> Cart:
    made = Cart(fresh_name("cart"), time.time_ns())
    spans = [
        span(
            name="GET /cart/süß?&=",
            kind=Span.SPAN_KIND_SERVER if n < 60 else Span.SPAN_KIND_CLIENT,
            # Half of them a day earlier.
            start_unix_nano=made.at - (n + 1) * 30 * SECOND - (24 * HOUR if n % 2 else 0),
            duration_ns=(n + 1) * MS,
            failed=n % 10 == 0,
        )
        for n in range(100)
    ]
    server.export(request(made.service, spans))
    server.flush()
    return made


def baseline(server: Server, cart: Cart, **parameters: Any) -> Any:
    return server.get_json(
        "/api/v1/baseline", service=cart.service, operation="GET /cart/süß?&=", **{"at": cart.at, **parameters}
    )


def test_percentiles_counts_and_failures_of_an_operation(server: Server, cart: Cart) -> None:
    found = baseline(server, cart)
    assert (found["count"], found["failed"]) == (100, 10)
    assert int(found["p50_ns"]) == pytest.approx(50 * MS, abs=MS)
    assert int(found["p95_ns"]) == pytest.approx(95 * MS, abs=MS)
    assert int(found["p99_ns"]) == pytest.approx(99 * MS, abs=MS)
    assert found["to"] == str(cart.at)
    assert 0 <= cart.at - HOUR - int(found["from"]) < 60 * SECOND
    assert int(found["from"]) % (60 * SECOND) == 0


def test_one_kind_of_span_where_it_is_asked_for(server: Server, cart: Cart) -> None:
    of_clients = baseline(server, cart, kind="client")
    assert (of_clients["count"], of_clients["failed"]) == (40, 4)
    assert int(of_clients["p50_ns"]) == pytest.approx(80 * MS, abs=MS)
    assert baseline(server, cart, kind="producer")["count"] == 0


@pytest.mark.parametrize("form", ["ns", "iso", "relative", "default"])
def test_the_time_comes_in_the_forms_of_a_search(server: Server, cart: Cart, form: str) -> None:
    forms = {"ns": str(cart.at), "iso": datetime.now(UTC).isoformat(), "relative": "now-0s"}
    given = {"at": forms[form]} if form in forms else {}
    found = server.get_json("/api/v1/baseline", service=cart.service, operation="GET /cart/süß?&=", **given)
    assert found["count"] == 100


def test_fewer_than_thirty_spans_are_counted_and_not_compared(server: Server, cart: Cart) -> None:
    found = baseline(server, cart, at=cart.at - 40 * 60 * SECOND)
    assert 0 < found["count"] < 30
    assert (found["p50_ns"], found["p95_ns"], found["p99_ns"]) == (None, None, None)
    unknown = server.get_json("/api/v1/baseline", service=fresh_name("nobody"), operation="")
    assert (unknown["count"], unknown["failed"], unknown["p50_ns"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"service": []}, "missing_parameter"),
        ({"operation": []}, "missing_parameter"),
        ({"service": ["x", "z"]}, "repeated_parameter"),
        ({"kind": "servr"}, "bad_parameter"),
        ({"at": "yesterday"}, "bad_parameter"),
        ({"at": "2026-11-23T12:04:00"}, "bad_parameter"),
        ({"form": "now"}, "unknown_parameter"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: Server, change: dict[str, Any], code: str) -> None:
    answer = server.get("/api/v1/baseline", **{"service": "x", "operation": "y", **change})
    assert answer.status_code == 400
    assert json.loads(answer.content)["error"]["code"] == code
