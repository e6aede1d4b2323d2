"""The JSON of Pinpoint's agents for Python and PHP: one span with its events, nested (1.3) or flat (1.4), into OTLP. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.model import pinpoint as words
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import whole_characters
from clew_server.receivers.pinpoint.annotations import put
from clew_server.receivers.pinpoint.pieces import (
    NONE,
    Event,
    Failure,
    Owner,
    Writer,
    encoded_resource,
    put_accepted,
)
from clew_server.receivers.pinpoint.types import service_type, span_kind

_MOST_EVENTS: Final = 50_000
_number: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII).fullmatch
_INT32: Final = 2**31
_Json = Mapping[str, Any]

# Key of a span or an event → attribute. Other keys that are not read by name are kept as `pinpoint.KEY`.
_SPAN_KEYS: Final = {
    "UT": "http.route",
    "NP": "pinpoint.proxy.nginx",
    "AP": "pinpoint.proxy.apache",
    "EA": "pinpoint.err",
}
_EVENT_KEYS: Final = {"EA": "pinpoint.err", "asyId": "pinpoint.async_id", "UT": "http.route"}
_READ: Final = frozenset(
    (
        *("S", "E", "FT", ":S", ":E", ":FT", "appid", "appname", ":appid", ":appname", "tid", "sid", "psid", "name"),
        *("stp", "uri", "server", "client", "pname", "ptype", "Ah", "EXP", "EXP_V2", "ERR", "clues", "anno", "calls"),
        *("event", "dst", "nsid", ":depth", ":seq", "SQL"),
    )
)


def decode_span(body: bytes, head: Head) -> OtlpBatch:
    """One span, as a frame of type 1 holds it. Raises BadInput, TooLarge."""
    try:
        one = json.loads(body.decode("utf-8", "replace"))
    except RecursionError as error:
        raise BadInput("the JSON is nested too deeply", code="malformed") from error
    except ValueError as error:
        raise BadInput(f"the frame is not JSON: {error}", code="malformed") from error
    if not isinstance(one, dict):
        raise BadInput("the frame is not a span in JSON", code="malformed")
    writer = Writer()
    try:
        _span(writer, one)
    except OverflowError as error:
        raise BadInput("an id of more than 64 bits", code="malformed") from error
    return writer.batch(body)


def _span(writer: Writer, one: _Json) -> None:
    transaction_id = _text(one.get("tid"))
    if not transaction_id:
        raise BadInput("a span without a transaction id (tid)", code="malformed")
    application = _first(one, "appname", ":appname")
    agent = _first(one, "appid", ":appid")
    application_type = _int32(one.get(":FT", one.get("FT")))
    of_application = service_type(application_type)
    resource = encoded_resource(
        {
            "service.name": application or agent,
            words.AGENT_ID: agent,
            "pinpoint.application.service_type": of_application.name if application_type else "",
            "telemetry.sdk.name": "pinpoint",
            "telemetry.sdk.language": of_application.language,
        }
    )
    owner = Owner.of(resource, transaction_id, _id(one.get("sid"), "sid"))
    parent_id = _id(one.get("psid"), "psid") if one.get("psid") not in (None, "") else NONE
    code = _int32(one.get("stp"))
    type_ = service_type(code, application_type)
    uri, server, client = _text(one.get("uri")), _text(one.get("server")), _text(one.get("client"))
    kind = span_kind(code, type_, is_asked=bool(uri or client))
    start_ms = _int64(one.get(":S", one.get("S")))
    elapsed_ms = _int64(one.get(":E", one.get("E")))
    tags: dict[str, Value] = {}
    _put_annotations(tags, one)
    _put_rest(tags, one, _SPAN_KEYS)
    parent_type = _int32(one.get("ptype"))
    parent: dict[str, Value] = {
        "pinpoint.parent.application": _text(one.get("pname")),
        "pinpoint.parent.service_type": service_type(parent_type).name if parent_type else "",
        "pinpoint.acceptor_host": _text(one.get("Ah")),
    }
    put_accepted(tags, kind, uri, server, client, {key: value for key, value in parent.items() if value})
    name = _text(one.get("name"))
    if name and name != uri:
        tags["pinpoint.api"] = name
    tags["pinpoint.service_type"] = type_.name
    failure, has_failed = _failure(tags, one)
    name = _text(one.get("UT")) or uri or name or type_.name
    writer.span(owner, parent_id, name, kind, start_ms, elapsed_ms, tags, failure=failure, has_failed=has_failed)
    writer.events(owner, _events(one, start_ms, application_type))


def _events(one: _Json, start_ms: int, application: int) -> Iterator[Event]:
    """The events in the order in which they ran. Starts count from the start of the event around them."""
    flat = one.get("event")
    if isinstance(flat, list):
        if len(flat) > _MOST_EVENTS:
            raise TooLarge(f"more than {_MOST_EVENTS} events in one span")
        starts = {0: start_ms}
        found = [(_int32(event.get(":seq")), event) for event in flat if isinstance(event, dict)]
        for sequence, event in sorted(found, key=lambda pair: pair[0]):
            depth = max(1, _int32(event.get(":depth")))
            around = starts.get(depth - 1, start_ms)
            starts[depth] = around + _int64(event.get(":S", event.get("S")))
            yield _event(event, sequence, depth, starts[depth], application)
        return
    waiting: list[tuple[_Json, int, int]] = [(event, 1, start_ms) for event in reversed(_children(one))]
    sequence = 0
    while waiting:
        call, depth, around_ms = waiting.pop()
        begin_ms = around_ms + _int64(call.get(":S", call.get("S")))
        if sequence >= _MOST_EVENTS:
            raise TooLarge(f"more than {_MOST_EVENTS} events in one span")
        yield _event(call, sequence, depth, begin_ms, application)
        sequence += 1
        waiting += [(child, depth + 1, begin_ms) for child in reversed(_children(call))]


def _children(one: _Json) -> list[_Json]:
    calls = one.get("calls")
    return [child for child in calls if isinstance(child, dict)] if isinstance(calls, list) else []


def _event(one: _Json, sequence: int, depth: int, start_ms: int, application: int) -> Event:
    tags: dict[str, Value] = {}
    _put_annotations(tags, one)
    _put_rest(tags, one, _EVENT_KEYS)
    sql = _text(one.get("SQL"))
    if sql:
        tags["db.query.text"] = sql
    name = _text(one.get("name"))
    if name:
        tags["pinpoint.api"] = name
    failure, has_failed = _failure(tags, one)
    next_id = one.get("nsid")
    return Event(
        sequence,
        depth,
        start_ms,
        _int64(one.get(":E", one.get("E"))),
        service_type(_int32(one.get("stp")), application),
        name,
        tags,
        _id(next_id, "nsid") if next_id not in (None, "") else NONE,
        _text(one.get("server")),
        _text(one.get("dst")),
        0,
        failure,
        has_failed,
    )


def _put_annotations(tags: dict[str, Value], one: _Json) -> None:
    for key in ("clues", "anno"):
        found = one.get(key)
        for annotation in found if isinstance(found, list) else ():
            number, colon, value = _text(annotation).partition(":")
            if colon and _number(number) and -_INT32 <= int(number) < _INT32:
                put(tags, int(number), value)
            else:
                tags["pinpoint.annotation"] = _text(annotation)


def _put_rest(tags: dict[str, Value], one: _Json, names: Mapping[str, str]) -> None:
    """What has a name of its own in `names`, and under `pinpoint.KEY` what nothing here knows."""
    for key, value in one.items():
        if key in names:
            tags[names[key]] = _value(value)
        elif key not in _READ:
            tags["pinpoint." + whole_characters(key).lstrip(":")] = _value(value)


def _failure(tags: dict[str, Value], one: _Json) -> tuple[Failure | None, bool]:
    """The exception that a span or an event tells of, and whether it is marked as failed."""
    found: Failure | None = None
    said = one.get("EXP_V2")
    if isinstance(said, dict):
        # `C` is the word "class" where the agent knows none.
        name = _text(said.get("C"))
        found = Failure("" if name == "class" else name, _text(said.get("M")))
        if said.get(":S") is not None:
            tags["pinpoint.exception.start_ms"] = _value(said[":S"])
    elif one.get("EXP"):
        found = Failure("", _text(one["EXP"]))
    error = one.get("ERR")
    if isinstance(error, dict):
        if error.get("file"):
            tags["code.file.path"] = _text(error["file"])
        if error.get("line"):
            tags["code.line.number"] = _int64(error["line"])
        found = found or Failure("", _text(error.get("msg")))
    return found, found is not None or bool(one.get("EA"))


def _first(one: _Json, *keys: str) -> str:
    for key in keys:
        if found := _text(one.get(key)):
            return found
    return ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return whole_characters(value)
    if value is None:
        return ""
    return whole_characters(json.dumps(value, ensure_ascii=False, default=str))


def _value(value: Any) -> Value:
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return _text(value)


def _int64(value: Any) -> int:
    """A number; 0 for what is none."""
    if isinstance(value, str) and _number(value):
        value = int(value)
    if isinstance(value, float) and abs(value) < 2**63:
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else 0


def _int32(value: Any) -> int:
    number = _int64(value)
    return number if -_INT32 <= number < _INT32 else 0


def _id(value: Any, name: str) -> int:
    if isinstance(value, str) and _number(value):
        value = int(value)
    if type(value) is not int:
        raise BadInput(f"{name} is not a number of 64 bits: {_text(value)[:64]!r}", code="malformed")
    return int(value)
