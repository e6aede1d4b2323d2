"""A disk that changes or loses bytes of the store: what is left is answered, and what is missing is said."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.server import PROTOBUF, Server, clew_command
from harness.wire import new_trace_id, request, span


def parts_of(server: Server, column: str, *others: str) -> list[Path]:
    """Parts of the tables that have the columns, on disk now."""
    found = []
    for described in (server.data_dir / "chdb" / "store").glob("*/*/*/columns.txt"):
        words = described.read_text().split()
        if all(f"`{name}`" in words for name in (column, *others)):
            found.append(described.parent)
    return found


def flip(part: Path) -> None:
    """Change a bit here and there, so that every block of the part has one."""
    file = part / "data.bin"
    content = bytearray(file.read_bytes())
    for at in range(20, len(content), 50):
        content[at] ^= 4
    file.write_bytes(content)


def until(holds: Callable[[], bool], damage: Callable[[], None], timeout_s: float = 100) -> None:
    """Damage what is there until it shows: parts may be merged, and so written anew, meanwhile."""
    deadline = time.monotonic() + timeout_s
    while True:
        damage()
        if holds():
            return
        assert time.monotonic() < deadline, "the damage never showed"
        time.sleep(0.2)


@pytest.fixture
def filled(make_server: Callable[..., Server]) -> tuple[Server, list[str]]:
    server = make_server().start()
    ids = []
    for _ in range(3):
        trace_ids = [new_trace_id() for _ in range(50)]
        server.export(request("damaged", [span(trace_id) for trace_id in trace_ids]))
        server.flush()
        ids += [trace_id.hex() for trace_id in trace_ids]
    assert len(server.found(service="damaged", limit=1000)) == 150
    return server, ids


def test_a_trace_whose_bytes_are_damaged_says_so_in_every_form_and_search_goes_on(
    filled: tuple[Server, list[str]],
) -> None:
    server, ids = filled
    done: set[Path] = set()

    def damage() -> None:
        for part in set(parts_of(server, "raw", "res", "scope")) - done:
            flip(part)
            done.add(part)

    until(lambda: all(server.get(f"/api/v1/traces/{one}").status_code == 500 for one in ids[::50]), damage)
    for path, accept in (("", "application/json"), ("", PROTOBUF), ("/skeleton", "application/json")):
        answer = server.get(f"/api/v1/traces/{ids[0]}{path}", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "damaged")
        assert "Search knows 1 spans" in answer.json()["error"]["message"]
        assert "of table chunks cannot be read" in answer.json()["error"]["message"]
    page = server.get_json("/api/v1/traces", service="damaged", limit=1000)
    assert sorted(trace["trace_id"] for trace in page["traces"]) == sorted(ids)
    assert not page["complete"]
    assert "of table chunks cannot be read" in page["reason"]
    fresh = new_trace_id()
    server.export(request("damaged", [span(fresh)]))
    server.flush()
    assert server.trace_bytes(fresh)
    assert server.get(f"/api/v1/traces/{new_trace_id().hex()}").status_code in (404, 500)


def test_a_search_over_a_damaged_part_answers_the_rest(filled: tuple[Server, list[str]]) -> None:
    server, ids = filled
    damaged: Path | None = None
    page: dict[str, Any] = {}

    def damage() -> None:
        nonlocal damaged
        parts = parts_of(server, "trace_id", "first", "services")
        if damaged not in parts:  # none yet, or it was read for a merge just before
            damaged = parts[0]
            flip(damaged)

    def shows() -> bool:
        nonlocal page
        page = server.get_json("/api/v1/traces", service="damaged", limit=1000)
        return not page["complete"]

    until(shows, damage)
    assert "of table traces cannot be read" in page["reason"]
    assert {trace["trace_id"] for trace in page["traces"]} < set(ids)
    assert server.get_json("/api/v1/services")["services"] == ["damaged"]
    assert all(server.get(f"/api/v1/traces/{one}").status_code == 200 for one in ids[::50])


def test_a_trace_whose_bytes_are_gone_is_not_simply_unknown(filled: tuple[Server, list[str]]) -> None:
    import subprocess

    server, ids = filled
    assert server.stop() == 0
    for part in parts_of(server, "raw", "res", "scope"):
        shutil.rmtree(part)
    server.start()
    answer = server.get(f"/api/v1/traces/{ids[0]}/skeleton")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "damaged")
    assert "missing" in answer.json()["error"]["message"]
    assert server.get(f"/api/v1/traces/{new_trace_id().hex()}").status_code == 404
    shown = subprocess.run(
        [*clew_command(), "show", ids[0], "--server", server.http], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 7
    assert "their bytes are missing" in shown.stderr
