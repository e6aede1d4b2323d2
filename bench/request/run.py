"""What the middleware adds to a request, against OpenTelemetry's instrumentation, ddtrace and no tracing, in one run.

    python bench/request/run.py [--instructions] [--rounds N] [--requests N] [--only PART,…] [--smoke]

Parts: asgi (under uvicorn, and called in a row for instructions), headers (extract and inject). Every round asks each
contestant once, so that what else the machine does meets all of them; figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "span"), str(HERE.parent)]

from budgets import Budget  # noqa: E402  # what is beside this folder
from peers import Contestant, Unavailable, python_of  # noqa: E402  # what is beside this folder
from stand import Collector, child_environment, has_valgrind, median, run  # noqa: E402  # what is beside this folder

from lib.measure import cpu_s  # noqa: E402  # what is beside this folder

_SCRIPT = "../request/child.py"
_BARE = Contestant("bare application", "bare")
_CLEW = Contestant("clew, native", "clew", environment={"CLEW_RECORDER": "native"})
_PURE = Contestant("clew, pure", "clew", environment={"CLEW_RECORDER": "pure"})
_SDK = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2", "uvicorn==0.54.0", "httptools")
_OTEL = Contestant(
    "opentelemetry-instrumentation-asgi", "otel-asgi", ("opentelemetry-instrumentation-asgi==0.66b2", *_SDK)
)
_DDTRACE = Contestant("ddtrace", "ddtrace-asgi", ("ddtrace==4.16.0", "uvicorn==0.54.0", "httptools"))


def asgi(collector: Collector, options: argparse.Namespace, say: Callable[[str], None]) -> list[Budget]:
    """CPU under uvicorn; instructions without it."""
    contestants = [_BARE, _CLEW, _PURE] + ([] if options.smoke else [_OTEL, _DDTRACE])
    cpu = _in_rounds(contestants, options.rounds, lambda one: _served(collector, one, options), say)
    say(f"\nASGI under uvicorn, one kept connection; CPU µs a request, median of {options.rounds} rounds (range)")
    bare = cpu[_BARE.label]
    ratios = {}
    for label, values in cpu.items():
        # Round by round: neighbours in time share the machine's mood.
        ratios[label] = median([value / by for value, by in zip(values, bare, strict=False)])
        say(f"{label:<36}{median(values):>9.1f} ({min(values):.1f}–{max(values):.1f}){ratios[label]:>8.2f} × bare")
    budgets = [Budget("ASGI request / bare, CPU under uvicorn", ratios[_CLEW.label], 1.10, "×")]
    if options.instructions:
        say("\nASGI called in a row, recording and sending included; instructions a request")
        base = 0.0
        for contestant in contestants:
            try:
                each = _difference(collector, contestant, "drive", options.requests)
            except Unavailable as error:
                say(f"{contestant.label:<36}{error}")
                continue
            base = base or each
            say(f"{contestant.label:<36}{each:>12,.0f}{each - base:>12,.0f} added")
            if contestant is _CLEW:
                budgets.append(Budget("ASGI request, added", each - base, 80_000, "instructions"))
    collector.taken()
    return budgets


def headers(collector: Collector, options: argparse.Namespace, say: Callable[[str], None]) -> list[Budget]:
    """CPU of extract and inject."""
    contestants = [_CLEW, Contestant("opentelemetry-api", "otel-headers")]
    count = options.requests * 40

    def cpu_us(contestant: Contestant) -> float:
        few, many = (
            run(contestant, "headers", collector.wish(), script=_SCRIPT, count=n).cpu_s for n in (count // 10, count)
        )
        return (many - few) / (count - count // 10) * 1e6

    cpu = _in_rounds(contestants, options.rounds, cpu_us, say)
    say("\nW3C trace context and baggage, extract and inject; CPU µs, median (range)")
    for label, values in cpu.items():
        say(f"{label:<36}{median(values):>9.2f} ({min(values):.2f}–{max(values):.2f})")
    ours, theirs = (median(cpu[one.label]) for one in contestants)
    return [Budget("extract + inject / opentelemetry-api, CPU", ours / theirs, 0.2, "×")]


def _in_rounds(
    contestants: list[Contestant], rounds: int, measure: Callable[[Contestant], float], say: Callable[[str], None]
) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {one.label: [] for one in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            if contestant.label in figures:
                try:
                    figures[contestant.label].append(measure(contestant))
                except Unavailable as error:
                    del figures[contestant.label]
                    say(f"{contestant.label:<36}{error}")
    return figures


def _difference(collector: Collector, contestant: Contestant, task: str, count: int) -> float:
    """Instructions of one, from a run of few and one of many, so that start-up cancels out."""
    few, many = (
        run(contestant, task, collector.wish(), script=_SCRIPT, count_instructions=True, count=n).instructions
        for n in (count // 4, count)
    )
    return (many - few) / (count - count // 4)


def _served(collector: Collector, contestant: Contestant, options: argparse.Namespace) -> float:
    """CPU µs a request, the last spans sent included."""
    python = python_of(contestant, may_install=not options.smoke)
    command = [str(python), str(HERE / "child.py"), "serve", contestant.maker, json.dumps(asdict(collector.wish()))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment(contestant)
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"failed: {(process.stderr.read().strip() or 'no word').splitlines()[-1]}")
        connection = http.client.HTTPConnection("127.0.0.1", json.loads(line)["port"])
        _ask(connection, 500)
        before = cpu_s(process.pid)
        _ask(connection, options.requests)
        time.sleep(1.5)  # what has ended is sent within a second
        used = cpu_s(process.pid) - before
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    return used / options.requests * 1e6


def _ask(connection: http.client.HTTPConnection, count: int) -> None:
    sent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Accept": "application/json"}
    for number in range(count):
        connection.request("GET", f"/users/{number}", headers=sent)
        connection.getresponse().read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instructions", action="store_true", help="count instructions too (valgrind; slow)")
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--smoke", action="store_true", help="a tiny round of everything that needs no installing")
    options = parser.parse_args()
    if options.instructions and not has_valgrind():
        sys.exit("instructions are counted by valgrind, which is not installed (Debian: apt-get install valgrind)")
    if options.smoke:
        options.requests, options.rounds, options.instructions = 200, 1, False
    parts = {"asgi": asgi, "headers": headers}
    chosen = options.only.split(",") if options.only else list(parts)
    if unknown := set(chosen) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    say: Callable[[str], None] = partial(print, flush=True)
    say(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}")
    with Collector() as collector:
        budgets = [budget for part in chosen for budget in parts[part](collector, options, say)]
    say(f"\nBudgets (load average now {os.getloadavg()[0]:.1f})")
    if options.smoke:
        say("a smoke run: it shows that everything runs, its figures mean nothing")
    for budget in budgets:
        say(str(budget))


if __name__ == "__main__":
    main()
