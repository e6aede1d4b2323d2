"""Zipkin v2 in JSON: a list of spans. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import OtlpBatch
from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value
from clew_server.receivers.foreign.json_values import array, text_of, wrong
from clew_server.receivers.zipkin.spans import NOWHERE, Annotation, Endpoint, Spans

KINDS: Final = {"CLIENT": CLIENT, "SERVER": SERVER, "PRODUCER": PRODUCER, "CONSUMER": CONSUMER}

_WHOLE_CHARACTERS = 512 << 10
_LONGEST_SPAN = 4 << 20
_LONGEST_KEPT = 256
_BLANK = " \t\n\r"
_raw_decode: Final = json.JSONDecoder().raw_decode

_Json = Mapping[str, Any]


def decode_v2_json(body: bytes) -> OtlpBatch:
    """Decode a list of v2 spans. Raises BadInput, TooLarge."""
    spans = Spans()
    for number, one in enumerate(elements(body)):
        spans.expect()
        if number == 0 and isinstance(one, dict) and _is_v1(one):
            raise BadInput("these are v1 spans: send them to /api/v1/spans", code="malformed")
        try:
            _add(spans, one)
        except BadInput as error:
            spans.reject(error)
    return spans.batch(body)


def elements(body: bytes) -> Iterator[Any]:
    """The elements of a list in JSON; of a long text one at a time, so that no more than a few MiB of objects exist at once.

    No body is an empty list. Raises BadInput for what is no list in JSON, TooLarge for an element of more than 4 MiB.
    """
    text = body.decode("utf-8-sig", "replace").strip(_BLANK)
    if not text:
        return
    if text[0] != "[":
        raise BadInput("the body is not a list of spans in JSON", code="malformed")
    if len(text) > _WHOLE_CHARACTERS:
        yield from _one_at_a_time(text)
        return
    try:
        yield from json.loads(text)
    except RecursionError as error:
        raise BadInput("the JSON is nested too deeply", code="malformed") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}", code="malformed", position=error.pos) from error
    except ValueError as error:  # a number of thousands of digits
        raise BadInput(f"the body is not JSON that can be read: {error}", code="malformed") from error


def _one_at_a_time(text: str) -> Iterator[Any]:
    window = ""
    begin = end = 0  # what of the text is in the window
    at, is_first = 1, True
    while True:
        at = _skip(text, at)
        mark = text[at : at + 1]
        if mark == "]" and is_first:
            break
        if not is_first:
            if mark == "]":
                break
            if mark != ",":
                raise BadInput(f"the body is not JSON: ',' or ']' expected at character {at}", code="malformed")
            at = _skip(text, at + 1)
        is_first = False
        if end - at < _LONGEST_SPAN and end < len(text):
            begin, end = at, min(len(text), at + 2 * _LONGEST_SPAN)
            window = text[begin:end]
        elif not window:
            begin, end, window = 0, len(text), text
        try:
            value, stop = _raw_decode(window, at - begin)
        except RecursionError as error:
            raise BadInput("the JSON is nested too deeply", code="malformed") from error
        except ValueError as error:
            if end < len(text) and _is_cut(error, end - begin):
                raise TooLarge(f"a span of more than {_LONGEST_SPAN} characters") from error
            raise BadInput(f"the body is not JSON: {error}", code="malformed", position=at) from error
        at = begin + stop
        yield value
    if _skip(text, at + 1) != len(text):
        raise BadInput(f"the body is not JSON: more behind the list, at character {at + 1}", code="malformed")


def _is_cut(error: ValueError, length: int) -> bool:
    """Whether a parser stopped because its text ended."""
    return isinstance(error, json.JSONDecodeError) and (
        error.pos >= length - 16 or error.msg.startswith("Unterminated string")
    )


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _is_v1(span: _Json) -> bool:
    if "binaryAnnotations" in span:
        return True
    annotations = span.get("annotations")
    return isinstance(annotations, list) and any(isinstance(one, dict) and "endpoint" in one for one in annotations)


def _add(spans: Spans, span: Any) -> None:
    if type(span) is not dict:
        raise wrong("a span", "an object", span)
    get = span.get
    trace_id = trace_id_of(get("traceId"))
    span_id = span_id_of(get("id"), "id")
    parent = get("parentId")
    parent_id = b"" if parent is None else parent_id_of(parent)
    more: dict[str, Value] | None = None
    said = get("kind")
    kind = INTERNAL if said is None else KINDS.get(said) if type(said) is str else None
    if kind is None:
        kind, more = INTERNAL, {"zipkin.kind": text_of(said)}
    name = get("name")
    if type(name) is not str:
        name = _text(name, "name")
    timestamp, duration = get("timestamp"), get("duration")
    if type(timestamp) is not int:
        timestamp = integer(timestamp, "timestamp")
    if type(duration) is not int:
        duration = integer(duration, "duration")
    local, remote = get("localEndpoint"), get("remoteEndpoint")
    listed = get("annotations")
    tags = get("tags")
    spans.add(
        trace_id,
        span_id,
        parent_id,
        kind,
        name,
        timestamp,
        duration,
        NOWHERE if local is None else endpoint(local, "localEndpoint"),
        NOWHERE if remote is None else endpoint(remote, "remoteEndpoint"),
        () if listed is None else [_annotation(one) for one in array(listed, "annotations")],
        {} if tags is None else _tags(tags),
        debug=get("debug") is True,
        shared=get("shared") is True,
        more=more,
    )


def trace_id_of(text: Any) -> bytes:
    """16 bytes from 1 to 32 hex digits. Raises BadInput with the code `trace_id`."""
    try:
        found = bytes.fromhex(text.zfill(32))
    except (ValueError, AttributeError):
        found = b""
    if len(found) != 16 or not text or len(text) > 32:
        raise BadInput(f"traceId must be 1 to 32 hex digits, not {text!r:.80}", code="trace_id")
    return found


def span_id_of(text: Any, key: str) -> bytes:
    """8 bytes from 1 to 16 hex digits. Raises BadInput with the code `span_id`."""
    try:
        found = bytes.fromhex(text.zfill(16))
    except (ValueError, AttributeError):
        found = b""
    if len(found) != 8 or not text or len(text) > 16:
        raise BadInput(f"{key} must be 1 to 16 hex digits, not {text!r:.80}", code="span_id")
    return found


def parent_id_of(text: Any) -> bytes:
    """8 bytes, or none where the text is empty or all zero. Raises BadInput."""
    if text == "":
        return b""
    try:
        found = span_id_of(text, "parentId")
    except BadInput as error:
        raise BadInput(str(error), code="malformed") from error
    return found if any(found) else b""


def integer(value: Any, key: str) -> int:
    """A number, or a text of digits; 0 where there is none. Raises BadInput."""
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
        return int(value)
    raise wrong(key, "an integer", value)


def _text(value: Any, key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise wrong(key, "a text", value)


def endpoint(value: Any, key: str) -> Endpoint:
    """An endpoint's object. Raises BadInput."""
    if type(value) is not dict:
        raise wrong(key, "an object", value)
    get = value.get
    service, ipv4, ipv6 = get("serviceName"), get("ipv4"), get("ipv6")
    try:
        if len(service or "") + len(ipv4 or "") + len(ipv6 or "") > _LONGEST_KEPT:
            return _read_endpoint(service, ipv4, ipv6, get("port"))
        return _endpoint(service, ipv4, ipv6, get("port"))
    except TypeError:  # no text, or what cannot be looked up
        raise wrong(key, "an endpoint: texts and a number", value) from None


