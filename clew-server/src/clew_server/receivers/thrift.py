"""Apache Thrift's binary and compact encodings, read into dictionaries by a table of the fields that are wanted. No I/O.

    SPAN = {1: Field("trace_id", I64), 3: Field("name", STRING), 6: Field("annotations", LIST, Field("", STRUCT, ANNOTATION))}
    reader = BinaryReader(body)
    for span in reader.structs(SPAN):      # a bare list of structs
        span.get("name", b"")
    reader.end()

A field that the table does not name, or that came with another type, is skipped, as Thrift asks for. Strings are `bytes`:
Thrift does not say which of them are text. Sizes that the bytes declare are compared with the bytes that are left, nesting ends
at `MAX_DEPTH`, and structs and elements of lists may not be more than one for each `BYTES_AN_ELEMENT` bytes, so that memory and
time grow with the message and not with what it says of itself. Whatever is wrong raises BadInput.

Specification: apache/thrift, doc/specs/thrift-binary-protocol.md and thrift-compact-protocol.md.
"""

from __future__ import annotations

import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from clew_server.errors import BadInput, TooLarge

# Types by their numbers in the binary encoding; the compact reader translates its own.
STOP: Final = 0
BOOL: Final = 2
BYTE: Final = 3
DOUBLE: Final = 4
I16: Final = 6
I32: Final = 8
I64: Final = 10
STRING: Final = 11
STRUCT: Final = 12
MAP: Final = 13
SET: Final = 14
LIST: Final = 15
UUID: Final = 16

CALL: Final = 1
ONEWAY: Final = 4

MAX_DEPTH: Final = 16
BYTES_AN_ELEMENT: Final = 4
_ALWAYS: Final = 64
_MAX_NAME_BYTES: Final = 128


class Field(NamedTuple):
    """A field that is wanted: under which name, of which type, and what it consists of."""

    name: str
    type: int
    of: Any = None
    """The table of a STRUCT; the `Field` of the elements of a LIST or SET, whose name counts for nothing."""
    read: Callable[[Any], Any] | None = None
    """Reads the value in place of what `of` says, from the reader; for lists that a decoder reads in a hurry."""


Fields = Mapping[int, Field]


class Message(NamedTuple):
    """What stands before the arguments of a call."""

    name: str
    type: int
    sequence: int


def malformed(what: str) -> BadInput:
    return BadInput(f"the bytes are not the Thrift message that is expected here: {what}", code="malformed")


