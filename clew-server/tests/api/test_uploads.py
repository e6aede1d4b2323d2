"""Files read through the server's own decoder, without anything being kept."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from clew_server.api import http
from clew_server.api.uploads import MOST_TRACES, UploadApi
from clew_server.receivers.files.canonical import requests_of_file
from clew_server.receivers.otlp import decode_otlp

NOW = 1_795_349_071_207_000_000


def span(trace: int, number: int = 1, parent: int | None = None, failed: bool = False) -> dict[str, Any]:
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": f"call {number}",
        "kind": 2,
        "startTimeUnixNano": str(NOW + number * 1_000),
        "endTimeUnixNano": str(NOW + 100_000 - number),
        "status": {"code": 2, "message": "it failed"} if failed else {},
    }


def file_of(spans: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]}


@pytest.fixture
def client() -> TestClient:
    uploads = UploadApi(requests_of_file, clock_ns=lambda: NOW)
    return TestClient(Starlette(routes=uploads.routes(), exception_handlers=http.EXCEPTION_HANDLERS))


def test_a_file_of_otlp_json_becomes_the_rows_the_verdict_and_the_spans_of_its_trace(client: TestClient) -> None:
    answer = client.post(
        "/api/v1/decode", content=json.dumps(file_of([span(1, failed=True), span(1, 2, 1, failed=True)]), indent=2)
    )
    assert answer.status_code == 200
    (found,) = answer.json()["traces"]
    assert found["trace_id"] == f"{1:032x}"
    assert found["skeleton"]["total"] == 2
    assert found["explanation"]["origin"] == [f"{2:016x}"]
    assert not found["explanation"]["completeness"]["young"]
    names = [one["name"] for one in found["otlp"]["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert sorted(names) == ["call 1", "call 2"]


def test_a_file_of_lines_and_one_of_protobuf_are_read_as_well(client: TestClient) -> None:
    lines = "\n".join(json.dumps(file_of([one])) for one in (span(1), span(1, 2, 1)))
    assert client.post("/api/v1/decode", content=lines).json()["traces"][0]["skeleton"]["total"] == 2
    binary = decode_otlp(json.dumps(file_of([span(7)])).encode(), "application/json").request
    assert client.post("/api/v1/decode", content=binary).json()["traces"][0]["trace_id"] == f"{7:032x}"


def test_of_many_traces_the_largest_come_and_the_others_are_counted(client: TestClient) -> None:
    spans = [span(trace) for trace in range(1, MOST_TRACES + 3)] + [span(999), span(999, 2, 1)]
    answer = client.post("/api/v1/decode", content=json.dumps(file_of(spans))).json()
    assert len(answer["traces"]) == MOST_TRACES
    assert answer["traces"][0]["trace_id"] == f"{999:032x}"
    assert answer["left_out"] == 3


def test_files_of_jaeger_and_zipkin_are_read_too_also_packed(client: TestClient) -> None:
    trace_id = f"{9:032x}"
    jaeger = {
        "data": [
            {
                "traceID": trace_id,
                "spans": [
                    {
                        "traceID": trace_id,
                        "spanID": "a",
                        "operationName": "GET /cart",
                        "startTime": NOW // 1000,
                        "duration": 5000,
                        "tags": [{"key": "error", "type": "bool", "value": True}],
                        "processID": "p1",
                    }
                ],
                "processes": {"p1": {"serviceName": "cart"}},
            }
        ]
    }
    zipkin = [
        {
            "traceId": trace_id,
            "id": "a",
            "name": "get",
            "timestamp": NOW // 1000,
            "localEndpoint": {"serviceName": "cart"},
        }
    ]
    for value, name in ((jaeger, "GET /cart"), (zipkin, "get")):
        answer = client.post("/api/v1/decode", content=gzip.compress(json.dumps(value).encode()))
        assert answer.status_code == 200
        (found,) = answer.json()["traces"]
        assert found["trace_id"] == trace_id
        assert found["explanation"]["root"]["service"] == "cart"
        assert found["explanation"]["root"]["operation"] == name


def test_a_file_that_is_not_whole_is_shown_as_far_as_it_goes_and_that_is_said(client: TestClient) -> None:
    line = json.dumps(file_of([span(1)]))
    answer = client.post("/api/v1/decode", content=f"{line}\n{line[:50]}").json()
    assert len(answer["traces"]) == 1
    assert answer["unread"].startswith("1 place could not be read: line 2: ")
    answer = client.post("/api/v1/decode", content=json.dumps(file_of([span(1), {**span(2), "spanId": "xy"}]))).json()
    assert answer["unread"] == "1 span could not be read"
    assert client.post("/api/v1/decode", content=line).json()["unread"] is None


@pytest.mark.parametrize("content", ["", "{}", "not a trace", "[1, 2", '{"resourceSpans": []}', '{"a"\n{"b"'])
def test_what_is_no_file_of_spans_is_refused_with_a_sentence(client: TestClient, content: str) -> None:
    answer = client.post("/api/v1/decode", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_file_over_the_limit_is_refused_and_the_next_one_is_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew_server.api.uploads.MAX_FILE_BYTES", 10)
    assert client.post("/api/v1/decode", content="{" + " " * 20).status_code == 413
    monkeypatch.undo()
    assert client.post("/api/v1/decode", content=json.dumps(file_of([span(1)]))).status_code == 200