def _read_endpoint(service: Any, ipv4: Any, ipv6: Any, port: Any) -> Endpoint:
    found = Endpoint(_text(service, "serviceName"), _text(ipv4, "ipv4"), _text(ipv6, "ipv6"), integer(port, "port"))
    return found if any(found) else NOWHERE


_endpoint: Final = lru_cache(maxsize=4096, typed=True)(_read_endpoint)


def _annotation(one: Any) -> Annotation:
    if type(one) is not dict:
        raise wrong("an annotation", "an object", one)
    timestamp = one.get("timestamp")
    if type(timestamp) is not int:
        timestamp = integer(timestamp, "timestamp of an annotation")
    value = one.get("value")
    return Annotation(timestamp, value if type(value) is str else _text(value, "value of an annotation"))


def _tags(tags: Any) -> Mapping[str, Value]:
    if type(tags) is not dict:
        raise wrong("tags", "an object", tags)
    try:
        "".join(tags.values())  # the cheapest way to see that all are texts
    except TypeError:
        return {key: tag(value) for key, value in tags.items()}
    found: Mapping[str, Value] = tags
    return found


def tag(value: Any) -> Value:
    """Zipkin's values are texts; of other senders' values numbers and truth are kept as they are, the rest as JSON."""
    if isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else text_of(value)
    return "" if value is None else text_of(value)
