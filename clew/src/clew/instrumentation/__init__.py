"""Instrumentations, one file for each library. None imports the library of another."""

from __future__ import annotations

from clew.instrumentation.auto import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
