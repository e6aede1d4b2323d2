"""Jaeger remote sampling: a background thread polls a server for this service's sampling strategy."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit
from weakref import WeakSet

from opentelemetry.context import (
    Context,
    attach,
    set_value,
)
from opentelemetry.trace import Link, SpanKind, TraceState

from clew._otel import SUPPRESS_HTTP_INSTRUMENTATION_KEY, SUPPRESS_INSTRUMENTATION_KEY
from clew.recorder.sampler.basic import AlwaysOff, TraceIdRatio
from clew.recorder.sampler.contract import Sampler, describe
from clew.recorder.sampler.rate_limited import OperationBuckets, RateLimited, of_unknown_probability

DEFAULT_ENDPOINT: Final = "http://localhost:5778/sampling"
# The first request is sent after a random delay of up to this, so that many processes started together do not poll together.
_FIRST_DELAY_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024

_logger: Final = logging.getLogger("clew")
_samplers: Final[WeakSet[JaegerRemote]] = WeakSet()


def _after_fork_in_child() -> None:
    for sampler in list(_samplers):
        sampler._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class PerOperation:
    """A sampling probability for each operation, with a minimum number of traces per second for each."""

    def __init__(
        self, ratios: Mapping[str, float], default_ratio: float, lower_bound_per_s: float, previous: Any = None
    ) -> None:
        """`previous` is the sampler that this one replaces; its rate limits go on with what is left of them.

        Raises ValueError for a ratio outside 0..1.
        """
        self._default = TraceIdRatio(default_ratio)
        self._samplers = {operation: TraceIdRatio(ratio) for operation, ratio in ratios.items()}
        self._buckets: OperationBuckets | None = None
        if lower_bound_per_s > 0:
            known = previous._buckets if isinstance(previous, PerOperation) else None
            keep = known is not None and known.per_s == lower_bound_per_s
            self._buckets = known if keep else OperationBuckets(lower_bound_per_s)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> Any:
        """Sample by the operation's ratio, and also while the operation is below its lower bound."""
        operation = name if type(name) is str else str(name)
        result = self._samplers.get(operation, self._default).should_sample(parent_context, trace_id, operation)
        buckets = self._buckets
        # Call `take` in either case, since traces kept by the ratio count for the lower bound too.
        if buckets is not None and buckets.take(operation) and not result.decision.is_sampled():
            return of_unknown_probability(True, parent_context)
        return result

    def get_description(self) -> str:
        """The number of operations with their own ratio, and the default ratio."""
        return f"PerOperation{{{len(self._samplers)} operations, others {self._default.ratio:g}}}"


def strategy_from_answer(answer: Any, previous: Sampler | None = None) -> Sampler:
    """The sampler for a SamplingStrategyResponse (decoded JSON). Raises ValueError if the response is invalid."""
    if not isinstance(answer, dict):
        raise ValueError("the answer is not an object")
    operations = answer.get("operationSampling")
    if operations:
        return _per_operation(operations, previous)
    # Some servers print the enum as a number; 0 is the default.
    kind = answer.get("strategyType") or "PROBABILISTIC"
    if kind in ("RATE_LIMITING", 1):
        rate = _number(_member(answer, "rateLimitingSampling"), "maxTracesPerSecond")
        if rate < 0:
            raise ValueError(f"maxTracesPerSecond is {rate}")
        return RateLimited(rate) if rate > 0 else AlwaysOff()
    if kind != "PROBABILISTIC":
        raise ValueError(f"the strategy type {str(kind)[:64]!r} is not known")
    return TraceIdRatio(_number(_member(answer, "probabilisticSampling"), "samplingRate"))


def _per_operation(operations: Any, previous: Sampler | None) -> PerOperation:
    if not isinstance(operations, dict):
        raise ValueError("operationSampling is not an object")
    ratios: dict[str, float] = {}
    # The specification requires a list; some servers send null for an empty one.
    for one in operations.get("perOperationStrategies") or ():
        if not isinstance(one, dict) or not isinstance(one.get("operation"), str):
            raise ValueError("an operation has no name")
        ratios[one["operation"]] = _number(_member(one, "probabilisticSampling"), "samplingRate")
    lower_bound_per_s = _number(operations, "defaultLowerBoundTracesPerSecond")
    if not 0 <= lower_bound_per_s < float("inf"):
        raise ValueError(f"defaultLowerBoundTracesPerSecond is {lower_bound_per_s}")
    return PerOperation(ratios, _number(operations, "defaultSamplingProbability"), lower_bound_per_s, previous)


