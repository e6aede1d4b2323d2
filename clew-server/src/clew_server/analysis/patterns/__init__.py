"""Known patterns that make a request slow: one file each, with a function from the evidence to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.patterns.fan_out import fan_out_straggler
from clew_server.analysis.patterns.gap import gap
from clew_server.analysis.patterns.late_start import late_start
from clew_server.analysis.patterns.queue_wait import queue_wait
from clew_server.analysis.patterns.repeated_calls import repeated_calls
from clew_server.analysis.patterns.retries import retries
from clew_server.analysis.patterns.sequential_calls import sequential_calls
from clew_server.analysis.patterns.slow_call import slow_call
from clew_server.analysis.patterns.timeout import timeout

MIN_SHARE: Final = 0.10
"""Of the root's duration: what took less is not worth a sentence."""

MOST_OF_A_KIND: Final = 3

_PATTERNS: Final[Sequence[Callable[[Evidence], Iterator[Finding]]]] = (
    repeated_calls,
    sequential_calls,
    retries,
    gap,
    late_start,
    queue_wait,
    timeout,
    slow_call,
    fan_out_straggler,
)


def find(evidence: Evidence) -> list[Finding]:
    """The findings worth a sentence, largest share first; of each kind the largest ones."""
    found: list[Finding] = []
    for pattern in _PATTERNS:
        large = [finding for finding in pattern(evidence) if finding.share >= MIN_SHARE]
        found += sorted(large, key=_order)[:MOST_OF_A_KIND]
    return sorted(found, key=lambda finding: -finding.share)


def _order(finding: Finding) -> tuple[float, str]:
    """The largest share first; of equal ones by their texts, as ids decide nothing."""
    return -finding.share, finding.text
