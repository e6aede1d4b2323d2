"""Which hot path records spans: today the one in Python."""

from __future__ import annotations

from typing import Final

from clew.recorder._pure import Scope, Span, Tracer

NAME: Final = "pure"

__all__ = ["NAME", "Scope", "Span", "Tracer"]
