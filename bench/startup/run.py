"""What the start of a process costs: CPU, wall time, memory and modules, plain, under `clew run` and under others.

    python bench/startup/run.py [--runs 5]

Each figure is the median of several processes, run in turn. `opentelemetry-instrument` and `ddtrace-run` take part where
they are installed; they export nothing, and so does clew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(sys.executable).parent
# The kernel's own count for the parent's sake includes what the parent had in memory before the program began.
COUNT = (
    "import sys, os\n"
    "memory = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]\n"
    "os.write(3, f'{len(sys.modules)} {memory}'.encode())\n"
)
PROGRAMS = {
    "idle": COUNT,
    "FastAPI": (
        "from fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/orders/{number}')\ndef order(number: int) -> int:\n    return number\n" + COUNT
    ),
    "Celery": "import celery\napp = celery.Celery('shop')\n@app.task\ndef add(a, b):\n    return a + b\n" + COUNT,
}


class Cost(NamedTuple):
    """Of one process."""

    cpu_s: float
    wall_s: float
    memory_mb: float
    modules: float


def run(command: list[str]) -> Cost:
    """Start a process and wait for its end; file 3 of it is where it says what it has."""
    reader, writer = os.pipe()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "CLEW_"))}
    environment |= {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "bench",
        "DD_TRACE_ENABLED": "true",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }
    begun = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 3)]
    if writer != 3:
        actions.append((os.POSIX_SPAWN_CLOSE, writer))  # type: ignore[arg-type]
    pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - begun
    os.close(writer)
    said = os.read(reader, 100).split()
    os.close(reader)
    if status or not said:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, int(said[1]) / 1024, int(said[0]))


def ways() -> dict[str, list[str]]:
    """What goes before the program."""
    found = {"plain": [sys.executable], "clew run": [sys.executable, "-m", "clew.cli", "run"]}
    for name in ("opentelemetry-instrument", "ddtrace-run"):
        path = HERE / name if (HERE / name).exists() else shutil.which(name)
        if path:
            found[name] = [str(path), sys.executable]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        for program, code in PROGRAMS.items():
            file = Path(folder) / "program.py"
            file.write_text(code)
            costs: dict[str, list[Cost]] = {name: [] for name in ways()}
            for _ in range(runs + 1):
                for name, before in ways().items():
                    costs[name].append(run([*before, str(file)]))
            medians = {
                # The first run fills caches.
                name: Cost(*(statistics.median(column) for column in zip(*made[1:], strict=True)))
                for name, made in costs.items()
            }
            plain = medians["plain"]
            print(f"{program:<10}{'CPU s':>28}{'wall s':>10}{'memory MB':>18}{'modules':>10}")
            for name, cost in medians.items():
                more = "" if name == "plain" else f"(+{cost.cpu_s - plain.cpu_s:.2f})"
                more_mb = "" if name == "plain" else f"(+{cost.memory_mb - plain.memory_mb:.1f})"
                print(
                    f"  {name:<26}{cost.cpu_s:>5.2f} {more:<8}{cost.wall_s:>6.2f}"
                    f"{cost.memory_mb:>9.1f} {more_mb:<8}{cost.modules:>9.0f}"
                )


if __name__ == "__main__":
    main()
