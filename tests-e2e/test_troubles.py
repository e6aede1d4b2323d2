"""What goes wrong is visible from outside, with the last error and since when; what is not touched by it goes on."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import retention_often
from harness.preload import Shim
from harness.server import Server
from harness.wire import new_trace_id, request, span, spans_of

DAY_S = 86_400
LOOKS_OFTEN = [sys.executable, retention_often.__file__]
"""Wraps a server of which a test waits for what retention, once a minute, does or notices."""


def trouble(server: Server, what: str) -> dict[str, Any] | None:
    for one in server.status()["troubles"]:
        if one["what"] == what:
            return dict(one)
    return None


def wait_for(condition: Callable[[], Any], timeout_s: float = 100) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return value


def said_everywhere(server: Server, what: str) -> dict[str, Any]:
    """The trouble as status has it; metrics and readiness must say it too."""
    found: dict[str, Any] = wait_for(lambda: trouble(server, what))
    assert found["count"] >= 1
    assert found["message"]
    assert 0 < int(found["since_unix_nano"]) <= int(found["last_unix_nano"])
    assert f'clew_trouble{{what="{what}"}} 1.0' in server.get("/metrics").text
    assert f"trouble: {what}:" in server.get("/readyz").text
    return found


def test_a_server_without_trouble_says_so(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    server.export(request("well", [span()]))
    server.flush()
    status = server.status()
    assert status["troubles"] == []
    assert (status["damaged_log_bytes"], status["damaged_store_parts"]) == (0, 0)
    assert server.get("/readyz").text == "ready\n"
    assert 'clew_trouble{what="writer"} 0.0' in server.get("/metrics").text
    assert server.stop() == 0


def killed_with_two_segments(server: Server, traces: list[bytes]) -> list[Path]:
    """The files of its log, the first with the first two of four traces, the last with the others."""
    wal, kept = server.data_dir / "wal", server.data_dir.with_name(server.data_dir.name + "-kept")
    server.start()
    for trace_id in traces[:2]:
        server.export(request("flipped", [span(trace_id)]))
    server.kill()  # the next one begins a file of its own
    shutil.copytree(wal, kept)
    server.start()
    for trace_id in traces[2:]:
        server.export(request("flipped", [span(trace_id)]))
    server.kill()
    for path in kept.glob("*.otlp"):  # what was stored meanwhile is put back, as if the crash had come before
        if not (wal / path.name).exists():
            shutil.copy(path, wal)
    return sorted(wal.glob("*.otlp"))


@pytest.mark.parametrize("which", ["newest", "older"])
def test_a_flipped_bit_in_the_log_is_kept_and_said_and_the_other_spans_are_there(
    make_server: Callable[..., Server], which: str
) -> None:
    # A server that is killed late has stored what it was sent, and its log is empty: then there is another one.
    for attempt in range(5):
        server = make_server(f"data-{attempt}")
        traces = [new_trace_id() for _ in range(4)]
        segments = killed_with_two_segments(server, traces)
        held = [[trace_id in one.read_bytes() for trace_id in traces] for one in segments]
        if [*held[:1], *held[-1:]] == [[True, True, False, False], [False, False, True, True]]:
            break
    else:
        raise AssertionError("killed too late each time")
    victim = segments[-1 if which == "newest" else 0]
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1  # in the checksum of the last record
    victim.write_bytes(data)

    server.start()
    server.flush()
    lost = traces[3] if which == "newest" else traces[1]
    there = {trace["trace_id"] for trace in server.found(service="flipped")}
    assert {trace.hex() for trace in traces if trace != lost} <= there
    found = said_everywhere(server, "log_damage")
    assert str(server.data_dir / "wal") in found["message"]
    kept_aside = victim.with_suffix(".damaged").read_bytes()
    assert kept_aside
    assert data.endswith(kept_aside)
    assert server.status()["damaged_log_bytes"] == len(kept_aside)
    assert "ERROR" in server.printed()
    assert server.get("/readyz").status_code == 200
    victim.with_suffix(".damaged").unlink()
    wait_for(lambda: trouble(server, "log_damage") is None)
    assert server.stop() == 0


def test_lost_parts_of_the_store_are_said_and_the_rest_is_answered(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    server.export(request("lost", [span() for _ in range(20)]))
    server.flush()
    assert server.stop() == 0
    chunks = (server.data_dir / "chdb" / "data" / "default" / "chunks").resolve()
    parts = [path for path in chunks.iterdir() if path.name[:2] == "20"]
    assert parts
    for part in parts:
        shutil.rmtree(part)
    server.start()
    found = said_everywhere(server, "store_damage")
    assert "20 spans" in found["message"]
    assert len(server.found(service="lost", limit=1000)) == 20
    after = new_trace_id()
    server.export(request("lost", [span(after)]))
    server.flush()
    assert [one.trace_id for one in spans_of(server.trace_bytes(after))] == [after]
    assert server.stop() == 0


def test_what_cannot_be_read_at_a_start_is_said_and_counted(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    server.export(request("broken", [span() for _ in range(20)]))
    server.flush()
    assert server.stop() == 0
    spans = (server.data_dir / "chdb" / "data" / "default" / "spans").resolve()
    for path in spans.glob("20*/columns.txt"):
        path.write_text("nonsense")
    (server.data_dir / "agents" / "facts").write_bytes(b"nonsense" * 10)
    server.start()
    said_everywhere(server, "store_damage")
    assert server.status()["damaged_store_parts"] >= 1
    kept = server.data_dir / "agents" / "facts.damaged"
    assert str(kept) in said_everywhere(server, "agents_damage")["message"]
    assert server.status()["damaged_agents_bytes"] == kept.stat().st_size == 80
    kept.unlink()
    wait_for(lambda: trouble(server, "agents_damage") is None)
    assert server.stop() == 0


def test_spans_that_cannot_be_stored_are_said_and_kept_until_they_can(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    schema = server.data_dir / "schema"
    shutil.move(schema, server.data_dir.parent / "schema-away")  # the engine cannot read a segment without it
    trace_id = new_trace_id()
    server.export(request("waiting", [span(trace_id)]))
    found = said_everywhere(server, "writer")
    again = wait_for(lambda: (now := trouble(server, "writer")) and now["count"] > found["count"] and now)
    assert again["since_unix_nano"] == found["since_unix_nano"]
    assert int(again["last_unix_nano"]) >= int(found["last_unix_nano"])
    assert [one.trace_id for one in spans_of(server.trace_bytes(trace_id))] == [trace_id], "the log answers meanwhile"
    assert server.get("/readyz").status_code == 200
    shutil.move(server.data_dir.parent / "schema-away", schema)
    wait_for(lambda: trouble(server, "writer") is None, 90)
    server.flush()
    assert [trace["trace_id"] for trace in server.found(service="waiting")] == [trace_id.hex()]
    assert server.stop() == 0


@pytest.mark.timeout(300)
def test_a_clock_ahead_at_a_start_or_while_running_drops_nothing(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    shim = Shim(tmp_path / "shim")
    shim.set_clock(0)
    server = make_server(environment=shim.environment(), wrapper=LOOKS_OFTEN).start()
    kept = new_trace_id()
    server.export(request("clock", [span(kept)]))
    server.flush()
    assert server.stop() == 0

    shim.set_clock(30 * DAY_S)
    server.start()
    said = said_everywhere(server, "clock")
    assert "ahead" in said["message"]
    server.export(request("clock", [span()]))
    server.flush()
    assert kept.hex() in {trace["trace_id"] for trace in server.found(service="clock")}
    shim.set_clock(0)
    server.export(request("clock", [span()]))
    server.flush()
    assert len(server.found(service="clock")) == 3
    assert server.stop() == 0

    server.start()
    assert len(server.found(service="clock")) == 3
    shim.set_clock(365 * DAY_S)  # while it runs
    wait_for(lambda: trouble(server, "clock"), 150)
    assert len(server.found(service="clock")) == 3
    server.export(request("clock", [span()]))
    server.flush()
    assert len(server.found(service="clock")) == 4
    assert server.stop() == 0


def test_a_clock_before_1970_takes_spans_and_its_return_drops_none_at_once(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    shim = Shim(tmp_path / "shim")
    shim.set_clock(-100 * 365 * DAY_S)
    server = make_server(environment=shim.environment()).start()
    before = new_trace_id()
    server.export(request("old", [span(before)]))
    server.flush()
    assert [one.trace_id for one in spans_of(server.trace_bytes(before))] == [before]
    shim.set_clock(0)
    after = new_trace_id()
    server.export(request("old", [span(after)]))
    server.flush()
    assert server.stop() == 0
    server.start()
    for trace_id in (before, after):
        assert [one.trace_id for one in spans_of(server.trace_bytes(trace_id))] == [trace_id]
    assert server.stop() == 0


def test_a_cap_that_cannot_be_held_is_refused_with_the_number(make_server: Callable[..., Server]) -> None:
    server = make_server(options=["--max-disk", "1MB"])
    server.launch()
    assert server.wait_ended() == 2
    assert "10000000" in server.printed()
    assert "--max-disk" in server.printed()
    assert not server.data_dir.exists()


def test_the_smallest_cap_and_the_longest_retention_keep_the_newest_spans(make_server: Callable[..., Server]) -> None:
    server = make_server(options=["--max-disk", "10MB", "--retention", "999999d"]).start()
    for _ in range(4):
        server.export(request("tiny", [span() for _ in range(50)]))
    server.flush()
    status = server.status()
    assert (status["retention_s"], status["troubles"]) == (999_999 * DAY_S, [])
    ballast = server.data_dir / "dead-letter" / "00000000000000000001-00000000-000000.otlp"
    ballast.write_bytes(bytes(20 * 10**6))
    assert server.stop() == 0
    server.start()
    found = said_everywhere(server, "disk_cap")
    assert "10000000" in found["message"]
    assert len(server.found(service="tiny", limit=1000)) == 200, "nothing of the spans could make the folder fit"
    assert server.stop() == 0


@pytest.mark.timeout(300)
def test_a_small_cap_keeps_the_newest_spans_and_is_held(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """Filled without the cap, then started with it: retention looks at once, and again and again."""
    shim = Shim(tmp_path / "shim")
    shim.set_clock(-60)
    server = make_server(environment=shim.environment()).start()
    traces = [new_trace_id() for _ in range(16)]
    for number, trace_id in enumerate(traces):  # each in a second of its own, and bytes that do not get smaller
        shim.set_clock(2 * number - 60)
        server.export(
            request("capped", [span(trace_id, values={"noise": os.urandom(6_000).hex()}) for _ in range(100)])
        )
        server.flush()
    assert server.status()["disk_bytes"] > 12 * 10**6
    assert server.stop() == 0

    server = make_server(options=["--max-disk", "10MB"], wrapper=LOOKS_OFTEN).start()
    wait_for(lambda: "deleted the arrivals" in server.printed())
    assert server.stop() == 0
    server.start()  # while the bytes of what was deleted still lie there: they are not asked for again
    wait_for(lambda: server.status()["disk_bytes"] <= 10 * 10**6, 150)
    left = {trace["trace_id"] for trace in server.found(service="capped", limit=1000)}
    assert traces[-1].hex() in left
    assert traces[0].hex() not in left
    assert len(left) >= 2
    assert len(spans_of(server.trace_bytes(traces[-1]))) == 100
    assert server.status()["troubles"] == []
    assert server.stop() == 0
