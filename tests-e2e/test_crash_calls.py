"""The process ends at a chosen system call, or that call fails once: every acknowledged span is in every table exactly once.

A sample here; `CLEW_CALLS=500` makes more (`make soak`), `CLEW_SEED` repeats a run.
"""

from __future__ import annotations

import base64
import errno
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness import older, retention_often
from harness.answers import wait_until
from harness.calls import NAMES, Call, CallShim
from harness.folder import assert_stored_once
from harness.server import NotReady, Server
from harness.wire import new_span_id, new_trace_id, request, span, spans_of

RUNS = int(os.environ.get("CLEW_CALLS", "6"))
SEED = int(os.environ.get("CLEW_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SPANS_A_TRACE = 3
MOST_ROUNDS = 4
MOST_FLUSHES = 80
# A flush makes 12 renames, 11 directories, 170 fdatasyncs, 140 writes, 3 fsyncs, 1 or 2 unlinks.
HIGHEST = {"rename": 36, "unlink": 6, "fsync": 9, "fdatasync": 400, "mkdir": 33, "ftruncate": 2, "write": 300}


def chosen(chance: random.Random) -> Call:
    name = chance.choice((*NAMES, "rename", "rename"))
    return Call(
        name,
        number=chance.randint(1, HIGHEST[name]),
        error=chance.choice((0, 0, errno.ENOSPC, errno.EIO)),
        armed=chance.random() < 0.75,
    )


class Story:
    """One server, one call that goes wrong, and what was acknowledged."""

    def __init__(self, server: Server, shim: CallShim, call: Call) -> None:
        self.server = server
        self.shim = shim
        self.call = call
        self.acknowledged: dict[bytes, tuple[str, set[bytes]]] = {}
        self.unanswered: list[tuple[bytes, bytes, str, list[bytes]]] = []

    def send(self, number: int) -> None:
        """One request of one trace, its service and a resource attribute named after the request."""
        trace_id = new_trace_id()
        ids = [new_span_id() for _ in range(SPANS_A_TRACE)]
        batch = [
            span(trace_id, span_id=one, parent_id=ids[0] if at else b"", name=f"step {at}", failed=at == 2)
            for at, one in enumerate(ids)
        ]
        service = f"service-{number % 3}"
        body = request(service, batch, resource={"request.number": f"r{number}"})
        self.unanswered.append((body, trace_id, f"r{number}", ids))

    def repeat_unanswered(self) -> None:
        """As an exporter does: the same bytes again until they are acknowledged."""
        left = []
        for body, trace_id, number, ids in self.unanswered:
            try:
                answer = self.server.post(body)
            except httpx.TransportError:
                left.append((body, trace_id, number, ids))
                continue
            if answer.status_code == 200:
                assert answer.content == b""
                self.acknowledged[trace_id] = (number, set(ids))
            else:
                assert answer.status_code == 503, answer.content
                left.append((body, trace_id, number, ids))
        self.unanswered = left

    def load_until_it_happens(self) -> None:
        number = len(self.acknowledged)
        for _ in range(MOST_ROUNDS):
            for _ in range(4):
                self.send(number)
                number += 1
            self.repeat_unanswered()
            try:
                self.server._client.post(f"{self.server.http}/api/v1/flush", params={"timeout_s": 10}, timeout=20)
            except httpx.TransportError:
                pass
            if not self.server.is_running():
                return
            if self.shim.happened() is not None:
                return


def check(server: Server, story: Story, name: str) -> None:
    server.flush()
    found = {trace["trace_id"]: trace for trace in server.found(limit=1000)}
    assert len(found) == len(story.acknowledged), name
    for trace_id, (number, ids) in story.acknowledged.items():
        summary = found[trace_id.hex()]
        assert (summary["spans"], summary["errors"], summary["has_root"]) == (SPANS_A_TRACE, 1, True), name
        data = server.trace_bytes(trace_id)
        assert sorted(one.span_id for one in spans_of(data)) == sorted(ids), name
        assert number.encode() in data, name
        by_resource = server.found(attr=f"request.number:{number}")
        assert [trace["trace_id"] for trace in by_resource] == [trace_id.hex()], name
    status = server.status()
    assert (status["dead_letter_spans"], status["backlog_spans"]) == (0, 0), name


@pytest.mark.timeout(180 * RUNS)
def test_every_acknowledged_span_is_in_every_table_once_whatever_call_the_process_dies_at(
    make_server: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    shim = CallShim(tmp_path / "shim")
    happened = spans = 0
    for run in range(RUNS):
        call = chosen(chance)
        server = make_server(f"data-{run}")
        if not call.armed:  # something is in the log and in the store when it starts
            server.start()
            story = Story(server, shim, call)
            for number in range(3):
                story.send(number)
            story.repeat_unanswered()
            server.flush()
            for number in range(3, 6):
                story.send(number)
            story.repeat_unanswered()
            server.kill()
        else:
            story = Story(server, shim, call)
        faulty = make_server(f"data-{run}", environment=shim.environment(call, server.data_dir))
        story.server = faulty
        try:
            faulty.start()
        except NotReady:
            pass  # it ended, killed or with a sentence: what it had acknowledged is looked for below
        else:
            shim.arm()
            story.load_until_it_happens()
            if faulty.is_running() and chance.random() < 0.5:
                faulty.stop()
        faulty.kill()
        what = shim.happened()
        happened += what is not None
        name = f"seed {SEED}, run {run}: {call}, at {what}"
        again = make_server(f"data-{run}")
        try:
            again.start()
        except NotReady as error:
            raise AssertionError(f"{name}: {error}") from error
        story.server = again
        deadline_s = time.monotonic() + 100
        while story.unanswered:
            story.repeat_unanswered()
            assert time.monotonic() < deadline_s, name
        check(again, story, name)
        assert again.stop() == 0, name
        total = sum(len(ids) for _, ids in story.acknowledged.values())
        if total:
            try:
                assert_stored_once(again.data_dir, total, len(story.acknowledged))
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
        spans += total
        with capsys.disabled():
            if RUNS > 20:
                print(f"\n  {run}: {call.name} {call.number} error {call.error} armed {call.armed}: {what}", end="")
    with capsys.disabled():
        print(
            f"\n  seed {SEED}: {RUNS} runs, the call happened in {happened}; {spans} spans acknowledged, each found once"
        )


def merged_parts_that_are_short(shim: CallShim) -> set[Path]:
    """The folders of the parts, with the names they get when they are merged."""
    paths = [Path(line.split(" ", 1)[1]) for line in (shim.happened() or "").splitlines()]
    return {path.parent.with_name(path.parent.name.removeprefix("tmp_merge_")) for path in paths}


def send_until_merges_fail(server: Server, story: Story, shim: CallShim, *, tables: int) -> None:
    """The engine merges by itself after some flushes. Ends when short merged parts of so many tables have their names."""
    shim.arm()
    for _ in range(MOST_FLUSHES):
        story.send(len(story.acknowledged))
        story.repeat_unanswered()
        server.flush()
        if len({part.parent for part in merged_parts_that_are_short(shim) if part.exists()}) >= tables:
            return
    raise AssertionError(f"merges failed of too few tables: {shim.happened()}")


@pytest.mark.timeout(600)
def test_merges_that_the_disk_did_not_take_cost_nothing_whether_the_server_goes_on_or_is_killed(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Writes to merged parts fail: the engine goes on as if the bytes were written, and replaces what it merged."""
    shim = CallShim(tmp_path / "shim")
    call = Call("write", number=5, error=errno.EIO, armed=True, within="/tmp_merge_", every=True)
    server = make_server()
    server = make_server(environment=shim.environment(call, server.data_dir)).start()
    story = Story(server, shim, call)

    send_until_merges_fail(server, story, shim, tables=3)
    what = str(shim.happened())
    shim.disarm()
    # It is looked for six times a minute, and one table after the other is mended.
    deadline_s = time.monotonic() + 200
    while True:
        try:
            assert "parts it was made of are back" in server.printed(), what
            check(server, story, what)
        except AssertionError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)
        else:
            break
    # A search may have met a short part before: then it is a trouble for a while, but no part is damaged any more.
    assert server.status()["damaged_store_parts"] == 0, what

    send_until_merges_fail(server, story, shim, tables=2)
    server.kill()
    again = make_server().start()
    story.server = again
    check(again, story, str(shim.happened()))
    assert again.stop() == 0
    total = sum(len(ids) for _, ids in story.acknowledged.values())
    assert_stored_once(again.data_dir, total, len(story.acknowledged))


FULL = Call("write", number=1, error=errno.ENOSPC, armed=False, within=".sql.tmp", every=True)
KILLED = Call("unlink", number=3, error=0, armed=False, within=".sql.tmp")


def test_a_server_that_cannot_bring_the_tables_up_to_date_loses_nothing_and_the_next_one_does_it(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    """On a full disk the engine leaves empty definitions under the names of its tables, and opens no such folder."""
    shim = CallShim(tmp_path / "shim")
    server = make_server(wrapper=[sys.executable, older.__file__, "11"]).start()
    story = Story(server, shim, FULL)
    story.send(1)
    story.send(2)
    story.repeat_unanswered()
    server.flush()
    assert server.stop() == 0

    full = make_server(environment=shim.environment(FULL, server.data_dir))
    with pytest.raises(NotReady, match=r"ended with 5 (?s:.*)the disk did not take all"):
        full.start()
    assert ".sql.tmp" in str(shim.happened())
    killed = make_server(environment=shim.environment(KILLED, server.data_dir))
    with pytest.raises(NotReady):
        killed.start()
    assert ".sql.tmp" in str(shim.happened())

    again = make_server().start()
    story.server = again
    check(again, story, "brought up to date")
    assert again.stop() == 0
    assert_stored_once(again.data_dir, 2 * SPANS_A_TRACE, 2)


@pytest.mark.timeout(600)
def test_a_kill_while_the_engine_merges_costs_nothing(make_server: Callable[..., Server], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    shim = CallShim(tmp_path / "shim")
    name = chance.choice(("write", "fdatasync"))
    call = Call(name, number=chance.randint(1, 30), error=0, armed=True, within="/tmp_merge_")
    server = make_server()
    server = make_server(environment=shim.environment(call, server.data_dir)).start()
    story = Story(server, shim, call)
    shim.arm()
    for _ in range(MOST_FLUSHES):
        story.send(len(story.acknowledged) + len(story.unanswered))
        story.repeat_unanswered()
        try:
            server.flush()
        except httpx.TransportError:
            break
    what = f"seed {SEED}: {call}, at {shim.happened()}"
    assert shim.happened() is not None, what
    again = make_server().start()
    story.server = again
    story.repeat_unanswered()
    check(again, story, what)
    assert again.status()["damaged_store_parts"] == 0, what
    assert [one for one in again.status()["troubles"] if one["what"] == "store_damage"] == [], what
    assert again.stop() == 0
    assert_stored_once(again.data_dir, SPANS_A_TRACE * len(story.acknowledged), len(story.acknowledged))


@pytest.mark.timeout(300)
def test_a_kill_while_the_oldest_arrivals_are_deleted_keeps_the_newest_whole(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    shim = CallShim(tmp_path / "shim")
    # The first write of a deletion says what is deleted, those after it are parts without what was deleted.
    call = Call("write", number=chance.choice((1, 2, 3, 5)), error=0, armed=False, within="/tmp_mut")
    server = make_server().start()
    story = Story(server, shim, call)
    for _ in range(12):
        data = base64.b64encode(os.urandom(750_000)).decode()
        server.export(request("old", [span(new_trace_id(), values={"data": data})]))
    came_s = int(time.time())
    wait_until(lambda: time.time() >= came_s + 1.1, 10)  # arrivals are deleted by whole seconds
    story.send(1)
    story.repeat_unanswered()
    server.flush()
    assert server.stop() == 0

    often = [sys.executable, retention_often.__file__]
    options = ["--max-disk", "10MB"]
    full = make_server(environment=shim.environment(call, server.data_dir), wrapper=often, options=options)
    full.launch()
    wait_until(lambda: not full.is_running(), 120)
    what = f"seed {SEED}: {call}, at {shim.happened()}"
    assert shim.happened() is not None, what
    again = make_server(wrapper=often, options=options).start()
    ((trace_id, (number, ids)),) = story.acknowledged.items()
    (summary,) = again.found(attr=f"request.number:{number}")
    assert (summary["spans"], summary["errors"], summary["has_root"]) == (SPANS_A_TRACE, 1, True), what
    assert sorted(one.span_id for one in spans_of(again.trace_bytes(trace_id))) == sorted(ids), what
    assert again.status()["damaged_store_parts"] == 0, what
    assert [one for one in again.status()["troubles"] if one["what"] == "store_damage"] == [], what
    assert again.stop() == 0
