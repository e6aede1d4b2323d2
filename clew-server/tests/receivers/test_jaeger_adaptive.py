"""Sampling probabilities that follow the traffic: what is read from spans, how probabilities move, what clients are told."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.recorder.sampler import TraceIdRatio
from clew.recorder.sampler.jaeger_remote import PerOperation, strategy_from_answer
from clew_server.collector.intake import Intake
from clew_server.collector.wal import Wal
from clew_server.collector.watching import MOST_WAITING_BYTES, Watcher
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.jaeger import adaptive
from clew_server.receivers.jaeger.adaptive import (
    FIRST_PROBABILITY,
    INTERVAL_S,
    LEAST_PROBABILITY,
    LOWER_BOUND_A_SECOND,
    AdaptiveRates,
    next_probability,
)
from clew_server.receivers.jaeger.batch import decode_http
from clew_server.receivers.jaeger.roots import Root, roots
from clew_server.receivers.jaeger.sampling import Sampling
from clew_server.receivers.jaeger.strategies import Strategies, strategies_from
from clew_server.testing import jaeger

THRIFT = Head(content_type="application/x-thrift")
NOTHING = Strategies()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def request_of(*spans: jaeger.Span, service: str = "shop") -> bytes:
    return decode_http(jaeger.http_body(jaeger.Batch(service, spans)), THRIFT).request


def sampled(type_: str, param: Any, **more: Any) -> jaeger.Span:
    return jaeger.Span(7, 1, tags=[("sampler.type", type_), ("sampler.param", param)], **more)


# What is read


def test_a_root_span_says_how_it_was_sampled() -> None:
    request = request_of(
        sampled("probabilistic", 0.25, name="a"),
        sampled("probabilistic", True, name="b"),  # as jaeger-client writes 1
        sampled("lowerbound", 0.5, name="c"),
        sampled("probabilistic", 0.25, name="not a root", parent_id=9),
        jaeger.Span(7, 2, name="d"),
        sampled("probabilistic", "text", name="e"),
    )
    assert list(roots(request)) == [
        Root("shop", "a", True, 0.25),
        Root("shop", "b", True, 1.0),
        Root("shop", "c", True, None),
        Root("shop", "d", False, None),
        Root("shop", "e", True, None),
    ]


def test_clews_own_sampler_says_it_in_the_trace_state() -> None:
    decision = TraceIdRatio(0.75).should_sample(None, 2**128 - 1, "op")
    assert decision.decision.is_sampled()
    state = decision.trace_state.to_header()
    (root,) = roots(request_of(jaeger.Span(2**128 - 1, 1, tags=[("w3c.tracestate", state)])))
    assert root == Root("shop", "op", True, pytest.approx(0.75, abs=0.001))


@pytest.mark.parametrize("state", ["ot=th:", "ot=th:zz", "ot=th:123456789012345", "x=th:8", "ot=rv:1", ""])
def test_a_trace_state_without_a_threshold_says_nothing(state: str) -> None:
    assert list(roots(request_of(jaeger.Span(7, 1, tags=[("w3c.tracestate", state)])))) == [
        Root("shop", "op", False, None)
    ]


def test_bytes_that_are_no_request_have_no_roots() -> None:
    assert list(roots(b"\xff\xff")) == []


# How a probability moves


@given(st.floats(LEAST_PROBABILITY, 1), st.floats(0, 1e9), st.floats(1e-6, 1e6))
def test_a_step_is_bounded_and_goes_to_the_target(probability: float, calls: float, target: float) -> None:
    after = next_probability(probability, calls, target)
    assert LEAST_PROBABILITY <= after <= 1
    assert after <= 2 * probability
    if probability * calls > 1.3001 * target:
        assert after < probability or probability == LEAST_PROBABILITY
        assert after == LEAST_PROBABILITY or after * calls == pytest.approx(target)
    elif probability * calls < 0.6999 * target:
        assert after > probability or probability == 1
    else:
        # Near enough; at the edges either is right.
        assert after == probability or not 0.7001 * target < probability * calls < 1.2999 * target


class Fleet:
    """Clients of one service that ask once an interval, each at its own moment, and sample as Jaeger's do."""

    def __init__(self, rates: AdaptiveRates, clock: Clock, seed: int, clients: int = 3) -> None:
        self._rates = rates
        self._clock = clock
        self._random = random.Random(seed)
        self._told: list[dict[str, float]] = [{} for _ in range(clients)]
        self._bound = [{} for _ in range(clients)]  # type: list[dict[str, float]]

    def run(self, calls_a_second: dict[str, float], intervals: int) -> dict[str, int]:
        """Let the time go by; how many traces of each operation were recorded."""
        recorded = dict.fromkeys(calls_a_second, 0)
        step_s = INTERVAL_S / len(self._told)
        for step in range(intervals * len(self._told)):
            self._clock.now_s += step_s
            number = step % len(self._told)
            answer = self._rates.of("shop", NOTHING)
            self._told[number] = {**answer.operations, "": answer.rate}
            found: list[Root] = []
            for told, bound in zip(self._told, self._bound, strict=True):
                for operation, rate in calls_a_second.items():
                    probability = told.get(operation, told.get("", FIRST_PROBABILITY))
                    count = self._poisson(rate / len(self._told) * step_s * probability)
                    found += [Root("shop", operation, True, probability)] * count
                    bound[operation] = min(1.0, bound.get(operation, 1.0) + step_s * LOWER_BOUND_A_SECOND)
                    if not count and bound[operation] >= 1 and self._poisson(rate / len(self._told) * step_s):
                        bound[operation] = 0.0
                        found.append(Root("shop", operation, True, None))
                        recorded[operation] += 1
                    recorded[operation] += count
            self._random.shuffle(found)
            self._rates.saw(found)
        return recorded

    def _poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(self._random.gauss(mean, mean**0.5)))
        count, left = 0, self._random.expovariate(1)
        while left < mean:
            count += 1
            left += self._random.expovariate(1)
        return count


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from((0.2, 1.0, 5.0)), st.lists(st.floats(0.02, 3000), min_size=1, max_size=3))
def test_what_is_recorded_converges_to_the_target_of_each_operation(
    seed: int, target: float, traffic: list[float]
) -> None:
    clock = Clock()
    fleet = Fleet(AdaptiveRates(target, clock_s=clock), clock, seed)
    calls = {f"op{number}": rate for number, rate in enumerate(traffic)}
    fleet.run(calls, 25)
    measured = 15
    recorded = fleet.run(calls, measured)
    for operation, rate in calls.items():
        wanted = min(rate, target) * measured * INTERVAL_S
        noise = 5 * wanted**0.5 + 3 * measured  # and the lower bound of three clients
        assert 0.6 * wanted - noise <= recorded[operation] <= 1.5 * wanted + noise, operation


