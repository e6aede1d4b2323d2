"""Bounded pools of chDB connections to one folder. chDB is imported here, when the store opens, and nowhere else.

One connection runs one statement at a time, several run in parallel. Nothing here may be called from the event loop or
the main thread of a server (a signal would wait for the statement), and nothing may fork after `open`.
"""

from __future__ import annotations

import contextlib
import platform
import queue
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from clew_server.errors import Unavailable
from clew_server.store import queries
from clew_server.store.contract import StoreCannotRun, StoreFailed, StoreUnusable

_CODE: Final = re.compile(r"Code:\s*(\d+)")
_MAX_WAITING: Final = 64
_ENGINE_SETTINGS: Final = "memory_worker_period_ms=100"
"""How often the engine gives freed memory back; by itself 20 times a second. More seldom, and full requests take more than is stated."""
_EMPTYING_TRIES: Final = 5
_LOOK_EVERY_S: Final = 0.2
"""How soon one that waits for all connections notices that the pool is closing."""


class EngineError(StoreFailed):
    """The engine returned an error; `code` is ClickHouse's number, 0 where it gave none."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


LIMIT_CODES: Final = frozenset({158, 159, 160, 241, 307, 394, 396})
"""Too many rows, time-out, too slow, memory, too many bytes, killed, result too large: a guard rail stopped a query."""


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Raise StoreCannotRun where importing chDB would end the process: its wheel needs AVX2 on x86-64."""
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if flags is not None and "avx2" not in flags.group(1).split():
        raise StoreCannotRun("This processor has no AVX2, which the embedded store (chDB) needs; run on a newer one.")


_LEAST_ADDRESS_SPACE_BYTES: Final = 4 << 30


def check_address_space(limit_bytes: int | None = None) -> None:
    """Raise StoreCannotRun where the process may not have the address space that the engine maps at its start (2.3 GB).

    `limit_bytes`: for tests; else the process's own limit, `ulimit -v`.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if limit_bytes is None else limit_bytes
    if limit != resource.RLIM_INFINITY and limit < _LEAST_ADDRESS_SPACE_BYTES:
        raise StoreCannotRun(
            f"The embedded store (chDB) needs {_LEAST_ADDRESS_SPACE_BYTES >> 30} GiB of address space, and this process may"
            f" have {limit >> 20} MiB; raise the limit (ulimit -v)."
        )


def first_line(error: BaseException) -> str:
    """The engine's message without its stack trace."""
    return re.split(r"\bStack trace\b|\n", str(error), maxsplit=1)[0].strip().rstrip(".,") or type(error).__name__


def _import_engine() -> Any:
    """chDB without pyarrow, which it works without and imports where it is installed: a fifth of the CPU of a server's start.

    Raises ImportError.
    """
    name = "pyarrow"
    if "chdb" in sys.modules or name in sys.modules:
        import chdb

        return chdb
    sys.modules[name] = None  # type: ignore[assignment]  # what the import system takes for "cannot be imported"
    try:
        import chdb
    finally:
        del sys.modules[name]
    return chdb


