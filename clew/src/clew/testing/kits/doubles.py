"""What the kits use: headers to send, a transport of plain values, what fails when it is asked to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.util.types import AttributeValue

from clew.carriers import DictCarrier
from clew.transport import Outcome, Peer

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED: Final = f"00-{TRACE_ID}-{PARENT_ID}-00"


@dataclass
class FakeTransport:
    """A transport of plain values with a dictionary for a carrier."""

    operation: str = "/fake.Service/Method"
    kind: str = "fake"
    component: str = "Fake"
    headers: dict[str, Any] = field(default_factory=dict)
    peer: Peer | None = None
    values: dict[str, AttributeValue] = field(default_factory=dict)
    conclude: Callable[[object, BaseException | None], Outcome | None] | None = None

    @property
    def carrier(self) -> DictCarrier:
        """The headers."""
        return DictCarrier(self.headers)

    @property
    def reply_carrier(self) -> None:
        """None: replies have no headers."""
        return

    def attributes(self) -> Mapping[str, AttributeValue]:
        """The values given."""
        return self.values

    def outcome(self, reply: object, error: BaseException | None) -> Outcome | None:
        """Whatever `conclude` says."""
        return None if self.conclude is None else self.conclude(reply, error)


class BrokenPropagator(TextMapPropagator):
    """Every method raises."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        raise RuntimeError("broken propagator")

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        raise RuntimeError("broken propagator")

    @property
    def fields(self) -> set[str]:
        return set()


class Failure(Exception):
    """What the kits make calls fail with."""


@contextmanager
def outside_pytest() -> Iterator[None]:
    """Instrumentation failures are swallowed in here, as they are in an application."""
    before = os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTEST_CURRENT_TEST"] = before


class Body(Protocol):
    """What the kit has a handler do, or the other side of a client: nothing, or raise."""

    def __call__(self) -> None: ...


def nothing() -> None:
    """The body of a call of which nothing is wanted."""


def raising(failure: BaseException) -> Body:
    """A body that raises this."""

    def body() -> None:
        raise failure

    return body
