"""The log: what is acknowledged is on disk, survives every kind of end, and nothing else is in it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record
from clew_server.collector.files import LogUnusable
from clew_server.collector.wal import DAY_NS, Wal
from clew_server.errors import Unavailable

NOW = 1_795_346_136_783_749_738


def put(wal: Wal, body: bytes, spans: int = 1) -> None:
    wal.append(body, spans, wal.body_hash(body)).result(100)


def bodies(folder: Path) -> list[bytes]:
    out = []
    for path in sorted(folder.glob("*.otlp")):
        data = path.read_bytes()
        out += [data[one.body : one.mark] for one in record.scan(data).records]
    return out


def test_a_segment_has_the_name_and_the_bytes_of_the_format(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal(clock_ns=lambda: NOW)
    put(wal, request_of(1))
    put(wal, request_of(2))
    wal.seal()
    (segment,) = wal.sealed()
    assert re.fullmatch(r"\d{20}-[0-9a-f]{8}\.otlp", segment.path.name)
    found = record.scan(segment.path.read_bytes())
    assert [one.sequence for one in found.records] == [0, 1]
    assert {one.arrival_unix_nano for one in found.records} == {NOW}
    assert [one.request_hash for one in found.records] == [wal.body_hash(request_of(n)) for n in (1, 2)]
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert (segment.size_bytes, segment.spans) == (segment.path.stat().st_size, 2)


def test_what_arrives_during_a_sync_is_made_durable_by_one_more(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    syncs = 0
    started, go_on = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        started.set()
        assert go_on.wait(100)
        os.fdatasync(fd)

    wal = open_wal(fdatasync=slow)
    first = wal.append(request_of(0), 1, bytes(16))
    assert started.wait(100)
    rest = [wal.append(request_of(n), 1, bytes(16)) for n in range(1, 50)]
    assert not first.done()
    go_on.set()
    for done in (first, *rest):
        done.result(100)
    assert syncs == 2


def test_a_new_segments_name_is_durable_before_the_first_acknowledgement(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    order: list[str] = []

    def sync_file(fd: int) -> None:
        order.append("file")

    def sync_folder(fd: int) -> None:
        assert stat.S_ISDIR(os.fstat(fd).st_mode)
        order.append("folder")

    wal = open_wal(fdatasync=sync_file, fsync=sync_folder)
    for number in range(2):
        done = wal.append(request_of(number), 1, bytes(16))
        done.add_done_callback(lambda _: order.append("acknowledged"))
        done.result(100)
    assert order == ["file", "folder", "acknowledged", "file", "acknowledged"]


def test_a_failed_sync_refuses_its_batch_and_abandons_the_file(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    fail = False

    def sync(fd: int) -> None:
        nonlocal fail
        os.fdatasync(fd)
        if fail:
            fail = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    wal = open_wal(fdatasync=sync)
    put(wal, request_of(1))
    fail = True
    with pytest.raises(Unavailable, match="could not be written"):
        put(wal, request_of(2))
    put(wal, request_of(3))
    assert not wal.remembers(wal.body_hash(request_of(2)))
    put(wal, request_of(2))
    wal.seal()
    assert bodies(wal.folder) == [request_of(1), request_of(3), request_of(2)]
    assert [len(segment.record_ends) for segment in wal.sealed()] == [1, 2]
    assert "Input/output error" in (wal.statistics().last_error or "")


def test_a_folder_that_cannot_be_synced_refuses_the_batch(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    failures = [OSError(errno.EIO, "broken")]

    def sync(fd: int) -> None:
        if failures:
            raise failures.pop()

    wal = open_wal(fsync=sync)
    with pytest.raises(Unavailable):
        put(wal, request_of(1))
    put(wal, request_of(2))
    assert bodies(wal.folder) == [request_of(2)]


KILLED = """
    import sys
    from pathlib import Path
    from clew_server.collector.wal import Wal
    wal = Wal(Path(sys.argv[1]), seal_after_spans=50)
    wal.open()
    first = int(sys.argv[2])
    for number in range(first, first + 1_000_000, 5):
        group = [wal.append(b"\\x0a\\x0a" + b"%010d" % (number + k), 1, bytes(16)) for k in range(5)]
        for one in group:
            one.result(100)
        print(number, flush=True)
