"""Zipkin's own server beside clew: the same spans to both, the same questions, the same answers; and files that it gives are imported.

`make clients` runs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from harness import backends
from harness.answers import wait_until
from harness.beside import imported, named
from harness.clients import only_in_make_clients
from harness.server import Server

Span = dict[str, Any]
pytestmark = [only_in_make_clients, pytest.mark.timeout(300)]
BEGAN_US = time.time_ns() // 1_000 - 60_000_000
LONG_ID = "463ac35c9f6413ad48485a3953bb6124"
ENDPOINTS = {
    "shop": {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 8080},
    "bank": {"serviceName": "bank", "ipv6": "2001:db8::7"},
    "mailer": {"serviceName": "mailer"},
}
"""Zipkin goes by the whole of it to tell below which side of a shared span another one is."""
TAGS = {"http.method", "http.path", "http.status_code", "order", "error"}
"""Those that are sent. clew gives those of OpenTelemetry's conventions beside them."""


def trace(number: int, trace_id: str, *, failed: bool = False) -> list[Span]:
    """A call between two services with its two sides in one id, a database, a broker and what it delivers."""
    begin = BEGAN_US + number * 1_000_000

    def span(at: int, parent: int, service: str, name: str, after_us: int, duration_us: int, **more: Any) -> Span:
        made = {
            "traceId": trace_id,
            "id": f"{number * 16 + at:016x}",
            "name": name,
            "timestamp": begin + after_us,
            "duration": duration_us,
            "localEndpoint": ENDPOINTS[service],
        }
        return made | ({"parentId": f"{number * 16 + parent:016x}"} if parent else {}) | more

    tags = {"http.method": "GET", "http.path": "/cart", "http.status_code": "200", "order": str(number)}
    return [
        span(
            *(1, 0, "shop", "get /cart", 0, 90_000 + number * 10_000),
            kind="SERVER",
            remoteEndpoint={"ipv4": "192.168.1.9", "port": 4711},
            annotations=[
                {"timestamp": begin + 5, "value": "cart read"},
                {"timestamp": begin + 9, "value": "pr\u00eat"},
            ],
            tags=tags,
        ),
        span(
            *(2, 1, "shop", "charge", 1_000, 60_000),
            kind="CLIENT",
            remoteEndpoint={"serviceName": "bank", "ipv4": "10.0.0.2", "port": 443},
            tags={"http.method": "POST", **({"error": "declined"} if failed else {})},
        ),
        span(
            *(2, 1, "bank", "post /charge", 1_500, 50_000),
            kind="SERVER",
            shared=True,
            tags={"http.method": "POST", **({"error": ""} if failed else {})},
        ),
        span(3, 2, "bank", "select", 2_000, 7_000, kind="CLIENT", remoteEndpoint={"serviceName": "db"}),
        span(4, 2, "bank", "send", 3_000, 20, kind="PRODUCER", remoteEndpoint={"serviceName": "broker"}),
        span(5, 4, "mailer", "poll", 9_000, 1, kind="CONSUMER", remoteEndpoint={"serviceName": "broker"}),
        span(6, 5, "mailer", "render", 9_100, 1_500),
    ]