class Pool:
    """Some connections; `run` takes a free one, waits for it a bounded time, and gives it back."""

    def __init__(
        self,
        connections: list[Any],
        *,
        max_waiting: int = _MAX_WAITING,
        wait_s: float = 30.0,
        control: Pool | None = None,
    ) -> None:
        """`control` has a connection on which statements of this pool are ended."""
        self._control = control
        self._connections = connections
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        for connection in connections:
            self._free.put(connection)
        self._after_failure: set[int] = set()
        self._lock = threading.Lock()
        self._waiting = 0
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._closing = False

    @contextlib.contextmanager
    def _taken(self) -> Iterator[Any]:
        with self._lock:
            if self._closing:
                raise Unavailable("The store is closing.")
            if self._waiting >= self._max_waiting + len(self._connections):
                raise Unavailable("Too many queries are waiting for the store.")
            self._waiting += 1
        try:
            try:
                connection = self._free.get(timeout=self._wait_s)
            except queue.Empty:
                raise Unavailable(f"No connection to the store became free within {self._wait_s:.0f} s.") from None
            try:
                if self._closing:
                    raise Unavailable("The store is closing.")
                yield connection
            finally:
                self._free.put(connection)
        finally:
            with self._lock:
                self._waiting -= 1

    def run(self, sql: str, parameters: Mapping[str, str] | None = None, output: str = "Null") -> bytes:
        """Run one statement and return its output in the format. Raises EngineError, Unavailable."""
        with self._taken() as connection:
            if id(connection) in self._after_failure:
                self._empty(connection)
                self._after_failure.discard(id(connection))
            try:
                return self._query(connection, sql, output, parameters)
            except EngineError:
                self._after_failure.add(id(connection))
                raise

    def kill(self, mark: str) -> None:
        """End the statements with this mark (setting `log_comment`), if there are any. They raise EngineError, code 394."""
        if self._control is not None:
            with contextlib.suppress(StoreFailed, Unavailable):
                self._control.run(queries.statement("kill_marked"), {"mark": mark})

    def _empty(self, connection: Any) -> None:
        """Take out what a failed statement left behind: chDB puts the rows it had written in front of the next answer."""
        for _ in range(_EMPTYING_TRIES):
            if self._query(connection, "SELECT 1", "TSV") == b"1\n":
                return
        raise EngineError("a connection still answers with the rows of a statement that failed", 0)

    @staticmethod
    def _query(connection: Any, sql: str, output: str, parameters: Mapping[str, str] | None = None) -> bytes:
        try:
            result = connection.query(sql, output, params=dict(parameters) if parameters else None)
            return bytes(result.bytes()) if result is not None else b""
        except (RuntimeError, ValueError) as error:  # ChdbError is a RuntimeError
            message = str(error)
            code = _CODE.search(message)
            raise EngineError(message, int(code.group(1)) if code else 0) from error

    def stop(self) -> None:
        """Refuse all further statements."""
        self._closing = True

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until every connection is back; false when the time is over."""
        with self._all_taken(timeout_s, also_closing=True) as is_idle:
            return is_idle

    def paused(self, timeout_s: float) -> contextlib.AbstractContextManager[bool]:
        """Wait until every connection is back, and let none be taken meanwhile; false when the time is over or it is closing."""
        return self._all_taken(timeout_s, also_closing=False)

    @contextlib.contextmanager
    def _all_taken(self, timeout_s: float, *, also_closing: bool) -> Iterator[bool]:
        deadline = time.monotonic() + timeout_s
        taken: list[Any] = []
        try:
            while len(taken) < len(self._connections) and (also_closing or not self._closing):
                left_s = deadline - time.monotonic()
                with contextlib.suppress(queue.Empty):  # those taken go back when the time is over
                    taken.append(self._free.get(timeout=min(_LOOK_EVERY_S, max(0.0, left_s))))
                    continue
                if left_s <= 0:
                    break
            yield len(taken) == len(self._connections)
        finally:
            for connection in taken:
                self._free.put(connection)

    def close(self) -> None:
        """Close every connection; all must be back."""
        for connection in self._connections:
            connection.close()


class Connections:
    """All connections to one chDB folder: `write` for statements that change it, `read` for questions, `probe` for one only."""

    def __init__(self, write: Pool, read: Pool, probe: Pool, control: Pool) -> None:
        self.write = write
        self.read = read
        self.probe = probe
        self.control = control
        """One connection that is never waited for: for what ends or replaces what the others do."""

    @classmethod
    def open(cls, folder: Path, *, writers: int, readers: int) -> Connections:
        """Import chDB and open the folder. Raises StoreCannotRun, StoreUnusable."""
        check_processor()
        check_address_space()
        try:
            chdb = _import_engine()
        except ImportError as error:
            raise StoreCannotRun(f"The embedded store (chDB) cannot be loaded here: {first_line(error)}") from error
        opened: list[Any] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            opened.extend(chdb.connect(f"{folder.resolve()}?{_ENGINE_SETTINGS}") for _ in range(writers + readers + 2))
        except (RuntimeError, OSError) as error:
            for connection in opened:
                connection.close()
            raise StoreUnusable(f"The store in {folder} cannot be opened: {first_line(error)}") from error
        control = Pool(opened[-1:])
        return cls(Pool(opened[:writers]), Pool(opened[writers:-2], control=control), Pool(opened[-2:-1]), control)

    def close(self, timeout_s: float = 8.0) -> None:
        """Let statements end for half of the time, kill what still runs, and close. Nothing may use it afterwards.

        A killed insert stores some or nothing; after the next start each table is asked what it has.
        """
        self.write.stop()
        self.read.stop()
        self.probe.stop()
        # An interpreter that ends while a query runs crashes: so first all are ended, whatever it takes.
        for pool in (self.read, self.write, self.probe):
            if not pool.wait_idle(timeout_s / 4):
                with contextlib.suppress(StoreFailed):
                    self.control.run(queries.statement("kill_queries"))
                pool.wait_idle(timeout_s)
        self.control.stop()
        for pool in (self.read, self.write, self.probe, self.control):
            if pool.wait_idle(timeout_s / 4):
                pool.close()