class Reader(ABC):
    """One message, read from the front to the back. `at` is the place of the next byte."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body: Final = body
        self.at = at
        self._elements_left = _ALWAYS + len(body) // BYTES_AN_ELEMENT

    @abstractmethod
    def message(self) -> Message:
        """The head of a message. Raises BadInput."""

    def struct(self, fields: Fields, depth: int = 0) -> dict[str, Any]:
        """The wanted fields that came, by their names. Raises BadInput."""
        with as_bad_input():
            return self._struct(fields, depth)

    def structs(self, fields: Fields, *, at_most: int | None = None) -> Iterator[dict[str, Any]]:
        """The structs of the list that begins here, one at a time as they are read. Raises BadInput, TooLarge beyond `at_most`."""
        with as_bad_input():
            type_, count = self.list_head()
            if count and type_ != STRUCT:
                raise malformed(f"a list of type {type_} where structs should be")
            if at_most is not None and count > at_most:
                raise TooLarge(f"more than {at_most} structs in one list")
            for _ in range(count):
                yield self._struct(fields, 1)

    def end(self) -> None:
        """Raises BadInput where bytes are left."""
        if self.at != len(self.body):
            raise malformed(f"{len(self.body) - self.at} bytes behind its end")

    # What the two encodings read each in its own way. Beyond the end they raise IndexError or struct.error.

    @abstractmethod
    def field_head(self, before: int) -> tuple[int, int]:
        """Type and number of the next field, `before` being the number of the one before it; (STOP, 0) at the end."""

    @abstractmethod
    def list_head(self) -> tuple[int, int]:
        """Type and count of the elements that follow; the count was compared with the bytes that are left."""

    @abstractmethod
    def string(self) -> bytes:
        """A string with its length."""

    @abstractmethod
    def number(self, type_: int) -> int | float | bool:
        """A BOOL, BYTE, I16, I32, I64 or DOUBLE."""

    @abstractmethod
    def _map_head(self) -> tuple[int, int, int]:
        """Types of keys and values, and their count."""

    @abstractmethod
    def _skip_numbers(self, type_: int, count: int) -> None:
        """Go past numbers of one type."""

    def skip(self, type_: int, depth: int = 0) -> None:
        """Go past a value of this type. Raises BadInput, IndexError, struct.error."""
        if depth > MAX_DEPTH:
            raise malformed(f"nested more than {MAX_DEPTH} deep")
        if type_ == STRING:
            self.string()
        elif type_ == STRUCT:
            number = 0
            while True:
                inner, number = self.field_head(number)
                if inner == STOP:
                    return
                self.skip(inner, depth + 1)
        elif type_ in (LIST, SET):
            self._skip_many((self.list_head(),), depth)
        elif type_ == MAP:
            keys, values, count = self._map_head()
            self._skip_many(((keys, 1), (values, 1)), depth, count)
        else:
            self._skip_numbers(type_, 1)
            self._check_inside()

    def _skip_many(self, parts: tuple[tuple[int, int], ...], depth: int, times: int = 1) -> None:
        """Go past `times` rounds of values: of each part a type, and how many of it."""
        for _ in range(times):
            for type_, count in parts:
                if type_ in _NUMBERS:
                    self._skip_numbers(type_, count)
                    self._check_inside()
                else:
                    for _ in range(count):
                        self.skip(type_, depth + 1)

    def _check_inside(self) -> None:
        if self.at > len(self.body):
            raise malformed("they end inside a value")

    def _struct(self, fields: Fields, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise malformed(f"nested more than {MAX_DEPTH} deep")
        found: dict[str, Any] = {}
        number = 0
        while True:
            type_, number = self.field_head(number)
            if type_ == STOP:
                return found
            field = fields.get(number)
            if field is None or field.type != type_:
                self.skip(type_, depth + 1)
            else:
                found[field.name] = self._value(field, depth + 1)

    def _value(self, field: Field, depth: int) -> Any:
        if field.read is not None:
            return field.read(self)
        type_ = field.type
        if type_ == STRING:
            return self.string()
        if type_ == STRUCT:
            return self._struct(field.of, depth)
        if type_ in (LIST, SET):
            return self._list(field.of, depth)
        return self.number(type_)

    def _list(self, element: Field, depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise malformed(f"nested more than {MAX_DEPTH} deep")
        type_, count = self.list_head()
        if type_ != element.type:
            self._skip_many(((type_, count),), depth)
            return []
        return [self._value(element, depth + 1) for _ in range(count)]

    def count_elements(self, type_: int, count: int) -> int:
        """The count of a list's elements, after a look at the bytes that are left. Raises BadInput, TooLarge."""
        if not 0 <= count <= len(self.body) - self.at:
            raise malformed(f"a list says that it has {count} elements, and {len(self.body) - self.at} bytes are left")
        if type_ not in _NUMBERS:
            self._elements_left -= count
            if self._elements_left < 0:
                raise TooLarge(
                    f"more than one list element for each {BYTES_AN_ELEMENT} bytes of a message of {len(self.body)} bytes"
                )
        return count


class BinaryReader(Reader):
    """The binary encoding; message heads with a version and, as old clients write them, without."""

    def message(self) -> Message:
        with as_bad_input():
            first = self._i32()
            if first < 0:
                if first & 0x7FFF0000 != 0x00010000:
                    raise malformed("a version of the binary encoding other than 1")
                return Message(_name(self.string()), first & 0xFF, self._i32())
            self.at -= 4
            name, type_ = _name(self.string()), self.body[self.at]
            self.at += 1
            return Message(name, type_, self._i32())

    def field_head(self, before: int) -> tuple[int, int]:
        at = self.at
        type_ = self.body[at]
        if type_ == STOP:
            self.at = at + 1
            return STOP, 0
        self.at = at + 3
        return type_, _unpack_i16(self.body, at + 1)[0]

    def list_head(self) -> tuple[int, int]:
        type_ = self.body[self.at]
        self.at += 1
        return type_, self.count_elements(type_, self._i32())

    def string(self) -> bytes:
        at = self.at + 4
        length = _unpack_i32(self.body, at - 4)[0]
        self.at = at + length
        if length < 0 or self.at > len(self.body):
            raise malformed(f"a string says that it has {length} bytes, and {len(self.body) - at} are left")
        return self.body[at : self.at]

    def number(self, type_: int) -> int | float | bool:
        unpack, size = _BINARY_NUMBERS[type_]
        value: int | float | bool = unpack(self.body, self.at)[0]
        self.at += size
        return value

    def _map_head(self) -> tuple[int, int, int]:
        keys, values = self.body[self.at], self.body[self.at + 1]
        self.at += 2
        return keys, values, self.count_elements(STRUCT, self._i32())

    def _skip_numbers(self, type_: int, count: int) -> None:
        if type_ not in _BINARY_SIZES:
            raise malformed(f"a value of type {type_}, which Thrift does not have")
        self.at += _BINARY_SIZES[type_] * count

    def _i32(self) -> int:
        value: int = _unpack_i32(self.body, self.at)[0]
        self.at += 4
        return value


