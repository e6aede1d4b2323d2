"""What a contestant's process does: makes spans in the way it is told, prints one line of JSON.

python bench/span/child.py spans|threads|memory|latency CONTESTANT '{"http": …, "grpc": …, …}' key=value…
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
from array import array
from typing import Any

from makers import Maker, Wish, build


def spans(maker: Maker, count: int, flush_every: int = 2_000) -> dict[str, Any]:
    """`count` spans, flushed now and then so that default queues suffice."""
    left = count
    while left > 0:
        maker.make(min(left, flush_every))
        left -= flush_every
        maker.flush()
    return {}


def threads(maker: Maker, count: int, workers: int, flush_every: int = 2_000) -> dict[str, Any]:
    """`count` spans by so many threads at once, in turns of `flush_every` altogether."""
    share = flush_every // workers
    turns = max(1, count // flush_every)
    barrier = threading.Barrier(workers + 1)

    def work() -> None:
        for _ in range(turns + 1):
            barrier.wait()
            maker.make(share)
            barrier.wait()

    started = [threading.Thread(target=work) for _ in range(workers)]
    for thread in started:
        thread.start()
    making_s = 0.0
    cpu_s = 0.0
    for turn in range(turns + 1):
        if turn == 1:  # the first turn warms up
            making_s, cpu_s = 0.0, _cpu_s()
        began = time.perf_counter()
        barrier.wait()
        barrier.wait()
        making_s += time.perf_counter() - began
        maker.flush()
    cpu_s = _cpu_s() - cpu_s
    for thread in started:
        thread.join()
    made = turns * share * workers
    return {"spans_per_s": made / making_s, "cpu_us_per_span": cpu_s / made * 1e6}


def memory(maker: Maker, first: int, second: int) -> dict[str, Any]:
    """Resident bytes for each span that waits while the collector does not answer."""
    maker.make(first)
    gc.collect()
    before = _rss_bytes()
    maker.make(second)
    gc.collect()
    grown = _rss_bytes() - before
    print(json.dumps({"bytes_per_span": grown / second, "counts": maker.counts()}), flush=True)
    os._exit(0)  # the collector never answers: no exporter can end well


def latency(maker: Maker, count: int, rate: int, sleeping: int = 0) -> dict[str, Any]:
    """Wall time of each of `count` spans, `rate` of them a second; 0 is as fast as they come.

    Between spans the thread computes, holding the interpreter lock as an application under load does, or
    (`sleeping`) makes the spans of a millisecond in a row and sleeps. Only the span is inside the clock; `late` is
    when a span was over, measured from when it was due, and so has every wait of the thread in it.
    """
    clock = time.perf_counter_ns
    one = maker.one
    for number in range(2_000):
        one(number)
    maker.flush()
    time.sleep(0.2)
    taken = array("q", bytes(8 * count))
    late = array("q", bytes(8 * count))
    period_ns = 1_000_000_000 // rate if rate else 0
    group = max(1, 1_000_000 // period_ns) if sleeping else 1
    first = clock()
    for number in range(count):
        due = first + (number - number % group) * period_ns
        if sleeping and number % group == 0:
            while (left_ns := due - clock()) > 0:
                time.sleep(left_ns / 1e9)
        elif period_ns and not sleeping:
            while clock() < due:
                pass
        before = clock()
        one(number)
        after = clock()
        taken[number] = after - before
        late[number] = after - due
    return {"taken_ns": _percentiles(taken), "late_ns": _percentiles(late)}


def _percentiles(values: array[int]) -> dict[str, int]:
    ordered = sorted(values)
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rss_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    task, name, wish, *words = sys.argv[1:]
    numbers = {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    maker = build(name, Wish(**json.loads(wish)))
    found = {"spans": spans, "threads": threads, "memory": memory, "latency": latency}[task](maker, **numbers)
    maker.shutdown()
    print(json.dumps(found | {"counts": maker.counts()}))


if __name__ == "__main__":
    main()
