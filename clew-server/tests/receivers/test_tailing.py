"""Files that are followed: each record is handed in once, whatever becomes of the file, the server and the room in the log."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clew_server.collector.positions import Position, Positions
from clew_server.receivers import tailing
from clew_server.receivers.sofatracer.records import MAX_RECORD_BYTES
from clew_server.receivers.sofatracer.specs import SOFATRACER
from clew_server.testing import ReceiverStand
from clew_server.testing.sofatracer import TRACE, as_json, common

NAME = "spring-mvc-digest.log"
MakeStand = Callable[[], ReceiverStand]


def line(number: int) -> bytes:
    """A record with a span of its own, named after its number."""
    return as_json(common("0.1", trace=f"{TRACE[:21]}1001{number}"), [("method", f"n{number}")])


def lines(*numbers: int) -> bytes:
    return b"".join(map(line, numbers))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def has(stand: ReceiverStand, *numbers: int) -> None:
    """Wait until the log has these, and nothing else or twice."""
    wanted = Counter(f"n{number}" for number in numbers)

    def is_there() -> bool:
        return sum(wanted.values()) <= len(stand.logged())

    stand.wait_until(is_there, f"{len(numbers)} spans in the log")
    assert Counter(one.name for one in stand.logged()) == wanted


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "LOOK_EVERY_S", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs" / "tracelog"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def stand(tmp_path: Path, folder: Path) -> Iterator[ReceiverStand]:
    with ReceiverStand(SOFATRACER, tmp_path / "wal", follow=[tmp_path / "logs"]) as running:
        yield running


def test_what_is_there_and_what_is_added_is_read_once(stand: ReceiverStand, folder: Path) -> None:
    append(folder / NAME, lines(1, 2))
    has(stand, 1, 2)
    append(folder / NAME, lines(3))
    append(folder / "okhttp-digest.log", lines(4))
    append(folder / "spring-mvc-stat.log", lines(5))
    append(folder / "okhttp-digest.log.gz", lines(6))
    has(stand, 1, 2, 3, 4)
    # Counted after the log has them.
    stand.wait_until(lambda: (stand.state.files, stand.state.spans) == (2, 4), "two files and four spans are counted")
    assert stand.state.last_error is None


def test_a_folder_that_comes_later_is_followed(tmp_path: Path) -> None:
    later = tmp_path / "later"
    with ReceiverStand(SOFATRACER, tmp_path / "wal", follow=[tmp_path / "never", later]) as stand:
        later.mkdir()
        (later / "shadow").mkdir()
        append(later / "shadow" / NAME, lines(1))
        has(stand, 1)
        assert stand.state.last_error is None


def test_half_a_line_waits_for_its_other_half(stand: ReceiverStand, folder: Path) -> None:
    for cut in (1, 40, len(line(1)) - 1):
        append(folder / f"{cut}-digest.log", line(cut)[:cut])
    append(folder / NAME, line(7) + line(8)[:50])
    has(stand, 7)
    for cut in (1, 40, len(line(1)) - 1):
        append(folder / f"{cut}-digest.log", line(cut)[cut:])
    append(folder / NAME, line(8)[50:])
    has(stand, 1, 40, len(line(1)) - 1, 7, 8)


def test_a_file_that_is_renamed_is_read_to_its_end_and_the_new_one_from_its_beginning(
    stand: ReceiverStand, folder: Path
) -> None:
    append(folder / NAME, lines(1))
    has(stand, 1)
    append(folder / NAME, lines(2))
    (folder / NAME).rename(folder / f"{NAME}.2026-11-27")
    append(folder / NAME, lines(3))
    append(folder / f"{NAME}.2026-11-27", lines(4))
    has(stand, 1, 2, 3, 4)


def test_a_file_that_was_renamed_while_the_server_was_down_is_read_on(stand: ReceiverStand, folder: Path) -> None:
    append(folder / NAME, lines(1))
    has(stand, 1)
    stand._close()
    append(folder / NAME, lines(2))
    (folder / NAME).rename(folder / f"{NAME}.2026-11-27")
    append(folder / NAME, lines(3))
    stand._open()
    has(stand, 1, 2, 3)


def test_a_file_that_is_copied_and_cut_is_read_once(stand: ReceiverStand, folder: Path) -> None:
    append(folder / NAME, lines(1, 2))
    has(stand, 1, 2)
    append(folder / NAME, lines(3))
    shutil.copyfile(folder / NAME, folder / f"{NAME}.1")
    os.truncate(folder / NAME, 0)
    append(folder / NAME, lines(4))
    has(stand, 1, 2, 3, 4)
    os.truncate(folder / NAME, 0)
    append(folder / NAME, lines(5, 6, 7))  # longer than it was
    has(stand, 1, 2, 3, 4, 5, 6, 7)


def test_the_same_lines_in_two_places_of_a_file_are_two(stand: ReceiverStand, folder: Path) -> None:
    append(folder / NAME, lines(1))
    has(stand, 1)
    append(folder / NAME, lines(1))
    has(stand, 1, 1)


def test_positions_are_kept_over_restarts(stand: ReceiverStand, folder: Path) -> None:
    append(folder / NAME, lines(1, 2))
    has(stand, 1, 2)
    stand.restart()
    append(folder / NAME, lines(3))
    has(stand, 1, 2, 3)


def test_while_the_log_has_no_room_nothing_is_lost(stand: ReceiverStand, folder: Path) -> None:
    stand.is_full = True
    append(folder / NAME, lines(1, 2))
    stand.wait_until(lambda: stand.state.last_error is not None, "a refusal")
    append(folder / NAME, lines(3))
    assert stand.logged() == []
    stand.restart()  # it stops although it waits
    stand.is_full = False
    has(stand, 1, 2, 3)


def test_bytes_that_were_in_the_log_before_a_crash_are_not_written_again(
    stand: ReceiverStand, folder: Path, tmp_path: Path
) -> None:
    append(folder / NAME, lines(1, 2))
    has(stand, 1, 2)
    stand._close()
    # As if the process had been killed between the log's write and the note of it; meanwhile the file has grown.
    positions = Positions(tmp_path / "wal-agents")
    positions.open()
    (identity,) = positions._known
    assert positions.of(identity) == Position(len(lines(1, 2)), len(lines(1, 2)))
    positions.intend(identity, Position(0, len(lines(1, 2))))
    positions.close()
    append(folder / NAME, lines(3))
    stand._open()
    has(stand, 1, 2, 3)
    assert stand.intake.statistics().duplicate_requests == 1


def test_a_record_that_is_too_long_costs_itself_only(stand: ReceiverStand, folder: Path) -> None:
    long = as_json(common(), [("error", "x" * (MAX_RECORD_BYTES + 10))])
    longer = as_json(common(), [("error", "x" * (2 * tailing.READ_BYTES))])
    append(folder / NAME, line(1) + long + line(2) + longer + line(3))
    has(stand, 1, 2, 3)
    assert stand.intake.statistics().rejected_spans["malformed"] >= 1


def test_however_long_it_took_to_hand_in_what_was_there_what_comes_then_is_soon_seen(
    stand: ReceiverStand, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(folder / NAME, lines(1))
    has(stand, 1)
    slow = Positions.settle

    def settle(positions: Positions) -> None:
        if not positions._is_durable:
            time.sleep(0.2)  # a slow disk
        slow(positions)

    monkeypatch.setattr(Positions, "settle", settle)
    append(folder / NAME, lines(2))
    has(stand, 1, 2)
    append(folder / NAME, lines(3))
    stand.wait_until(lambda: len(stand.logged()) == 3, "the third")


def test_a_file_of_something_else_is_said_and_costs_nothing(stand: ReceiverStand, folder: Path) -> None:
    append(folder / "x-digest.log", b"hello\nworld\n")
    os.mkfifo(folder / "pipe-digest.log")
    (folder / "gone-digest.log").symlink_to(folder / "nowhere")
    append(folder / NAME, lines(1))
    has(stand, 1)
    stand.wait_until(lambda: stand.state.refused_requests == 1, "a refusal")
    assert "x-digest.log" in str(stand.state.last_error)


def test_a_large_file_is_read_in_pieces(stand: ReceiverStand, folder: Path) -> None:
    numbers = range(4 * tailing.READ_BYTES // len(line(1000)))
    append(folder / NAME, lines(*numbers))
    has(stand, *numbers)


# -- positions -------------------------------------------------------------------------------------------------------------


def opened(folder: Path, most_files: int = 100) -> Positions:
    positions = Positions(folder, most_files=most_files)
    positions.open()
    return positions


def test_an_end_that_was_cut_or_is_none_is_cut_off(tmp_path: Path) -> None:
    positions = opened(tmp_path)
    positions.intend(b"a" * 16, Position(0, 10))
    positions.done(b"a" * 16, 10)
    positions.intend(b"b" * 16, Position(5, 7))
    positions.close()
    whole = (tmp_path / "positions").read_bytes()
    for damaged in (whole[:-1], whole + b"\0" * 40, whole[:-1] + b"\xff"):
        (tmp_path / "positions").write_bytes(damaged)
        again = opened(tmp_path)
        assert again.of(b"a" * 16) == Position(10, 10)
        assert again.of(b"b" * 16) == (Position(5, 7) if damaged.startswith(whole) else Position())
        again.done(b"c" * 16, 3)
        again.close()
        last = opened(tmp_path)
        assert (last.of(b"a" * 16), last.of(b"c" * 16)) == (Position(10, 10), Position(3, 3))
        last.close()


def test_the_file_of_positions_stays_small_and_forgets_the_oldest(tmp_path: Path) -> None:
    positions = opened(tmp_path, most_files=2)
    for read in range(40_000):
        positions.done(b"a" * 16, read)
    assert (tmp_path / "positions").stat().st_size < 1 << 20
    for name in (b"b", b"c"):
        positions.done(name * 16, 1)
    positions.close()
    again = opened(tmp_path, most_files=2)
    assert [again.of(name * 16).read for name in (b"a", b"b", b"c")] == [0, 1, 1]
    again.close()
