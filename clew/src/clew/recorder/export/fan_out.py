"""Several exporters behind one pipeline: a collector, and the console beside it."""

from __future__ import annotations

from collections.abc import Sequence

from clew import guard
from clew.recorder.export.exporter import Exporter, Outcome


class FanOut:
    """Hands every request to all; what becomes of the spans is what the first exporter says.

    The others see a request once, however often the first must try again.
    """

    def __init__(self, first: Exporter, others: Sequence[Exporter]) -> None:
        self._first = first
        self._others = tuple(others)
        self._shown: bytes | None = None

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """One attempt of the first, before it the only one of the others."""
        if request is not self._shown:
            self._shown = request
            for other in self._others:
                try:
                    other.export(request, timeout_s)
                except Exception as error:  # a closed console must not keep the collector from getting its spans
                    guard.swallow("an exporter beside the first", error)
        outcome = self._first.export(request, timeout_s)
        if outcome.verdict != "again":
            self._shown = None
        return outcome

    def forget(self) -> None:
        """As each of them does."""
        for exporter in (self._first, *self._others):
            exporter.forget()

    def close(self) -> None:
        """Close all."""
        for exporter in (self._first, *self._others):
            exporter.close()
