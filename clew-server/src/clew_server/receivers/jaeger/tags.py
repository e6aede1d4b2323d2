"""Jaeger's lists of tags in Thrift. A span is mostly tags, so each encoding has a quick way for a tag as all clients write it. No I/O.

Such a tag is key, type and the one value of that type, in this order; what lies between key and value then is always the same bytes.
Anything else is read by the table, field by field.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from clew_server.errors import TooLarge
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text, text_value
from clew_server.receivers.pieces import MAX_PART_FIELDS
from clew_server.receivers.thrift import (
    BOOL,
    DOUBLE,
    I32,
    I64,
    LIST,
    STRING,
    STRUCT,
    BinaryReader,
    CompactReader,
    Field,
    Reader,
)

TAG: Final = {
    1: Field("key", STRING),
    2: Field("type", I32),
    3: Field("string", STRING),
    4: Field("double", DOUBLE),
    5: Field("bool", BOOL),
    6: Field("long", I64),
    7: Field("binary", STRING),
}
_STRING, _DOUBLE, _BOOL, _LONG, _BINARY = range(5)
_VALUES: Final[dict[int, tuple[str, Any]]] = {
    _STRING: ("string", b""),
    _DOUBLE: ("double", 0.0),
    _BOOL: ("bool", False),
    _LONG: ("long", 0),
    _BINARY: ("binary", b""),
}
EARLIER: Final = "jaeger.tag."
"""Before the key of a tag: an attribute with the values that tags of the same key had before the last one."""

Tags = dict[str, Value]


def put(tags: Tags, key: str, value: Value) -> None:
    """Add a tag whose key may be there already: the last one counts, as in Jaeger's clients, and the others are kept beside it."""
    before = tags.get(key)
    if before is not None and (before != value or type(before) is not type(value)):
        known = tags.get(EARLIER + key)
        so_far = known if isinstance(known, tuple) else ()
        if len(so_far) < _MOST_EARLIER:
            tags[EARLIER + key] = (*so_far, before if isinstance(before, str) else repr(before))
    tags[key] = value


_MOST_EARLIER: Final = 128


def from_fields(found: dict[str, Any]) -> tuple[str, Value]:
    """Key and value of a tag that was read by the table: the type alone says which value counts."""
    key = text(found.get("key", b""))
    type_ = found.get("type", _STRING)
    known = _VALUES.get(type_)
    if known is None:  # a type of a later version: whatever value there is
        name = next((name for name, _ in _VALUES.values() if name in found), "string")
        known = name, b""
    value = found.get(*known)
    return key, text_value(value) if isinstance(value, bytes) and type_ != _BINARY else value


# Text tags that were seen before, by their bytes: methods, routes and codes come back with most spans. What comes after the cache
# is full is data made of ids, and is read each time.
_known: dict[bytes, tuple[str, str]] = {}
_MOST_KNOWN: Final = 8192
_LONGEST_KNOWN_BYTES: Final = 128


def binary_tags(reader: BinaryReader) -> Tags:
    """The list of tags that begins here."""
    count = _begin(reader)
    tags: Tags = {}
    body, start = reader.body, reader.at
    known, last = _known.get, len(body) - _SHORTEST_BINARY
    for _ in range(count):
        if start < last:
            # Where a text tag of less than 256 bytes would end; bytes that were read before say whether it is one.
            end = start + 20 + body[start + 6]
            if end < last:
                end += 2 + body[end]
                found = known(body[start:end])
                if found is not None and found[0] not in tags:
                    tags[found[0]] = found[1]
                    start = end
                    continue
        reader.at = start
        if not _quick_binary_tag(reader, tags):
            reader.at = start
            put(tags, *from_fields(reader.struct(TAG)))
        start = reader.at
    reader.at = start
    return tags


def _quick_binary_tag(reader: BinaryReader, tags: Tags) -> bool:
    """False for a tag that is written in another way; the reader then is anywhere."""
    body, start = reader.body, reader.at
    if body[start : start + 3] != b"\x0b\0\1":
        return False
    length = _i32(body, start + 3)[0]
    at = start + 7 + length
    kind = _BINARY_HEADS.get(body[at : at + 10])
    if kind is None or length < 0:
        return False
    key = body[start + 7 : at]
    value: Value
    if kind == _STRING:
        length = _i32(body, at + 10)[0]
        end = at + 14 + length
        if length < 0:
            return False
        value = body[at + 14 : end]
    else:
        unpack, size = _BINARY_VALUES[kind]
        value = unpack(body, at + 10)[0]
        end = at + 10 + size
    if body[end : end + 1] != b"\0":
        return False
    reader.at = end + 1
    _put_raw(tags, key, value, body[start : end + 1])
    return True


