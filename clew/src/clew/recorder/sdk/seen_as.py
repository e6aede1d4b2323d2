"""Makes `isinstance` with a class of the OpenTelemetry SDK true for objects of clew, without importing the SDK."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast


def seen_as(name: str, module: str = "opentelemetry.sdk.trace") -> Callable[[Any], type]:
    """A getter for `__class__`: the SDK's class of this name once its module has been imported.

    `isinstance(span, opentelemetry.sdk.trace.ReadableSpan)` is how exporters, instrumentations and applications ask
    whether a span can be read. ReadableSpan is no ABC one could register with, but isinstance believes `__class__`.
    """

    def get_class(self: Any) -> type:
        found = getattr(sys.modules.get(module), name, None)
        return type(self) if found is None else cast("type", found)

    return get_class
