"""What agents say of themselves, once and not again with each span: names of methods, statements, properties of a process.

Spans name such facts by a number, so they have to survive a restart: a fact is in a file, and durable, before its sender is told
that it was taken. Facts belong to an agent (a process of a system); the drawing of the file is docs/formats/agents.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from clew_server.collector.files import damage_kept_for, keep_damage
from clew_server.durable import sync_folder, write_durably
from clew_server.errors import TooLarge, Unavailable
from clew_server.model.facts import NO_FACTS, Fact

_log = logging.getLogger(__name__)

MOST_AGENTS: Final = 20_000
MOST_BYTES: Final = 64 << 20
"""The limit for all facts in memory; `_FACT_COSTS_BYTES` are added for each."""
MOST_FACT_BYTES: Final = 256 << 10
"""Of one fact: its system, agent, key and value."""

_FACT_COSTS_BYTES: Final = 200
_IN_VAIN_FOR_S: Final = 60.0
_OF_ONE_AGENT: Final = 4
"""One agent may have a quarter of the room."""
_AFTER_MAKING_ROOM: Final = 0.9
_REWRITE_AT_BYTES: Final = 1 << 20
"""A file is written anew when it is more than this and twice what is known longer."""
_HEAD: Final = struct.Struct("<4sII")
_MAGIC: Final = b"\xc1ag1"
_LENGTHS: Final = struct.Struct("<IIII")


class Statistics(NamedTuple):
    """What is known now, and what could not be read when the file was opened."""

    agents: int
    facts: int
    known_bytes: int
    damaged: int
    kept_bytes: int
    """What could not be read at this start or an earlier one and is kept in `facts.damaged`, while that file is there."""


@dataclass(slots=True, eq=False)
class _Agent:
    facts: dict[str, bytes] = field(default_factory=dict)
    size_bytes: int = 0
    used: int = 0
    """Greater for an agent that was heard of later."""


class Facts:
    """What the agents of one system said. Safe from any thread."""

    def __init__(self, remembered: Remembered, system: str) -> None:
        self._remembered = remembered
        self._system = system

    def of(self, agent: str) -> Mapping[str, bytes]:
        """What is known of an agent, by key; empty for one that nothing is known of. It may grow while it is held."""
        return self._remembered.of(self._system, agent)


class Remembered:
    """The facts of all systems, in memory and in one file. `open` and `close` block; `add` belongs to one event loop."""

    def __init__(self, folder: Path, *, most_agents: int = MOST_AGENTS, most_bytes: int = MOST_BYTES) -> None:
        """Beyond `most_agents` or `most_bytes` the agents are forgotten that have sent nothing for longest."""
        self.folder = folder
        self._path = folder / "facts"
        self._most_agents = most_agents
        self._most_bytes = most_bytes
        self._agents: dict[tuple[str, str], _Agent] = {}
        self._size_bytes = 0
        self._uses = itertools.count(1)
        self._fd = -1
        self._file_bytes = 0
        self._must_rewrite = False
        self._damaged = 0
        self._waiting: list[tuple[list[tuple[str, Fact]], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._in_vain_until_s: dict[tuple[str, str], float] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clew-agents")

    def open(self) -> None:
        """Read what is there; a torn end is cut off, a damaged record is skipped, counted and kept apart. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        data = self._path.read_bytes()
        at = end = 0
        good: list[bytes] = []
        lost: list[bytes] = []
        for found in _scan(data):
            if found.fact is None:
                self._damaged += 1
                lost.append(data[at : found.end])
            else:
                end = found.end
                good.append(data[at : found.end])
                self._learn(*found.fact)
            at = found.end
        if lost:
            keep_damage(self._path, b"".join(lost))
            write_durably(self._path, b"".join(good))
            os.close(self._fd)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            end = sum(map(len, good))
        elif end < len(data):
            # What follows the last good record was cut short by a crash.
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
        if not data:
            sync_folder(self._path.parent)
        self._file_bytes = end
        if self._damaged:
            _log.warning(
                "%s: %d stretches that cannot be read are kept in %s: names that agents sent may be missing, until they send them again",
                self._path,
                self._damaged,
                damage_kept_for(self._path).name,
            )

    def close(self) -> None:
        """Write what waits; then nothing is taken any more."""
        self._thread.shutdown(wait=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def facts(self, system: str) -> Facts:
        """What agents of a system said, for its decoder."""
        return Facts(self, system)

    def of(self, system: str, agent: str) -> Mapping[str, bytes]:
        """What is known of an agent of a system, by key."""
        known = self._agents.get((system, agent))
        if known is None:
            return NO_FACTS
        known.used = next(self._uses)
        return known.facts

    def statistics(self) -> Statistics:
        """Counts of now."""
        facts = sum(len(agent.facts) for agent in list(self._agents.values()))
        kept_bytes = 0
        with contextlib.suppress(OSError):
            kept_bytes = damage_kept_for(self._path).stat().st_size
        return Statistics(len(self._agents), facts, self._size_bytes, self._damaged, kept_bytes)

    async def add(self, system: str, facts: Iterable[Fact]) -> None:
        """Return when these are durable; what is known already costs nothing. Facts that come together are written together.

        Raises TooLarge for a fact that is longer than one may be, Unavailable when they cannot be written now.
        """
        new = []
        for fact in facts:
            if len(fact.value) + 4 * (len(fact.agent) + len(fact.key) + len(system)) > MOST_FACT_BYTES:
                raise TooLarge(f"more than {MOST_FACT_BYTES} bytes in one fact about an agent")
            if self.of(system, fact.agent).get(fact.key) != fact.value:
                new.append((system, fact))
        if not new:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((new, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        await asyncio.shield(done)

    async def wait_for(self, system: str, wanted: Sequence[tuple[str, str]], within_s: float) -> bool:
        """Return when all of these are known, as agent and key, or after a time; whether any has come meanwhile.

        An agent that was waited for in vain is not waited for in the minute after: it may have said it all before clew ran.
        """
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        missing = [
            (agent, key)
            for agent, key in wanted
            if self._in_vain_until_s.get((system, agent), now_s) <= now_s and key not in self.of(system, agent)
        ]
        has_come = len(missing) < len(wanted) and any(key in self.of(system, agent) for agent, key in wanted)
        before = len(missing)
        try:
            async with asyncio.timeout(within_s):
                while missing:
                    if self._news is None or self._news.done():
                        self._news = loop.create_future()
                    await asyncio.shield(self._news)
                    missing = [(agent, key) for agent, key in missing if key not in self.of(system, agent)]
        except TimeoutError:
            if len(self._in_vain_until_s) >= self._most_agents:
                self._in_vain_until_s.clear()
            self._in_vain_until_s.update(((system, agent), now_s + _IN_VAIN_FOR_S) for agent, _ in missing)
        return has_come or len(missing) < before

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            facts = [fact for some, _ in waiting for fact in some]
            problem: Unavailable | None = None
            try:
                await loop.run_in_executor(self._thread, self._write, facts)
            except (OSError, RuntimeError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                problem = Unavailable(f"what agents say cannot be written: {reason}", retry_after_s=2.0)
            if self._news is not None and not self._news.done():
                self._news.set_result(None)
            for _, done in waiting:
                if done.done():
                    continue
                if problem is None:
                    done.set_result(None)
                else:
                    done.set_exception(problem)
                    done.exception()  # retrieved, so that asyncio does not report it where no task awaits it any more

    # In the thread

    def _write(self, facts: Sequence[tuple[str, Fact]]) -> None:
        data = b"".join(_record(system, fact) for system, fact in facts)
        # After a failure it is unknown what of the file is on disk, so it is written anew.
        if self._must_rewrite or self._file_bytes + len(data) > _REWRITE_AT_BYTES + 2 * self._size_bytes:
            self._rewrite(facts)
        else:
            try:
                _write_all(self._fd, data, self._file_bytes)
                os.fdatasync(self._fd)
            except OSError:
                self._must_rewrite = True
                raise
            self._file_bytes += len(data)
        for system, fact in facts:
            self._learn(system, fact)

    def _rewrite(self, facts: Sequence[tuple[str, Fact]]) -> None:
        """Put a file with what is known, the agent heard of last at its end, and these in the place of the old one."""
        draft = self._path.with_name("facts.new")
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            size = 0
            agents = sorted(self._agents.items(), key=lambda item: item[1].used)
            for (system, agent), known in agents:
                data = b"".join(_record(system, Fact(agent, key, value)) for key, value in known.facts.items())
                _write_all(fd, data, size)
                size += len(data)
            data = b"".join(_record(system, fact) for system, fact in facts)
            _write_all(fd, data, size)
            size += len(data)
            os.fsync(fd)
            draft.replace(self._path)
            sync_folder(self._path.parent)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            self._must_rewrite = True
            raise
        os.close(self._fd)
        self._fd, self._file_bytes, self._must_rewrite = fd, size, False

    def _learn(self, system: str, fact: Fact) -> None:
        known = self._agents.get((system, fact.agent))
        if known is None:
            known = self._agents[system, fact.agent] = _Agent()
        known.used = next(self._uses)
        before = known.facts.pop(fact.key, None)
        known.facts[fact.key] = fact.value
        grown = _cost(fact.key, fact.value) - (0 if before is None else _cost(fact.key, before))
        known.size_bytes += grown
        self._size_bytes += grown
        if known.size_bytes > self._most_bytes // _OF_ONE_AGENT:
            self._forget_oldest_facts(known)
        if self._size_bytes > self._most_bytes or len(self._agents) > self._most_agents:
            self._forget_oldest_agents()

    def _forget_oldest_facts(self, agent: _Agent) -> None:
        while agent.size_bytes > self._most_bytes // _OF_ONE_AGENT * _AFTER_MAKING_ROOM and len(agent.facts) > 1:
            key = next(iter(agent.facts))
            freed = _cost(key, agent.facts.pop(key))
            agent.size_bytes -= freed
            self._size_bytes -= freed

    def _forget_oldest_agents(self) -> None:
        by_use = sorted(self._agents, key=lambda name: self._agents[name].used)
        for name in by_use[:-1]:  # never the agent that has just sent
            if (
                self._size_bytes <= self._most_bytes * _AFTER_MAKING_ROOM
                and len(self._agents) <= self._most_agents * _AFTER_MAKING_ROOM
            ):
                break
            self._size_bytes -= self._agents.pop(name).size_bytes


def _cost(key: str, value: bytes) -> int:
    return len(key) + len(value) + _FACT_COSTS_BYTES


def _record(system: str, fact: Fact) -> bytes:
    texts = [text.encode("utf-8", "replace") for text in (system, fact.agent, fact.key)]
    body = _LENGTHS.pack(*map(len, texts), len(fact.value)) + b"".join(texts) + fact.value
    return _HEAD.pack(_MAGIC, len(body), google_crc32c.value(body)) + body


class _Found(NamedTuple):
    """A record and where it ends; None for a stretch that cannot be read and that a good record follows."""

    fact: tuple[str, Fact] | None
    end: int


def _scan(data: bytes) -> Iterable[_Found]:
    at = 0
    while at < len(data):
        found = _read(data, at)
        if found is not None:
            yield found
            at = found.end
            continue
        good = data.find(_MAGIC, at + 1)
        while good >= 0 and _read(data, good) is None:
            good = data.find(_MAGIC, good + 1)
        if good < 0:
            if _is_whole(data, at):
                yield _Found(None, len(data))
            return
        yield _Found(None, good)
        at = good


def _read(data: bytes, at: int) -> _Found | None:
    """The good record that begins here; None where there is none."""
    if len(data) - at < _HEAD.size:
        return None
    magic, size, crc = _HEAD.unpack_from(data, at)
    body = data[at + _HEAD.size : at + _HEAD.size + size]
    if magic != _MAGIC or len(body) != size or size < _LENGTHS.size or google_crc32c.value(body) != crc:
        return None
    system, agent, key, value = _LENGTHS.unpack_from(body)
    ends = list(itertools.accumulate((_LENGTHS.size, system, agent, key, value)))
    if ends[-1] != size:
        return None
    texts = [body[start:end].decode("utf-8", "replace") for start, end in itertools.pairwise(ends[:-1])]
    return _Found((texts[0], Fact(texts[1], texts[2], body[ends[-2] :])), at + _HEAD.size + size)


def _is_whole(data: bytes, at: int) -> bool:
    """Whether the record that begins here was written to its end, so that it is damaged and not torn."""
    if len(data) - at < _HEAD.size:
        return False
    magic, size, _ = _HEAD.unpack_from(data, at)
    return bool(magic != _MAGIC or at + _HEAD.size + size <= len(data))


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
