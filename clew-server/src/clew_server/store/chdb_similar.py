"""Traces whose ids differ little from one that is not there, from chDB."""

from __future__ import annotations

from itertools import takewhile
from operator import eq
from typing import Final

from clew_server.store.asking import Stopped
from clew_server.store.chdb_reader import ChdbReader
from clew_server.store.contract import Similar

QUESTION_S: Final = 1.0
"""What looking for them may take."""
SAME_DIGITS: Final = 8
"""So many digits at the beginning are the same."""
_DIGITS, _HALF = 32, 16


class ChdbSimilar:
    """The store's TraceSimilar. Safe for several threads."""

    def __init__(self, reader: ChdbReader) -> None:
        self._reader = reader

    def similar(self, digits: str, limit: int) -> list[Similar]:
        """See TraceSimilar."""
        question = self._reader.question(QUESTION_S)
        whole = digits if len(digits) != _HALF else digits.rjust(_DIGITS, "0")
        # Of a 64-bit id the zeros before it say nothing.
        zeros = _HALF if len(whole) == _DIGITS and whole.startswith("0" * _HALF) else 0
        known = whole[: zeros + SAME_DIGITS] if len(whole) == _DIGITS else whole
        found: dict[str, Similar] = {}
        asked = [(known, whole)]
        if len(digits) == _HALF:
            asked.append((digits, digits))
        if len(whole) == _DIGITS and not zeros:
            padded = whole[_HALF:].rjust(_DIGITS, "0")
            asked.append((padded, padded))
        try:
            if zeros:
                halves = question.rows("similar_halves", {"half": whole[_HALF:], "limit": str(limit)})
                # The trace of a span comes before what only ends alike.
                for trace_id, is_span in sorted(halves, key=lambda row: (not row[1], row[0])):
                    found.setdefault(trace_id, Similar(trace_id, "span_id" if is_span else "half"))
            near: list[str] = []
            for beginning, at in asked:
                parameters = {
                    "from": beginning.ljust(_DIGITS, "0"),
                    "to": beginning.ljust(_DIGITS, "f"),
                    "at": at.ljust(_DIGITS, "0"),
                    "limit": str(limit),
                }
                near += (row[0] for row in question.rows("similar_beginnings", parameters))
            for trace_id in sorted(set(near), key=lambda one: (-_in_common(one, whole, digits), one)):
                is_half = len(whole) == _DIGITS and not zeros and trace_id.startswith("0" * _HALF)
                found.setdefault(trace_id, Similar(trace_id, "half" if is_half else "beginning"))
        except Stopped:
            pass  # what was found until then is a help too
        found.pop(whole, None)
        return list(found.values())[:limit]


def _in_common(trace_id: str, whole: str, digits: str) -> int:
    """How many digits at the beginning are the same as those of the id, padded or as it came."""
    return max(sum(1 for _ in takewhile(bool, map(eq, trace_id, one))) for one in (whole, digits))
