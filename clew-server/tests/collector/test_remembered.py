"""What agents say of themselves is on disk before they are told so, survives what happens to the file, and stays bounded."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clew_server.collector import remembered
from clew_server.collector.remembered import Remembered
from clew_server.errors import TooLarge, Unavailable
from clew_server.model.facts import Fact

KILLED = """
import asyncio, os, sys
from pathlib import Path
from clew_server.collector.remembered import Remembered
from clew_server.model.facts import Fact

async def main():
    known = Remembered(Path(sys.argv[1]))
    known.open()
    number = 0
    while True:
        facts = [Fact(f"agent-{number % 7}", f"api:{number + n}", str(number + n).encode() * 20) for n in range(3)]
        await known.add("pinpoint", facts)
        number += 3
        os.write(1, b"%d\\n" % number)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def opened(folder: Path, **bounds: int) -> Remembered:
    known = Remembered(folder, **bounds)
    known.open()
    return known


def add(known: Remembered, *facts: Fact, system: str = "s") -> None:
    asyncio.run(known.add(system, facts))


def filled(folder: Path, count: int = 5) -> bytes:
    known = opened(folder)
    for number in range(count):
        add(known, Fact("a", f"k{number}", b"value %d" % number))
    known.close()
    return (folder / "facts").read_bytes()


def keys(known: Remembered, agent: str = "a") -> list[str]:
    return sorted(known.facts("s").of(agent))


def test_a_fact_is_known_at_once_and_after_a_restart_by_its_system_agent_and_key(folder: Path) -> None:
    known = opened(folder)
    add(known, Fact("a", "k", b"1"), Fact("b", "k", b"2"), Fact("ü", "ß", b"\0\xff"))
    add(known, Fact("a", "k", b"other"), system="t")
    for again in range(2):
        assert known.facts("s").of("a") == {"k": b"1"}
        assert known.facts("s").of("b") == {"k": b"2"}
        assert known.facts("s").of("ü") == {"ß": b"\0\xff"}
        assert known.facts("t").of("a") == {"k": b"other"}
        assert known.facts("s").of("nobody") == {}
        known.close()
        if not again:
            known = opened(folder)


def test_the_last_value_of_a_key_counts_and_a_repetition_writes_nothing(folder: Path) -> None:
    known = opened(folder)
    add(known, Fact("a", "k", b"1"))
    add(known, Fact("a", "k", b"2"))
    size = (folder / "facts").stat().st_size
    add(known, Fact("a", "k", b"2"))
    assert (folder / "facts").stat().st_size == size
    known.close()
    known = opened(folder)
    assert known.facts("s").of("a") == {"k": b"2"}
    known.close()


def test_what_was_acknowledged_survives_a_kill_between_any_two_steps(folder: Path) -> None:
    for turn in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            acknowledged = 0
            while acknowledged < 9 + 30 * turn:
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split())])
        known = opened(folder)
        facts = known.facts("pinpoint")
        missing = [
            number
            for number in range(acknowledged)
            if facts.of(f"agent-{number // 3 * 3 % 7}").get(f"api:{number}") != str(number).encode() * 20
        ]
        assert missing == []
        assert known.statistics().damaged == 0
        known.close()


def test_a_torn_tail_is_cut_off_wherever_it_tears_and_what_comes_next_is_kept(folder: Path) -> None:
    whole = filled(folder)
    last = whole.rindex(b"\xc1ag1")
    for end in range(last, len(whole)):
        (folder / "facts").write_bytes(whole[:end])
        known = opened(folder)
        assert (keys(known), known.statistics().damaged) == (["k0", "k1", "k2", "k3"], 0)
        add(known, Fact("a", "new", b"n"))
        known.close()
        known = opened(folder)
        assert (keys(known), known.statistics().damaged) == (["k0", "k1", "k2", "k3", "new"], 0)
        known.close()


def test_a_damaged_record_is_skipped_and_counted_and_costs_the_others_nothing(folder: Path) -> None:
    whole = filled(folder)
    starts = [at for at in range(len(whole)) if whole.startswith(b"\xc1ag1", at)]
    for number, start in enumerate(starts):
        end = [*starts, len(whole)][number + 1]
        for at in range(start, end):
            damaged = bytearray(whole)
            damaged[at] ^= 0x55
            (folder / "facts").write_bytes(damaged)
            known = opened(folder)
            assert keys(known) == [f"k{one}" for one in range(5) if one != number], at
            if number < 4:  # at the end, a length that is too long cannot be told from a torn tail
                assert known.statistics().damaged == 1
                assert (folder / "facts.damaged").read_bytes() == damaged[start:end]
                assert known.statistics().kept_bytes == end - start
            known.close()
            (folder / "facts.damaged").unlink(missing_ok=True)