def _member(answer: dict[str, Any], key: str) -> dict[str, Any]:
    value = answer.get(key)
    if not isinstance(value, dict):
        raise ValueError(f"{key} is missing")
    return value


def _number(answer: dict[str, Any], key: str) -> float:
    # Protobuf's JSON omits fields that are zero.
    value = answer.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is not a number")
    return float(value)


class JaegerRemote:
    """Samples by the strategy of a server, which a background thread fetches; the application never waits for it.

    Until the first answer the initial sampler decides. While the server fails, the last good strategy is kept. The
    thread starts with the first sampling decision; after a fork each process starts its own.
    """

    def __init__(
        self,
        service_name: str,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        polling_interval_s: float = 60.0,
        initial_sampling_rate: float = 0.001,
        initial_sampler: Sampler | None = None,
    ) -> None:
        """`endpoint` is the address to GET `?service=…` from, `/sampling` unless it has a path.

        `initial_sampler` is used instead of `initial_sampling_rate`. Raises ValueError for an invalid address, a rate
        outside 0..1 or an interval that is not positive.
        """
        parts = urlsplit(endpoint.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint {endpoint!r} is not an address such as {DEFAULT_ENDPOINT}")
        if not 0 < polling_interval_s < float("inf"):
            raise ValueError(f"the polling interval must be a number of seconds above 0, not {polling_interval_s}")
        path = parts.path if parts.path.strip("/") else "/sampling"
        query = f"{parts.query}&" if parts.query else ""
        self.url: Final = urlunsplit(
            (parts.scheme, parts.netloc, path, f"{query}service={quote(service_name, safe='')}", "")
        )
        self._interval_s = polling_interval_s
        self._sampler: Sampler = initial_sampler or TraceIdRatio(initial_sampling_rate)
        self._answer: Any = None
        self._is_failing = False
        self._is_closed = False
        self._begin()
        _samplers.add(self)

    def _begin(self) -> None:
        self._thread: Thread | None = None
        self._starting = Lock()
        self._stop = Event()

    # -- the application's side -------------------------------------------------------------------------------------

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> Any:
        """Sample by the current strategy."""
        if self._thread is None and not self._is_closed:
            self._start()
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def _start(self) -> None:
        # If the lock is held, the thread is being started, so there is no need to wait. This may also run in a signal handler
        # that interrupted this very function, where waiting would be a deadlock.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="clew-sampler", daemon=True)
                self._thread.start()
        except RuntimeError as error:
            # No thread can be started: a limit, or the interpreter is shutting down. The current strategy is kept.
            _logger.warning("clew: the sampler cannot ask %s: %s", self.url, error)
        finally:
            self._starting.release()

    def close(self) -> None:
        """Stop polling and keep the last strategy. Does not wait for a request that is running."""
        self._is_closed = True
        self._stop.set()

    def get_description(self) -> str:
        """The server's address and the current strategy."""
        return f"JaegerRemoteSampler{{{self.url},{describe(self._sampler)}}}"

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # Do not trace these requests.
        context = set_value(SUPPRESS_INSTRUMENTATION_KEY, True)
        attach(set_value(SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context))
        stop = self._stop
        delay_s = random.uniform(0, min(_FIRST_DELAY_S, self._interval_s))
        while not stop.wait(delay_s):
            self.refresh()
            delay_s = self._interval_s * random.uniform(0.9, 1.1)

    def refresh(self) -> None:
        """Fetch the strategy now and wait for it. On failure the strategy is kept; the first of several is logged."""
        try:
            answer = self._ask()
            if answer != self._answer:
                self._sampler = strategy_from_answer(answer, self._sampler)
                self._answer = answer
        except Exception as error:
            if not self._is_failing:
                self._is_failing = True
                _logger.warning(
                    "clew: no sampling strategy from %s, %s is kept: %s",
                    self.url,
                    describe(self._sampler),
                    error or type(error).__name__,
                )
            return
        if self._is_failing:
            self._is_failing = False
            _logger.info("clew: sampling strategies come from %s again", self.url)

    def _ask(self) -> Any:
        # Imported here, on this thread, because it imports email and ssl, which is slow.
        from urllib.request import ProxyHandler, Request, build_opener

        request = Request(self.url, headers={"Accept": "application/json", "User-Agent": "clew-sampler"})
        # Never use a proxy for an address of this machine.
        local = urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")
        opener = build_opener(ProxyHandler({})) if local else build_opener()
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            body = response.read(_MAX_ANSWER_BYTES + 1)
        if len(body) > _MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
        return json.loads(body)
