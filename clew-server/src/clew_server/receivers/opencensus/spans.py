"""A span of OpenCensus written as a span of OTLP. No I/O.

`docs/receivers/opencensus.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from clew.otlp import encode
from clew.otlp import fields as f
from clew.semconv import GRPC_CODES
from clew_server.receivers.foreign.conventions import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    Value,
    beside,
    beside_event,
)
from clew_server.receivers.foreign.marks import ERROR, UNSET, Marks, is_failed_answer
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.foreign.writing import (
    MAX_NS,
    attributes,
    event,
    span,
    span_front,
    whole_characters,
)
from clew_server.receivers.opencensus.values import (
    NO_ATTRIBUTES,
    TRUNCATED,
    Attributes,
    attributes_of,
    ns_of,
    span_id_of,
    trace_id_of,
    trace_state_of,
)

_NO_SPAN_ID: Final = bytes(8)
_KINDS: Final = {0: INTERNAL, 1: SERVER, 2: CLIENT}
_SAID_KINDS: Final[dict[Value, int]] = {
    "server": SERVER,
    "client": CLIENT,
    "producer": PRODUCER,
    "consumer": CONSUMER,
    "internal": INTERNAL,
}
_LINK_TYPES: Final = {1: "child", 2: "parent"}
_MESSAGE_TYPES: Final = {1: "SENT", 2: "RECEIVED"}
_SAMPLED: Final = 1
_FLAGS: Final = {
    remote: encode.tag(f.SPAN_FLAGS, f.FIXED32) + (_SAMPLED | more).to_bytes(4, "little")
    for remote, more in ((None, 0), (False, f.FLAG_REMOTE_KNOWN), (True, f.FLAG_REMOTE_KNOWN | f.FLAG_REMOTE))
}
_MOST_COUNT: Final = (1 << 32) - 1


def written(one: Any, trace_id: bytes, span_id: bytes) -> tuple[bytes, Marks]:
    """A span message with its ids, which are as OTLP wants them, and what its attributes stand for. Raises BadInput."""
    said = attributes_of(one.attributes) if one.HasField("attributes") else NO_ATTRIBUTES
    marks = Marks.of(said.items)
    tags = marks.tags
    more: dict[str, Value] = {}
    kind, tags = _kind(one.kind, tags, more)
    more |= beside(tags, kind)
    start_ns, end_ns = _times(one, more)
    code, message = _status(one, marks, tags, kind, more)
    _put_rest(one, more)
    if not more.keys().isdisjoint(tags):
        more = {key: value for key, value in more.items() if key not in tags}
    front = span_front(
        text(one.name.value),
        kind,
        start_ns,
        end_ns,
        attributes(tags) + (attributes(more) if more else b"") + _count(f.SPAN_DROPPED_ATTRIBUTES, said.dropped),
    )
    back = _events(one.time_events) if one.HasField("time_events") else b""
    back += _links(one.links, marks.links) if marks.links or one.HasField("links") else b""
    if code:
        back += encode.delimited(f.SPAN_STATUS, encode.status(code, whole_characters(message)))
    back += _FLAGS[not one.same_process_as_parent_span.value if one.HasField("same_process_as_parent_span") else None]
    parent_id = span_id_of(one.parent_span_id)
    if len(parent_id) != 8 or parent_id == _NO_SPAN_ID:
        parent_id = b""
    trace_state = trace_state_of(one.tracestate) if one.HasField("tracestate") else ""
    return span(trace_id, span_id, trace_state or marks.trace_state, parent_id, front, back), marks


def _kind(number: int, tags: Mapping[str, Value], more: dict[str, Value]) -> tuple[int, Mapping[str, Value]]:
    """The kind, and the tags without the one that said it: OpenCensus itself knows servers and clients only."""
    kind = _KINDS.get(number)
    if kind is None:
        more["opencensus.kind"] = number
        kind = INTERNAL
    value = tags.get("span.kind")
    said = _SAID_KINDS.get(value.lower()) if isinstance(value, str) else None
    if said is None or (number != 0 and said != kind):
        return kind, tags
    return said, {key: one for key, one in tags.items() if key != "span.kind"}


def _times(one: Any, more: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ns; of one that is missing the other. Times that OTLP does not have are kept as attributes."""
    start_ns, end_ns = ns_of(one.start_time), ns_of(one.end_time)
    if 0 < start_ns <= end_ns <= MAX_NS:
        return start_ns, end_ns
    if not 0 <= start_ns <= MAX_NS:
        more["opencensus.start_time_ns"] = str(start_ns)
        start_ns = 0
    if not 0 <= end_ns <= MAX_NS or 0 < end_ns < start_ns:
        more["opencensus.end_time_ns"] = str(end_ns)
        end_ns = 0
    return start_ns or end_ns, end_ns or start_ns


def _status(one: Any, marks: Marks, tags: Mapping[str, Value], kind: int, more: dict[str, Value]) -> tuple[int, str]:
    """What attributes say counts first, then the status, then an answer's number."""
    code, message = marks.status_code, marks.status_message
    said = one.status.code
    said_message = text(one.status.message)
    if said:
        name = GRPC_CODES[said] if 0 < said < len(GRPC_CODES) else str(said)
        more["opencensus.status_code"] = said
        more.setdefault("error.type", name)
        if code == UNSET:
            return ERROR, said_message or name
        if code == ERROR:
            return ERROR, message or said_message or name
    if said_message and said_message != message:
        more["opencensus.status_message"] = said_message
    if code == UNSET and "http.status_code" in tags and "error" not in tags:
        return (ERROR if is_failed_answer(tags["http.status_code"], kind) else UNSET), ""
    return code, message


