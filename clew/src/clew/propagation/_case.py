"""Case-insensitive look-up of header names, which the API's default getter does not do for a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_any_case(carrier: object, name: str) -> Any:
    """The value under the lower-case `name`, however the mapping writes it; None when absent, or no mapping."""
    if not isinstance(carrier, Mapping):
        return None
    value = carrier.get(name)
    if value is None:
        size = len(name)
        for key in carrier:
            if len(key) == size and isinstance(key, str) and key.lower() == name:
                return carrier[key]
    return value


def values_in_any_case(carrier: object, name: str) -> list[Any]:
    """The same as a list."""
    value = in_any_case(carrier, name)
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
