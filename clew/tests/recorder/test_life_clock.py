"""The wall clock is set while spans are open: real processes whose clock_gettime is preloaded with one that steps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and cc")

# The offset, in ns, is the content of a file that is mapped into the process.
SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void map(void) {
    int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    void *at = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) offset = at;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && clock == CLOCK_REALTIME && offset != NULL) {
        int64_t now = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + *offset;
        out->tv_sec = now / 1000000000;
        out->tv_nsec = now % 1000000000;
    }
    return result;
}
"""

STEP = """
def step(seconds):
    before = time.time()
    with open(os.environ["CLOCK_OFFSET"], "r+b") as file:
        file.write((int(seconds * 1e9)).to_bytes(8, sys.byteorder, signed=True))
    return time.time() - before
assert -3600 <= step(-3600) < -3500
step(0)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(SOURCE)
    made = folder / "clock.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(made), str(folder / "clock.c")], check=True)
    return made


@pytest.mark.parametrize("seconds", [-3600, -0.5, 3600])
def test_a_clock_that_steps_inside_a_trace_turns_no_span_around(
    life: Any, library: Path, tmp_path: Path, seconds: float
) -> None:
    offset = tmp_path / "offset"
    offset.write_bytes(bytes(8))
    out = life.run_well(
        STEP
        + f"SECONDS = {seconds}"
        + """
start_ns = time.time_ns()
with tracer.start_as_current_span("outer") as outer:
    with tracer.start_as_current_span("inner"):
        step(SECONDS)
        outer.add_event("event")
    with tracer.start_as_current_span("inner"):
        step(0)
        step(SECONDS)
with tracer.start_as_current_span("new trace"):
    pass
print(start_ns, time.time_ns())
""",
        environment={"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)},
    )
    start_ns, end_ns = map(int, out.split())
    spans = {span.name: span for span in life.collector.spans()}
    outer, new = spans["outer"], spans["new trace"]
    inners = [span for span in life.collector.spans() if span.name == "inner"]
    assert len(inners) == 2
    for span in inners:
        assert outer.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= outer.end_time_unix_nano
    assert inners[0].end_time_unix_nano <= inners[1].start_time_unix_nano
    [event] = outer.events
    assert outer.start_time_unix_nano <= event.time_unix_nano <= outer.end_time_unix_nano
    # The trace stays on the clock it began with, and took no hour.
    assert start_ns <= outer.start_time_unix_nano
    assert outer.end_time_unix_nano - outer.start_time_unix_nano < 60e9
    # The next one has the new time, as it was when the trace began: the steady clock it goes on with may run apart by microseconds.
    assert -1e6 < end_ns - new.end_time_unix_nano < 60e9
    assert new.start_time_unix_nano <= new.end_time_unix_nano


def test_a_clock_that_steps_does_not_delay_sending(life: Any, library: Path, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_bytes(bytes(8))
    life.run_well(
        STEP
        + """
for seconds in (-86400, 0, 86400):
    tracer.start_span("before").end()
    step(seconds)
    tracer.start_span("after").end()
    begun = time.monotonic()
    while provider.stats()["sent"] != provider.stats()["recorded"]:
        time.sleep(0.01)
        assert time.monotonic() - begun < 100
""",
        environment={"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)},
    )
    assert len(life.names()) == 6
