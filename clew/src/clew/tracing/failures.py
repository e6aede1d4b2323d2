"""Records exceptions on spans: message and stack trace, without secrets, even if `__str__` raises."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from opentelemetry.trace import Span

from clew.tracing.attributes import may_hold_secrets, redacted_text
from clew.tracing.outcome import type_name

_MAX_CAUSES: Final = 10
#: Callers further away are left out of a stack trace.
MAX_CALLERS: Final = 25
_OURS: Final = f"{Path(__file__).parents[1]}{os.sep}"


def message_of(error: BaseException) -> str:
    """The exception's message, redacted; its class if `__str__` raises."""
    try:
        return redacted_text(str(error))
    except Exception:  # its own __str__
        return type_name(error)


def record(span: Span, error: BaseException, *, with_callers: bool = False) -> None:
    """Add the exception to the span as its event, redacted.

    A stack trace begins where the exception is caught, which for a wrapped library is in here. With `with_callers` it
    begins further out, at the code that made the call, and shows no frame of clew.
    """
    try:
        if with_callers:
            span.record_exception(error, _attributes(error, _stack(error)))
        elif any(text is None or may_hold_secrets(text) for text in _texts(error)):
            span.record_exception(error, _attributes(error))
        else:
            span.record_exception(error)
    except Exception:
        # A provider that asks the exception for its message.
        span.add_event("exception", {"exception.type": type_name(error), **_attributes(error)})


def _attributes(error: BaseException, stack: str | None = None) -> dict[str, str]:
    text = "".join(traceback.format_exception(error)) if stack is None else stack
    return {"exception.message": message_of(error), "exception.stacktrace": redacted_text(text)}


def _stack(error: BaseException) -> str:
    """The exception's stack trace, with the callers of the frame in which it is being caught, without our frames."""
    described = traceback.TracebackException.from_exception(error)
    frames = [*_callers(error), *described.stack]
    shown = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    described.stack = traceback.StackSummary.from_list(shown or list(described.stack))
    return "".join(described.format())


def _callers(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The callers of the outermost frame of the traceback, outermost first; none if that has been left already."""
    if error.__traceback__ is None:
        return iter(())
    caught = error.__traceback__.tb_frame
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame is not caught:
        frame = frame.f_back
    if frame is None:
        return iter(())
    return reversed(traceback.StackSummary.extract(traceback.walk_stack(frame.f_back), limit=MAX_CALLERS))


def _texts(error: BaseException) -> Iterator[str | None]:
    """The messages of an exception and of those that led to it, all of which its stack trace shows.

    None for one whose `__str__` fails.
    """
    text: str | None
    for _ in range(_MAX_CAUSES):
        try:
            text = str(error)
        except Exception:
            text = None
        yield text
        before = error.__cause__ or error.__context__
        if before is None:
            return
        error = before