def test_a_burst_is_answered_within_two_intervals_and_a_lull_slowly() -> None:
    clock = Clock()
    rates = AdaptiveRates(1.0, clock_s=clock)
    fleet = Fleet(rates, clock, 1)
    fleet.run({"op": 10}, 30)
    before = rates.of("shop", NOTHING).operations["op"]
    assert before == pytest.approx(0.1, rel=0.35)
    fleet.run({"op": 1000}, 3)
    during = rates.of("shop", NOTHING).operations["op"]
    assert during == pytest.approx(0.001, rel=0.6)
    fleet.run({"op": 10}, 1)
    assert rates.of("shop", NOTHING).operations["op"] <= 2.001 * 2 * during


def test_an_operation_goes_on_from_where_its_clients_are_when_the_server_is_new() -> None:
    clock = Clock()
    rates = AdaptiveRates(1.0, clock_s=clock)
    rates.of("shop", NOTHING)
    rates.saw([Root("shop", "op", True, 0.4)])
    assert rates.of("shop", NOTHING).operations == {"op": 0.4}


def test_who_does_not_ask_or_does_not_say_how_it_sampled_is_not_counted() -> None:
    clock = Clock()
    rates = AdaptiveRates(1.0, clock_s=clock)
    rates.of("silent", NOTHING)
    for _ in range(5):
        rates.saw([Root("silent", "op", False, None), Root("never asks", "op", True, 0.5)])
        clock.now_s += INTERVAL_S
    assert rates.of("silent", NOTHING).operations == {}
    assert rates.of("never asks", NOTHING).operations == {}


def test_what_is_not_seen_any_more_is_forgotten() -> None:
    clock = Clock()
    rates = AdaptiveRates(1.0, clock_s=clock)
    rates.of("shop", NOTHING)
    rates.saw([Root("shop", "op", True, 0.4)])
    clock.now_s += INTERVAL_S
    assert rates.of("shop", NOTHING).operations == {"op": 0.8}
    for _ in range(9):
        clock.now_s += INTERVAL_S
        assert rates.of("shop", NOTHING).operations == {"op": 0.8}
    clock.now_s += INTERVAL_S
    assert rates.of("shop", NOTHING).operations == {}


def test_many_names_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive, "MOST_SERVICES", 3)
    monkeypatch.setattr(adaptive, "MOST_OPERATIONS_OF_SERVICE", 4)
    monkeypatch.setattr(adaptive, "MOST_OPERATIONS", 9)
    rates = AdaptiveRates(1.0, clock_s=Clock())

    def known() -> list[int]:
        return [len(rates.of(service, NOTHING).operations) for service in ("b", "c", "d")]

    for service in "abcd":  # the first is forgotten
        rates.of(service, NOTHING)
    for service in "bcd":
        rates.saw([Root(service, str(number), True, 0.5) for number in range(6)])
    assert known() == [4, 4, 1]
    rates.of("e", NOTHING)  # b asked longest ago
    rates.saw([Root("e", str(number), True, 0.5) for number in range(6)])
    assert [len(rates.of(service, NOTHING).operations) for service in ("c", "d", "e")] == [4, 1, 4]


