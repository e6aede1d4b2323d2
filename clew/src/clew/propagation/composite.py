"""Several propagators as one; a failing one costs the others nothing."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew import guard


class CompositePropagator(TextMapPropagator):
    """Extracts and injects with each in order; where two extract the same thing, the later one wins."""

    def __init__(self, propagators: Iterable[TextMapPropagator]) -> None:
        self._propagators = tuple(propagators)
        # Ours say which headers they read, and are not asked where there are none of them.
        self._readers = tuple((propagator, getattr(propagator, "reads", None)) for propagator in self._propagators)

    @property
    def propagators(self) -> tuple[TextMapPropagator, ...]:
        """The parts, in order."""
        return self._propagators

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = get_current()
        has_any = getattr(carrier, "has_any", None)
        for propagator, reads in self._readers:
            try:
                if reads is None or has_any is None or has_any(reads):
                    context = propagator.extract(carrier, context, getter)
            except Exception as failure:
                guard.swallow(f"extracting with {type(propagator).__name__}", failure)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        if context is None:
            context = get_current()
        for propagator in self._propagators:
            try:
                propagator.inject(carrier, context, setter)
            except Exception as failure:
                guard.swallow(f"injecting with {type(propagator).__name__}", failure)

    @property
    def fields(self) -> set[str]:
        return set().union(*(propagator.fields for propagator in self._propagators))