def _put_rest(one: Any, more: dict[str, Value]) -> None:
    """The fields that OTLP has no place for."""
    if one.name.truncated_byte_count > 0:
        more[TRUNCATED] = one.name.truncated_byte_count
    if one.HasField("child_span_count"):
        more["opencensus.child_span_count"] = one.child_span_count.value
    parent_id = one.parent_span_id
    if parent_id and len(span_id_of(parent_id)) != 8:
        more["opencensus.parent_span_id"] = parent_id.hex()
    if one.HasField("stack_trace"):
        _put_stack(one.stack_trace, more)
    if one.HasField("time_events"):
        for key in ("dropped_annotations_count", "dropped_message_events_count"):
            count = getattr(one.time_events, key)
            if count > 0:
                more["opencensus." + key] = count


def _put_stack(stack: Any, more: dict[str, Value]) -> None:
    frames = [_frame(one) for one in stack.stack_frames.frame]
    if frames:
        more["code.stacktrace"] = "\n".join(_line(one) for one in frames)
        more["opencensus.stack_trace"] = json.dumps(frames, ensure_ascii=False, separators=(",", ":"))
    if stack.stack_frames.dropped_frames_count > 0:
        more["opencensus.stack_trace.dropped_frames_count"] = stack.stack_frames.dropped_frames_count
    if stack.stack_trace_hash_id:
        more["opencensus.stack_trace.hash_id"] = f"{stack.stack_trace_hash_id:016x}"


def _frame(one: Any) -> dict[str, Any]:
    """The fields of a stack frame that say something."""
    found: dict[str, Any] = {}
    for key in ("function_name", "original_function_name", "file_name", "source_version"):
        _put_text(found, key, getattr(one, key))
    for key in ("line_number", "column_number"):
        if getattr(one, key):
            found[key] = getattr(one, key)
    _put_text(found, "module", one.load_module.module)
    _put_text(found, "build_id", one.load_module.build_id)
    return found


def _put_text(found: dict[str, Any], key: str, message: Any) -> None:
    if message.value:
        found[key] = text(message.value)
    if message.truncated_byte_count > 0:
        found[f"{key}.truncated_byte_count"] = message.truncated_byte_count


def _line(frame: Mapping[str, Any]) -> str:
    """As stack traces are read: `at function (file:line:column)`."""
    place = ":".join(
        str(frame[key]) for key in ("file_name", "line_number", "column_number") if key in frame
    ) or frame.get("module", "?")
    return f"at {frame.get('original_function_name') or frame.get('function_name', '?')} ({place})"


def _events(message: Any) -> bytes:
    events = [_event(one) for one in message.time_event]
    dropped = max(0, message.dropped_annotations_count) + max(0, message.dropped_message_events_count)
    return b"".join(events) + _count(f.SPAN_DROPPED_EVENTS, dropped)


def _event(one: Any) -> bytes:
    time_ns, items, dropped = ns_of(one.time), dict[str, Value](), 0
    if one.WhichOneof("value") == "message_event":
        name = "message"
        said = one.message_event
        items["message.type"] = _MESSAGE_TYPES.get(said.type, str(said.type))
        # Of a size of more than 63 bits its digits: OTLP's numbers have a sign.
        items["message.id"] = said.id
        if said.uncompressed_size:
            items["message.uncompressed_size"] = said.uncompressed_size
        if said.compressed_size:
            items["message.compressed_size"] = said.compressed_size
    else:
        note = one.annotation
        name = text(note.description.value) or "annotation"
        items, dropped = attributes_of(note.attributes) if note.HasField("attributes") else Attributes({})
        items |= beside_event(items)
        if note.description.truncated_byte_count > 0:
            items[TRUNCATED] = note.description.truncated_byte_count
    if not 0 <= time_ns <= MAX_NS:
        items["opencensus.time_ns"] = str(time_ns)
        time_ns = 0
    return event(time_ns, name, {whole_characters(key): value for key, value in items.items()}, dropped)


def _links(message: Any, more: tuple[bytes, ...]) -> bytes:
    links = b"".join([encode.delimited(f.SPAN_LINKS, one) for one in (*map(_link, message.link), *more)])
    return links + _count(f.SPAN_DROPPED_LINKS, max(0, message.dropped_links_count))


def _link(one: Any) -> bytes:
    """A link; ids of another length than OTLP's are its attributes."""
    said = attributes_of(one.attributes) if one.HasField("attributes") else NO_ATTRIBUTES
    items = dict(said.items)
    if one.type:
        items["opencensus.link_type"] = _LINK_TYPES.get(one.type, str(one.type))
    trace_id, span_id = trace_id_of(one.trace_id), span_id_of(one.span_id)
    if len(trace_id) != 16 or len(span_id) != 8:
        items |= {"opencensus.trace_id": trace_id.hex(), "opencensus.span_id": span_id.hex()}
        trace_id = span_id = b""
    state = trace_state_of(one.tracestate) if one.HasField("tracestate") else ""
    ids = int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big")
    return encode.link(*ids, whole_characters(state), items, said.dropped, 0)


def _count(field: int, count: int) -> bytes:
    return encode.tag(field, f.VARINT) + encode.varint(min(count, _MOST_COUNT)) if count else b""
