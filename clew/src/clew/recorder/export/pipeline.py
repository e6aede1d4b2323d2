"""The background thread that sends spans: when, in which batches, with which retries, and at the end."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Literal

from opentelemetry.context import attach, set_value

from clew import guard
from clew._otel import SUPPRESS_HTTP_INSTRUMENTATION_KEY, SUPPRESS_INSTRUMENTATION_KEY
from clew.otlp import encode
from clew.recorder import _select
from clew.recorder.buffer import Buffer
from clew.recorder.export.exporter import Exporter, Outcome
from clew.recorder.export.splitting import Part, halves
from clew.recorder.resource import Resource

# The first spans are sent soon, since new users look for them at once.
_FIRST_DELAY_S: Final = 0.1
_FIRST_BACKOFF_S: Final = 1.0
_MAX_BACKOFF_S: Final = 30.0
# The limit for a delay that the server asks for; larger than that of our own delays.
_MAX_RETRY_AFTER_S: Final = 300.0
_TOO_LARGE: Final = "http_413"
# If every span of a large batch is refused, they are not all tried one by one.
_MAX_SPLITS: Final = 64
_MIN_BATCH_BYTES: Final = 16 * 1024
# The longest time until a waiting force_flush notices that it is in a forked child, where it will get no answer.
_FLUSH_LOOK_S: Final = 0.1


@dataclass(frozen=True)
class BatchOptions:
    """Limits of the buffer, of one request, and of the time for sending."""

    schedule_delay_s: float = 1.0
    """From a span's end to its sending, at most, while the collector answers (`OTEL_BSP_SCHEDULE_DELAY`)."""
    max_queue_spans: int = 16_384
    """Spans held while others are being sent (`OTEL_BSP_MAX_QUEUE_SIZE`)."""
    max_queue_bytes: int = 16 * 1024 * 1024
    """The same in encoded bytes."""
    max_batch_spans: int = 4_096
    """Spans in one request (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`)."""
    max_batch_bytes: int = 4 * 1024 * 1024
    """The same in encoded bytes, before compression; a request has the resource and the scopes on top."""
    max_span_bytes: int = 1024 * 1024
    """One span; a larger one loses what is largest, see `clew.recorder.oversize`. Never above `max_batch_bytes`."""
    when_full: Literal["drop_newest", "drop_oldest"] = "drop_newest"
    """Which spans give way while the buffer is full."""
    timeout_s: float = 10.0
    """One attempt to send (`OTEL_EXPORTER_OTLP_TIMEOUT`), connecting included."""
    retry_for_s: float = 60.0
    """One batch with all its attempts and the pauses between them (`OTEL_BSP_EXPORT_TIMEOUT`), unless the collector
    names a longer pause (`Retry-After`), of up to five minutes."""
    exit_timeout_s: float = 5.0
    """How long the end of the process may be delayed to send what is left."""

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that nothing fits into."""
        for name in ("max_queue_spans", "max_queue_bytes", "max_batch_spans", "max_batch_bytes", "max_span_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is a number above 0, not {getattr(self, name)}")
        if not self.exit_timeout_s >= 0:
            raise ValueError(f"exit_timeout_s is a number of seconds from 0 on, not {self.exit_timeout_s}")
        if self.when_full not in ("drop_newest", "drop_oldest"):
            raise ValueError(f"when_full is drop_newest or drop_oldest, not {self.when_full!r}")


class _Flush:
    """One caller of `force_flush` waiting."""

    def __init__(self) -> None:
        # A bare lock, taken until it is done: unlike an Event it holds no second one that a fork could catch.
        self.done = threading.Lock()
        self.done.acquire()
        self.is_done = False
        self.delivered = False

    def finish(self, delivered: bool) -> None:
        self.delivered = delivered
        self.is_done = True
        self.done.release()


class _OtherProcess(Exception):
    """What was going on belongs to the parent of this process."""


class Pipeline:
    """Takes encoded spans from any thread, sends them from its own, which starts with the first span.

    The thread sleeps without waking while there is nothing to send. Locks and queues are looked up when they are
    made, and made when the thread starts: gevent may have exchanged them since this module was imported, and a
    greenlet that waits for a real lock stops the process.
    """

    def __init__(self, exporter: Exporter, resource: Resource, options: BatchOptions) -> None:
        self._exporter = exporter
        self._options = options
        # Less, once a collector has said that it is too much.
        self._max_batch_bytes = options.max_batch_bytes
        #: Called by the thread that sends, before each attempt.
        self.before_attempt: Callable[[], None] = _nothing
        # Half the buffer is time to send even where a batch may be larger.
        self.buffer: Buffer = _select.selected.Buffer(
            options.max_queue_spans,
            options.max_queue_bytes,
            max(2, min(options.max_batch_spans, options.max_queue_spans // 2)),
            self._wake,
            urgent_bytes=min(options.max_batch_bytes, options.max_queue_bytes // 2),
            max_span_bytes=min(options.max_span_bytes, options.max_batch_bytes),
            drop_oldest=options.when_full == "drop_oldest",
        )
        self._begin(resource)

    def _begin(self, resource: Resource) -> None:
        self._resource_bytes = encode.resource(resource.attributes)
        self._resource_schema_url = resource.schema_url
        # Another one after a fork: whatever still holds the old one was the parent's.
        self._life = object()
        self._thread: threading.Thread | None = None
        # Asked instead of is_alive(), which takes a thread for ended when a signal's handler raises inside it.
        self._has_ended = False
        self._starting = threading.RLock()
        self._sending = threading.Lock()
        # SimpleQueue.put may be interrupted by itself (a __del__ that ends a span), which Event.set may not.
        self._signals: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._interrupts: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._flushes: list[_Flush] = []
        self._deadline: float | None = None
        self._delay_s = min(_FIRST_DELAY_S, self._options.schedule_delay_s)

    def begin_in_child(self, resource: Resource) -> None:
        """Start over after a fork: the parent sends what was held, the thread did not come along."""
        self.buffer.reset()
        self._exporter.forget()
        self._begin(resource)

    # -- the application's side -------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """The buffer has its first span, or many; called by the thread that ended it."""
        try:
            if self._thread is None:
                self._start()
        finally:
            # A signal handler may raise here, and nothing else would report that there are spans.
            self._signals.put(None)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="clew-exporter", daemon=True)
        try:
            with self._starting:
                if self._thread is not None:
                    return
                self._signals, self._interrupts = queue.SimpleQueue(), queue.SimpleQueue()
                self._thread = thread
            thread.start()
        except RuntimeError as error:
            # No threads left, or the interpreter is shutting down: shutdown() sends from its caller's thread.
            self._thread = None
            guard.warn("starting the exporter", "clew: the exporter cannot start: %s", error)
        except BaseException:
            # A signal's handler raised. If the thread is under way all the same, it sees that it is not wanted.
            if self._thread is thread and not thread.is_alive():
                self._thread = None
            raise

    def force_flush(self, timeout_s: float) -> bool:
        """Send what has ended so far; True if all of it was delivered within `timeout_s`."""
        if self._thread is None and self._deadline is None and self.buffer.held:
            # Its start failed or was interrupted. From here the spans would be sent too, but what interrupts the
            # caller then loses those that are on their way.
            self._start()
        thread, life = self._thread, self._life
        if self._deadline is not None or thread is threading.current_thread():
            return False
        if thread is None or self._has_ended:
            return self._send_here(timeout_s)
        flush = _Flush()
        self._flushes.append(flush)
        self._interrupts.put(None)
        self._signals.put(None)
        until = monotonic() + timeout_s
        while not flush.is_done and self._life is life and not self._has_ended and (left_s := until - monotonic()) > 0:
            flush.done.acquire(timeout=min(left_s, _FLUSH_LOOK_S))
        return flush.delivered

    def _send_here(self, timeout_s: float) -> bool:
        """Send from the caller's thread, where the pipeline has none."""
        sending, until = self._sending, monotonic() + timeout_s
        if not sending.acquire(timeout=max(timeout_s, 0)):
            return False
        try:
            return self._send_all(until)
        except _OtherProcess:
            return False
        finally:
            sending.release()

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left, for `timeout_s` at most, and stop; what could not be sent is counted as dropped."""
        if self._deadline is not None:
            return
        self._deadline = monotonic() + timeout_s
        thread = self._thread
        if thread is None or self._has_ended or thread is threading.current_thread():
            self._send_here(timeout_s)
            self._exporter.close()
        else:
            self._interrupts.put(None)
            self._signals.put(None)
            thread.join(timeout_s)
        self.buffer.close("shutdown")
        if thread is not None and not self._has_ended and thread is not threading.current_thread():
            self.buffer.write_off("shutdown")  # it waits for an answer that began before the end

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        thread = threading.current_thread()
        try:
            self._send_on(thread)
        finally:
            if self._thread is thread:
                self._has_ended = True

    def _send_on(self, thread: threading.Thread) -> None:
        # The exporter's own requests are no part of the application's traces.
        context = set_value(SUPPRESS_INSTRUMENTATION_KEY, True)
        attach(set_value(SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context))
        signals, interrupts = self._signals, self._interrupts
        while self._deadline is None and self._thread is thread:
            if not self.buffer.held:
                signals.get()
            if not self._flushes and self._deadline is None:
                try:
                    signals.get(timeout=self._delay_s)
                except queue.Empty:
                    pass
            if self._thread is not thread:
                return
            self._delay_s = self._options.schedule_delay_s
            _drain(interrupts)
            _drain(signals)  # all of them were sent for spans that are held now
            flushes, self._flushes = self._flushes, []
            delivered = False
            try:
                with self._sending:
                    delivered = self._send_all(None)
            except _OtherProcess:
                return
            except Exception as error:
                guard.swallow("the exporter", error)
            finally:
                for flush in flushes:
                    flush.finish(delivered)
        if self._thread is thread:
            self._send_here((self._deadline or 0) - monotonic())
            self._exporter.close()

    def _send_all(self, deadline: float | None) -> bool:
        """Send what is held now; `deadline` (monotonic) bounds it, otherwise each batch has `retry_for_s`."""
        options, life = self._options, self._life
        all_delivered = True
        left = self.buffer.held
        while left > 0:
            count, request = self.buffer.take(
                min(left, options.max_batch_spans),
                self._max_batch_bytes,
                self._resource_bytes,
                self._resource_schema_url,
            )
            if not count:
                break
            left -= count
            parts, may_split = [Part(count, request)], _MAX_SPLITS
            while parts:
                part = parts.pop()
                outcome = self._send(part.request, deadline)
                if self._life is not life:
                    raise _OtherProcess
                if outcome.reason == _TOO_LARGE and may_split:
                    may_split -= 1
                    if (pair := _halves(part.request)) is not None:
                        # What comes later is made so small at once.
                        self._max_batch_bytes = max(_MIN_BATCH_BYTES, min(self._max_batch_bytes, len(pair[0].request)))
                        parts += reversed(pair)
                        continue
                    outcome = replace(outcome, reason="too_large")
                all_delivered = self._count(part.spans, outcome) and all_delivered
                if outcome.verdict == "again" and (deadline is not None or self._deadline is not None):
                    # If the collector cannot be reached at the end, do not try the remaining batches.
                    for rest in parts:
                        self._count(rest.spans, outcome)
                    return False
        return all_delivered

    def _count(self, spans: int, outcome: Outcome) -> bool:
        """Count what became of so many spans; whether all were taken."""
        if outcome.verdict == "delivered":
            rejected = min(outcome.rejected, spans)
            self.buffer.count_sent(spans - rejected)
            self.buffer.count_dropped("rejected", rejected)
            if outcome.rejected or outcome.detail:
                guard.warn("partial success", "clew: %d spans rejected: %s", outcome.rejected, outcome.detail)
            return not outcome.rejected
        self.buffer.count_dropped(outcome.reason, spans)
        guard.warn("export", "clew: %d spans dropped (%s): %s", spans, outcome.reason, outcome.detail)
        return False

    def _send(self, request: bytes, deadline: float | None) -> Outcome:
        options, life = self._options, self._life
        started = monotonic()
        backoff_s = _FIRST_BACKOFF_S
        while True:
            end = self._deadline if deadline is None else deadline
            timeout_s = options.timeout_s if end is None else min(options.timeout_s, end - monotonic())
            if timeout_s <= 0:
                return Outcome("again", reason="shutdown", detail="no time was left")
            outcome = self._attempt(request, timeout_s)
            if outcome.verdict != "again" or self._life is not life:
                return outcome
            # Jitter, so that the clients of a restarted server do not all retry at the same time.
            wait_s = random.uniform(0.5, 1.0) * backoff_s
            retry_for_s = options.retry_for_s
            if outcome.retry_after_s is not None:
                wait_s = outcome.retry_after_s
                retry_for_s = max(retry_for_s, _MAX_RETRY_AFTER_S)
            end = self._deadline if deadline is None else deadline
            if end is not None and (outcome.reason == "unreachable" or monotonic() + wait_s >= end):
                return outcome
            if monotonic() + wait_s - started > retry_for_s:
                return outcome
            guard.warn("retry", "clew: spans are held back and sent again: %s", outcome.detail)
            self._wait(wait_s, may_be_cut_short=outcome.retry_after_s is None)
            backoff_s = min(backoff_s * 2, _MAX_BACKOFF_S)

    def _wait(self, wait_s: float, may_be_cut_short: bool) -> None:
        """Wait between attempts; shutdown ends it, a flush only where the server has not named the time."""
        until = monotonic() + wait_s
        while (left_s := until - monotonic()) > 0:
            try:
                self._interrupts.get(timeout=left_s)
            except queue.Empty:
                return
            if may_be_cut_short or self._deadline is not None:
                return

    def _attempt(self, request: bytes, timeout_s: float) -> Outcome:
        try:
            self.before_attempt()
            return self._exporter.export(request, timeout_s)
        except Exception as error:
            guard.swallow("the exporter", error)
            return Outcome("refused", reason="exporter_failed", detail=repr(error))

    def stats(self) -> dict[str, Any]:
        """`{"recorded", "sent", "dropped": {reason: n}}`."""
        return self.buffer.stats()


def _halves(request: bytes) -> tuple[Part, Part] | None:
    try:
        return halves(request)
    except ValueError:  # not one of ours
        return None


def _nothing() -> None:
    pass


def _drain(signals: queue.SimpleQueue[None]) -> None:
    while not signals.empty():
        signals.get()
