"""What the receivers' tests share: a request as real clients send it, and both OTLP listeners over a real log."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.collector import record
from clew_server.collector.intake import Intake
from clew_server.collector.wal import Wal
from clew_server.config import Listening
from clew_server.receivers.contract import ReceiverState
from clew_server.receivers.listeners import Listeners as AllListeners

T = TypeVar("T")


def _request(spans: int = 1, *, first: int = 1) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "svc"
    scope = resource.scope_spans.add()
    scope.scope.name = "lib"
    for number in range(first, first + spans):
        span = scope.spans.add(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name="op")
        span.attributes.add(key="i").value.int_value = number
    return message


@pytest.fixture
def otlp_request() -> Callable[..., ExportTraceServiceRequest]:
    """`otlp_request(spans=1, first=1)`: ids count up from `first`."""
    return _request


@dataclass
class Listeners:
    """Both OTLP listeners, running in a loop of their own thread."""

    wal: Wal
    intake: Intake
    http: ReceiverState
    grpc: ReceiverState
    http_url: str
    grpc_address: str
    loop: asyncio.AbstractEventLoop
    others: dict[str, ReceiverState]
    """The receivers that were named, by name."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the listeners' loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(100)

    def logged(self) -> list[Span]:
        """Every span in the log, from its files."""
        spans: list[Span] = []
        for segment in self.wal.segments():
            data = segment.path.read_bytes()[: segment.size_bytes]
            found = record.scan(data)
            assert found.end == len(data)
            assert not found.damaged
            for one in found.records:
                request = ExportTraceServiceRequest.FromString(data[one.body : one.mark])
                spans += [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]
        return spans


@contextlib.asynccontextmanager
async def _serving(intake: Intake, token: str | None, names: Sequence[str]) -> AsyncIterator[AllListeners]:
    listeners = AllListeners()
    listeners.bind([Listening(name, "127.0.0.1") for name in ("otlp-grpc", "otlp-http", *names)])
    await listeners.start(intake, token=token, others={})
    yield listeners
    await listeners.stop()


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listeners]]:
    """`listen(*names, token=None, wal={…}, **intake_options)`: listeners on free ports, stopped at the end.

    `names` are receivers beside the two of OTLP.
    """
    with contextlib.ExitStack() as stack:

        def start(
            *names: str, token: str | None = None, wal: dict[str, Any] | None = None, **intake_options: Any
        ) -> Listeners:
            log = Wal(tmp_path / "wal", **(wal or {}))
            log.open()
            stack.callback(log.close)
            intake = Intake(log, **intake_options)
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever)
            thread.start()
            serving = _serving(intake, token, names)

            def stop() -> None:
                asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(100)
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

            listeners = asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(100)
            stack.callback(stop)
            states = {state.name: state for state in listeners.states}
            grpc, http = states["otlp-grpc"], states["otlp-http"]
            others = {name: states[name] for name in names}
            return Listeners(log, intake, http, grpc, http.address, grpc.address, loop, others)

        yield start
