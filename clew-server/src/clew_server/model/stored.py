"""A span as it is stored: the bytes that came, untouched. The one form in which spans go from room to room."""

from __future__ import annotations

from typing import NamedTuple


class StoredSpan(NamedTuple):
    """One span as it came: serialized OTLP `Span`, `Resource` and `InstrumentationScope` bytes, untouched."""

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str
    span: bytes
    received_unix_nano: int
    """Arrival; whole seconds when it comes from the store."""
