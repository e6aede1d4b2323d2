"""What an exception says on a span: its message and stack trace, without secrets, whatever its `__str__` does."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

from opentelemetry.trace import Span

from clew.tracing.attributes import may_hold_secrets, redacted_text
from clew.tracing.outcome import type_name

_MAX_CAUSES: Final = 10


def message_of(error: BaseException) -> str:
    """The exception's message, redacted; its class where it has none to give."""
    try:
        return redacted_text(str(error))
    except Exception:  # its own __str__
        return type_name(error)


def record(span: Span, error: BaseException) -> None:
    """Add the exception to the span as its event, redacted."""
    try:
        if any(may_hold_secrets(text) for text in _texts(error)):
            span.record_exception(error, _attributes(error))
        else:
            span.record_exception(error)
    except Exception:
        # A provider that asks the exception for its message.
        span.add_event("exception", {"exception.type": type_name(error), **_attributes(error)})


def _attributes(error: BaseException) -> dict[str, str]:
    return {
        "exception.message": message_of(error),
        "exception.stacktrace": redacted_text("".join(traceback.format_exception(error))),
    }


def _texts(error: BaseException) -> Iterator[str]:
    """The messages of an exception and of those that led to it, all of which its stack trace shows."""
    for _ in range(_MAX_CAUSES):
        try:
            yield str(error)
        except Exception:
            yield ""
        before = error.__cause__ or error.__context__
        if before is None:
            return
        error = before
