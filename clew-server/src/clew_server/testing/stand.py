"""One receiver, running: its real listener on a free port of loopback, over a log in a folder. It can refuse and restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record
from clew_server.collector.intake import DiskRoom, Intake
from clew_server.collector.remembered import Remembered
from clew_server.collector.wal import Wal
from clew_server.config import Listening
from clew_server.receivers.contract import ReceiverSpec, ReceiverState
from clew_server.receivers.listeners import Beside, Listener, open_listener

T = TypeVar("T")
_WITHIN_S = 100.0


class StoredAs(NamedTuple):
    """What the log has of a span."""

    trace_id: bytes
    span_id: bytes
    name: str
    service: str


class ReceiverStand:
    """A context manager. `spec` may be any receiver, in the table or not.

    While `is_full` is set, the intake refuses: senders that get an answer are told to come again.
    """

    def __init__(
        self,
        spec: ReceiverSpec,
        folder: Path,
        *,
        token: str | None = None,
        follow: Sequence[Path] = (),
        **intake_options: Any,
    ) -> None:
        """`token`: what senders must say; `follow`: the folders of a receiver that follows files; `intake_options`: of `Intake`,
        such as `in_flight_bytes`."""
        self.spec = spec
        self.is_full = False
        self.intake: Intake
        self.state: ReceiverState
        self.remembered: Remembered
        self._folder = folder
        self._token = token
        self._follow = tuple(map(str, follow))
        self._intake_options = intake_options
        self._listener: Listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clew-receiver-stand", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._close()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_WITHIN_S)
            self._loop.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the listener."""
        host, _, port = self.state.address.removeprefix("http://").rpartition(":")
        return host, int(port)

    def restart(self) -> None:
        """Stop as a server does, and start again on the same log, at another port."""
        self._close()
        self._open()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the listener's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_WITHIN_S)

    def logged(self) -> list[StoredAs]:
        """Every span that the log has, in its order, read from its files."""
        return list(self._logged())

    def wait_until(self, is_so: Callable[[], bool], what: str, within_s: float = _WITHIN_S) -> None:
        """Wait for a condition. Raises AssertionError when the time is over."""
        waiting = threading.Event()
        for _ in range(int(within_s / 0.01)):
            if is_so():
                return
            waiting.wait(0.01)
        raise AssertionError(f"not within {within_s:.0f} s: {what}; {self.state.as_dict()}")

    def _open(self) -> None:
        self._wal = Wal(self._folder)
        self._wal.open()
        self.intake = Intake(self._wal, disk_room=self._room, **self._intake_options)
        self.state = ReceiverState(self.spec.name, self.spec.transport)
        self._listener = open_listener(
            self.spec, self.state, Listening(self.spec.name, "127.0.0.1", 0, folders=self._follow)
        )
        self.remembered = Remembered(self._folder.with_name(self._folder.name + "-agents"))
        self.remembered.open()
        self._listener.bind()
        self.run(self._listener.start(self.intake, Beside(token=self._token, remembered=self.remembered)))

    def _close(self) -> None:
        try:
            self.run(self._listener.stop())
        finally:
            self._listener.close()
            self.remembered.close()
            self._wal.close()

    def _room(self) -> DiskRoom:
        return DiskRoom(0 if self.is_full else 1 << 40, 1 << 40)

    def _logged(self) -> Iterator[StoredAs]:
        for segment in self._wal.segments():
            data = segment.path.read_bytes()[: segment.size_bytes]
            for one in record.scan(data).records:
                request = ExportTraceServiceRequest.FromString(data[one.body : one.mark])
                for resource in request.resource_spans:
                    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            yield StoredAs(span.trace_id, span.span_id, span.name, attributes.get("service.name", ""))
