"""Kratos: the service name, and global metadata (`x-md-global-*`), which each call forwards to the calls it makes."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context, create_key, get_current
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, default_getter, default_setter

from clew.propagation._reading import named
from clew.propagation.service import ServiceNamePropagator

GLOBAL_PREFIX: Final = "x-md-global-"
_METADATA: Final = create_key("clew-kratos-metadata")


def global_metadata(context: Context) -> dict[str, str]:
    """The `x-md-global-*` headers that were received: name after the prefix, in lower case -> value."""
    found = context.get(_METADATA)
    return dict(found) if isinstance(found, tuple) else {}


def with_global_metadata(metadata: dict[str, str], context: Context | None = None) -> Context:
    """`context` (default: the current one) with `metadata` added to what was received; sent as `x-md-global-*`."""
    if context is None:
        context = get_current()
    together = {**global_metadata(context), **{key.lower(): value for key, value in metadata.items()}}
    return Context({**context, _METADATA: tuple(together.items())})


class KratosPropagator(ServiceNamePropagator):
    """Reads and writes the service name, and forwards global metadata: at most 64 headers of 8192 bytes together."""

    prefixes: Final = (GLOBAL_PREFIX,)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        context = super().extract(carrier, context, getter)
        found = named(carrier, getter, GLOBAL_PREFIX)
        return Context({**context, _METADATA: tuple(found)}) if found else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        super().inject(carrier, context, setter)
        found = (get_current() if context is None else context).get(_METADATA)
        if isinstance(found, tuple):
            for key, value in found:
                # A value set by `with_global_metadata` may not be valid as a header.
                if value.isascii() and value.isprintable() and key.isascii() and key.isprintable():
                    setter.set(carrier, GLOBAL_PREFIX + key, value)
