"""Jaeger's own query server beside clew: the same spans to both, the same questions, the same answers; and files that it gives are imported.

`make clients` runs it: it builds Jaeger's server with Go.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from clew_server.testing.jaeger import Batch, Span, http_body
from harness import backends
from harness.answers import wait_until
from harness.beside import imported, named
from harness.clients import only_in_make_clients
from harness.server import Server

pytestmark = [only_in_make_clients, pytest.mark.timeout(400)]
BEGAN_US = time.time_ns() // 1_000 - 60_000_000
CHILD_OF, FOLLOWS_FROM = 0, 1
LONG_ID = 0x463AC35C9F6413AD48485A3953BB6124
ADDED = {"otel.status_code", "otel.status_description", "error", "host.name"}
"""Tags that clew makes of what is a field in OTLP, or has beside the sender's."""


def trace(number: int, trace_id: int, *, failed: bool = False) -> list[Batch]:
    """Two services, with tags of every type, logs and both kinds of references."""
    begin, first = BEGAN_US + number * 1_000_000, number * 16
    tags = [
        ("span.kind", "server"),
        ("order", number),
        ("ratio", number + 0.5),
        ("paid", True),
        ("raw", b"\x00\xff"),
        ("text", "pr\u00eat"),
    ]
    logs = [(begin + 5, [("event", "cart read"), ("items", 3)]), (begin + 9, [("event", "done"), ("message", "all")])]
    front = [
        Span(trace_id, first + 1, "get /cart", 0, begin, 90_000 + number * 10_000, tags=tags, logs=logs),
        Span(trace_id, first + 2, "charge", first + 1, begin + 1_000, 60_000, tags=[("span.kind", "client")]),
    ]
    error = [("error", True)] if failed else []
    back = [
        Span(trace_id, first + 3, "post /charge", first + 2, begin + 1_500, 50_000, tags=[("span.kind", "server"), *error]),
        Span(trace_id, first + 4, "select", first + 3, begin + 2_000, 7_000),
        Span(
            *(trace_id, first + 5, "mail", 0, begin + 30_000, 1_500),
            references=[(FOLLOWS_FROM, trace_id, first + 3)],
        ),
    ]  # fmt: skip
    return [Batch("shop", front, [("hostname", "vm"), ("pid", 17)]), Batch("bank", back, [("hostname", "vm2")])]