"""


def test_after_a_kill_at_any_moment_every_acknowledged_record_is_there_once(tmp_path: Path) -> None:
    folder, acknowledged = tmp_path / "wal", set[int]()
    for run in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), folder, str(run * 1_000_000)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged.update(range(int(line), int(line) + 5))
                if len(acknowledged) >= (run + 1) * 150 + run * 7:
                    break
            process.kill()
            for line in process.stdout:
                acknowledged.update(range(int(line), int(line) + 5))
    wal = Wal(folder)
    wal.open()
    wal.close()
    there = [int(body[2:]) for body in bodies(folder)]
    assert len(there) == len(set(there))
    assert acknowledged <= set(there)


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
int fdatasync(int fd) {
    static int calls;
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (++calls == 2) { errno = EIO; return -1; }
    return real(fd);
}
"""

SHIMMED = """
    import sys
    from pathlib import Path
    from clew_server.collector.wal import Wal
    from clew_server.errors import Unavailable
    wal = Wal(Path(sys.argv[1]))
    wal.open()
    outcomes = []
    for number in range(4):
        body = bytes([10, 2, 26, 0]) if number == 0 else bytes([10, 3, 26, 1, 65 + number])
        try:
            wal.append(body, 0, wal.body_hash(body)).result(100)
            outcomes.append("durable")
        except Unavailable:
            outcomes.append("refused")
    wal.close()
    print(*outcomes)
"""


@pytest.mark.skipif(shutil.which("cc") is None or sys.platform != "linux", reason="needs a C compiler and LD_PRELOAD")
def test_an_eio_from_the_system_itself_refuses_one_batch_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "shim.c"
    source.write_text(SHIM)
    library = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHIMMED), tmp_path / "wal"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["durable", "refused", "durable", "durable"]
    assert [body[-1:] for body in bodies(tmp_path / "wal")] == [b"\0", b"C", b"D"]


def test_a_torn_tail_is_cut_at_every_byte_and_nothing_before_it(
    tmp_path: Path, request_of: Callable[..., bytes]
) -> None:
    folder = tmp_path / "wal"
    wal = Wal(folder)
    wal.open()
    for number in range(3):
        put(wal, request_of(number))
    wal.close()
    (path,) = folder.glob("*.otlp")
    whole = path.read_bytes()
    last = record.scan(whole).records[-1].start
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        wal = Wal(folder)
        wal.open()
        (segment,) = wal.sealed()
        assert path.read_bytes() == whole[:last]
        assert (segment.size_bytes, segment.spans, len(segment.record_ends)) == (last, 2, 2)
        assert not wal.remembers(wal.body_hash(request_of(2)))
        wal.close()


def test_what_a_killed_process_wrote_and_did_not_sync_is_durable_before_it_is_remembered(
    tmp_path: Path, request_of: Callable[..., bytes]
) -> None:
    first = Wal(tmp_path / "wal")
    first.open()
    put(first, request_of(1))
    first.close()
    synced: list[str] = []
    again = Wal(
        tmp_path / "wal",
        fsync=lambda fd: synced.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"),
    )
    again.open()
    assert synced == ["file", "folder"]
    again.close()


def test_the_newest_file_with_nothing_whole_in_it_and_what_was_being_written_is_removed(
    tmp_path: Path, open_wal: Callable[..., Wal]
) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    (folder / "00000000000000000001-00000000.otlp").write_bytes(b"")
    (folder / "00000000000000000002-00000000.otlp").write_bytes(b"torn")
    for name in ("00000000000000000001-00000000.0-3.part", "00000000000000000001-00000000.marks.tmp", "hash.key.tmp"):
        (folder / name).write_bytes(b"left over")
    wal = open_wal()
    assert wal.sealed() == []
    assert {path.name for path in folder.iterdir()} == {"hash.key"}
    assert wal.statistics().damaged_files == 0


