"""An error as a fragment of the span in which it was captured: an event `exception` with all that Sentry knows. No I/O."""

from __future__ import annotations

import json
from typing import Any, Final

from clew_server.model.fragments import FROM, KEY, SEVERITY
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import attributes, event, span, span_back, span_front
from clew_server.receivers.sentry.meaning import severity_of
from clew_server.receivers.sentry.spans import put_event, put_tags, whole
from clew_server.receivers.sentry.values import Json, id_of, list_of, map_of, ns_of, put, text_of

FRAGMENT: Final = "sentry"
"""The kind of these fragments, and where their events say that they come from."""
_CAUSED: Final = "\n\nThe above exception was the direct cause of the following exception:\n\n"


def fragment(found: Json) -> bytes | None:
    """The fragment of an error as an element of `ScopeSpans.spans`; None for one that names no span. Raises Malformed."""
    trace = map_of(map_of(found.get("contexts")).get("trace"))
    trace_id, span_id = id_of(trace.get("trace_id"), 16), id_of(trace.get("span_id"), 8)
    if trace_id is None or span_id is None:
        return None
    at = ns_of(found.get("timestamp")) or 0
    name, items = _told(found)
    back = span_back([event(at, name, whole(items))])
    return span(trace_id, span_id, "", b"", span_front("", 0, at, at, attributes({KEY: FRAGMENT})), back)


def _told(found: Json) -> tuple[str, dict[str, Value]]:
    """Name and attributes of the event."""
    items: dict[str, Value] = {}
    exceptions = [map_of(one) for one in list_of(found.get("exception"))]
    if exceptions:
        raised = exceptions[-1]  # its causes stand before it
        type_, module = text_of(raised.get("type")), text_of(raised.get("module"))
        put(items, "exception.type", f"{module}.{type_}" if module and type_ else type_ or None)
        put(items, "exception.message", raised.get("value"))
        put(items, "exception.stacktrace", _CAUSED.join(_stack(one) for one in exceptions))
        put(items, "sentry.mechanism", raised.get("mechanism"))
        put(items, "sentry.exception", json.dumps(exceptions, ensure_ascii=False))
    entry = map_of(found.get("logentry"))
    message = text_of(entry.get("formatted")) or text_of(found.get("message")) or text_of(entry.get("message"))
    put(items, "message", message or None)
    rest = {key: value for key, value in found.items() if key not in ("exception", "message")}
    put_event(items, rest)
    put(items, "sentry.transaction", found.get("transaction"))
    put(items, "sentry.breadcrumbs", found.get("breadcrumbs"))
    put_tags(items, found.get("tags"), "")
    level = text_of(found.get("level")) or "error"
    # What stands behind this mark is what readers look at, not what the sender wrote.
    items.pop(FROM, None)
    items.pop(SEVERITY, None)
    items[FROM] = FRAGMENT
    if number := severity_of(level):
        items[SEVERITY] = number
    return ("exception" if exceptions else "message"), items


def _stack(one: Json) -> str:
    """An exception with its frames, the last called last, as Python prints it."""
    type_, value = text_of(one.get("type")), one.get("value")
    said = f"{type_}: {value}" if isinstance(value, str) and value else type_
    frames = map_of(one.get("stacktrace")).get("frames")
    lines = [_frame(map_of(frame)) for frame in list_of(frames)]
    return "\n".join(["Traceback (most recent call last):", *lines, said] if lines else [said])


def _frame(frame: Json) -> str:
    file = next((one for key in ("abs_path", "filename", "module") if (one := text_of(frame.get(key)))), "?")
    line = f'  File "{file}", line {_number(frame.get("lineno"))}, in {text_of(frame.get("function")) or "?"}'
    source = text_of(frame.get("context_line")).strip()
    return f"{line}\n    {source}" if source else line


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 1 << 63 else "?"
