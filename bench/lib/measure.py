"""What a process costs, read from outside, and figures with their spread."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system CPU of the process, all threads, since it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def peak_rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel reports no peak memory")


def wait_quiet(pid: int, *, below_ratio: float = 0.05, for_s: float = 4, timeout_s: float = 300) -> None:
    """Return when the process has used less than that share of a core for so long: merges are drained."""
    deadline = time.monotonic() + timeout_s
    while True:
        before = cpu_s(pid)
        time.sleep(for_s)
        if cpu_s(pid) - before < below_ratio * for_s:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} was still busy after {timeout_s:.0f} s")


def share_of_core(pid: int, seconds: float) -> float:
    """CPU over wall time of the process during the next seconds."""
    began, before = time.monotonic(), cpu_s(pid)
    time.sleep(seconds)
    return (cpu_s(pid) - before) / (time.monotonic() - began)


def timed_ms(call: Callable[[], object], repeat: int, pause_s: float = 0.0) -> list[float]:
    """Wall time of each call, with a pause before each."""
    taken = []
    for _ in range(repeat):
        time.sleep(pause_s)
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(percent) // 100) - 1))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def load() -> str:
    """Load average of the last minute: what else the machine did."""
    return f"{os.getloadavg()[0]:.1f}"
