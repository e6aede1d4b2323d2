"""Spans at full speed to a collector that fails at random: every one is accounted for, and memory stays where it was.

`CLEW_SOAK_S` is how long each recorder records: 12 s, and half an hour for `make soak`. The collector's lives are shorter in the
shorter run, so that it is killed as often as in one of 25 s.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from harness import failing_collector

SOAK_S = float(os.environ.get("CLEW_SOAK_S", "12"))

# Records from four threads until its time is over; writes a line of JSON at the end, after the recorder has shut down.
APPLICATION = """
import atexit, gc, json, logging, os, sys, threading, time

logging.getLogger("clew").addHandler(logging.NullHandler())
logging.getLogger("clew").propagate = False
soak_s, url = float(sys.argv[1]), sys.argv[2]
ended = [0] * 4
rss_bytes = []
end = {}

def tell():
    exit_s = time.monotonic() - end["at"]
    told = {"core": provider._core.name, "ended": sum(ended), "exit_s": exit_s, "rss_bytes": rss_bytes}
    print(json.dumps({**told, **provider.stats()}), flush=True)

atexit.register(tell)  # before the recorder's own, so that it is called after that

from opentelemetry.trace import StatusCode
from clew.recorder.export.exporter import OtlpHttpExporter
from clew.recorder.export.pipeline import BatchOptions
from clew.recorder.provider import TracerProvider

batch = BatchOptions(
    schedule_delay_s=0.1, max_queue_spans=8192, max_queue_bytes=2 << 20, max_batch_spans=2048,
    timeout_s=1.5, retry_for_s=4.0, when_full=sys.argv[3],
)
provider = TracerProvider(exporter=OtlpHttpExporter(url), batch=batch)

def record(number, until):
    tracer = provider.get_tracer(f"soak-{number}", "1.0")
    n = 0
    while time.monotonic() < until:
        for _ in range(50):
            with tracer.start_as_current_span("request", attributes={"http.route": "/a/{b}", "n": n}) as span:
                with tracer.start_as_current_span("query") as inner:
                    inner.set_attribute("db.statement", "select " + "x" * (n % 97))
                    if n % 10 == 0:
                        inner.add_event("slow", {"n": n})
                span.set_status(StatusCode.OK)
            n += 1
        ended[number] = 2 * n

until = time.monotonic() + soak_s
threads = [threading.Thread(target=record, args=(number, until)) for number in range(4)]
for thread in threads:
    thread.start()
page = os.sysconf("SC_PAGE_SIZE")
while threads[0].is_alive():
    threads[0].join(min(1.0, soak_s / 100))
    with open("/proc/self/statm") as statm:
        rss_bytes.append(int(statm.read().split()[1]) * page)
for thread in threads:
    thread.join()
end["at"] = time.monotonic()
"""


class Collector:
    """Lives of the failing collector, one after the other, on one port."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._over = Event()
        self.journals: list[Path] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process = self._start()
        self._thread = Thread(target=self._kill_and_start)
        self._thread.start()

    def _start(self) -> subprocess.Popen[str]:
        journal = self._folder / f"journal-{len(self.journals)}"
        self.journals.append(journal)
        script = [sys.executable, failing_collector.__file__, str(self.port), str(journal)]
        process = subprocess.Popen([*script, str(self._chance.random())[2:9]], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        return process

    def _kill_and_start(self) -> None:
        """A life is between 2 and 12 s, half of that in a short run; then for up to 2 s (or 1) connections are refused."""
        share = min(1.0, SOAK_S / 25)
        while not self._over.wait(share * self._chance.uniform(2, 12)):
            self._kill()
            self._over.wait(share * self._chance.uniform(0, 2))
            self._process = self._start()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def stop(self) -> None:
        """End it for good; may be called again."""
        self._over.set()
        self._thread.join()
        self._kill()

    def distinct(self) -> tuple[int, int]:
        """Distinct spans that were accepted, and of them those whose answer is known to have been read."""
        # A part of the ids after the other, for a set of all would take gigabytes after half an hour.
        parts = [(array("Q"), array("Q")) for _ in range(64)]
        for journal in self.journals:
            for ids, was_read in failing_collector.read_journal(journal):
                for span_id in ids:
                    parts[span_id & 63][was_read].append(span_id)
        accepted = read = 0
        for unread_ids, read_ids in parts:
            known = set(read_ids)
            read += len(known)
            accepted += len(known.union(unread_ids))
        return accepted, read


@contextmanager
def failing_at_random(folder: Path) -> Iterator[Collector]:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    collector = Collector(folder, random.Random(seed))
    try:
        yield collector
    finally:
        collector.stop()


@pytest.mark.timeout(5 * SOAK_S + 300)
@pytest.mark.parametrize(("core", "when_full"), [("native", "drop_oldest"), ("pure", "drop_newest")])
def test_every_span_is_sent_or_dropped_and_memory_stays_flat_while_the_collector_fails(
    core: str, when_full: str, tmp_path_factory: pytest.TempPathFactory, best_of: Callable[..., float]
) -> None:
    def soak() -> float:
        with failing_at_random(tmp_path_factory.mktemp("journals")) as collector:
            return soaked(core, when_full, collector)

    # A machine that stands still for a moment spoils how long the end takes, and when the buffer is full is chance.
    best_of(1, soak)


def soaked(core: str, when_full: str, collector: Collector) -> float:
    """How much it took of what it may: of 6 s at its end, of which 5 s are for sending, or of its second quarter's memory in the last."""
    url = f"http://127.0.0.1:{collector.port}/v1/traces"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "PYTEST_"))}
    began = monotonic()
    application = subprocess.run(
        [sys.executable, "-W", "error", "-c", APPLICATION, str(SOAK_S), url, when_full],
        env={**environment, "CLEW_RECORDER": core},
        capture_output=True,
        text=True,
        timeout=SOAK_S + 60,
    )
    took_s = monotonic() - began
    assert (application.returncode, application.stderr) == (0, "")
    told: dict[str, Any] = json.loads(application.stdout)
    rss_bytes = told.pop("rss_bytes")
    collector.stop()
    accepted, read = collector.distinct()
    quarter = len(rss_bytes) // 4
    second, last = median(rss_bytes[quarter : 2 * quarter]), median(rss_bytes[-quarter:])
    print(
        f"{told}, took {took_s:.1f} s; collector: {len(collector.journals)} lives, {accepted} accepted, {read} known "
        f"to be told so; RSS {second / 1e6:.1f} MB in the second quarter, {last / 1e6:.1f} MB in the last"
    )
    assert told["core"] == core
    assert told["recorded"] == told["ended"]
    assert told["sent"] + sum(told["dropped"].values()) == told["recorded"]
    # Who says "sent" has read an answer that was written after the spans were in the journal; who has read an answer
    # says "sent". Between the two are only those whose answer was lost, or the last of its connection.
    assert 0 < read <= told["sent"] <= accepted
    assert told["dropped"].get("buffer_full", 0) > 0
    return max(last / (second * 1.05 + 2e6), told["exit_s"] / 6)
