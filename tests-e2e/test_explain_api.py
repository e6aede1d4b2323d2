"""`/api/v1/traces/{id}/explain`: the verdict of a real server, in the contract's shape."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from harness.server import Server
from harness.shop import MS, Shop
from harness.wire import new_trace_id, request, span

KEYS = {
    "verdict", "summary", "origin", "failures", "critical_path", "path_uncertain", "shares", "findings", "usual", "root",
    "completeness", "clock_shifts", "etag",
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    return Shop(server)


def explained(shop: Shop, trace_id: str) -> Any:
    return shop.server.get_json(f"/api/v1/traces/{trace_id}/explain")


def test_a_slow_trace_is_explained_with_its_path_its_shares_and_what_is_usual(shop: Shop) -> None:
    answer = explained(shop, shop.slow)
    assert set(answer) == KEYS
    assert answer["verdict"] == "slow"
    assert answer["summary"].startswith("Slow: GET /cart took 402 ms, 34 times the usual 12 ms.")
    root, *calls = shop.slow_ids
    path = answer["critical_path"]
    assert {section["span_id"] for section in path} == {root, *calls}
    assert all(one["end_unix_nano"] == other["start_unix_nano"] for one, other in itertools.pairwise(path))
    assert int(path[-1]["end_unix_nano"]) - int(path[0]["start_unix_nano"]) == 402 * MS
    first = answer["shares"][0]
    assert (first["owner"], first["operation"], first["critical_ns"]) == ("carts", "SELECT carts", str(400 * MS))
    assert len(first["span_ids"]) == 20
    assert sum(share["share"] for share in answer["shares"]) == pytest.approx(1)
    [finding] = [one for one in answer["findings"] if one["kind"] == "repeated_calls"]
    assert finding["text"].startswith("40 equal calls in a row")
    assert finding["numbers"]["calls"] == 40
    assert finding["span_ids"] == calls
    assert finding["certainty"] == "certain"
    usual = {one["operation"]: one for one in answer["usual"]}
    assert usual["SELECT carts"]["p50_ns"] == str(10 * MS)
    assert answer["root"]["span_id"] == root
    assert answer["root"]["duration_ns"] == str(402 * MS)
    assert answer["root"]["percentile"] >= 93


def test_a_failed_trace_names_its_origin_with_type_and_message_as_they_came(shop: Shop) -> None:
    answer = explained(shop, shop.failed)
    root, call = shop.failed_ids
    assert answer["verdict"] == "failed"
    assert answer["origin"] == [call]
    assert [(failure["span_id"], failure["role"]) for failure in answer["failures"]] == [
        (call, "origin"),
        (root, "propagated"),
    ]
    first = answer["failures"][0]
    assert (first["type"], first["message"]) == ("OperationalError", "no such table: 'carts'\n  LINE 1")
    assert (first["service"], first["operation"]) == (shop.service, "SELECT carts")
    finding = answer["findings"][0]
    assert finding["kind"] == "failure"
    assert (
        finding["text"] == f"{shop.service} · SELECT carts failed: OperationalError: no such table: 'carts'\n  LINE 1"
    )


def test_an_explanation_that_did_not_change_is_not_sent_again(shop: Shop) -> None:
    path = f"/api/v1/traces/{shop.slow}/explain"
    first = shop.server.get(path)
    assert first.json()["etag"] == first.headers["etag"].strip('"')
    again = shop.server.get(path, headers={"If-None-Match": first.headers["etag"]})
    # It changes by itself once, when the trace is no longer young.
    assert (again.status_code, again.content) == (304, b"") or not again.json()["completeness"]["young"]


def test_a_trace_that_is_not_there_and_an_id_that_is_none_are_told_apart(shop: Shop) -> None:
    assert shop.server.get(f"/api/v1/traces/{'ab' * 16}/explain").status_code == 404
    assert shop.server.get("/api/v1/traces/xyz/explain").status_code == 400


def test_a_trace_whose_root_did_not_come_is_explained_all_the_same(shop: Shop) -> None:
    trace_id = new_trace_id()
    orphan = span(trace_id, parent_id=b"unknown!", name="GET /lost", duration_ns=5 * MS)
    shop.server.export(request(shop.service, [orphan]))
    shop.server.flush()
    answer = explained(shop, trace_id.hex())
    assert answer["completeness"]["missing_parents"] == 1
    assert answer["completeness"]["young"]
    assert answer["root"]["span_id"] == orphan.span_id.hex()
    assert [finding["kind"] for finding in answer["findings"]] == ["missing"]
