"""Logs of a SkyWalking span as events, in the words of each of its agents. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from clew_server.receivers.foreign.conventions import Value, beside_event
from clew_server.receivers.foreign.writing import MAX_NS, event, whole_characters

_NS_PER_MS: Final = 1_000_000
_STACKS: Final = ("Traceback", "Stack")
"""Keys of Python's and Node's agents, which send nothing else of an exception."""
_RAISED: Final = re.compile(r"([A-Za-z_][\w.$]{0,250})(?:: ?(.*))?", re.ASCII)


class Log(NamedTuple):
    """One log as it came: ms since the epoch, not yet checked, and its fields."""

    time_ms: int
    fields: Mapping[str, Value]


def event_of(log: Log) -> bytes:
    """An event: `exception` for an error in the words of any agent, else named by the field `event`, else `log`."""
    fields = log.fields
    items: dict[str, Value] = dict(fields)
    exception = _exception(fields)
    if exception is not None:
        items |= {key: value for key, value in exception.items() if key not in items}
        name = "exception"
    else:
        said = fields.get("event")
        name = said if isinstance(said, str) and said else "log"
        if name is said:
            del items["event"]
    time_ns = log.time_ms * _NS_PER_MS
    if not 0 <= time_ns <= MAX_NS:
        items["sw8.log_time_ms"] = log.time_ms
        time_ns = 0
    clean = {
        whole_characters(key): whole_characters(value) if isinstance(value, str) else value
        for key, value in items.items()
    }
    return event(time_ns, name, clean)


def message_of(logs: Sequence[Log]) -> str:
    """The message of the first exception; empty where there is none."""
    for log in logs:
        exception = _exception(log.fields)
        if exception is not None:
            message = exception.get("exception.message", "")
            return message if isinstance(message, str) else ""
    return ""


def _exception(fields: Mapping[str, Value]) -> dict[str, Value] | None:
    """The standard attributes of an exception; None for a log that tells of none."""
    for key in _STACKS:
        stack = fields.get(key)
        if isinstance(stack, str) and stack:
            return _of_stack(stack, is_python=key == "Traceback")
    if "error.kind" in fields or "error.object" in fields or fields.get("event") == "error":
        return beside_event(fields)
    return None


def _of_stack(stack: str, *, is_python: bool) -> dict[str, Value]:
    """Type and message stand in the last lines of a stack of Python's, in the first of one of JavaScript's."""
    found: dict[str, Value] = {"exception.stacktrace": stack}
    lines = (
        stack[-_LONGEST_SEARCHED:].rstrip().split("\n") if is_python else stack[:_LONGEST_SEARCHED].split("\n", 1)[:1]
    )
    for line in reversed(lines):
        raised = _RAISED.fullmatch(line)
        if raised is not None:
            found["exception.type"] = raised[1]
            if raised[2]:
                found["exception.message"] = raised[2]
            break
    return found


_LONGEST_SEARCHED: Final = 16 << 10
