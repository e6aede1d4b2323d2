"""SIGKILL in the middle of acknowledged batches from clients that retry: every acknowledged span is there exactly once."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable

import httpx
import pytest

from harness.folder import assert_stored_once
from harness.server import PROTOBUF, Server, free_port
from harness.wire import new_span_id, new_trace_id, request, span, spans_of

CRASHES = int(os.environ.get("CLEW_CRASHES", "4"))
SEED = int(os.environ.get("CLEW_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
LONGEST_LIFE_S = 5.0 if CRASHES > 4 else 3.5
"""The server stores what it has every 2.5 s."""
CLIENTS = 3
SPANS_A_TRACE = 4
TRACES_A_BATCH = 6


class Client(threading.Thread):
    """Sends batch after batch and repeats each, the same bytes, until it is acknowledged. A trace's spans go in two batches."""

    def __init__(self, url: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._service = f"client-{number}"
        self._stop_sending = stop
        self.acknowledged: dict[bytes, set[bytes]] = defaultdict(set)
        self.repeats = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        with httpx.Client(timeout=100) as http:
            while not self._stop_sending.is_set() and not self.wrong:
                traces = [
                    (new_trace_id(), [new_span_id() for _ in range(SPANS_A_TRACE)]) for _ in range(TRACES_A_BATCH)
                ]
                for half in (0, 1):
                    batch = [
                        span(
                            trace_id,
                            span_id=span_id,
                            parent_id=ids[0] if span_id != ids[0] else b"",
                            name=f"step {at}",
                            failed=at == 3,
                        )
                        for trace_id, ids in traces
                        for at, span_id in enumerate(ids)
                        if at % 2 == half
                    ]
                    self._send(http, request(self._service, batch))
                    for one in batch:
                        self.acknowledged[one.trace_id].add(one.span_id)
                time.sleep(0.05)  # the pace of the load, nothing is waited for

    def _send(self, http: httpx.Client, body: bytes) -> None:
        while True:
            try:
                answer = http.post(f"{self._url}/v1/traces", content=body, headers={"Content-Type": PROTOBUF})
            except httpx.TransportError:
                self.repeats += 1
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                if answer.content:
                    self.wrong.append(f"partial success: {answer.content!r}")
                return
            if answer.status_code != 503:
                self.wrong.append(f"{answer.status_code} {answer.content!r}")
                return
            self.repeats += 1
            time.sleep(0.05)


@pytest.mark.timeout(120 + CRASHES * 30)
def test_every_acknowledged_span_is_stored_exactly_once_however_often_the_server_is_killed(
    make_server: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    ports = (free_port(), free_port(), free_port())
    server = make_server(ports=ports)
    stop = threading.Event()
    clients = [Client(f"http://127.0.0.1:{ports[1]}", number, stop) for number in range(CLIENTS)]
    server.start()
    for client in clients:
        client.start()
    lived = []
    for number in range(CRASHES):
        if number % 5 == 4:  # also while it starts and replays
            life_s = chance.uniform(0.1, 3)
        else:
            server.wait_ready()
            life_s = chance.uniform(0.05, LONGEST_LIFE_S)
        time.sleep(life_s)
        lived.append(life_s)
        assert server.is_running(), server.printed()
        server.kill()
        server.launch()
    server.wait_ready()
    stop.set()
    for client in clients:
        client.join(100)
        assert not client.is_alive()
        assert client.wrong == []
    sent = {trace_id: spans for client in clients for trace_id, spans in client.acknowledged.items()}
    total = sum(len(spans) for spans in sent.values())
    with capsys.disabled():
        print(
            f"\n  seed {SEED}: {CRASHES} crashes after {', '.join(f'{s:.1f}' for s in lived)} s; {total} spans of {len(sent)} traces"
            f" acknowledged, {sum(client.repeats for client in clients)} sends repeated"
        )
    assert total > CRASHES * SPANS_A_TRACE

    server.flush()
    found = server.found(limit=1000)
    assert len(found) == len(sent)
    summaries = {bytes.fromhex(trace["trace_id"]): (trace["spans"], trace["errors"]) for trace in found}
    assert summaries == dict.fromkeys(sent, (SPANS_A_TRACE, 1))
    for trace_id, spans in sent.items():
        assert sorted(one.span_id for one in spans_of(server.trace_bytes(trace_id))) == sorted(spans)
    status = server.status()
    assert status["dead_letter_spans"] == 0
    assert status["backlog_spans"] == 0
    assert server.stop() == 0
    assert_stored_once(server.data_dir, total, len(sent))
    assert not any((server.data_dir / "dead-letter").glob("*"))


def test_a_torn_tail_is_cut_and_what_was_acknowledged_before_it_stays(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    whole = new_trace_id()
    server.export(request("torn", [span(whole)]))
    server.kill()
    (segment,) = (server.data_dir / "wal").glob("*.otlp")
    with segment.open("ab") as log:
        body = request("torn", [span()])
        log.write(
            bytes([len(body) + 44 & 0x7F | 0x80, len(body) + 44 >> 7]) + body[:40]
        )  # a record begins with its length
    server.start()
    server.flush()
    assert [trace["trace_id"] for trace in server.found(service="torn")] == [whole.hex()]
    next_one = new_trace_id()
    server.export(request("torn", [span(next_one)]))
    server.flush()
    assert {trace["trace_id"] for trace in server.found(service="torn")} == {whole.hex(), next_one.hex()}
    assert server.stop() == 0
    assert_stored_once(server.data_dir, 2, 2)


def test_the_same_body_again_is_acknowledged_and_stored_once_also_after_a_restart(
    make_server: Callable[..., Server],
) -> None:
    server = make_server().start()
    body = request("again", [span() for _ in range(3)])
    server.export(body)
    server.export(body)
    server.flush()
    server.export(body)
    assert server.stop() == 0
    server.start()
    server.export(body)
    server.kill()
    server.start()
    server.export(body)
    server.flush()
    assert [trace["spans"] for trace in server.found(service="again")] == [1, 1, 1]
    assert server.status()["duplicate_requests"] >= 1
    assert server.stop() == 0
    assert_stored_once(server.data_dir, 3, 3)
