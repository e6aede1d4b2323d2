"""What having it costs: threads at once, memory of waiting spans, import, size of the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from budgets import Budget
from peers import CONTESTANTS, Contestant, Unavailable
from stand import Collector, median, run
from table import NATIVE, NOOP, PURE, SDK, Amount, Say

_REPOSITORY = Path(__file__).resolve().parents[2]
_COUNTS = (1, 2, 4, 8, 16)
# Our own reading of "no cliff".
_MOST_CPU_RATIO = 1.5
_IMPORTS = {
    "import opentelemetry.trace": "import opentelemetry.trace",
    "import clew": "import clew",
    "import clew; clew.TracerProvider": "import clew; clew.TracerProvider",
    "import clew; clew.configure": "import clew; clew.configure",
    "opentelemetry-sdk with OTLP/HTTP": (
        "import opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter"
    ),
}


def threads(collector: Collector, amount: Amount, say: Say) -> list[Budget]:
    """Spans a second and CPU a span for 1 to 16 threads at once."""
    say("\nThreads at once: thousand spans/s while making them, and CPU µs a span, sending included")
    say(f"{'':<30}" + "".join(f"{count:>16}" for count in _COUNTS))
    budgets = []
    for contestant in _of(NATIVE, PURE, NOOP, SDK):
        cpu: dict[int, list[float]] = {count: [] for count in _COUNTS}
        rate: dict[int, list[float]] = {count: [] for count in _COUNTS}
        try:
            for _ in range(amount.rounds):
                for count in _COUNTS:
                    spans = amount.spans * contestant.spans_factor
                    found = run(contestant, "threads", collector.wish(), count=spans, workers=count).found
                    cpu[count].append(found["cpu_us_per_span"])
                    rate[count].append(found["spans_per_s"])
                collector.taken()
        except Unavailable as error:
            say(f"{contestant.label:<30}{error}")
            continue
        cells = [f"{median(rate[count]) / 1000:>9.0f}{median(cpu[count]):>7.1f}" for count in _COUNTS]
        say(f"{contestant.label:<30}" + "".join(cells))
        if contestant.label == NATIVE:
            ratio = median(cpu[16]) / median(cpu[1])
            budgets.append(Budget("CPU a span, 16 threads / 1 thread", ratio, _MOST_CPU_RATIO, "×"))
    return budgets


def memory(collector: Collector, amount: Amount, say: Say) -> list[Budget]:
    """Resident memory for each span that waits while the collector does not answer."""
    second = 10_000
    say(f"\nMemory of a waiting span: growth of RSS over {second:,} spans while the collector does not answer")
    for contestant in CONTESTANTS:
        if contestant.maker == "noop" or (contestant.pins and not amount.may_install):
            continue
        wish = collector.wish(http=collector.http + "/hang", max_queue_spans=4 * second)
        if contestant.maker in ("ddtrace", "sdk-grpc"):
            continue  # its way to the collector has no path that hangs
        try:
            found = run(contestant, "memory", wish, first=2_000, second=second).found
        except Unavailable as error:
            say(f"{contestant.label:<30}{error}")
            continue
        say(f"{contestant.label:<30}{found['bytes_per_span']:>8,.0f} bytes")
    return []


def imports(amount: Amount, say: Say) -> list[Budget]:
    """CPU and modules of imports, beyond what a bare interpreter has."""
    rounds = 3 if amount.rounds == 1 else 15
    cpu: dict[str, list[float]] = {}
    modules: dict[str, int] = {}
    for _ in range(rounds):
        for name, code in {"": "pass", **_IMPORTS}.items():
            taken_s, count = _import(code)
            cpu.setdefault(name, []).append(taken_s * 1000)
            modules[name] = count
    say(f"\nImport: CPU ms and modules beyond a bare interpreter ({median(cpu['']):.1f} ms), median of {rounds}")
    yardstick = "import opentelemetry.trace"
    beyond = {name: median(cpu[name]) - median(cpu[""]) for name in _IMPORTS}
    for name in _IMPORTS:
        say(
            f"{name:<36}{beyond[name]:>8.1f} ms{modules[name] - modules['']:>6} modules{beyond[name] / beyond[yardstick]:>8.2f} ×"
        )
    budgets = [
        Budget("import clew / import opentelemetry.trace, CPU", beyond["import clew"] / beyond[yardstick], 1.3, "×")
    ]
    name = "import clew; clew.TracerProvider"
    budgets.append(Budget(f"{name} / import opentelemetry.trace, CPU", beyond[name] / beyond[yardstick], 1.3, "×"))
    return budgets


def _import(code: str) -> tuple[float, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nimport sys; print(len(sys.modules))"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code} failed")
    return usage.ru_utime + usage.ru_stime, int(printed)


def wheel(say: Say) -> list[Budget]:
    """Size of the wheel that `pip wheel` builds here, packed and unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "clew"
        unwanted = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "*.so", "tests")
        shutil.copytree(_REPOSITORY / "clew", source, ignore=unwanted)
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check"]
        done = subprocess.run([*command, "-w", folder, str(source)], capture_output=True, text=True, check=False)
        built = list(Path(folder).glob("*.whl"))
        if done.returncode or not built:
            say(f"\nThe wheel cannot be built: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")
            return []
        with zipfile.ZipFile(built[0]) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            native = sum(entry.file_size for entry in archive.infolist() if entry.filename.endswith((".so", ".pyd")))
        say(
            f"\nWheel {built[0].name}: {built[0].stat().st_size / 1024:,.0f} KiB,"
            f" {unpacked / 1024:,.0f} KiB unpacked, of it native code {native / 1024:,.0f} KiB"
        )
    return []


def _of(*labels: str) -> list[Contestant]:
    return [contestant for contestant in CONTESTANTS if contestant.label in labels]
