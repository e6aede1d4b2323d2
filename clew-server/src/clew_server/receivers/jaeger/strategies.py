"""Strategies of Jaeger's remote sampling: read from Jaeger's own file, answered in JSON and in protobuf. No I/O.

The file is what `--sampling.strategies-file` of Jaeger's collector names; its rules are kept:

- a service has its own strategy, else `default_strategy`, else every trace is recorded;
- operations with a rate of their own make the answer one per operation; those of `default_strategy` hold for every service that does
  not name the operation itself. Only probabilistic ones can be said per operation; others are left out, as Jaeger does.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clew.otlp.encode import delimited, tag, utf8, varint

PROBABILISTIC: Final = "probabilistic"
RATE_LIMITING: Final = "ratelimiting"
_TYPES: Final = (PROBABILISTIC, RATE_LIMITING)
_MAX_RATE_A_SECOND: Final = 2**31 - 1
_RATE_OF_OTHERS: Final = 0.001
"""Of operations without a strategy of their own, where the service itself is limited by rate: Jaeger's own number."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """What one service is told."""

    type: str = PROBABILISTIC
    rate: float = 1.0
    """A probability, or traces a second."""
    operations: Mapping[str, float] = field(default_factory=dict)
    """A probability for each operation that has one of its own."""
    lower_bound: float = 0.0
    """Traces a second of each operation that are recorded whatever the probability is."""

    def as_json(self) -> bytes:
        """What Jaeger's agent and collector answer over HTTP."""
        answer: dict[str, Any]
        if self.type == RATE_LIMITING:
            answer = {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": int(self.rate)}}
        else:
            answer = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": self.rate}}
        if self._is_by_operation:
            answer["operationSampling"] = {
                "defaultSamplingProbability": self._rate_of_others,
                "defaultLowerBoundTracesPerSecond": self.lower_bound,
                "perOperationStrategies": [
                    {"operation": name, "probabilisticSampling": {"samplingRate": rate}}
                    for name, rate in self.operations.items()
                ],
            }
        return json.dumps(answer).encode()

    def as_protobuf(self) -> bytes:
        """A `SamplingStrategyResponse` of api_v2."""
        if self.type == RATE_LIMITING:
            answer = b"\x08\x01" + delimited(3, b"\x08" + varint(int(self.rate)))
        else:
            answer = delimited(2, _double(1, self.rate))
        if self._is_by_operation:
            named = [
                delimited(3, delimited(1, utf8(name)) + delimited(2, _double(1, rate)))
                for name, rate in self.operations.items()
            ]
            others = _double(1, self._rate_of_others) + _double(2, self.lower_bound)
            answer += delimited(4, others + b"".join(named))
        return answer

    @property
    def _is_by_operation(self) -> bool:
        return bool(self.operations) or self.lower_bound > 0

    @property
    def _rate_of_others(self) -> float:
        return self.rate if self.type == PROBABILISTIC else _RATE_OF_OTHERS


def _double(number: int, value: float) -> bytes:
    return tag(number, 1) + struct.pack("<d", value) if value else b""


@dataclass(frozen=True, slots=True)
class Strategies:
    """All that a file says; without one, that every trace is recorded."""

    default: Strategy = Strategy()
    services: Mapping[str, Strategy] = field(default_factory=dict)
    says_default: bool = False
    """Whether the file has a `default_strategy`."""

    def of(self, service: str) -> Strategy:
        """What this service is told."""
        return self.services.get(service, self.default)


def strategies_from(text: str) -> Strategies:
    """Read a file of Jaeger's. Raises ValueError with a sentence that names what is wrong."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    content = _object(content, "the file")
    default = _strategy(content.get("default_strategy") or {}, "default_strategy", Strategy())
    services: dict[str, Strategy] = {}
    for number, one in enumerate(_list(content.get("service_strategies"), "service_strategies")):
        where = f"service_strategies[{number}]"
        name = _object(one, where).get("service")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: wants a service")
        services[name] = _strategy(one, where, default)
    return Strategies(default, services, says_default=bool(content.get("default_strategy")))


def _strategy(one: Any, where: str, default: Strategy) -> Strategy:
    one = _object(one, where)
    type_, rate = default.type, default.rate
    if "type" in one or "param" in one:
        type_, rate = _type_and_rate(one, where)
    operations = dict(default.operations)
    for number, inner in enumerate(_list(one.get("operation_strategies"), f"{where}.operation_strategies")):
        place = f"{where}.operation_strategies[{number}]"
        name = _object(inner, place).get("operation")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{place}: wants an operation")
        type_of_operation, rate_of_operation = _type_and_rate(inner, place)
        if type_of_operation == PROBABILISTIC:
            operations[name] = rate_of_operation
    return Strategy(type_, rate, operations)


def _type_and_rate(one: Mapping[str, Any], where: str) -> tuple[str, float]:
    type_, rate = one.get("type"), one.get("param")
    if type_ not in _TYPES:
        raise ValueError(f"{where}: the type {json.dumps(type_)[:64]} is neither {' nor '.join(_TYPES)}")
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise ValueError(f"{where}: param wants a number")
    if not 0 <= rate <= (1 if type_ == PROBABILISTIC else _MAX_RATE_A_SECOND):
        most = "1" if type_ == PROBABILISTIC else f"{_MAX_RATE_A_SECOND} traces a second"
        raise ValueError(f"{where}: param {rate} is not between 0 and {most}")
    return type_, float(rate)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: wants an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{where}: wants a list")
    return value
