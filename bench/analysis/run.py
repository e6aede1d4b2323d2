"""What the analysis of one trace costs, question by question, against the number of its spans: CPU, memory, and the slope.

    python bench/analysis/run.py [--spans N …] [--rounds N] [--shapes calls deep flat]

The yardstick of the same run is what parsing each span once costs here; the last line is reading and the whole verdict together.
Slope: of the straight line through log CPU over log spans; 1 is linear. Memory: what the process grew by at its highest
while the analysis ran, the trace itself not counted. Each size is a process of its own. Exit status 1 where 100,000 spans take
over 2 s of CPU, or the slope of any question that takes over 10 ms is above 1.3.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.failure import failures
from clew_server.analysis.own_time import after_root_ns, own_ns, owners
from clew_server.analysis.tree import tree_of
from clew_server.analysis.verdict import verdict
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans
from clew_server.model.usual import NOTHING
from lib import measure

SIZES = (1_000, 10_000, 100_000, 300_000)
BUDGET_S, BUDGET_SPANS = 2.0, 100_000
TOTAL = "reading and verdict"
T0 = 1_795_000_000_000_000_000
SERVICES = 12
SERVER, CLIENT = 2, 3


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--spans", type=int, nargs="+", default=SIZES)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["calls"])
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        print(json.dumps(measured(chosen.child[0], int(chosen.child[1]), chosen.rounds)))
        return 0
    print(f"CPU ms, the best of {chosen.rounds}; load {measure.load()}")
    return max(table(shape, chosen.spans, chosen.rounds) for shape in chosen.shapes)


def table(shape: str, sizes: list[int], rounds: int) -> int:
    """Print one shape's figures; 1 where a budget is not kept."""
    results = []
    for size in sizes:
        command = [sys.executable, __file__, "--rounds", str(rounds), "--child", shape, str(size)]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    failed = 0
    print(f"\n| {shape} | " + " | ".join(f"{size:,}" for size in sizes) + " | slope |")
    print("|---" * (len(sizes) + 2) + "|")
    for name in results[0]["cpu_ms"]:
        values = [result["cpu_ms"][name] for result in results]
        slope = slope_of(sizes, values)
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in values) + f" | {slope:.2f} |")
        failed |= len(sizes) > 1 and slope > 1.3 and values[-1] > 10
        failed |= name == TOTAL and any(
            value > BUDGET_S * 1_000 for size, value in zip(sizes, values, strict=True) if size <= BUDGET_SPANS
        )
    memory = [result["memory_bytes"] for result in results]
    print("| memory, MiB | " + " | ".join(f"{value / 2**20:.1f}" for value in memory) + " | |", flush=True)
    return int(failed)


def slope_of(sizes: list[int], values: list[float]) -> float:
    """Least squares on the logarithms; of one size there is none."""
    points = [(math.log(size), math.log(max(value, 1e-3))) for size, value in zip(sizes, values, strict=True)]
    x0, y0 = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    width = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / width if width else math.nan


def measured(shape: str, count: int, rounds: int) -> dict[str, Any]:
    """In a process of its own: CPU of each question and the memory they need."""
    spans = SHAPES[shape](count)
    parse = Span.FromString
    cpu_ms = {"each span parsed once": cpu(lambda: [parse(one.span) for one in spans], rounds)}
    cpu_ms["reading"] = cpu(lambda: trace_from_spans(spans), rounds)
    trace = trace_from_spans(spans)
    tree = tree_of(trace)
    path = critical_path(tree).sections
    memory = Path("/proc/self/clear_refs")
    memory.write_text("5")  # the highest so far is forgotten
    before = measure.peak_rss_bytes(os.getpid())
    questions: dict[str, Callable[[], object]] = {
        "tree": lambda: tree_of(trace),
        "own time": lambda: own_ns(tree),
        "after the root": lambda: after_root_ns(tree),
        "owners of the path": lambda: [owner[one.row] for owner in [owners(tree)] for one in path],
        "failures": lambda: failures(tree),
        "critical path": lambda: critical_path(tree),
        "verdict: all of it": lambda: verdict(tree_of(trace), NOTHING, T0 + 10**12),
    }
    for name, question in questions.items():
        cpu_ms[name] = cpu(question, rounds)
    cpu_ms[TOTAL] = cpu_ms["reading"] + cpu_ms["verdict: all of it"]
    return {"cpu_ms": cpu_ms, "memory_bytes": measure.peak_rss_bytes(os.getpid()) - before}


