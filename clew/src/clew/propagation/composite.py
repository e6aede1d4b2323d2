"""Several propagators as one: the first that finds a trace wins; a failure of one does not affect the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Span

from clew import guard
from clew._otel import SPAN_KEY
from clew.carriers import AsgiCarrier
from clew.propagation._reading import has_prefix
from clew.propagation.tracecontext import TraceContextPropagator


class CompositePropagator(TextMapPropagator):
    """Extracts with each in order, and injects with each.

    The trace is that of the first propagator that finds a valid one. Those after it are asked all the same, for
    baggage and whatever else they read, but cannot change the trace.
    """

    def __init__(self, propagators: Iterable[TextMapPropagator]) -> None:
        self._propagators = tuple(propagators)
        # Ours say which headers they read, and are not asked where there are none of them.
        self._readers: Final = tuple(
            (propagator, getattr(propagator, "reads", None), getattr(propagator, "prefixes", ()))
            for propagator in self._propagators
        )

        # Nearly every request has a traceparent and no header that the others read; one check finds that out.
        first = self._propagators[0] if self._propagators else None
        self._first: Final = first if type(first) is TraceContextPropagator else None
        others = self._readers[1:]
        self._others: Final = (
            tuple(name.encode("latin-1") for _, reads, _ in others for name in reads or ())
            if all(reads is not None for _, reads, _ in others)
            else None
        )
        self._prefixes: Final = tuple(prefix.encode("latin-1") for _, _, prefixes in others for prefix in prefixes)

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
        headers: object = carrier
        if isinstance(headers, AsgiCarrier) and self._first is not None and self._others is not None:
            index = headers.plain_index()
            if index is not None:
                for name in self._others:
                    if name in index:
                        break
                else:
                    for prefix in self._prefixes:
                        if prefix in headers.names:  # within a name, too, where the others find nothing
                            break
                    else:
                        return self._first.extract_plain(index, context)
        has_any = getattr(carrier, "has_any", None)
        before = span = context.get(SPAN_KEY)
        for propagator, reads, prefixes in self._readers:
            try:
                if (
                    has_any is not None
                    and reads is not None
                    and not has_any(reads)
                    and not (prefixes and has_prefix(carrier, prefixes))
                ):
                    continue
                found = propagator.extract(carrier, context, getter)
                now = found.get(SPAN_KEY)
                if now is not span:
                    if span is not before or not _is_valid(now):
                        found = _with(found, span)
                    else:
                        span = now
                context = found
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


def _is_valid(span: object) -> bool:
    return isinstance(span, Span) and span.get_span_context().is_valid


def _with(context: Context, span: object) -> Context:
    values = dict(context)
    if span is None:
        values.pop(SPAN_KEY, None)
    else:
        values[SPAN_KEY] = span
    return Context(values)