def test_what_clew_did_not_write_is_neither_read_nor_removed(
    tmp_path: Path, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    names = {"notes.otlp", "notes.marks", "notes.tmp", "x.part", "0001.damaged", ".hidden", "README"}
    for name in names:
        (folder / name).write_bytes(name.encode())
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("nowhere")
    wal = open_wal()
    assert wal.statistics().foreign_files == len(names) + 2
    put(wal, request_of(1))
    wal.seal()
    wal.delete(wal.sealed()[0])
    wal.close()
    open_wal()
    for name in names:
        assert (folder / name).read_bytes() == name.encode()
    assert (folder / "folder").is_dir()
    assert (folder / "link").is_symlink()


SEGMENT = "00000000000000000001-00000000"


def _folder(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_folder, _dangling, _pipe])
@pytest.mark.parametrize(
    "name", [f"{SEGMENT}.otlp", f"{SEGMENT}.marks", f"{SEGMENT}.otlp.tmp", "hash.key", "odd.otlp", "odd.part"]
)
def test_an_entry_named_like_a_file_of_the_log_that_is_none_ends_the_start_with_its_name(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "wal"
    folder.mkdir()
    make(folder / name)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(LogUnusable, match=re.escape(str(folder / name))):
        Wal(folder).open()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_damage_between_records_is_set_aside_and_the_others_stay(
    tmp_path: Path, request_of: Callable[..., bytes]
) -> None:
    folder = tmp_path / "wal"
    wal = Wal(folder)
    wal.open()
    for number in range(3):
        put(wal, request_of(number))
    wal.close()
    (path,) = folder.glob("*.otlp")
    data = bytearray(path.read_bytes())
    victim = record.scan(bytes(data)).records[1]
    data[victim.body + 5] ^= 1
    path.write_bytes(data)
    wal = Wal(folder)
    wal.open()
    wal.close()
    assert bodies(folder) == [request_of(0), request_of(2)]
    assert path.with_suffix(".damaged").read_bytes() == data[victim.start : victim.end]


@pytest.mark.parametrize("place", ["length", "body", "mark", "checksum"])
@pytest.mark.parametrize("which", ["newest", "older"])
def test_a_flipped_bit_in_the_last_record_of_a_segment_is_damage_and_no_torn_tail(
    tmp_path: Path,
    request_of: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    place: str,
    which: str,
) -> None:
    folder = tmp_path / "wal"
    wal = Wal(folder)
    wal.open()
    for number in range(4):
        put(wal, request_of(number))
        if number == 1:
            wal.seal()
    wal.close()
    path = sorted(folder.glob("*.otlp"))[-1 if which == "newest" else 0]
    for bit in range(8):
        whole = path.read_bytes()
        data = bytearray(whole)
        victim = record.scan(whole).records[-1]
        at = {"length": victim.start, "body": victim.body + 9, "mark": victim.mark + 1, "checksum": victim.end - 1}[
            place
        ]
        data[at] ^= 1 << bit
        path.write_bytes(data)
        caplog.clear()
        wal = Wal(folder)
        wal.open()
        figures = wal.statistics()
        wal.close()
        kept = path.with_suffix(".damaged")
        assert kept.read_bytes() == data[victim.start :], bit
        assert (figures.damaged_files, figures.damaged_bytes) == (1, len(data) - victim.start)
        assert [line.levelname for line in caplog.records] == ["ERROR"]
        assert len(bodies(folder)) == 3
        kept.unlink()
        path.write_bytes(whole)


def test_a_segment_that_was_complete_and_is_cut_short_is_damage(
    tmp_path: Path, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for number in range(4):
        put(wal, request_of(number))
        if number == 1:
            wal.seal()
    wal.close()
    path = sorted(wal.folder.glob("*.otlp"))[0]
    path.write_bytes(path.read_bytes()[:-7])
    assert open_wal().statistics().damaged_files == 1
    assert bodies(wal.folder) == [request_of(0), request_of(2), request_of(3)]


def test_damage_that_comes_again_is_added_to_what_is_kept(
    tmp_path: Path, open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for number in range(3):
        put(wal, request_of(number))
    wal.close()
    (path,) = wal.folder.glob("*.otlp")
    lost = b""
    for _ in range(3):
        data = bytearray(path.read_bytes())
        victim = record.scan(bytes(data)).records[-1]
        data[victim.body] ^= 1
        lost += data[victim.start :]
        path.write_bytes(data)
        open_wal().close()
    assert path.with_suffix(".damaged").read_bytes() == lost
    assert not path.exists()


@pytest.mark.parametrize("jump_s", [-60 * 365 * 86_400, -86_400, 86_400, 365 * 86_400, 200 * 365 * 86_400])
def test_a_clock_that_jumps_neither_stops_the_log_nor_forgets_a_request(
    tmp_path: Path, request_of: Callable[..., bytes], jump_s: int
) -> None:
    now = NOW

    def opened() -> Wal:
        wal = Wal(tmp_path / "wal", clock_ns=lambda: now)
        wal.open()
        return wal

    wal = opened()
    put(wal, request_of(1))
    now += jump_s * 1_000_000_000
    put(wal, request_of(2))
    assert wal.remembers(wal.body_hash(request_of(1)))
    assert wal.remembers(wal.body_hash(request_of(2)))
    wal.seal()
    for segment in wal.sealed():
        wal.delete(segment)
    wal.close()
    wal = opened()
    assert wal.remembers(wal.body_hash(request_of(1)))
    assert wal.remembers(wal.body_hash(request_of(2)))
    put(wal, request_of(3))
    wal.seal()
    (segment,) = wal.sealed()
    assert 0 <= segment.last_arrival_unix_nano < (1 << 32) * 1_000_000_000
    wal.close()


def test_names_rise_also_after_a_start_with_an_earlier_clock(tmp_path: Path, request_of: Callable[..., bytes]) -> None:
    names = []
    for number, now in enumerate((NOW, NOW - 365 * DAY_NS)):
        wal = Wal(tmp_path / "wal", clock_ns=lambda now=now: now)  # type: ignore[misc]
        wal.open()
        put(wal, request_of(number))
        wal.seal()
        names.append(wal.sealed()[-1].name)
        wal.close()
    assert names == sorted(names)


def test_the_committer_survives_whatever_fails_and_refuses_that_group_only(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    failures: list[Exception] = []

    def clock() -> int:
        if failures:
            raise failures.pop()
        return NOW

    def sync(fd: int) -> None:
        if failures:
            raise failures.pop()

    for where in ({"clock_ns": clock}, {"clock_ns": lambda: NOW, "fdatasync": sync}):
        wal = open_wal(**where)
        put(wal, request_of(1))
        failures.append(ValueError("nobody foresaw this"))
        with pytest.raises(Unavailable, match="nobody foresaw this"):
            put(wal, request_of(2))
        figures = wal.statistics()
        assert (figures.failures, figures.failing_since_unix_nano) == (1, NOW)
        assert not wal.remembers(wal.body_hash(request_of(2)))
        put(wal, request_of(3))
        assert wal.statistics().failing_since_unix_nano is None
        wal.seal()
        assert [len(segment.record_ends) for segment in wal.sealed()][-2:] == [1, 1]
        wal.close()
        for path in wal.folder.glob("*.otlp"):
            path.unlink()


def test_a_caller_who_gave_up_does_not_end_the_committer(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    go_on = threading.Event()

    def slow(fd: int) -> None:
        assert go_on.wait(100)

    wal = open_wal(fdatasync=slow)
    gone = wal.append(request_of(1), 1, bytes(16))
    assert gone.cancel()
    go_on.set()
    put(wal, request_of(2))


def test_hashes_are_remembered_across_restarts_and_after_a_segment_is_deleted(
    tmp_path: Path, request_of: Callable[..., bytes]
) -> None:
    now_s = 1_000.0

    def monotonic() -> float:
        return now_s

    def reopened() -> Wal:
        wal = Wal(tmp_path / "wal", monotonic_s=monotonic)
        wal.open()
        return wal

    wal = reopened()
    put(wal, request_of(1))
    wal.close()
    wal = reopened()
    assert wal.remembers(wal.body_hash(request_of(1)))
    wal.delete(wal.sealed()[0])
    wal.close()
    wal = reopened()
    assert wal.sealed() == []
    assert wal.remembers(wal.body_hash(request_of(1)))
    assert not wal.remembers(wal.body_hash(request_of(2)))
    now_s += 17 * 60
    assert not wal.remembers(wal.body_hash(request_of(1)))
    put(wal, request_of(3))
    wal.seal()
    wal.delete(wal.sealed()[0])
    assert len(list(wal.folder.glob("*.marks"))) == 1, "the marks that nobody needs any more are gone"
    wal.close()


def test_hashes_of_two_folders_differ(tmp_path: Path) -> None:
    one, other = Wal(tmp_path / "a"), Wal(tmp_path / "b")
    one.open()
    other.open()
    assert one.body_hash(b"x") != other.body_hash(b"x")
    one.close()
    other.close()


def test_a_segment_ends_with_its_spans_its_bytes_and_its_day(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    now = NOW // DAY_NS * DAY_NS + DAY_NS - 1
    wal = open_wal(clock_ns=lambda: now, max_segment_spans=10, max_segment_bytes=4096, seal_after_spans=9)
    put(wal, request_of(0, 6), 6)
    put(wal, request_of(1, 6), 6)  # 12 would be too many
    assert [segment.spans for segment in wal.sealed()] == [6]
    put(wal, request_of(2, 3), 3)  # 9: sealed as asked
    with wal.changed:
        assert wal.changed.wait_for(lambda: wal.unsealed() is None, 100)
    assert [segment.spans for segment in wal.sealed()] == [6, 9]
    put(wal, request_of(3, 1, name="x" * 3000), 1)
    put(wal, request_of(4, 1, name="x" * 3000), 1)  # does not fit beside it
    put(wal, request_of(5, 1, name="x" * 9000), 1)  # larger than a segment: one of its own
    now += 1  # midnight
    put(wal, request_of(6), 1)
    wal.seal()
    assert [segment.spans for segment in wal.sealed()] == [6, 9, 1, 1, 1, 1]
    assert len({segment.name for segment in wal.sealed()}) == 6
    assert [segment.day for segment in wal.sealed()][-2:] == [NOW // DAY_NS, NOW // DAY_NS + 1]


def test_names_rise_even_when_the_clock_stands_still(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal(clock_ns=lambda: NOW)
    for number in range(3):
        put(wal, request_of(number))
        wal.seal()
    names = [segment.name for segment in wal.sealed()]
    assert names == sorted(names)
    assert len(set(names)) == 3


def test_an_append_after_close_is_refused(open_wal: Callable[..., Wal]) -> None:
    wal = open_wal()
    wal.close()
    with pytest.raises(Unavailable):
        put(wal, b"")


def test_what_was_appended_before_close_is_durable(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    waiting = [wal.append(request_of(number), 1, bytes(16)) for number in range(20)]
    wal.close()
    for done in waiting:
        done.result(0)
    assert len(bodies(wal.folder)) == 20


def test_a_cut_that_failed_is_made_up_before_the_file_is_read(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    put(wal, request_of(1))
    wal.seal()
    (segment,) = wal.sealed()
    with segment.path.open("ab") as file:
        file.write(b"never acknowledged")
    wal.settle(segment)
    assert segment.path.stat().st_size == segment.size_bytes


def test_a_segment_is_one_valid_otlp_message_without_its_lengths(
    open_wal: Callable[..., Wal], request_of: Callable[..., bytes]
) -> None:
    wal = open_wal()
    for number in range(3):
        put(wal, request_of(number))
    wal.seal()
    data = wal.sealed()[0].path.read_bytes()
    joined = b"".join(data[one.body : one.end] for one in record.scan(data).records)
    assert len(ExportTraceServiceRequest.FromString(joined).resource_spans) == 3
