"""One span that itself took far longer than its operation usually does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress, islice
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.model.words import duration_text, times_text

_TIMES: Final = 3
_MIN_SHARE: Final = 0.10


def slow_call(evidence: Evidence) -> Iterator[Finding]:
    """Own time of at least three times the operation's usual p95, and a tenth of the root."""
    if not evidence.usual.within and not evidence.usual.operations:
        return
    least_ns = max(1.0, evidence.root_ns * _MIN_SHARE)
    for row in compress(evidence.rows, map(least_ns.__le__, islice(evidence.own_ns, evidence.root, None))):
        own_ns = evidence.own_ns[row]
        usual = evidence.usual_duration(row)
        if usual is None or own_ns < usual[1] * _TIMES:
            continue
        p50_ns, p95_ns = usual
        text = (
            f"{evidence.label(row)} took {duration_text(own_ns)} by itself, usually {duration_text(p50_ns)} "
            f"(19 of 20 within {duration_text(p95_ns)})"
        )
        if p95_ns > 0:
            text += f": {times_text(own_ns / p95_ns)} as long as that"
        numbers = {"own_ns": own_ns, "usual_p50_ns": p50_ns, "usual_p95_ns": p95_ns}
        yield Finding("slow_call", text, evidence.share(own_ns), "certain", [row], numbers)