@pytest.mark.parametrize("probability", [0.0, -1.0, float("nan"), float("inf"), 1e-300, 7.0])
def test_a_probability_that_is_none_harms_nothing(probability: float) -> None:
    clock = Clock()
    rates = AdaptiveRates(1.0, clock_s=clock)
    rates.of("shop", NOTHING)
    rates.saw([Root("shop", "op", True, probability)])
    clock.now_s += INTERVAL_S
    assert LEAST_PROBABILITY <= rates.of("shop", NOTHING).operations["op"] <= 1


# What clients are told


def answer_of(sampling: Sampling, service: str) -> Any:
    return json.loads(sampling.strategy(service).as_json())


def test_the_answer_has_a_probability_for_each_operation_and_a_lower_bound() -> None:
    rates = AdaptiveRates(1.0, clock_s=Clock())
    sampling = Sampling(rates=rates)
    assert answer_of(sampling, "shop") == {
        "strategyType": "PROBABILISTIC",
        "probabilisticSampling": {"samplingRate": 0.001},
        "operationSampling": {
            "defaultSamplingProbability": 0.001,
            "defaultLowerBoundTracesPerSecond": 1 / 60,
            "perOperationStrategies": [],
        },
    }
    rates.saw([Root("shop", "GET /", True, 0.5)])
    assert answer_of(sampling, "shop")["operationSampling"]["perOperationStrategies"] == [
        {"operation": "GET /", "probabilisticSampling": {"samplingRate": 0.5}}
    ]
    found = strategy_from_answer(answer_of(sampling, "shop"))
    assert isinstance(found, PerOperation)
    assert "1 operations, others 0.001" in found.get_description()
    assert sampling.get_strategy(b"\x0a\x04shop") == sampling.strategy("shop").as_protobuf()


def test_the_file_wins_where_it_names_a_service_or_an_operation(tmp_path: Path) -> None:
    path = tmp_path / "strategies.json"
    service = {"service": "fixed", "type": "probabilistic", "param": 0.5}
    operation = {"operation": "GET /health", "type": "probabilistic", "param": 0}
    default = {"type": "probabilistic", "param": 0.125, "operation_strategies": [operation]}
    path.write_text(json.dumps({"service_strategies": [service], "default_strategy": default}), encoding="utf-8")
    rates = AdaptiveRates(1.0, clock_s=Clock())
    sampling = Sampling(path, rates=rates)
    assert sampling.strategy("fixed").rate == 0.5
    assert sampling.strategy("fixed").lower_bound == 0
    sampling.strategy("other")
    rates.saw([Root("other", name, True, 0.25) for name in ("GET /health", "GET /")])
    told = sampling.strategy("other")
    assert (told.rate, told.operations) == (0.125, {"GET /health": 0, "GET /": 0.25})
    assert AdaptiveRates(1.0, clock_s=Clock()).of("x", strategies_from("{}")).rate == FIRST_PROBABILITY


# From an accepted request to a probability


def batches() -> Iterator[OtlpBatch]:
    for number in range(1, 4):
        span = jaeger.Span(number, 1, name="op", tags=[("sampler.type", "probabilistic"), ("sampler.param", 0.5)])
        yield decode_http(jaeger.http_body(jaeger.Batch("shop", [span])), THRIFT)


def test_each_accepted_request_is_counted_once(tmp_path: Path) -> None:
    async def run() -> list[list[Root]]:
        given: asyncio.Queue[list[Root]] = asyncio.Queue()
        watcher = Watcher(lambda request: list(roots(request)), given.put_nowait)
        wal = Wal(tmp_path)
        wal.open()
        try:
            intake = Intake(wal, on_accepted=watcher.saw)
            for batch in batches():
                await intake.accept(batch)
                await intake.accept(batch)  # sent again: acknowledged, and not counted
            async with asyncio.timeout(100):
                found = [await given.get() for _ in range(3)]
            assert given.empty()
            return found
        finally:
            watcher.close()
            wal.close()

    assert asyncio.run(run()) == [[Root("shop", "op", True, 0.5)]] * 3


def test_a_reader_that_falls_behind_leaves_requests_out_and_keeps_nobody_waiting() -> None:
    async def run() -> bool:
        given: asyncio.Queue[int] = asyncio.Queue()
        watcher = Watcher(len, given.put_nowait)
        large = OtlpBatch(b"", bytes(MOST_WAITING_BYTES // 2 + 1), 1, None, {})
        for _ in range(3):
            watcher.saw(large)
        watcher.saw(large._replace(request=b"", signal="logs"))
        async with asyncio.timeout(100):
            await given.get()
            watcher.saw(large)  # there is room again
            await given.get()
        watcher.close()
        return given.empty()

    assert asyncio.run(run())


def test_a_reader_that_fails_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        given: asyncio.Queue[int] = asyncio.Queue()
        watcher = Watcher(lambda request: 1 // len(request), given.put_nowait)
        for request in (b"", b"x"):
            watcher.saw(OtlpBatch(b"", request, 1, None, {}))
        async with asyncio.timeout(100):
            assert await given.get() == 1
        watcher.close()

    asyncio.run(run())
    assert "could not be looked at" in caplog.text