def test_damage_is_said_until_somebody_moves_it_away_and_is_not_kept_twice(folder: Path) -> None:
    whole = bytearray(filled(folder))
    whole[20] ^= 1
    for _ in range(2):  # the second time as after a crash between the keeping and the cutting
        (folder / "facts").write_bytes(whole)
        known = opened(folder)
        kept_bytes = known.statistics().kept_bytes
        assert kept_bytes == whole.index(b"\xc1ag1", 1)
        add(known, Fact("a", "new", b"n"))
        known.close()
    known = opened(folder)
    assert (keys(known), known.statistics().damaged) == (["k1", "k2", "k3", "k4", "new"], 0)
    assert known.statistics().kept_bytes == kept_bytes
    (folder / "facts.damaged").unlink()
    assert known.statistics().kept_bytes == 0
    known.close()


def test_a_file_of_other_bytes_is_no_reason_not_to_start(folder: Path) -> None:
    for content in (b"", b"\0" * 5000, os.urandom(5000), b"\xc1ag1" * 500):
        (folder / "facts").write_bytes(content)
        known = opened(folder)
        assert known.statistics().facts == 0
        add(known, Fact("a", "k", b"v"))
        known.close()
        known = opened(folder)
        assert keys(known) == ["k"]
        known.close()


def test_the_agents_that_were_not_heard_of_for_longest_give_way(folder: Path) -> None:
    known = opened(folder, most_agents=20)
    for number in range(60):
        add(known, Fact(f"agent-{number}", "k", b"v"))
        known.facts("s").of("agent-0")  # a span of it came
    assert known.statistics().agents <= 20
    assert known.facts("s").of("agent-0")
    assert known.facts("s").of("agent-59")
    assert not known.facts("s").of("agent-30")
    known.close()


def test_the_room_is_bounded_and_one_agent_does_not_take_that_of_the_others(folder: Path) -> None:
    known = opened(folder, most_bytes=100_000)
    add(known, Fact("quiet", "k", b"v"))
    add(known, *(Fact("loud", f"sql:{number}", b"x" * 1000) for number in range(300)))
    found = known.statistics()
    assert found.known_bytes <= 25_000 + 300
    assert known.facts("s").of("quiet")
    assert "sql:299" in known.facts("s").of("loud")
    assert "sql:0" not in known.facts("s").of("loud")
    add(known, *(Fact(f"agent-{number}", "k", b"x" * 1000) for number in range(300)))
    assert known.statistics().known_bytes <= 100_000
    known.close()


def test_the_file_is_written_anew_before_it_is_much_longer_than_what_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_REWRITE_AT_BYTES", 5_000)
    known = opened(folder)
    for number in range(60):
        add(known, Fact("a", "k", b"%d" % number * 200), Fact("b", f"k{number % 3}", b"%d" % number))
        assert (folder / "facts").stat().st_size < 8_000
    expected = {agent: dict(known.facts("s").of(agent)) for agent in "ab"}
    known.close()
    known = opened(folder)
    assert {agent: dict(known.facts("s").of(agent)) for agent in "ab"} == expected
    known.close()


def test_a_disk_that_fails_is_a_refusal_and_what_comes_later_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = opened(folder)
    add(known, Fact("a", "before", b"1"))
    real = os.fdatasync

    def fails(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(Unavailable, match="No space left"):
        add(known, Fact("a", "refused", b"2"))
    assert keys(known) == ["before"]
    monkeypatch.setattr(os, "fdatasync", real)
    add(known, Fact("a", "after", b"3"))
    known.close()
    known = opened(folder)
    assert keys(known) == ["after", "before"]
    known.close()


def test_a_fact_that_is_too_long_is_refused_and_the_others_stay(folder: Path) -> None:
    known = opened(folder)
    add(known, Fact("a", "k", b"v"))
    with pytest.raises(TooLarge):
        add(known, Fact("a", "long", b"x" * (257 << 10)))
    with pytest.raises(TooLarge):
        add(known, Fact("a" * 70_000, "k", b"x"))
    assert keys(known) == ["k"]
    known.close()


def test_facts_that_come_together_are_synced_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = opened(folder)
    syncs: list[int] = []
    begun, gate = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(fd: int) -> None:
        syncs.append(fd)
        begun.set()
        assert gate.wait(100)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def many() -> None:
        adding = [asyncio.create_task(known.add("s", [Fact("a", f"k{number}", b"v")])) for number in range(50)]
        assert await asyncio.to_thread(begun.wait, 100)
        gate.set()
        await asyncio.gather(*adding)

    asyncio.run(many())
    assert len(syncs) <= 2
    assert len(keys(known)) == 50
    known.close()
