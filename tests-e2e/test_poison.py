"""No bytes any client can send hold back another client's span, break a page, block the server or take its memory.

Some seconds of it here; `make fuzz` runs it for half an hour (CLEW_POISON_S). A failure names the seeds that came before it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable

import grpc
import httpx
import pytest

from harness.poison import Poisoner
from harness.server import PROTOBUF, Server
from harness.wire import fresh_name, request, span

pytestmark = pytest.mark.alone
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LENGTH_S = float(os.environ.get("CLEW_POISON_S", "12"))
FIRST_SEED = int(os.environ.get("CLEW_POISON_SEED", "0"))
AT_ONCE = 40
SEARCHABLE_WITHIN_S = 5.0 if "CLEW_POISON_S" in os.environ else 100.0
"""The promise is 5 s, and asked for where somebody looks on; elsewhere a disk may stand still for so long."""
MOST_MEMORY_BYTES = 1536 << 20
ANSWERS = {"200", "400", "413", "OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}


class Health:
    """Asks /healthz all the time."""

    def __init__(self, server: Server) -> None:
        self.took_s: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(f"{server.otlp_http}/healthz",))
        self._thread.start()

    def _watch(self, address: str) -> None:
        with httpx.Client(timeout=100) as client:
            while not self._done.wait(0.05):
                began = time.monotonic()
                if client.get(address).status_code == 200:
                    self.took_s.append(time.monotonic() - began)

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def most_memory_bytes(server: Server) -> int:
    with open(f"/proc/{server.pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def send(server: Server, channel: grpc.Channel, seed: int) -> tuple[str, list[bytes]]:
    """One poisoned request by one of the ways there are; its answer, and the traces it may have made."""
    poisoner = Poisoner(seed)
    way = seed % 4
    if way == 0:
        body = json.dumps(poisoner.json()).encode()
        return str(server.post(body, content_type="application/json").status_code), poisoner.trace_ids
    body = poisoner.protobuf()
    if way == 1:
        try:
            channel.unary_unary(EXPORT)(body, timeout=100)
        except grpc.RpcError as error:
            return error.code().name, poisoner.trace_ids
        return "OK", poisoner.trace_ids
    if way == 2:
        packed = gzip.compress(body, 1)
        return str(server.post(packed, headers={"Content-Encoding": "gzip"}).status_code), poisoner.trace_ids
    return str(server.post(body).status_code), poisoner.trace_ids


def check_pages(server: Server, trace_ids: list[bytes]) -> None:
    """Every page answers, whatever is stored."""
    for page in ("/api/v1/traces?limit=100", "/api/v1/traces?limit=1000&sort=-start", "/api/v1/services", "/readyz"):
        answer = server.get(page)
        assert answer.status_code == 200, (page, answer.status_code, answer.text[:300])
    for service in server.get("/api/v1/services").json()["services"]:
        name = service if isinstance(service, str) else service["name"]
        answer = server.get("/api/v1/operations", service=name)
        assert answer.status_code == 200, (name, answer.status_code, answer.text[:300])
    for trace_id in trace_ids:
        path = f"/api/v1/traces/{trace_id.hex()}"
        for one, headers in ((path, {}), (path, {"Accept": PROTOBUF}), (f"{path}/skeleton", {})):
            answer = server.get(one, headers=headers)
            assert answer.status_code in (200, 404), (one, answer.status_code, answer.text[:300])


@pytest.mark.timeout(5 * LENGTH_S + 300)
def test_no_request_holds_back_the_next_good_one(
    make_server: Callable[..., Server], best_of: Callable[..., float]
) -> None:
    # The promise is 0.5 s. Of a busy machine's answers more than one of a hundred may take longer: then the same requests again.
    numbers = itertools.count()
    best_of(0.5, lambda: poisoned(make_server(f"data-{next(numbers)}").start()))


def poisoned(server: Server) -> float:
    """Poisons the server, and stops it; how long 99 of 100 answers of /healthz took at most, in seconds."""
    health = Health(server)
    answers: Counter[str] = Counter()
    waits_s: list[float] = []
    seed, end = FIRST_SEED, time.monotonic() + LENGTH_S
    settings = [("grpc.max_send_message_length", -1)]
    try:
        with grpc.insecure_channel(server.otlp_grpc, options=settings) as channel:
            while time.monotonic() < end:
                seeds = range(seed, seed + AT_ONCE)
                seed += AT_ONCE
                trace_ids: list[bytes] = []
                for number in seeds:
                    answer, made = send(server, channel, number)
                    assert answer in ANSWERS, f"seed {number}: {answer}"
                    answers[answer] += 1
                    trace_ids += made[:2]
                service, began = fresh_name("good"), time.monotonic()
                server.export(request(service, [span()]))
                while not server.found(service=service):
                    assert time.monotonic() - began < SEARCHABLE_WITHIN_S, f"not searchable behind {seeds}"
                    time.sleep(0.05)
                waits_s.append(time.monotonic() - began)
                try:
                    check_pages(server, trace_ids)
                except AssertionError as error:
                    raise AssertionError(f"behind {seeds}: {error}") from error
                assert most_memory_bytes(server) < MOST_MEMORY_BYTES, f"behind {seeds}"
    finally:
        health.stop()
    status = server.status()
    took = sorted(health.took_s)
    usual_s = took[len(took) * 99 // 100]
    print(
        f"\n{seed - FIRST_SEED} requests: {dict(answers)}; searchable after at most {max(waits_s):.2f} s;"
        f" /healthz 99 % {usual_s:.3f} s, at most {took[-1]:.3f} s;"
        f" at most {most_memory_bytes(server) >> 20} MiB; set aside {status['dead_letter_spans']} spans"
    )
    assert server.stop() == 0
    assert "Traceback" not in server.log_file.read_text(errors="replace")
    return usual_s