def cpu(question: Callable[[], object], rounds: int) -> float:
    """CPU of this thread, ms, the best of some."""
    best = math.inf
    for _ in range(rounds):
        began = time.thread_time()
        question()
        best = min(best, time.thread_time() - began)
    return best * 1_000


def calls(count: int) -> list[StoredSpan]:
    """Services that call each other and their databases, eight levels deep, one span in fifty failed with an exception."""
    chance = random.Random(count)
    made = [_span(1, 0, "frontend /", SERVER, 0, 0, count * 100_000)]
    servers = [(1, 0, 0, 0, count * 100_000)]  # id, service, depth, start, length
    while len(made) < count:
        parent, service, depth, start, length = (
            servers[0] if chance.random() < 0.02 else servers[-chance.randrange(1, min(len(servers), 50) + 1)]
        )
        begin = start + int(length * chance.random() * 0.9)
        taken = int(length * chance.random() * 0.1) + 1_000
        client = len(made) + 1
        if depth == 8 or chance.random() < 0.5:
            made.append(_span(client, parent, "SELECT shop.items", CLIENT, service, begin, taken, database=True))
            continue
        callee = (service + chance.randrange(1, SERVICES)) % SERVICES
        made.append(_span(client, parent, f"POST {callee}", CLIENT, service, begin, taken))
        if len(made) < count:
            server = len(made) + 1
            made.append(_span(server, client, f"POST /{callee}", SERVER, callee, begin + taken // 10, taken * 8 // 10))
            servers.append((server, callee, depth + 1, begin + taken // 10, taken * 8 // 10))
    return made


def deep(count: int) -> list[StoredSpan]:
    """A chain of at most 20,000 levels, as many of them as it takes."""
    levels = min(count, 20_000)
    return [
        _span(at + 1, at if at % levels else 0, "step", 1, at % 3, at % levels, 2 * levels - 2 * (at % levels))
        for at in range(count)
    ]


def flat(count: int) -> list[StoredSpan]:
    """A root and calls that overlap."""
    return [_span(1, 0, "all", SERVER, 0, 0, count * 1_000)] + [
        _span(at + 1, 1, "call", CLIENT, 0, at * 1_000, 20_000, database=True) for at in range(1, count)
    ]


def _span(
    number: int, parent: int, name: str, kind: int, service: int, start: int, length: int, *, database: bool = False
) -> StoredSpan:
    span = Span(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=T0 + start,
        end_time_unix_nano=T0 + start + length,
    )
    if database:
        values: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.operation.name": "SELECT",
            "db.query.text": "SELECT id, name, price FROM items WHERE id = ?",
            "server.address": f"db-{service}",
            "server.port": 5432,
            "db.namespace": "shop",
        }
    else:
        values = {
            "http.request.method": "POST",
            "http.route": "/api/items/{id}",
            "url.path": f"/api/items/{number}",
            "http.response.status_code": 200,
            "server.address": "shop.example",
        }
    span.attributes.extend(_attribute(key, value) for key, value in values.items())
    if number % 50 == 0:
        event = span.events.add(name="exception", time_unix_nano=T0 + start + length)
        event.attributes.append(_attribute("exception.type", "TimeoutError"))
        event.attributes.append(_attribute("exception.message", f"no answer from db-{service} after {number} ms"))
    return StoredSpan(RESOURCES[service], "", b"", "", span.SerializeToString(), T0 + 10**12)


def _attribute(key: str, value: str | int) -> KeyValue:
    return KeyValue(
        key=key, value=AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
    )


RESOURCES = [
    Resource(
        attributes=[_attribute("service.name", f"service-{at}"), _attribute("host.name", f"node-{at % 4}")]
    ).SerializeToString()
    for at in range(SERVICES)
]
SHAPES: dict[str, Callable[[int], list[StoredSpan]]] = {"calls": calls, "deep": deep, "flat": flat}

if __name__ == "__main__":
    sys.exit(main())
