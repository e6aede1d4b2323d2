"""What the ASGI middleware adds to a request: instructions by itself, CPU under uvicorn."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from budgets import Budget
from peers import Contestant, Unavailable, python_of
from stand import HERE, Collector, child_environment, median, run
from table import Amount

_BARE = Contestant("bare application", "bare")
_NATIVE = Contestant("clew, native", "clew", environment={"CLEW_RECORDER": "native"})
_PURE = Contestant("clew, pure", "clew", environment={"CLEW_RECORDER": "pure"})
_OTEL = Contestant(
    "opentelemetry-instrumentation-asgi",
    "otel-asgi",
    (
        "opentelemetry-instrumentation-asgi==0.66b2",
        "opentelemetry-sdk==1.45.2",
        "opentelemetry-exporter-otlp-proto-http==1.45.2",
        "uvicorn==0.54.0",
        "httptools",
    ),
)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def measure(collector: Collector, amount: Amount, say: Callable[[str], None]) -> list[Budget]:
    """Both tables, and the verdict on them."""
    contestants = [_BARE, _NATIVE, _PURE] + ([_OTEL] if amount.may_install else [])
    added: dict[str, float] = {}
    if amount.instructions:
        say(
            "\nASGI request with an incoming traceparent, called in a row; instructions, recording and sending included"
        )
        bare = 0.0
        for contestant in contestants:
            try:
                few, many = (
                    run(
                        contestant, "drive", collector.wish(), count=n, count_instructions=True, script="asgi_child.py"
                    ).instructions
                    for n in (1_000, 3_000)
                )
            except Unavailable as error:
                say(f"{contestant.label:<36}{error}")
                continue
            each = (many - few) / 2_000
            bare = bare or each
            added[contestant.label] = each - bare
            say(f"{contestant.label:<36}{each:>12,.0f}{each - bare:>12,.0f} added")
    ratios = _under_uvicorn(collector, contestants, amount, say)
    collector.taken()
    budgets = []
    for label in (_NATIVE.label, _PURE.label):
        if label in added:
            budgets.append(Budget(f"ASGI request, added; {label}", added[label], 80_000, "instructions"))
        if label in ratios:
            budgets.append(
                Budget(f"ASGI request / bare application, CPU under uvicorn; {label}", ratios[label], 1.10, "×")
            )
    return budgets


def _under_uvicorn(
    collector: Collector, contestants: list[Contestant], amount: Amount, say: Callable[[str], None]
) -> dict[str, float]:
    requests = amount.spans // 2
    cpu: dict[str, list[float]] = {}
    absent = set()
    for _ in range(amount.rounds):
        for contestant in contestants:
            if contestant.label not in absent:
                try:
                    cpu.setdefault(contestant.label, []).append(_serve(collector, contestant, requests, amount))
                except Unavailable as error:
                    absent.add(contestant.label)
                    del cpu[contestant.label]
                    say(f"{contestant.label:<36}{error}")
    say(f"\nThe same under uvicorn, one kept connection; CPU µs a request, median of {amount.rounds} rounds (range)")
    bare = median(cpu[_BARE.label])
    ratios = {}
    for label, values in cpu.items():
        ratios[label] = median(values) / bare
        say(f"{label:<36}{median(values):>9.1f} ({min(values):.1f}–{max(values):.1f}){ratios[label]:>8.2f} × bare")
    return ratios


def _serve(collector: Collector, contestant: Contestant, requests: int, amount: Amount) -> float:
    """CPU µs a request, the last spans sent included."""
    python = python_of(contestant, may_install=amount.may_install)
    command = [str(python), str(HERE / "asgi_child.py"), "serve", contestant.maker]
    command.append(json.dumps(asdict(collector.wish())))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(contestant),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"failed: {(process.stderr.read().strip() or 'no word').splitlines()[-1]}")
        connection = http.client.HTTPConnection("127.0.0.1", json.loads(line)["port"])
        _ask(connection, 500)
        before = _cpu_s(process.pid)
        _ask(connection, requests)
        time.sleep(1.5)  # what has ended is sent within a second
        used = _cpu_s(process.pid) - before
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    return used / requests * 1e6


def _ask(connection: http.client.HTTPConnection, count: int) -> None:
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Accept": "application/json"}
    for number in range(count):
        connection.request("GET", f"/users/{number}", headers=headers)
        connection.getresponse().read()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
