"""The heads of very many spans as arrays, read from their bytes by numpy: all spans at once, one field after the other. No I/O.

A span of OTLP is a row of fields, each with a tag that says how long it is. At each step one field of every span is looked at, and all
go on to their next one. What is not as nearly all spans are (a length of four bytes, a tag that OTLP does not have, bytes that are cut off)
is left to `head_columns`, which decides what the span says and whether it parses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from clew_server.model.columns import EVENTS, FAILED, LINKS
from clew_server.model.failed import STATUS_ERROR, STATUS_UNSET, is_failed, places_that_may_fail
from clew_server.model.head_columns import head_columns

Ints: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.bool_]

_SPANS_AT_ONCE: Final = 1 << 15
"""More of them do not stay in the processor's caches."""
_BYTES_AT_ONCE: Final = 32 << 20
_FEW: Final = 64
"""When so few spans still have fields after so many steps, the rest is read one by one: a span may have 100,000 attributes."""
_PADDING: Final = bytes(16)
"""So that the last field can be looked at beyond its end."""

_SPAN_ID, _PARENT_ID, _NAME, _KIND, _START, _END = 0x12, 0x22, 0x2A, 0x30, 0x39, 0x41
_EVENT, _LINK, _STATUS, _FLAGS = 0x5A, 0x6A, 0x7A, 0x85
"""Tags of the fields of a span, number and form; of `flags`, which has two bytes, the first."""
_FLAGS_SECOND: Final = 0x01
_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
"""The forms of a field, the lowest three bits of its tag."""
_BEYOND: Final = 1 << 40
"""A length that no span has."""


class HeadArrays(NamedTuple):
    """What the spans say of themselves, one entry for each span that parses, in the order of the spans."""

    places: Ints
    ids: NDArray[np.uint64]
    """As a number, the first byte the highest."""
    parent_ids: NDArray[np.uint64]
    """0 where there is none."""
    has_parent_id: Bits
    """Whether there is a parent id, of zeros too."""
    name: Ints
    """Index in `names`."""
    names: list[str]
    kinds: Ints
    starts_unix_nano: NDArray[np.uint64]
    ends_unix_nano: NDArray[np.uint64]
    flags: Ints
    """FAILED, EVENTS and LINKS."""


def head_arrays(raw: Sequence[bytes]) -> HeadArrays | None:
    """The arrays of these spans; None where an id has not eight bytes or is of zeros: those have no place in an array."""
    names = _Names()
    blocks = []
    sizes = np.fromiter(map(len, raw), np.int64, len(raw))
    for begin, end in _blocks(sizes):
        block = _block(raw[begin:end], sizes[begin:end], begin, names)
        if block is None:
            return None
        blocks.append(block)
    arrays = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    places, ids, parent_ids, has_parent_id, name, kinds, starts, ends, flags = arrays
    return HeadArrays(places, ids, parent_ids, has_parent_id, name, names.texts, kinds, starts, ends, flags)


def _blocks(sizes: Ints) -> Iterator[tuple[int, int]]:
    """Beginning and end of each block: so many spans, and of large ones so many bytes."""
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))
    begin = 0
    while begin < len(sizes):
        full = int(np.searchsorted(before, before[begin] + _BYTES_AT_ONCE, side="right")) - 1
        end = max(begin + 1, min(begin + _SPANS_AT_ONCE, full))
        yield begin, end
        begin = end


