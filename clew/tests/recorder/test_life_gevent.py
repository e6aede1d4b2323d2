"""gevent: patched before clew is imported or after, greenlets have spans of their own, and the process ends."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("gevent")

PATCHED_BEFORE = "from gevent import monkey; monkey.patch_all()\n"
IMPORTED_BEFORE = "import clew, clew.recorder.provider, clew.recorder.export.exporter, clew.recorder.export.pipeline\n"
WORK = """
import gevent
from opentelemetry import trace
def work(n):
    with tracer.start_as_current_span("outer") as outer:
        gevent.sleep(0.001 * (n % 7))
        assert trace.get_current_span() is outer
        with tracer.start_as_current_span("inner") as inner:
            gevent.sleep(0)
            assert inner.parent.span_id == outer.context.span_id
        assert trace.get_current_span() is outer
"""


def _begin(begin: str, order: str) -> str:
    return str({"before": PATCHED_BEFORE, "after": IMPORTED_BEFORE + PATCHED_BEFORE}[order] + begin)


@pytest.mark.parametrize("order", ["before", "after"])
def test_greenlets_have_spans_of_their_own_and_all_arrive(life: Any, order: str) -> None:
    life.run_well(
        WORK
        + """
greenlets = [gevent.spawn(work, n) for n in range(100)]
gevent.joinall(greenlets, raise_error=True)
assert provider.force_flush()
greenlets = [gevent.spawn(work, n) for n in range(100)]
gevent.joinall(greenlets, raise_error=True)
""",
        begin=_begin(life.BEGIN, order),
    )
    assert life.names() == ["inner"] * 200 + ["outer"] * 200


@pytest.mark.parametrize("order", ["before", "after"])
def test_greenlets_run_on_while_the_collector_does_not_answer_and_the_process_ends(life: Any, order: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as hanging:
        process = life.start(
            WORK
            + """
gevent.joinall([gevent.spawn(work, n) for n in range(20)], raise_error=True)
gevent.sleep(0.3)  # the exporter waits for its answer
begun = time.monotonic()
gevent.joinall([gevent.spawn(work, n) for n in range(20)], raise_error=True)
assert time.monotonic() - begun < 100  # the request is given up after 600 s
print("done", flush=True)
""",
            begin=_begin(life.begin(timeout_s=600), order),
            environment={"COLLECTOR": f"http://127.0.0.1:{hanging.getsockname()[1]}"},
        )
        assert process.stdout.readline() == "done\n"
        # The request has 600 s, an exit 5 s: `test_process` measures them.
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
