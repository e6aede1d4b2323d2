"""What is started while a client's call is made and lives longer has its own calls traced, in every library."""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
import requests
import requests.adapters
import sqlalchemy
import urllib3
from opentelemetry.trace import SpanKind
from urllib3.connectionpool import HTTPConnectionPool

import clew
from clew.instrumentation import http_client as http_client_instrumentation
from clew.instrumentation import httpx as httpx_instrumentation
from clew.instrumentation import requests as requests_instrumentation
from clew.instrumentation import sqlalchemy as sqlalchemy_instrumentation
from clew.instrumentation import sqlite3 as sqlite3_instrumentation
from clew.instrumentation import urllib3 as urllib3_instrumentation
from clew.testing import SpanRecorder

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer

MODULES = (
    requests_instrumentation,
    urllib3_instrumentation,
    http_client_instrumentation,
    httpx_instrumentation,
    sqlalchemy_instrumentation,
    sqlite3_instrumentation,
)


@pytest.fixture
def patched(tracer_provider: Any) -> Iterator[SpanRecorder]:
    undos = [module.patch(tracer_provider) for module in MODULES]
    yield SpanRecorder(tracer_provider)
    for undo in undos:
        undo()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer().running() as running:
        yield running


class Background:
    """A thread in the context of whoever starts it, which works only when `release` is set: a refresher, a pool."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.release = Event()
        self._work = work
        self._thread: Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            context = copy_context()
            self._thread = Thread(target=lambda: context.run(self._run))
            self._thread.start()

    def _run(self) -> None:
        if self.release.wait(100):
            self._work()

    def finish(self) -> None:
        self.release.set()
        assert self._thread is not None, "nothing was started within the call"
        self._thread.join(100)


def by_requests(url: str, background: Background) -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            background.start()
            return super().get_connection_with_tls_context(*args, **kwargs)

    with requests.Session() as session:
        session.mount("http://", Adapter())
        session.get(url, timeout=100)


def by_urllib3(url: str, background: Background) -> None:
    class Pool(HTTPConnectionPool):
        def _validate_conn(self, conn: Any) -> None:
            background.start()
            super()._validate_conn(conn)

    manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": Pool}
    manager.request("GET", url)
    manager.clear()


def by_http_client(url: str, background: Background) -> None:
    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            background.start()
            super().connect()

    connection = Connection(url.removeprefix("http://").partition("/")[0], timeout=100)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def by_httpx(url: str, background: Background) -> None:
    def about(event: str, info: Any) -> None:
        background.start()

    with httpx.Client() as client:
        client.get(url, extensions={"trace": about})


def by_sqlalchemy(url: str, background: Background) -> None:
    engine = sqlalchemy.create_engine("sqlite://")

    @sqlalchemy.event.listens_for(engine, "do_execute")
    def execute(*_: Any) -> None:
        if clew.trace_id() is not None:
            background.start()

    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    engine.dispose()


CALLS = [by_requests, by_urllib3, by_http_client, by_httpx, by_sqlalchemy]


def later_by_requests(url: str) -> None:
    requests.get(url, timeout=100)


def later_by_urllib3(url: str) -> None:
    urllib3.request("GET", url, timeout=100)


def later_by_http_client(url: str) -> None:
    by_http_client(url, _Started())


def later_by_sqlalchemy(url: str) -> None:
    by_sqlalchemy(url, _Started())


class _Started(Background):
    """Nothing."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def start(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("later", [later_by_requests, later_by_urllib3, later_by_http_client, later_by_sqlalchemy])
def test_a_thread_that_was_started_within_a_call_is_traced_when_the_call_is_over(
    peer: Peer, patched: SpanRecorder, call: Callable[[str, Background], None], later: Callable[[str], None]
) -> None:
    later(peer.url)
    alone = [span.name for span in patched.spans]  # what it gives where no call is being made
    assert alone
    patched.clear()

    def work() -> None:
        later(peer.url)
        later(peer.url)

    background = Background(work)
    call(peer.url, background)
    traces = {span.context.trace_id for span in patched.spans}
    patched.clear()
    background.finish()
    assert [span.name for span in patched.spans] == alone * 2
    assert all(span.context.trace_id in traces for span in patched.spans)


def test_a_task_that_was_started_within_a_call_is_traced_when_the_call_is_over(
    peer: Peer, patched: SpanRecorder
) -> None:
    async def main() -> None:
        over = asyncio.Event()
        tasks: list[asyncio.Task[None]] = []

        async def refresh() -> None:
            await over.wait()
            async with httpx.AsyncClient() as client:
                await client.get(peer.url)
            await asyncio.to_thread(requests.get, peer.url, timeout=100)

        async def about(event: str, info: Any) -> None:
            if not tasks:
                tasks.append(asyncio.create_task(refresh()))

        async with httpx.AsyncClient() as client:
            await client.get(peer.url, extensions={"trace": about})
        over.set()
        await tasks[0]

    asyncio.run(main())
    assert [span.kind for span in patched.spans] == [SpanKind.CLIENT] * 3


def test_a_thread_that_asks_while_the_call_that_started_it_is_made_does_not_divide_its_span(
    peer: Peer, patched: SpanRecorder
) -> None:
    # The pool tells requests of each try; another thread's request is none of them.
    started = Event()

    def ask() -> None:
        urllib3.request("GET", f"{peer.url}/other", timeout=100)
        started.set()

    background = Background(ask)

    class Adapter(requests.adapters.HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            background.start()
            background.release.set()
            assert started.wait(100)
            return super().get_connection_with_tls_context(*args, **kwargs)

    with requests.Session() as session:
        session.mount("http://", Adapter())
        session.get(f"{peer.url}/mine", timeout=100)
    background.finish()
    (mine,) = [span for span in patched.spans if span.attributes["url.full"].endswith("/mine")]
    assert "http.request.resend_count" not in mine.attributes
