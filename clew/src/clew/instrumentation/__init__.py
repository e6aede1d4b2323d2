"""Instrumentations, one file a library: build its transport, run the tracer. None imports another's library."""

from __future__ import annotations

from clew.instrumentation.auto import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