IDS = [0xABC0000000000001, 0xABC0000000000002, LONG_ID]
TRACES = [trace(1, IDS[0]), trace(2, IDS[1], failed=True), trace(3, IDS[2])]
WINDOW = {"start": BEGAN_US - 10_000_000, "end": BEGAN_US + 50_000_000}
SEARCHES: list[dict[str, Any]] = [
    {"service": "shop"},
    {"service": "bank"},
    {"service": "nobody"},
    {"service": "shop", "operation": "charge"},
    {"service": "bank", "operation": "charge"},
    {"service": "shop", "operation": "nothing"},
    {"service": "shop", "tag": "order:2"},
    {"service": "shop", "tag": ["order:2", "paid:true"]},
    {"service": "shop", "tag": "ratio:1.5"},
    {"service": "shop", "tag": "text:pr\u00eat"},
    {"service": "shop", "tag": "span.kind:client"},
    {"service": "shop", "tag": "items:3"},
    {"service": "shop", "tag": "event:cart read"},
    {"service": "shop", "tag": "event:nothing"},
    {"service": "shop", "tag": ["event:done", "message:all"]},
    {"service": "shop", "tag": "hostname:vm"},
    {"service": "shop", "tag": "hostname:vm2"},
    {"service": "bank", "tag": "error:true"},
    {"service": "shop", "tag": "error:true"},
    {"service": "shop", "operation": "charge", "tag": "order:2"},
    {"service": "shop", "tags": '{"order":"2","paid":"true"}'},
    {"service": "shop", "minDuration": "110ms"},
    {"service": "shop", "minDuration": "105ms", "maxDuration": "115ms"},
    {"service": "bank", "minDuration": "50ms"},
    {"service": "bank", "minDuration": "60ms"},
    {"service": "shop", "limit": 1},
    {"service": "shop", "limit": 2},
    {"service": "shop", "end": BEGAN_US + 1_500_000},
    {"service": "shop", "start": BEGAN_US + 1_500_000},
    {"traceID": f"{IDS[0]:x}"},
    {"traceID": [f"{IDS[0]:x}", f"{LONG_ID:032x}"]},
    # What is refused.
    {},
    {"service": "shop", "minDuration": "x"},
    {"service": "shop", "minDuration": "2s", "maxDuration": "1s"},
    {"service": "shop", "tag": "order"},
    {"service": "shop", "tags": "{"},
    {"service": "shop", "limit": "x"},
    {"service": "shop", "start": "x"},
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("services", {}),
    *((f"services/{name}/operations", {}) for name in ("shop", "bank", "nobody")),
    *(("operations", {"service": name}) for name in ("shop", "bank", "nobody")),
    ("operations", {"service": "shop", "spanKind": "client"}),
    ("operations", {}),
    *((f"traces/{given}", {}) for given in (f"{IDS[0]:x}", f"{IDS[0]:032x}", f"{LONG_ID:x}", "ff", "zzz")),
    ("dependencies", {"endTs": BEGAN_US // 1_000 + 50_000, "lookback": 600_000}),
    ("dependencies", {}),
]


class Both(NamedTuple):
    jaeger: str
    """The address of Jaeger's own server."""
    clew: str
    """Where clew answers Jaeger's questions."""
    server: Server


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Two servers with the same spans."""
    folder = tmp_path_factory.mktemp("beside-jaeger")
    try:
        with backends.jaeger() as jaeger:
            server = Server(folder / "data", options=["--receive", "jaeger-http@127.0.0.1:0"]).start()
            try:
                made = Both(f"http://{jaeger.address}", server.http, server)
                for batch in (batch for batches in TRACES for batch in batches):
                    for address in (f"{made.jaeger}/batch", f"{server.receiver('jaeger-http')}/api/traces"):
                        sent = httpx.post(
                            address, content=http_body(batch), headers={"Content-Type": "application/x-thrift"}
                        )
                        assert sent.status_code in (200, 202), sent.text
                server.flush()
                wait_until(lambda: len(asked(made.clew, "traces", {"service": "shop"})[1]) == len(TRACES))
                yield made
            finally:
                server.close()
    except backends.Absent as reason:
        pytest.skip(str(reason))  # fmt: skip


@pytest.mark.parametrize("parameters", SEARCHES, ids=named)
def test_a_search_finds_what_jaeger_finds(both: Both, parameters: dict[str, Any]) -> None:
    wanted = parameters if "traceID" in parameters else WINDOW | parameters
    theirs, ours = (asked(one, "traces", wanted) for one in (both.jaeger, both.clew))
    assert ours == theirs


@pytest.mark.parametrize(("path", "parameters"), OTHERS, ids=named)
def test_another_question_is_answered_as_jaeger_answers(both: Both, path: str, parameters: dict[str, Any]) -> None:
    theirs, ours = (asked(one, path, parameters) for one in (both.jaeger, both.clew))
    assert ours == theirs


@pytest.mark.parametrize("question", ["traces", f"traces/{LONG_ID:x}"])
def test_a_file_that_jaeger_gives_is_imported(
    both: Both, question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file, parameters = tmp_path / "jaeger.json", WINDOW | {"service": "shop"}
    file.write_bytes(httpx.get(f"{both.jaeger}/api/{question}", params=parameters, timeout=100).content)
    other = Server(tmp_path / "data").start()
    try:
        summary = imported(file, other)
        wanted = TRACES if question == "traces" else TRACES[2:]
        spans = sum(len(batch.spans) for batches in wanted for batch in batches)
        assert (summary["format"], summary["spans"]) == ("Jaeger JSON", spans)
        other.flush()
        assert asked(other.http, question, parameters) == asked(both.jaeger, question, parameters)
    finally:
        other.close()


def asked(address: str, path: str, parameters: dict[str, Any]) -> tuple[int, Any]:
    """The status, and the answer where it is one: in one order, and with no other tags than were sent."""
    answer = httpx.get(f"{address}/api/{path}", params=parameters, timeout=100)
    if answer.status_code != 200:
        return answer.status_code, None
    found = answer.json()["data"] or []
    return 200, sorted((_comparable(one) for one in found), key=repr)


def _comparable(item: Any) -> Any:
    """A trace as its spans with their processes, whose keys are the server's own."""
    if not isinstance(item, dict) or "spans" not in item:
        # An operation of no kind: Jaeger has a word for it in some of its versions.
        return {**item, "spanKind": item["spanKind"].replace("unspecified", "")} if "spanKind" in item else item
    spans = []
    for span in item["spans"]:
        process = item["processes"][span["processID"]]
        service = (process["serviceName"], _tags(process.get("tags") or []))
        kept = {key: value for key, value in span.items() if key not in ("processID", "warnings", "flags")}
        logs = [{**log, "fields": sorted(log["fields"], key=repr)} for log in span["logs"]]
        failed = any(tag["key"] == "error" and tag["value"] in (True, "true") for tag in span["tags"])
        spans.append(
            dict(
                sorted(
                    (kept | {"process": service, "logs": logs, "tags": _tags(span["tags"]), "failed": failed}).items()
                )
            )
        )
    return item["traceID"], sorted(spans, key=repr)


def _tags(tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((tag for tag in tags if tag["key"] not in ADDED), key=repr)