def _block(raw: Sequence[bytes], sizes: Ints, first: int, names: _Names) -> tuple[NDArray[np.generic], ...] | None:
    """The arrays of a block whose first span has this place, in the order of `HeadArrays`; names are added to `names`."""
    joined = b"".join([*raw, _PADDING])
    data = np.frombuffer(joined, np.uint8)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    found = _walked(data, begins, ends)
    is_odd = found.is_odd
    is_odd[found.span_id < 0] = True  # without an id: `head_columns` says what it has
    name = names.numbers([joined[at:end] for at, end in zip(*_ends(found.name, found.name_size), strict=True)])
    is_odd[name < 0] = True
    kinds = found.kind
    span_id, parent_id = _number(joined, found.span_id), _number(joined, found.parent_id)
    starts = _number(joined, found.start, "<")
    stops = _number(joined, found.end, "<")
    has_parent_id = found.parent_id >= 0
    flags = _flags(joined, raw, begins, found, is_odd)
    places = np.arange(first, first + len(raw))
    is_broken = np.zeros(len(raw), np.bool_)
    for at in np.flatnonzero(is_odd).tolist():
        alone = head_columns((raw[at],))
        if not alone.places:
            is_broken[at] = True
            continue
        own, above = alone.ids[0], alone.parent_ids[0]
        if len(own) != 8 or len(above) not in (0, 8):
            return None
        span_id[at], parent_id[at] = int.from_bytes(own, "big"), int.from_bytes(above, "big")
        has_parent_id[at] = bool(above)
        name[at] = names.numbers([alone.names[0].encode()])[0]
        kinds[at] = alone.kinds[0]
        starts[at], stops[at] = alone.starts_unix_nano[0], alone.ends_unix_nano[0]
        flags[at] = alone.flags[0]
    if not np.all(span_id[~is_broken]):
        return None
    arrays = (places, span_id, parent_id, has_parent_id, name, kinds, starts, stops, flags)
    return arrays if not is_broken.any() else tuple(one[~is_broken] for one in arrays)


class _Walked:
    """Where the fields of each span stand: the place of what they hold, -1 where there is none. Of several the last one counts."""

    def __init__(self, count: int) -> None:
        none = np.full((8, count), -1, np.int64)
        self.span_id, self.parent_id, self.name, self.start, self.end, self.event, self.status, self.link = none
        self.name_size, self.event_size, self.status_size, self.kind = np.zeros((4, count), np.int64)
        self.is_odd: Bits = np.zeros(count, np.bool_)


def _walked(data: NDArray[np.uint8], begins: Ints, ends: Ints) -> _Walked:
    """Walk the fields of all spans. Spans that are `is_odd` afterwards are to be read by themselves."""
    found = _Walked(len(begins))
    found.name[:] = 0
    rows = np.arange(len(begins))
    at, end = begins, ends
    steps = 0
    while True:
        going = at < end
        if not going.all():
            rows, at, end = rows[going], at[going], end[going]
        if not len(rows):
            return found
        steps += 1
        if steps > _FEW and len(rows) < _FEW:
            found.is_odd[rows] = True
            return found
        tag = data[at]
        form = (tag & 7).astype(np.uint8)
        size = data[at + 1].astype(np.int64)
        body = at + 2
        is_sized = form == _SIZED
        long = np.flatnonzero(is_sized & (size >= 0x80))
        if len(long):
            second = data[at[long] + 2].astype(np.int64)
            size[long] += (second << 7) - 0x80
            body[long] += 1
            longer = second >= 0x80
            if longer.any():
                long, third = long[longer], data[at[long[longer]] + 3].astype(np.int64)
                size[long] += (third << 14) - (0x80 << 7)
                body[long] += 1
                size[long[third >= 0x80]] = _BEYOND
        after = body + size
        if not is_sized.all():
            after = np.where(is_sized, after, _after(data, at, tag, form))
        is_odd = after > end
        if is_odd.any():
            found.is_odd[rows[is_odd]] = True
            after[is_odd] = end[is_odd]
        _note(found, rows, tag, at, body, size)
        at = after


def _after(data: NDArray[np.uint8], at: Ints, tag: NDArray[np.uint8], form: NDArray[np.uint8]) -> Ints:
    """The places behind fields without a size of their own; `_BEYOND` where they are no ordinary ones."""
    second = data[at + 1]
    after = np.full(len(at), _BEYOND, np.int64)
    has_one_byte_tag = (tag >= 8) & (tag < 0x80)
    after[has_one_byte_tag & (form == _EIGHT_BYTES)] = 9
    after[has_one_byte_tag & (form == _FOUR_BYTES)] = 5
    after[(tag == _FLAGS) & (second == _FLAGS_SECOND)] = 6
    is_number = has_one_byte_tag & (form == _VARINT)
    after[is_number & (second < 0x80)] = 2
    is_number &= (second >= 0x80) & (tag != _KIND)
    for length in (3, 4, 5):
        if not is_number.any():
            break
        is_last = is_number & (data[at + length - 1] < 0x80)
        after[is_last] = length
        is_number &= ~is_last
    return at + after


