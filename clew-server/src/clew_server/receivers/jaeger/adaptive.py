"""Sampling probabilities that follow the traffic: so many recorded traces a second of each operation of each service. No I/O.

Each recorded root span says with which probability it was sampled, so it stands for 1/probability calls; their sum over time is
the operation's traffic, whatever probability its clients had at that moment. The next probability is the wanted rate divided by
that traffic. It is calculated once an interval, rises at most to its double, and stays where the recorded rate is near enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from clew_server.receivers.jaeger.roots import Root
from clew_server.receivers.jaeger.strategies import PROBABILISTIC, Strategies, Strategy

INTERVAL_S: Final = 60.0
"""Between two calculations; Jaeger's clients ask once in this time."""
FIRST_PROBABILITY: Final = 0.001
"""Of an operation that nothing is known of."""
LEAST_PROBABILITY: Final = 1e-5
LOWER_BOUND_A_SECOND: Final = 1 / 60
"""Traces of each operation that its clients record whatever the probability is, so that rare operations are seen."""
TOLERANCE: Final = 0.3
"""A recorded rate within this share of the wanted one is left alone."""
MOST_RISE: Final = 2.0
"""A probability grows at most by this factor in one interval; it falls at once."""
_REMEMBERED: Final = 0.5
"""How much of what was known counts beside what one interval adds."""
_FORGOTTEN_AFTER: Final = 10
"""Intervals without a root span of an operation, or without a question of a service."""
MOST_SERVICES: Final = 2000
MOST_OPERATIONS_OF_SERVICE: Final = 2000
"""As many as Jaeger's clients keep."""
MOST_OPERATIONS: Final = 100_000


@dataclass(slots=True)
class _Operation:
    probability: float
    calls: float = 0.0
    """Estimated, over `seconds`; older ones count less."""
    seconds: float = 0.0
    new_calls: float = 0.0
    is_seen: bool = True
    unseen: int = 0
    """Intervals."""


@dataclass(slots=True)
class _Service:
    asked_s: float
    operations: dict[str, _Operation] = field(default_factory=dict)
    says_how: bool = False
    """Whether any root span of it said how it was sampled: then one that does not was sampled by the lower bound."""


class AdaptiveRates:
    """The probabilities of all services that ask for theirs. Belongs to one thread, the event loop's."""

    def __init__(self, target_a_second: float, *, clock_s: Callable[[], float], interval_s: float = INTERVAL_S) -> None:
        """`target_a_second`: traces to be recorded of each operation of each service, above 0."""
        self._target = target_a_second
        self._clock_s = clock_s
        self._interval_s = interval_s
        self._calculated_s = clock_s()
        self._services: dict[str, _Service] = {}
        self._operations = 0

    def of(self, service: str, strategies: Strategies) -> Strategy:
        """What a service is told that asks now: by the file where that names it, else what was calculated."""
        if service in strategies.services:
            return strategies.services[service]
        self._calculate_when_due()
        now_s = self._clock_s()
        known = self._services.pop(service, None) or _Service(now_s)
        known.asked_s = now_s
        self._services[service] = known  # the one that asked last is the last
        if len(self._services) > MOST_SERVICES:
            self._forget_service(next(iter(self._services)))
        default = strategies.default
        first = default.rate if strategies.says_default and default.type == PROBABILISTIC else FIRST_PROBABILITY
        calculated = {name: one.probability for name, one in known.operations.items()}
        return Strategy(PROBABILISTIC, first, {**calculated, **default.operations}, LOWER_BOUND_A_SECOND)

    def saw(self, recorded: Iterable[Root]) -> None:
        """Count root spans that were accepted."""
        self._calculate_when_due()
        for root in recorded:
            service = self._services.get(root.service)
            if service is None:
                continue  # it does not ask, so it does as it likes
            service.says_how |= root.says_how
            if service.says_how:
                self._count(service, root)

    def _count(self, service: _Service, root: Root) -> None:
        probability = root.probability
        if probability is not None:
            probability = min(1.0, max(LEAST_PROBABILITY, probability)) if math.isfinite(probability) else None
        one = service.operations.get(root.operation)
        if one is None:
            if self._operations >= MOST_OPERATIONS or len(service.operations) >= MOST_OPERATIONS_OF_SERVICE:
                return
            # Where its clients are now: after a restart of this server nothing jumps.
            one = service.operations[root.operation] = _Operation(probability or FIRST_PROBABILITY)
            self._operations += 1
        one.is_seen = True
        if probability is not None:
            one.new_calls += 1 / probability

    def _calculate_when_due(self) -> None:
        now_s = self._clock_s()
        elapsed_s = now_s - self._calculated_s
        if elapsed_s < self._interval_s:
            return
        self._calculated_s = now_s
        for name, service in list(self._services.items()):
            if now_s - service.asked_s > _FORGOTTEN_AFTER * self._interval_s:
                self._forget_service(name)
                continue
            for operation, one in list(service.operations.items()):
                if one.is_seen:
                    self._calculate(one, elapsed_s)
                else:
                    one.unseen += 1
                    if one.unseen >= _FORGOTTEN_AFTER:
                        del service.operations[operation]
                        self._operations -= 1

    def _calculate(self, one: _Operation, elapsed_s: float) -> None:
        one.calls = _REMEMBERED * one.calls + one.new_calls
        one.seconds = _REMEMBERED * one.seconds + elapsed_s
        one.new_calls, one.is_seen, one.unseen = 0.0, False, 0
        one.probability = next_probability(one.probability, one.calls / one.seconds, self._target)

    def _forget_service(self, name: str) -> None:
        self._operations -= len(self._services.pop(name).operations)


def next_probability(probability: float, calls_a_second: float, target_a_second: float) -> float:
    """What an operation's probability becomes. `calls_a_second` is 0 where none was sampled by its probability."""
    if abs(probability * calls_a_second - target_a_second) <= TOLERANCE * target_a_second:
        return probability
    most = MOST_RISE * probability
    wanted = min(most, target_a_second / calls_a_second) if calls_a_second > 0 else most
    return min(1.0, max(LEAST_PROBABILITY, wanted))
