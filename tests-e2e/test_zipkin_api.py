"""Spans sent to the Zipkin port and asked for there: one listener receives and answers, and tells what the native API tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.server import Server

US = 1_000
NOW_US = time.time_ns() // US
LOCAL = {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 8080}
TRACE = "5f2c1d7a9b3e4f60"
SPANS: list[dict[str, Any]] = [
    {
        "traceId": TRACE,
        "id": "00000000000000a1",
        "kind": "SERVER",
        "name": "get /cart",
        "timestamp": NOW_US,
        "duration": 9_000,
        "localEndpoint": LOCAL,
        "annotations": [{"timestamp": NOW_US + 5, "value": "cart read"}],
        "tags": {"http.method": "GET", "http.status_code": "200"},
        "debug": True,
    },
    {
        "traceId": TRACE,
        "parentId": "00000000000000a1",
        "id": "00000000000000a2",
        "kind": "CLIENT",
        "name": "charge",
        "timestamp": NOW_US + 1_000,
        "duration": 4_000,
        "localEndpoint": LOCAL,
        "remoteEndpoint": {"serviceName": "bank", "ipv4": "10.0.0.2", "port": 443},
        "tags": {"error": "declined"},
    },
    {
        "traceId": TRACE,
        "parentId": "00000000000000a1",
        "id": "00000000000000a2",
        "kind": "SERVER",
        "name": "charge",
        "timestamp": NOW_US + 1_500,
        "duration": 3_000,
        "localEndpoint": {"serviceName": "bank"},
        "shared": True,
    },
    {
        "traceId": TRACE,
        "parentId": "00000000000000a2",
        "id": "00000000000000a3",
        "name": "ledger",
        "timestamp": NOW_US + 2_000,
        "localEndpoint": {"serviceName": "bank"},
    },
]


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("zipkin")
    running = Server(folder / "data", options=["--receive", "zipkin@127.0.0.1:0"]).start()
    address = running.receiver("zipkin")
    # Two senders, each with its own sides, as real processes send them.
    for service in ("shop", "bank"):
        sent = [span for span in SPANS if span["localEndpoint"]["serviceName"] == service]
        assert httpx.post(f"{address}/api/v2/spans", json=sent).status_code == 202
    running.flush()
    yield running
    running.close()


def ask(server: Server, path: str, **parameters: Any) -> Any:
    answer = httpx.get(server.receiver("zipkin") + path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_spans_come_back_as_they_were_sent(zipkin: Server) -> None:
    found = ask(zipkin, f"/api/v2/trace/{TRACE}")
    assert len(found) == len(SPANS)
    for sent in SPANS:
        (came,) = (
            one
            for one in found
            if (one["id"], one.get("shared"), one.get("kind")) == (sent["id"], sent.get("shared"), sent.get("kind"))
        )
        assert sent["tags"].items() <= came.pop("tags").items() if "tags" in sent else True
        came.pop("tags", None)
        assert came == {key: value for key, value in sent.items() if key != "tags"}


def test_a_search_finds_the_trace_by_everything_zipkin_asks_for(zipkin: Server) -> None:
    end = {"endTs": NOW_US // 1_000 + 60_000, "lookback": 3_600_000}
    for asked in (
        {"serviceName": "shop", "remoteServiceName": "bank"},
        {"serviceName": "shop", "spanName": "get /cart"},
        {"serviceName": "bank", "spanName": "ledger"},
        {"annotationQuery": "cart read and http.method=GET"},
        {"annotationQuery": "error"},
        {"serviceName": "shop", "minDuration": 9_000, "maxDuration": 9_000},
    ):
        (trace,) = ask(zipkin, "/api/v2/traces", **asked, **end)
        assert {span["traceId"] for span in trace} == {TRACE}, asked
    assert ask(zipkin, "/api/v2/traces", annotationQuery="cart read and error", **end) == []
    assert ask(zipkin, "/api/v2/spans", serviceName="bank") == ["charge", "ledger"]


def test_dependencies_are_those_of_the_native_api(zipkin: Server) -> None:
    native = zipkin.get_json("/api/v1/dependencies", **{"from": "now-1h"})
    assert [(one["caller"], one["callee"], one["calls"], one["failed"]) for one in native["dependencies"]] == [
        ("shop", "bank", 1, 1)
    ]
    assert ask(zipkin, "/api/v2/dependencies", endTs=NOW_US // 1_000 + 60_000) == [
        {"parent": "shop", "child": "bank", "callCount": 1, "errorCount": 1}
    ]


def test_only_a_host_of_this_machine_may_be_named(zipkin: Server) -> None:
    answer = httpx.get(zipkin.receiver("zipkin") + "/api/v2/services", headers={"Host": "evil.example"})
    assert answer.status_code == 403


def test_the_server_is_as_healthy_as_it_says_elsewhere(zipkin: Server) -> None:
    assert ask(zipkin, "/health")["status"] == "UP"
    assert httpx.put(zipkin.receiver("zipkin") + "/api/v2/services").status_code == 405