TRACES = [trace(1, "abc0000000000001"), trace(2, "abc0000000000002", failed=True), trace(3, LONG_ID)]
WINDOW = {"endTs": BEGAN_US // 1_000 + 60_000, "lookback": 600_000}
SEARCHES: list[dict[str, Any]] = [
    {},
    {"serviceName": "shop"},
    {"serviceName": "bank"},
    {"serviceName": "nobody"},
    {"serviceName": ""},
    {"serviceName": "shop", "spanName": "charge"},
    {"serviceName": "bank", "spanName": "charge"},
    {"serviceName": "bank", "spanName": "post /charge"},
    {"serviceName": "shop", "spanName": "all"},
    {"serviceName": "all"},
    {"spanName": "render"},
    {"remoteServiceName": "db"},
    {"serviceName": "bank", "remoteServiceName": "db"},
    {"serviceName": "shop", "remoteServiceName": "db"},
    {"serviceName": "shop", "remoteServiceName": "bank"},
    {"annotationQuery": ""},
    {"annotationQuery": "error"},
    {"annotationQuery": "error=declined"},
    {"annotationQuery": "cart read"},
    {"annotationQuery": "http.method"},
    {"annotationQuery": "order=2"},
    {"annotationQuery": "order=2 and http.method=GET"},
    {"serviceName": "bank", "annotationQuery": "error"},
    {"serviceName": "bank", "annotationQuery": "order=2"},
    {"serviceName": "shop", "annotationQuery": "order=2"},
    {"serviceName": "mailer", "annotationQuery": "error"},
    {"minDuration": 110_000},
    {"minDuration": 110_000, "maxDuration": 115_000},
    {"serviceName": "bank", "minDuration": 50_000},
    {"serviceName": "bank", "minDuration": 60_000},
    {"limit": 1},
    {"limit": 2},
    {"endTs": BEGAN_US // 1_000 + 2_500},
    {"endTs": BEGAN_US // 1_000 + 2_500, "lookback": 1_000},
    # What is refused.
    {"limit": 0},
    {"limit": "x"},
    {"minDuration": 0},
    {"minDuration": -1},
    {"maxDuration": 1},
    {"minDuration": 5, "maxDuration": 1},
    {"lookback": 0},
    {"endTs": 0},
    {"endTs": "x"},
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("services", {}),
    *((path, {"serviceName": name}) for path in ("spans", "remoteServices") for name in ("shop", "bank", "nobody")),
    ("spans", {}),
    ("remoteServices", {}),
    ("dependencies", {}),
    *((f"trace/{given}", {}) for given in (LONG_ID, LONG_ID[16:], "abc0000000000001", "0" * 16 + "abc0000000000001")),
    ("trace/00ff", {}),
    ("trace/zzz", {}),
    ("traceMany", {}),
    *(
        ("traceMany", {"traceIds": ids})
        for ids in (
            "abc0000000000001,abc0000000000002",
            "abc0000000000001",
            "abc0000000000001,abc0000000000001",
            "abc0000000000002,00ff",
        )
    ),
]


class Both(NamedTuple):
    zipkin: str
    """The address of Zipkin's own server."""
    clew: str
    """Where clew takes Zipkin's spans and questions."""
    server: Server


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Two servers with the same spans."""
    try:
        backends.zipkin_jar()
    except backends.Absent as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("beside-zipkin")
    with backends.zipkin() as zipkin:
        server = Server(folder / "data", options=["--receive", "zipkin@127.0.0.1:0"]).start()
        try:
            made = Both(f"http://{zipkin.address}", server.receiver("zipkin"), server)
            for address in (made.zipkin, made.clew):
                for spans in TRACES:
                    assert httpx.post(f"{address}/api/v2/spans", json=spans, timeout=100).status_code == 202
            # Zipkin stores in a thread of its own.
            wait_until(lambda: len(asked(made.zipkin, "traces", WINDOW)[1]) == len(TRACES))
            server.flush()
            yield made
        finally:
            server.close()


@pytest.mark.parametrize("parameters", SEARCHES, ids=named)
def test_a_search_finds_what_zipkin_finds(both: Both, parameters: dict[str, Any]) -> None:
    theirs, ours = (asked(one, "traces", WINDOW | parameters) for one in (both.zipkin, both.clew))
    assert ours == theirs


@pytest.mark.parametrize(("path", "parameters"), OTHERS, ids=named)
def test_another_question_is_answered_as_zipkin_answers(both: Both, path: str, parameters: dict[str, Any]) -> None:
    theirs, ours = (asked(one, path, parameters) for one in (both.zipkin, both.clew))
    assert ours == theirs


def test_dependencies_are_zipkins_where_nothing_goes_by_a_broker(both: Both) -> None:
    """Zipkin has the broker as a service between two others; here the producer calls the consumer."""
    theirs, ours = (
        {(link["parent"], link["child"]): link for link in asked(one, "dependencies", WINDOW)[1]}
        for one in (both.zipkin, both.clew)
    )
    assert set(theirs) - set(ours) == {("bank", "broker"), ("broker", "mailer")}
    assert set(ours) - set(theirs) == {("bank", "mailer")}
    common = theirs.keys() & ours.keys()
    assert {one: ours[one] for one in common} == {one: theirs[one] for one in common}
    assert theirs["shop", "bank"] == {"parent": "shop", "child": "bank", "callCount": 3, "errorCount": 1}


@pytest.mark.parametrize("question", ["traces", "trace/" + LONG_ID])
def test_a_file_that_zipkin_gives_is_imported(
    both: Both, question: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "zipkin.json"
    file.write_bytes(httpx.get(f"{both.zipkin}/api/v2/{question}", params=WINDOW, timeout=100).content)
    other = Server(tmp_path / "data", options=["--receive", "zipkin@127.0.0.1:0"]).start()
    try:
        summary = imported(file, other)
        wanted = TRACES if question == "traces" else TRACES[2:]
        assert (summary["format"], summary["spans"]) == ("Zipkin JSON", sum(map(len, wanted)))
        other.flush()
        assert asked(other.receiver("zipkin"), question, WINDOW) == asked(both.zipkin, question, WINDOW)
    finally:
        other.close()


def asked(address: str, path: str, parameters: dict[str, Any]) -> tuple[int, Any]:
    """The status, and the answer where it is one: in one order, and with no other tags than were sent."""
    answer = httpx.get(f"{address}/api/v2/{path}", params=parameters, timeout=100)
    return answer.status_code, sorted(map(_comparable, answer.json()), key=repr) if answer.status_code == 200 else None


def _comparable(item: Any) -> Any:
    if isinstance(item, list):
        return sorted(map(_comparable, item), key=repr)
    if not isinstance(item, dict):
        return item
    tags = {key: value for key, value in sorted(item.get("tags", {}).items()) if key in TAGS}
    return dict(sorted(({**item, "tags": tags} if "traceId" in item else item).items()))
