"""Why a trace of the demo is worth a look, in the words of the server's explanation of it: pure functions."""

from __future__ import annotations

from typing import Any


def is_whole(explanation: dict[str, Any]) -> bool:
    """Whether every parent that a span of the trace names has come. A parent ends, and is sent, after its children."""
    completeness = explanation["completeness"]
    return bool(completeness["missing_parents"] == 0 and completeness["roots"] == 1)


def why(word: str, explanation: dict[str, Any]) -> str:
    """`word` (failed, slow) and the first finding, in one line; without findings the summary."""
    findings = explanation["findings"]
    text = findings[0]["text"] if findings else explanation["summary"]
    return f"{word}: {' '.join(text.split())}"
