"""The OpenAPI document says what the server answers: every answer is held against its schema."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from harness import wire
from harness.server import Server


@pytest.fixture(scope="module")
def trace_id(server: Server) -> str:
    trace = wire.new_trace_id()
    root = wire.span(trace_id=trace, name="GET /cart")
    child = wire.span(trace_id=trace, parent_id=root.span_id, name="SELECT", kind=3, values={"db.namespace": "cart"})
    orphan = wire.span(trace_id=trace, parent_id=wire.new_span_id(), name="lost")
    server.export(wire.request("described", [root, child, orphan]))
    server.flush()
    return trace.hex()


def check(server: Server, path: str, method: str, answer: Any, status: int = 200) -> None:
    document = json.loads(server.get("/api/v1/openapi.json").content)
    schema = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    schema = {**schema, "components": document["components"]}
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(answer)]
    assert errors == []


def test_every_answer_has_the_shape_that_is_described(server: Server, trace_id: str) -> None:
    one = "/api/v1/traces/{trace_id}"
    check(server, "/api/v1/status", "get", server.get_json("/api/v1/status"))
    check(server, "/api/v1/services", "get", server.get_json("/api/v1/services"))
    check(server, "/api/v1/operations", "get", server.get_json("/api/v1/operations", service="described"))
    usual = server.get_json("/api/v1/baseline", service="described", operation="GET /cart")
    check(server, "/api/v1/baseline", "get", usual)
    calls = server.get_json("/api/v1/dependencies", **{"from": "now-1h"})
    check(server, "/api/v1/dependencies", "get", calls)
    described_call = next(one for one in calls["dependencies"] if one["caller"] == "described")
    schemas = server.get_json("/api/v1/openapi.json")["components"]["schemas"]
    assert set(calls) == set(schemas["Dependencies"]["properties"])
    assert set(described_call) == set(schemas["Dependency"]["properties"])
    answers = httpx.post(f"{server.http}/api/v1/traces/answers", json={"trace_ids": [trace_id, "ab" * 16]}).json()
    check(server, "/api/v1/traces/answers", "post", answers)
    schemas = server.get_json("/api/v1/openapi.json")["components"]["schemas"]
    assert {key for answer in answers["answers"] for key in answer} == set(schemas["TraceAnswer"]["properties"])
    check(server, "/api/v1/traces", "get", server.get_json("/api/v1/traces", service="described"))
    summary = server.get_json("/api/v1/traces/summary", q="service=described", sel="0,9,0,9")
    check(server, "/api/v1/traces/summary", "get", summary)
    assert set(summary) == set(schemas["Summary"]["properties"])
    red = server.get_json("/api/v1/red", q="service=described", by="operation")
    check(server, "/api/v1/red", "get", red)
    assert set(red["series"][0]) == set(schemas["RedSeries"]["properties"])
    check(server, "/api/v1/keys", "get", server.get_json("/api/v1/keys", q="service=described", prefix="db"))
    check(server, "/api/v1/values", "get", server.get_json("/api/v1/values", key="name", q="service=described"))
    check(server, one, "get", server.get_json(f"/api/v1/traces/{trace_id}"))
    check(server, one + "/skeleton", "get", server.get_json(f"/api/v1/traces/{trace_id}/skeleton"))
    check(server, one + "/explain", "get", server.get_json(f"/api/v1/traces/{trace_id}/explain"))
    check(server, one + "/values", "get", server.get_json(f"/api/v1/traces/{trace_id}/values", key="service.name"))
    check(server, one + "/values", "get", json.loads(server.get(f"/api/v1/traces/{trace_id}/values").content), 400)
    check(server, "/api/v1/traces", "get", json.loads(server.get("/api/v1/traces", limit=0).content), 400)
    check(server, one, "get", json.loads(server.get("/api/v1/traces/" + "ab" * 16).content), 404)


def test_no_field_is_answered_that_is_not_described(server: Server, trace_id: str) -> None:
    schemas = server.get_json("/api/v1/openapi.json")["components"]["schemas"]
    status = server.get_json("/api/v1/status")
    assert set(status) == set(schemas["Status"]["properties"])
    assert {key for receiver in status["receivers"] for key in receiver} == set(schemas["Receiver"]["properties"])
    usual = server.get_json("/api/v1/baseline", service="described", operation="GET /cart")
    assert set(usual) == set(schemas["Baseline"]["properties"])
    page = server.get_json("/api/v1/traces", service="described")
    assert set(page) == set(schemas["Page"]["properties"])
    assert set(page["traces"][0]) == set(schemas["TraceSummary"]["properties"])
    skeleton = server.get_json(f"/api/v1/traces/{trace_id}/skeleton")
    assert set(skeleton) == set(schemas["Skeleton"]["properties"])
    explanation = server.get_json(f"/api/v1/traces/{trace_id}/explain")
    assert set(explanation) == set(schemas["Explanation"]["required"])  # `left_out` is of a very large trace only
    assert set(explanation["completeness"]) == set(schemas["Explanation"]["properties"]["completeness"]["properties"])


def test_a_skeleton_that_did_not_change_is_not_sent_again(server: Server, trace_id: str) -> None:
    first = server.get(f"/api/v1/traces/{trace_id}/skeleton")
    again = server.get(f"/api/v1/traces/{trace_id}/skeleton", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_metrics_count_what_the_status_counts(server: Server, trace_id: str) -> None:
    status = server.get_json("/api/v1/status")
    lines = server.get("/metrics").text.splitlines()
    metrics = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
    assert metrics["clew_accepted_spans_total"] == status["accepted_spans"] > 0
    assert metrics["clew_max_disk_bytes"] == status["max_disk_bytes"]
    assert metrics['clew_receiver_spans_total{receiver="otlp-http"}'] == status["receivers"][1]["spans"]