def _note(found: _Walked, rows: Ints, tag: NDArray[np.uint8], at: Ints, body: Ints, size: Ints) -> None:
    """Keep the fields that are asked for. What is odd is noted too, and read by itself afterwards."""
    for number in np.flatnonzero(np.bincount(tag, minlength=256)).tolist():
        if number not in _NOTED:
            # A tag of two bytes with a size, or none at all.
            if number & 7 == _SIZED and (number >= 0x80 or number < 8):
                found.is_odd[rows[tag == number]] = True
            continue
        chosen = np.flatnonzero(tag == number)
        of = rows[chosen]
        if number in (_SPAN_ID, _PARENT_ID):
            is_other = size[chosen] != 8
            if is_other.any():
                found.is_odd[of[is_other]] = True
            (found.span_id if number == _SPAN_ID else found.parent_id)[of] = body[chosen]
        elif number == _NAME:
            # The last of several names counts, and the others must be texts too.
            found.is_odd[of[found.name[of] > 0]] = True
            found.name[of], found.name_size[of] = body[chosen], size[chosen]
        elif number == _KIND:
            found.kind[of] = size[chosen]
        elif number in (_START, _END):
            (found.start if number == _START else found.end)[of] = at[chosen] + 1
        elif number == _EVENT:
            found.event[of], found.event_size[of] = body[chosen], size[chosen]
        elif number == _LINK:
            found.link[of] = body[chosen]
        else:
            found.status[of], found.status_size[of] = body[chosen], size[chosen]


_NOTED: Final = frozenset((_SPAN_ID, _PARENT_ID, _NAME, _KIND, _START, _END, _EVENT, _LINK, _STATUS))


def _number(joined: bytes, at: Ints, order: str = ">") -> NDArray[np.uint64]:
    """The numbers of eight bytes at these places, 0 where a place is negative. `order`: `<` where the lowest byte comes first."""
    at_each: NDArray[np.uint64] = np.ndarray((len(joined) - 7,), f"{order}u8", joined, 0, (1,))
    has = at >= 0
    return np.where(has, at_each[np.where(has, at, 0)], 0).astype(np.uint64)


class _Names:
    """Numbers the names of spans, equal ones alike."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[bytes, int] = {}

    def numbers(self, names: list[bytes]) -> Ints:
        """The number of each name, -1 where it is no text: such a span does not parse."""
        known = self._numbers
        for name in dict.fromkeys(names):
            if name not in known:
                try:
                    text = name.decode()
                except UnicodeDecodeError:
                    known[name] = -1
                    continue
                known[name] = len(self.texts)
                self.texts.append(text)
        return np.fromiter(map(known.__getitem__, names), np.int64, len(names))


def _ends(at: Ints, size: Ints) -> tuple[list[int], list[int]]:
    """Beginnings and ends as numbers of Python's, by which it cuts bytes."""
    return at.tolist(), (at + size).tolist()


def _flags(joined: bytes, raw: Sequence[bytes], begins: Ints, found: _Walked, is_odd: Bits) -> Ints:
    """FAILED, EVENTS and LINKS of the spans that are not odd. Marks those as odd whose status does not parse."""
    flags: Ints = np.where(found.event >= 0, EVENTS, 0) + np.where(found.link >= 0, LINKS, 0)
    code = np.zeros(len(raw), np.int64)
    known: dict[bytes, int | None] = {b"": 0}
    for at in np.flatnonzero(found.status_size).tolist():
        begin = int(found.status[at])
        status = joined[begin : begin + int(found.status_size[at])]
        if status not in known:
            known[status] = _code(status)
        if (read := known[status]) is None:
            is_odd[at] = True
        else:
            code[at] = read
    flags[code == STATUS_ERROR] |= FAILED
    may_fail = found.event >= 0
    places = places_that_may_fail(joined)
    if places:
        may_fail[np.searchsorted(begins, places, side="right") - 1] = True
    for at in np.flatnonzero(may_fail & (code == STATUS_UNSET) & ~is_odd).tolist():
        begin = int(found.event[at])
        event = joined[begin : begin + int(found.event_size[at])] if begin >= 0 else None
        try:
            if is_failed(STATUS_UNSET, event, raw[at]):
                flags[at] |= FAILED
        except DecodeError:
            is_odd[at] = True
    return flags


def _code(status: bytes) -> int | None:
    try:
        return Status.FromString(status).code
    except DecodeError:
        return None
