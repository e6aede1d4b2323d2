"""Kratos' service name: the caller sends it in `x-md-service-name`; it becomes `peer.service` on the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context, create_key, get_current, set_value
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import get_tracer_provider

from clew import environment, semconv
from clew._otel import SPAN_KEY
from clew.propagation._case import values_in_any_case

HEADER: Final = "x-md-service-name"
PEER_SERVICE: Final = create_key("clew-peer-service")
_FIELDS: Final = frozenset((HEADER,))


def peer_service(context: Context) -> str | None:
    """The caller's service name, if it sent one."""
    name = context.get(PEER_SERVICE)
    return name if isinstance(name, str) else None


class ServiceNamePropagator(TextMapPropagator):
    """Sends the name given, else that of the provider's resource, else `OTEL_SERVICE_NAME`, else nothing."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = (HEADER,)

    def __init__(self, service_name: str | None = None) -> None:
        self._service_name = service_name
        self._cached: tuple[object, str | None] = (None, None)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = get_current()
        values = values_in_any_case(carrier, HEADER) if getter is default_getter else getter.get(carrier, HEADER)
        if values and values[0]:
            return set_value(PEER_SERVICE, values[0], context)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        name = self._service_name or self._own_name(context)
        # A header holds no more than printable ASCII.
        if name and name.isascii() and name.isprintable():
            setter.set(carrier, HEADER, name)

    def _own_name(self, context: Context | None) -> str | None:
        span = (get_current() if context is None else context).get(SPAN_KEY)
        resource = getattr(span, "resource", None)
        if resource is None:
            resource = getattr(get_tracer_provider(), "resource", None)
        if resource is not None:
            known, name = self._cached
            if known is not resource:
                name = _name_of(resource)
                self._cached = (resource, name)
            if name:
                return name
        return environment.text("OTEL_SERVICE_NAME") or None

    @property
    def fields(self) -> set[str]:
        return set(_FIELDS)


def service_name_of(span: object) -> str | None:
    """The service's name by the span's resource, else by the global provider's, else `OTEL_SERVICE_NAME`."""
    resource = getattr(span, "resource", None) or getattr(get_tracer_provider(), "resource", None)
    name = None if resource is None else _name_of(resource)
    name = name or environment.text("OTEL_SERVICE_NAME")
    # A header holds no more than printable ASCII.
    return name if name and name.isascii() and name.isprintable() else None


def _name_of(resource: object) -> str | None:
    attributes = getattr(resource, "attributes", resource)
    name = attributes.get(semconv.SERVICE_NAME) if isinstance(attributes, Mapping) else None
    # The specification's default for a service without a name; it is not sent.
    if not isinstance(name, str) or name.startswith("unknown_service"):
        return None
    return name
