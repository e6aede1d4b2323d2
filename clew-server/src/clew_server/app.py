"""The composition root: the one place that names implementations, starts them leaves first and stops them in reverse.

Order: data folder → log (read, torn tail cut) → store → writer → API → receivers → the ready line. What the log still
holds is stored after that, while queries already see it by trace id.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import socket
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from clew_server import __version__
from clew_server.api.forms import Gzip
from clew_server.api.health import HealthApi
from clew_server.api.http import EXCEPTION_HANDLERS
from clew_server.api.jaeger.grpc import JaegerGrpc
from clew_server.api.jaeger.http import JaegerApi
from clew_server.api.jaeger.metrics import JaegerMetricsApi
from clew_server.api.jaeger.v3 import JaegerApiV3
from clew_server.api.native import NativeApi
from clew_server.api.static import StaticUi
from clew_server.api.tail import TailApi, gone_event, trace_event
from clew_server.api.tempo.http import TempoApi
from clew_server.api.uploads import UploadApi
from clew_server.api.zipkin.http import zipkin_app
from clew_server.collector.files import LogUnusable
from clew_server.collector.intake import Batch, Intake
from clew_server.collector.recent import RecentReader
from clew_server.collector.remembered import Remembered
from clew_server.collector.wal import Wal
from clew_server.collector.watching import Watcher
from clew_server.collector.writer import Writer
from clew_server.config import Config, ConfigurationProblems, text_from_seconds
from clew_server.datafolder import DataFolder, FolderUnusable
from clew_server.errors import Unavailable
from clew_server.guard import AsgiApp, Guard
from clew_server.query.live.tail import Tail
from clew_server.query.probe import Probe
from clew_server.query.service import QueryService
from clew_server.receivers.cat.router import Router as CatRouter
from clew_server.receivers.datadog.info import info_app as datadog_info
from clew_server.receivers.files.canonical import requests_of_file
from clew_server.receivers.jaeger.adaptive import AdaptiveRates
from clew_server.receivers.jaeger.roots import Root, roots
from clew_server.receivers.jaeger.sampling import GET_STRATEGY, Sampling
from clew_server.receivers.listeners import Listeners
from clew_server.sockets.accept import raise_descriptor_limit
from clew_server.sockets.listening import PortTaken, listen, with_port
from clew_server.sockets.server import serve as serve_http
from clew_server.status import Status
from clew_server.stopping import told_to_stop
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import Expired, StoreFailed, StoreStatistics
from clew_server.store.retention_clock import CONFIRM_S, Reading, RetentionClock
from clew_server.troubles import Trouble, Troubles

_log = logging.getLogger("clew")

_RETENTION_EVERY_S = 60.0
_LOSSES_EVERY_S = 600.0
_MERGES_EVERY_S = 10.0
_A_FAILED_QUERY_IS_SAID_FOR_S = 900.0
_BACKLOG_OF_CAP = 2
"""The log holds at most this part of --max-disk, so that what waits to be stored never pushes out all that is stored."""
_FIGURES_FOR_S = 1.0
_QUESTION_BYTES = 64 << 10
"""Of the head of a question: 4,096 characters of a query may have 48 KiB in an address."""
_STOP_WITHIN_S = 9.0


class CannotSayReady(Exception):
    """The file of --ready-file, or stdout, cannot be written."""


class App:
    """`async with App(config) as app:` runs the whole backend; `app.addresses` are the real ones."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._started_unix_nano = time.time_ns()
        self._stack = contextlib.AsyncExitStack()
        self._folder = DataFolder(config.data_dir)
        self._work = ThreadPoolExecutor(2, thread_name_prefix="clew-work")
        self._figures: tuple[float, StoreStatistics, int] | None = None
        self._losses_looked_for_s: float | None = None
        self.troubles = Troubles()
        self.addresses: dict[str, str] = {}
        self._listeners = Listeners()
        self._tail = Tail(trace_event, gone_event)

    async def __aenter__(self) -> App:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        config, stack = self._config, self._stack
        self._watcher = self._start_sampling()
        stack.callback(self._work.shutdown, wait=False, cancel_futures=True)
        api_socket = stack.enter_context(contextlib.closing(listen(config.host, config.http_port, "--http-port")))
        tempo_socket = None
        if config.tempo_port is not None:
            tempo_socket = listen(config.host, config.tempo_port, "--tempo-port")
            stack.enter_context(contextlib.closing(tempo_socket))
        # The ports first, so that nothing is touched where one is taken; receiving begins last, and ends first.
        stack.push_async_callback(self._listeners.stop)
        self._listeners.bind(config.listening)
        self._folder.open()
        stack.callback(self._folder.close)

        self._wal = Wal(self._folder.wal)
        try:
            await self._blocking(self._wal.open)
        except LogUnusable as error:
            raise FolderUnusable(str(error)) from error
        stack.push_async_callback(self._blocking, self._wal.close)
        self._remembered = Remembered(self._folder.agents)
        try:
            await self._blocking(self._remembered.open)
        except OSError as error:
            raise FolderUnusable(f"{error.filename or self._folder.agents}: {error.strerror or error}") from error
        stack.push_async_callback(self._blocking, self._remembered.close)
        self._store = ChdbStore(self._folder.chdb, schema_folder=self._folder.schema)
        await self._blocking(self._store.open)
        stack.push_async_callback(self._blocking, self._store.close)

        # Before anything new arrives: what was there says how much of the clock can be believed.
        self._clock = await self._blocking(self._retention_clock)
        self._intake = Intake(
            self._wal,
            max_backlog_bytes=min(config.max_backlog_bytes, config.max_disk_bytes // _BACKLOG_OF_CAP),
            on_accepted=self._accepted,
        )
        self._writer = Writer(self._wal, self._store.writer, dead_letter_folder=self._folder.dead_letter)
        self._writer.start()
        stack.push_async_callback(self._blocking, self._writer.stop)
        self._query = QueryService(
            self._store.reader,
            self._store.reader,
            RecentReader(self._wal),
            usual=self._store.usual,
            rates=self._store.rates,
            dependencies=self._store.dependencies,
            values=self._store.values,
            completion=self._store.completion,
            stored=self._store.writer.inserted,
            summaries=self._store.summaries,
            versions=self._store.versions,
            red=self._store.red,
            similar=self._store.similar,
            known=self._remembered.facts("pinpoint"),
            on_failure=self._note_failed_query,
        )
        stack.callback(self._query.close)
        stack.push_async_callback(self._blocking, self._tail.close)
        self._probe = Probe(self._store.probe)
        stack.callback(self._probe.close)

        health = HealthApi(status=self.status, not_ready=self.not_ready, troubles=self.current_troubles)
        api_address = f"http://{with_port(config.host, api_socket.getsockname()[1])}"
        await self._start_api(api_socket, health)
        if tempo_socket is not None:
            await self._start_tempo(tempo_socket)
        await self._start_receivers(health)
        self.addresses = {
            "http": api_address,
            "otlp_http": self._listeners.address("otlp-http"),
            "otlp_grpc": self._listeners.address("otlp-grpc"),
        }
        if config.jaeger_query_port is not None:
            self.addresses["jaeger_query"] = await self._start_jaeger_grpc(config.jaeger_query_port)
        if tempo_socket is not None:
            self.addresses["tempo"] = f"http://{with_port(config.host, tempo_socket.getsockname()[1])}"
        self._run_task(self._retain())
        self._run_task(self._mend_merges())
        # First of all when the server stops, so that no connection is waited for.
        stack.callback(self._tail.end)

    def _start_sampling(self) -> Watcher[list[Root]] | None:
        """What Jaeger's clients are told; where that follows the traffic, what looks at accepted requests for it."""
        config = self._config
        rates = None
        if config.jaeger_sampling_target is not None:
            rates = AdaptiveRates(config.jaeger_sampling_target, clock_s=time.monotonic)
        try:
            self._sampling = Sampling(config.jaeger_sampling_file, rates=rates)
        except ValueError as error:
            raise ConfigurationProblems([f"--jaeger-sampling-file {error}"]) from error
        if rates is None:
            return None
        watcher = Watcher(lambda request: list(roots(request)), rates.saw)
        self._stack.callback(watcher.close)
        return watcher

    def _accepted(self, batch: Batch) -> None:
        """A request has become durable: passed to live tails and the like."""
        self._tail.saw(batch.request, batch.spans)
        if self._watcher is not None:
            self._watcher.saw(batch)

    async def _start_api(self, listener: socket, health: HealthApi) -> None:
        ui = StaticUi(Path(__file__).parent / "ui_dist")
        native = NativeApi(self._query, status=self.status, flush=self._flush, clock_ns=time.time_ns)
        uploads = UploadApi(requests_of_file, clock_ns=time.time_ns)
        dialects = [
            *JaegerApi(self._query, clock_ns=time.time_ns, uploads=uploads).routes(),
            *JaegerApiV3(self._query, clock_ns=time.time_ns).routes(),
            *JaegerMetricsApi(self._query, clock_ns=time.time_ns).routes(),
        ]
        tail = TailApi(self._tail, clock_ns=time.time_ns)
        routes = [
            *uploads.routes(),
            *tail.routes(),
            *native.routes(),
            *dialects,
            *health.routes(),
            Route("/{path:path}", ui.serve),
        ]
        api = Starlette(
            routes=routes,
            exception_handlers=EXCEPTION_HANDLERS,
            middleware=[Middleware(Gzip, minimum_size=2048, compresslevel=3)],
        )
        guarded = Guard(api, token=self._config.token, loopback=self._config.is_loopback, is_open=ui.is_open)
        self._stack.push_async_callback(
            await serve_http(guarded, listener, asks_whether_left=True, head_bytes=_QUESTION_BYTES)
        )

    async def _start_jaeger_grpc(self, port: int) -> str:
        """Open Jaeger's API over gRPC; its address. Raises PortTaken."""
        host = self._config.host
        server = JaegerGrpc(self._query, host=host, port=port, token=self._config.token)
        try:
            found = await server.start()
        except OSError as error:
            raise PortTaken(host, port, "--jaeger-query-port") from error
        self._stack.push_async_callback(server.stop)
        return with_port(host, found)

    async def _start_tempo(self, listener: socket) -> None:
        tempo = TempoApi(self._query, clock_ns=time.time_ns, not_ready=self.not_ready)
        api = Starlette(routes=tempo.routes(), middleware=[Middleware(Gzip, minimum_size=2048, compresslevel=3)])
        guarded = Guard(api, token=self._config.token, loopback=self._config.is_loopback, is_open=tempo.is_open)
        self._stack.push_async_callback(
            await serve_http(guarded, listener, asks_whether_left=True, head_bytes=_QUESTION_BYTES)
        )

    async def _start_receivers(self, health: HealthApi) -> None:
        others: dict[str, AsgiApp] = {
            "otlp-http": Starlette(routes=list(health.routes()), exception_handlers=EXCEPTION_HANDLERS),
            "zipkin": zipkin_app(self._query, not_ready=self.not_ready, clock_ns=time.time_ns),
            "datadog": datadog_info,
            "cat-router": CatRouter(lambda: self._listeners.address("cat")),
            "jaeger-http": self._sampling,
            "jaeger-sampling": self._sampling,
        }
        methods = {"jaeger-grpc": {GET_STRATEGY: self._sampling.get_strategy}}
        await self._listeners.start(
            self._intake, token=self._config.token, others=others, methods=methods, remembered=self._remembered
        )
        self._stack.push_async_callback(self._listeners.stop)

    async def _blocking(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._work, functools.partial(call, *arguments))

    def _run_task(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)

        async def cancel() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(cancel)

    def _retention_clock(self) -> RetentionClock:
        now_ns = time.time_ns()
        try:
            stored = self._store.maintenance.newest_arrival_unix_nano(now_ns)
        except StoreFailed as error:
            # Without it only the clock is left; it is not believed until it has held.
            self.troubles.note(
                "store_damage", f"the newest arrival is unknown: {error}", fades_after_s=_RETENTION_EVERY_S
            )
            stored = 0
        logged = [s.last_arrival_unix_nano for s in self._wal.segments() if s.last_arrival_unix_nano <= now_ns]
        known = [arrival for arrival in (stored, *logged) if arrival is not None]
        return RetentionClock(max(known, default=None), confirm_s=min(self._config.retention_s, CONFIRM_S))

    def _note_failed_query(self, error: Exception) -> None:
        self.troubles.note(
            "query", f"{type(error).__name__}: {error}"[:500], fades_after_s=_A_FAILED_QUERY_IS_SAID_FOR_S
        )

    async def _retain(self) -> None:
        """Let old data give way and look for what is lost, at start and once a minute. A failure is said, and tried again."""
        while True:
            try:
                expired = await self._blocking(self._expire)
                for sentence in expired.done:
                    _log.info("%s", sentence)
            except Exception as error:
                _log.exception("retention failed; it is tried again in %d s", _RETENTION_EVERY_S)
                self.troubles.note("retention", f"{type(error).__name__}: {error}")
            try:
                await self._blocking(self._look_for_losses)
            except Exception as error:
                _log.exception("the store could not be looked through; it is tried again in %d s", _RETENTION_EVERY_S)
                self.troubles.note("store_damage", f"{type(error).__name__}: {error}")
            await self.current_troubles()  # noticed also while no client asks, so that `since` is right
            await asyncio.sleep(_RETENTION_EVERY_S)

    async def _mend_merges(self) -> None:
        """Look six times a minute whether the disk took all of what was merged. Beside retention, which may take minutes."""
        while True:
            try:
                lost = "; ".join(await self._blocking(self._store.maintenance.mend_merges))
            except Exception as error:
                _log.exception("merged parts of the store could not be looked at")
                lost = f"{type(error).__name__}: {error}"
            if lost:
                self.troubles.note("store_damage", lost[:500], fades_after_s=_LOSSES_EVERY_S)
            await asyncio.sleep(_MERGES_EVERY_S)

    def _expire(self) -> Expired:
        now = self._clock.read()
        self._say_the_clock(now)
        expired = self._store.maintenance.expire(
            now_unix_nano=now.trusted_unix_nano,
            retention_s=self._config.retention_s,
            max_disk_bytes=self._config.max_disk_bytes,
            beside_bytes=self._folder.size_bytes(without=self._folder.chdb),
        )
        for sentence in (*expired.failures, *filter(None, [expired.over_cap])):
            _log.error("retention: %s", sentence)
        if expired.failures:
            self.troubles.note("retention", "; ".join(expired.failures)[:1000])
        else:
            self.troubles.settle("retention")
        self.troubles.observe("disk_cap", expired.over_cap)
        return expired

    def _say_the_clock(self, now: Reading) -> None:
        """A clock that is ahead is trouble when it would drop something: after a night without spans it is no more than that."""
        oldest = self._store.maintenance.statistics().oldest_received_unix_nano
        would_drop = oldest is not None and oldest < now.claimed_unix_nano - self._config.retention_s * 1_000_000_000
        if not now.is_ahead or not would_drop:
            self.troubles.settle("clock")
            return
        ahead_s = (now.claimed_unix_nano - now.trusted_unix_nano) // 1_000_000_000
        sentence = (
            f"it is {text_from_seconds(max(ahead_s // 60 * 60, 60))} ahead; what it says is old is kept until it has held for"
            f" {text_from_seconds(self._clock.confirm_s)}"
        )
        if all(trouble.what != "clock" for trouble in self.troubles.now()):
            _log.warning("retention: the clock jumped: %s", sentence)
        self.troubles.note("clock", sentence)

    def _look_for_losses(self) -> None:
        """Compare the store's tables, now and then; what still waits in the log is no loss."""
        now_s = time.monotonic()
        if self._losses_looked_for_s is not None and now_s - self._losses_looked_for_s < _LOSSES_EVERY_S:
            return
        maintenance = self._store.maintenance
        before = {segment.day for segment in self._wal.segments()}
        losses = maintenance.losses(())
        if losses:
            # Once more, without the days of which something was on its way meanwhile.
            before |= {segment.day for segment in self._wal.segments()}
            losses = maintenance.losses(before)
        sentence = "; ".join(losses)[:2000]
        known = {trouble.what: trouble.message for trouble in self.troubles.now()}
        if sentence and known.get("store_damage") != sentence:
            _log.error("the store is damaged: %s", sentence)
        self.troubles.observe("store_damage", sentence or None, count=max(1, len(losses)))
        self._losses_looked_for_s = now_s

    async def _store_figures(self) -> tuple[StoreStatistics, int]:
        """Figures of the store and bytes of the folder, at most a second old, so that a page that asks often costs little."""
        if self._figures is None or time.monotonic() - self._figures[0] > _FIGURES_FOR_S:
            stored = await self._blocking(self._store.maintenance.statistics)
            size = await self._blocking(self._folder.size_bytes)
            self._figures = (time.monotonic(), stored, size)
        return self._figures[1:]

    async def _flush(self, timeout_s: float) -> None:
        await self._writer.flush(timeout_s)
        self._figures = None  # the figures of a moment ago would not show what the barrier promises

    async def current_troubles(self) -> list[Trouble]:
        """All that is wrong now: what was noted, and what log and writer count themselves."""
        log, writer = self._wal.statistics(), self._writer.statistics()
        self.troubles.observe(
            "log",
            None if log.failing_since_unix_nano is None else log.last_error or "it failed",
            count=log.failures,
            since_unix_nano=log.failing_since_unix_nano,
        )
        self.troubles.observe(
            "log_damage",
            f"{log.damaged_bytes} bytes that cannot be read are kept in {_count(log.damaged_files, 'file')} *.damaged in"
            f" {self._folder.wal}; move them away once you have looked at them"
            if log.damaged_files
            else None,
            count=max(1, log.damaged_files),
        )
        agents_bytes = self._remembered.statistics().kept_bytes
        self.troubles.observe(
            "agents_damage",
            f"{agents_bytes} bytes of what agents said of themselves could not be read; they are kept in"
            f" {self._folder.agents / 'facts.damaged'}; restart the agents, then move the file away"
            if agents_bytes
            else None,
        )
        self.troubles.observe(
            "log_foreign",
            f"{_count(log.foreign_files, 'file or folder', 'files or folders')} in {self._folder.wal} that clew did not write:"
            " neither read nor removed"
            if log.foreign_files
            else None,
            count=max(1, log.foreign_files),
        )
        self.troubles.observe(
            "writer",
            None if writer.failing_since_unix_nano is None else writer.last_error or "it failed",
            count=writer.failures,
            since_unix_nano=writer.failing_since_unix_nano,
        )
        return self.troubles.now()

    async def status(self) -> Status:
        """What is shown of the server. What a failing store cannot count is 0, and a trouble says so."""
        try:
            stored, disk_bytes = await self._store_figures()
        except (StoreFailed, Unavailable) as error:
            self._note_failed_query(error)
            stored, disk_bytes = StoreStatistics(0, 0, None), await self._blocking(self._folder.size_bytes)
        intake, writer, log = self._intake.statistics(), self._writer.statistics(), self._wal.statistics()
        tail = self._tail.statistics()
        return Status(
            version=__version__,
            started_unix_nano=self._started_unix_nano,
            accepted_spans=intake.accepted_spans,
            stored_spans=stored.stored_spans,
            rejected_spans=intake.rejected_spans,
            dropped_signals={"log": 0, **intake.dropped_signals},
            duplicate_requests=intake.duplicate_requests,
            dead_letter_spans=writer.dead_letter_spans,
            backlog_bytes=writer.backlog_bytes,
            backlog_spans=writer.backlog_spans,
            oldest_unstored_ms=writer.oldest_unstored_ms,
            disk_bytes=disk_bytes,
            max_disk_bytes=self._config.max_disk_bytes,
            retention_s=self._config.retention_s,
            refused_requests=intake.refused_requests,
            damaged_log_bytes=log.damaged_bytes,
            damaged_agents_bytes=self._remembered.statistics().kept_bytes,
            damaged_store_parts=stored.damaged_parts,
            tail_listeners=tail.listeners,
            tail_skipped_traces=tail.skipped_traces,
            tail_unread_spans=tail.unread_spans,
            troubles=tuple(trouble.status() for trouble in await self.current_troubles()),
            receivers=tuple(state.status() for state in self._listeners.states),
        )

    async def not_ready(self) -> str | None:
        """Why new data should not be sent here now; None when all is well."""
        try:
            self._intake.check_room()
        except Unavailable as error:
            return str(error)
        return await self._probe.failure()


def _count(number: int, one: str, more: str | None = None) -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def write_ready_file(path: Path, app: App, config: Config) -> None:
    """Write the addresses whole, by rename, so that a reader never sees half of it. Raises CannotSayReady."""
    content = {"pid": os.getpid(), "version": __version__, "data_dir": str(config.data_dir), **app.addresses}
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise CannotSayReady(
            f"--ready-file {path}: {error.strerror or error}; name a file in a folder that is there and can be written"
        ) from error


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT. Raises what start can raise; afterwards data never stops it."""
    raise_descriptor_limit()
    with told_to_stop(_STOP_WITHIN_S) as stop:
        async with App(config) as app:
            if not stop.is_set():  # else it was told so while it started
                _say_ready(app, config)
            await stop.wait()
            _log.info("stopping")


def _say_ready(app: App, config: Config) -> None:
    if config.ready_file is not None:
        write_ready_file(config.ready_file, app, config)
    try:
        print(f"clew ready {app.addresses['http']}", flush=True)
    except OSError as error:
        raise CannotSayReady(f"the output cannot be written: {error.strerror or error}") from error