def compact_tags(reader: CompactReader) -> Tags:
    """The list of tags that begins here."""
    count = _begin(reader)
    tags: Tags = {}
    body, start = reader.body, reader.at
    known, last = _known.get, len(body) - _SHORTEST_COMPACT
    for _ in range(count):
        if start < last:
            # As in `binary_tags`; here of less than 128 bytes.
            end = start + 5 + body[start + 1]
            if end < last:
                end += 2 + body[end]
                found = known(body[start:end])
                if found is not None and found[0] not in tags:
                    tags[found[0]] = found[1]
                    start = end
                    continue
        reader.at = start
        if not _quick_compact_tag(reader, tags):
            reader.at = start
            put(tags, *from_fields(reader.struct(TAG)))
        start = reader.at
    reader.at = start
    return tags


def _quick_compact_tag(reader: CompactReader, tags: Tags) -> bool:
    """False for a tag that is written in another way; the reader then is anywhere."""
    body, start = reader.body, reader.at
    if body[start] != 0x18:
        return False
    reader.at = start + 1
    key = reader.string()
    kind = _COMPACT_HEADS.get(body[reader.at : reader.at + 3])
    if kind is None:
        return False
    reader.at += 3
    value: Value
    if kind == _STRING:
        value = reader.string()
    elif kind == _LONG:
        value = reader.zigzag()
    elif kind == _DOUBLE:
        value = _double(body, reader.at)[0]
        reader.at += 8
    else:
        value = kind == _TRUE
    at = reader.at
    if body[at] != 0:
        return False
    reader.at = at + 1
    _put_raw(tags, key, value, body[start : at + 1])
    return True


def _put_raw(tags: Tags, key: bytes, value: Value, whole: bytes) -> None:
    """Add a tag. Of a text the value is its bytes; `whole` are those of the tag."""
    name = text(key)
    if isinstance(value, bytes):
        value = text_value(value)
        if isinstance(value, str) and len(whole) <= _LONGEST_KNOWN_BYTES and len(_known) < _MOST_KNOWN:
            _known[whole] = name, value
    if name in tags:
        put(tags, name, value)
    else:
        tags[name] = value


def _begin(reader: Reader) -> int:
    """How many tags the list has; of a list of something else none, and it is gone past."""
    at = reader.at
    type_, count = reader.list_head()
    if count > MAX_PART_FIELDS:
        raise TooLarge(f"more than {MAX_PART_FIELDS} tags in one list")
    if count and type_ != STRUCT:
        reader.at = at
        reader.skip(LIST)
        return 0
    return count


_i32: Final = struct.Struct(">i").unpack_from
_double: Final = struct.Struct("<d").unpack_from
_TRUE, _FALSE = 5, 6
_SHORTEST_BINARY: Final = 20
_SHORTEST_COMPACT: Final = 5
_BINARY_HEADS: Final = {
    b"\x08\x00\x02\x00\x00\x00\x00\x0b\x00\x03": _STRING,
    b"\x08\x00\x02\x00\x00\x00\x01\x04\x00\x04": _DOUBLE,
    b"\x08\x00\x02\x00\x00\x00\x02\x02\x00\x05": _BOOL,
    b"\x08\x00\x02\x00\x00\x00\x03\x0a\x00\x06": _LONG,
}
_BINARY_VALUES: Final[dict[int, tuple[Callable[..., tuple[Any, ...]], int]]] = {
    _DOUBLE: (struct.Struct(">d").unpack_from, 8),
    _BOOL: (struct.Struct(">?").unpack_from, 1),
    _LONG: (struct.Struct(">q").unpack_from, 8),
}
_COMPACT_HEADS: Final = {
    b"\x15\x00\x18": _STRING,
    b"\x15\x02\x27": _DOUBLE,
    b"\x15\x04\x31": _TRUE,
    b"\x15\x04\x32": _FALSE,
    b"\x15\x06\x46": _LONG,
}
