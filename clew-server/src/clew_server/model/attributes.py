"""Finds single attributes of parsed OTLP messages without making a dict of all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew.otlp.encode import varint
from clew_server.model.text import value_text, written_text


def find(attributes: Iterable[KeyValue], key: str) -> AnyValue | None:
    """The value of the first attribute with this key; None where there is none."""
    return next((pair.value for pair in attributes if pair.key == key), None)


def text_of(attributes: Iterable[KeyValue], *keys: str) -> str:
    """The first of these keys that is there and not empty, as text (`model.text`); empty where none is."""
    found = {pair.key: pair.value for pair in attributes if pair.key in keys}
    return next((text for key in keys if key in found and (text := value_text(found[key]))), "")


def plain(value: AnyValue, leaf: Callable[[AnyValue], Any]) -> Any:
    """A value as JSON knows it. `leaf` says what becomes of those that it has no form for: bytes and floating point numbers."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one, leaf) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value, leaf) for pair in value.kvlist_value.values}
    if kind in ("string_value", "bool_value", "int_value"):
        return getattr(value, kind)
    return None if kind is None else leaf(value)


def json_text(value: AnyValue) -> str:
    """A list or a map as JSON in one line."""
    return json.dumps(plain(value, _in_json), ensure_ascii=False)


def _in_json(value: AnyValue) -> float | str:
    number = value.double_value if value.WhichOneof("value") == "double_value" else math.nan
    return number if math.isfinite(number) else written_text(value)


def text_in_span(raw: bytes, key: str) -> str | None:
    """The text of the attribute with this key, read from a span's bytes in a tenth of the time that parsing them takes.

    Empty where there is none; None where only parsing can tell, as with a key that comes twice, a number or a very long text.
    """
    name, pair = _patterns(key)
    if name not in raw:
        return ""
    at = raw.find(pair)
    try:
        # An attribute of the span: its tag and length before, and behind the key a value that is one text and nothing else.
        size, value = _length(raw, at + len(pair))
        length, text = _length(raw, value + 1)
        head = bytes((_ATTRIBUTE,)) + varint(value - at + size)
        if (
            at >= len(head)
            and raw[at - len(head) : at] == head
            and raw[value] == _STRING
            and text + length == value + size <= len(raw)
            and raw.find(name, value) < 0
        ):
            return raw[text : text + length].decode()
    except (IndexError, UnicodeDecodeError):
        pass
    return None


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """A length of up to two bytes, and the place behind it."""
    first = raw[at]
    if first < 128:
        return first, at + 1
    second = raw[at + 1]
    if second >= 128:
        raise IndexError
    return first & 127 | second << 7, at + 2


_ATTRIBUTE, _STRING = 9 << 3 | 2, 1 << 3 | 2


@lru_cache(maxsize=1024)
def _patterns(key: str) -> tuple[bytes, bytes]:
    """The key, and the beginning of an encoded pair with it: up to the length of the value."""
    name = key.encode()
    return name, bytes((1 << 3 | 2,)) + varint(len(name)) + name + bytes((2 << 3 | 2,))