class CompactReader(Reader):
    """The compact encoding."""

    _bool: bool | None = None  # of a field, whose head says it

    def message(self) -> Message:
        with as_bad_input():
            if self.body[self.at] != 0x82:
                raise malformed("the compact encoding begins with 82")
            byte = self.body[self.at + 1]
            if byte & 0x1F != 1:
                raise malformed("a version of the compact encoding other than 1")
            self.at += 2
            sequence = self.varint()
            return Message(_name(self.string()), byte >> 5, sequence)

    def field_head(self, before: int) -> tuple[int, int]:
        self._bool = None
        byte = self.body[self.at]
        self.at += 1
        code = byte & 0x0F
        if code == 0:
            return STOP, 0
        number = before + (byte >> 4) if byte >> 4 else self.zigzag()
        if code <= 2:
            self._bool = code == 1
            return BOOL, number
        return _type_of(code), number

    def list_head(self) -> tuple[int, int]:
        byte = self.body[self.at]
        self.at += 1
        if byte == 0:  # some writers give an empty list no type
            return STOP, 0
        type_, count = _type_of(byte & 0x0F), byte >> 4
        return type_, self.count_elements(type_, self.varint() if count == 15 else count)

    def string(self) -> bytes:
        length = self.varint()
        at = self.at
        self.at = at + length
        if self.at > len(self.body):
            raise malformed(f"a string says that it has {length} bytes, and {len(self.body) - at} are left")
        return self.body[at : self.at]

    def number(self, type_: int) -> int | float | bool:
        if type_ == BOOL:
            value = self._bool
            if value is not None:
                self._bool = None
                return value
            self.at += 1
            return self.body[self.at - 1] == 1
        if type_ == DOUBLE:
            self.at += 8
            return float(_unpack_little_double(self.body, self.at - 8)[0])
        if type_ == BYTE:
            self.at += 1
            return self.body[self.at - 1] - 256 * (self.body[self.at - 1] >> 7)
        return self.zigzag()

    def _map_head(self) -> tuple[int, int, int]:
        count = self.varint()
        if count == 0:
            return STRUCT, STRUCT, 0
        byte = self.body[self.at]
        self.at += 1
        return _type_of(byte >> 4), _type_of(byte & 0x0F), self.count_elements(STRUCT, count)

    def _skip_numbers(self, type_: int, count: int) -> None:
        if type_ == BOOL and self._bool is not None:
            self._bool = None
        elif type_ in _COMPACT_SIZES:
            self.at += _COMPACT_SIZES[type_] * count
        else:
            for _ in range(count):
                self.varint()

    def zigzag(self) -> int:
        """A signed number of at most 64 bits. Raises BadInput, IndexError."""
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def varint(self) -> int:
        """A number of at most 64 bits, seven in each byte. Raises BadInput, IndexError."""
        body, at = self.body, self.at
        value = body[at]
        at += 1
        if value >= 0x80:
            value &= 0x7F
            shift = 7
            while True:
                byte = body[at]
                at += 1
                if byte < 0x80:
                    break
                value |= (byte & 0x7F) << shift
                shift += 7
                if shift > 63:
                    raise malformed("a number of more than ten bytes")
            value |= byte << shift
            if value >> 64:
                raise malformed("a number of more than 64 bits")
        self.at = at
        return value


@contextlib.contextmanager
def as_bad_input() -> Iterator[None]:
    """Around whatever calls the methods of a reader that say so: bytes that end too early are BadInput."""
    try:
        yield
    except (IndexError, struct.error) as error:
        raise malformed("they end inside a value") from error


def _name(raw: bytes) -> str:
    if len(raw) > _MAX_NAME_BYTES:
        raise malformed(f"a call's name of {len(raw)} bytes")
    return raw.decode("utf-8", "replace")


def _type_of(code: int) -> int:
    if code not in _OF_COMPACT:
        raise malformed(f"a value of type {code}, which the compact encoding does not have")
    return _OF_COMPACT[code]


_unpack_i16: Final = struct.Struct(">h").unpack_from
_unpack_i32: Final = struct.Struct(">i").unpack_from
_unpack_little_double: Final = struct.Struct("<d").unpack_from

_BINARY_NUMBERS: Final[dict[int, tuple[Callable[..., tuple[Any, ...]], int]]] = {
    BOOL: (struct.Struct(">?").unpack_from, 1),
    BYTE: (struct.Struct(">b").unpack_from, 1),
    DOUBLE: (struct.Struct(">d").unpack_from, 8),
    I16: (_unpack_i16, 2),
    I32: (_unpack_i32, 4),
    I64: (struct.Struct(">q").unpack_from, 8),
}
_BINARY_SIZES: Final = {**{type_: size for type_, (_, size) in _BINARY_NUMBERS.items()}, UUID: 16}
_COMPACT_SIZES: Final = {BOOL: 1, BYTE: 1, DOUBLE: 8, UUID: 16}
_NUMBERS: Final = frozenset((BOOL, BYTE, DOUBLE, I16, I32, I64, UUID))
_OF_COMPACT: Final = {
    1: BOOL,
    2: BOOL,
    3: BYTE,
    4: I16,
    5: I32,
    6: I64,
    7: DOUBLE,
    8: STRING,
    9: LIST,
    10: SET,
    11: MAP,
    12: STRUCT,
    13: UUID,
}
