"""Odd times: arrival and start are different clocks, and neither loses or doubles a span."""

from __future__ import annotations

import datetime
import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.folder import assert_stored_once
from harness.preload import Shim
from harness.server import Server
from harness.wire import NS_PER_S, fresh_name, new_trace_id, request, span, spans_of

DAY_S = 86_400


def test_a_segment_that_is_stored_and_replayed_after_midnight_is_stored_once(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Accepted yesterday, stored; then its log is put back, as if the crash had come before the log was cleared."""
    shim = Shim(tmp_path / "shim")
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    server = make_server(environment=shim.environment(clock_offset_s=-DAY_S)).start()
    trace_id = new_trace_id()
    server.export(request("midnight", [span(trace_id) for _ in range(5)]))
    wal = server.data_dir / "wal"
    kept = tmp_path / "kept"
    shutil.copytree(wal, kept)
    assert any(kept.glob("*.otlp"))
    server.flush()
    assert server.stop() == 0

    shutil.rmtree(wal)
    shutil.copytree(kept, wal)
    today = make_server().start()
    today.flush()
    assert [trace["spans"] for trace in today.found(service="midnight")] == [5]
    assert len(spans_of(today.trace_bytes(trace_id))) == 5
    assert today.stop() == 0
    assert assert_stored_once(today.data_dir, 5, 1)["days"] == [yesterday.isoformat()]


def test_a_segment_accepted_before_midnight_and_first_stored_after_it_is_stored_once(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    shim = Shim(tmp_path / "shim")
    server = make_server(environment=shim.environment(clock_offset_s=-DAY_S)).start()
    server.export(request("midnight", [span() for _ in range(5)]))
    server.kill()
    today = make_server().start()
    today.export(request("midnight", [span() for _ in range(5)]))
    today.flush()
    assert [trace["spans"] for trace in today.found(service="midnight")] == [1] * 10
    assert today.stop() == 0
    assert len(assert_stored_once(today.data_dir, 10, 10)["days"]) == 2


@pytest.mark.parametrize(
    "start_unix_nano",
    [
        pytest.param(1_684_000_000 * NS_PER_S + 7, id="of 2023"),
        pytest.param(0, id="of 0"),
        pytest.param(1, id="of 1970"),
        pytest.param(4_200_000_000 * NS_PER_S, id="of 2103"),
        pytest.param(2**63 + 5, id="beyond int64"),
    ],
)
def test_a_span_with_an_odd_start_is_found_and_comes_back_as_it_was(server: Server, start_unix_nano: int) -> None:
    service, trace_id = fresh_name("odd"), new_trace_id()
    sent = span(trace_id, start_unix_nano=start_unix_nano, duration_ns=3)
    server.export(request(service, [sent]))
    server.flush()
    (found,) = server.found(service=service)
    assert (found["trace_id"], found["spans"]) == (trace_id.hex(), 1)
    assert spans_of(server.trace_bytes(trace_id)) == [sent]
    if 946_684_800 * NS_PER_S <= start_unix_nano < 4_102_444_800 * NS_PER_S:
        assert (found["start_unix_nano"], found["duration_ns"]) == (str(start_unix_nano), "3")
        inside = {"from": str(start_unix_nano), "to": str(start_unix_nano + 1)}
    else:  # placed at its arrival
        assert abs(int(found["start_unix_nano"]) - time.time_ns()) < 600 * NS_PER_S
        inside = {"from": "now-1h"}
    assert [trace["trace_id"] for trace in server.found(service=service, **inside)] == [trace_id.hex()]


def test_a_span_that_ends_before_it_starts_lasts_no_time(server: Server) -> None:
    service, trace_id = fresh_name("backwards"), new_trace_id()
    sent = span(trace_id, duration_ns=-5_000)
    server.export(request(service, [sent]))
    server.flush()
    (found,) = server.found(service=service)
    assert found["duration_ns"] == "0"
    assert spans_of(server.trace_bytes(trace_id)) == [sent]


def test_a_batch_over_ninety_days_is_stored_once_and_found(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    newest = time.time_ns() - NS_PER_S
    batch = [span(start_unix_nano=newest - day * DAY_S * NS_PER_S, name=f"day {day}") for day in range(90)]
    server.export(request("ninety", batch))
    server.flush()
    listed = server.found(service="ninety", limit=7)
    assert [trace["trace_id"] for trace in listed] == [one.trace_id.hex() for one in batch]
    fortnight = server.found(service="ninety", **{"from": "now-14d"})
    assert [trace["trace_id"] for trace in fortnight] == [one.trace_id.hex() for one in batch[:14]]
    assert [trace["root_name"] for trace in server.found(service="ninety", operation="day 89")] == ["day 89"]
    for one in batch[::30]:
        assert spans_of(server.trace_bytes(one.trace_id)) == [one]
    assert server.stop() == 0
    assert len(assert_stored_once(server.data_dir, 90, 90)["days"]) == 1


def test_a_trace_is_as_long_in_a_list_as_by_its_id_whatever_its_times(server: Server) -> None:
    """Every pair of odd spans in one trace, sent in one request; by its id before and after it is stored."""
    service, now = fresh_name("odd-pairs"), time.time_ns()
    times = [
        (now, 1),
        (now, 0),
        (now + 7, -5_000),
        (now - 90 * DAY_S * NS_PER_S, 3 * NS_PER_S),
        (0, 3),
        (1, now),
        (1, 5),
        (946_684_800 * NS_PER_S, 11),
        (4_102_444_800 * NS_PER_S - 1, 2 * NS_PER_S),
        (4_200_000_000 * NS_PER_S, 3),
        (now, 2**62 + 5),
        (2**63 + 5, 2**62),
        (2**64 - 9, 8),
    ]
    traces = {}
    spans = []
    for one, other in itertools.combinations(times, 2):
        trace_id = new_trace_id()
        root = span(trace_id, start_unix_nano=one[0], duration_ns=one[1])
        child = span(trace_id, parent_id=root.span_id, start_unix_nano=other[0], duration_ns=other[1])
        spans += [root, child]
        traces[trace_id.hex()] = (one, other)
    server.export(request(service, spans))

    def by_id() -> dict[str, tuple[int, int]]:
        found = {}
        for trace_id in traces:
            columns = server.get_json(f"/api/v1/traces/{trace_id}/skeleton")
            start, length = columns["start"], columns["dur"]
            end = max(begin + lasting for begin, lasting in zip(start, length, strict=True))
            found[trace_id] = int(columns["t0"]), end
        return found

    in_the_log = by_id()
    server.flush()
    listed = {
        trace["trace_id"]: (int(trace["start_unix_nano"]), int(trace["duration_ns"]))
        for trace in server.found(service=service, limit=1000)
    }
    stored = by_id()
    assert listed.keys() == traces.keys()
    different = {
        times: (listed[key], stored[key], in_the_log[key])
        for key, times in traces.items()
        if not listed[key] == stored[key] == in_the_log[key]
    }
    assert different == {}
