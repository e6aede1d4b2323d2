"""Limits the attributes of a request by its size, because the store's cost grows with attributes and not with bytes. No I/O.

An attribute with a key and a value has at least nine bytes. Sixty-four MiB of empty ones, which gzip packs into 64 kB, would
cost the store gigabytes, and so would many small requests of them in one segment of the log.
"""

from __future__ import annotations

import random
import re

from clew_server.errors import TooLarge
from clew_server.receivers.wire import fields

_BYTES_AN_ATTRIBUTE = 16
"""One attribute without key or value is allowed for each of this many bytes of a request."""
_SHORT_BYTES = 7
"""An attribute of at most this length, tag and length included, lacks its key or its value."""
_ALWAYS = 16
_WINDOWS, _WINDOW_BYTES = 32, 128

# The tags of attributes: of spans (field 9), of events and scopes (3), of links (4).
_TAGS = (b"\x4a", b"\x1a", b"\x22")
_SHORT = re.compile(rb"[\x4a\x1a\x22][\x00-\x05]")


def check_density(request: bytes) -> None:
    """Raises TooLarge for a canonical request that is full of attributes without a key or a value.

    Looked at are first a few hundred bytes here and there, which a sender cannot predict; then bytes that look like short
    attributes; only where both say so the attributes themselves are counted.
    """
    sample = _sample(request)
    if sum(sample.count(tag) for tag in _TAGS) <= _ALWAYS + len(sample) // _BYTES_AN_ATTRIBUTE:
        return
    most = _ALWAYS + len(request) // _BYTES_AN_ATTRIBUTE
    if _SHORT.subn(b"", request)[1] <= most:
        return
    if _count_short(request, most) > most:
        raise TooLarge(
            f"more than {most} attributes without a key or a value in a request of {len(request)} bytes:"
            f" one for {_BYTES_AN_ATTRIBUTE} bytes is the limit"
        )


def is_sparse(body: bytes) -> bool:
    """Whether a body most likely holds no more spans and scopes than its length lets one expect."""
    sample = _sample(body)
    return sample.count(b"\x12") <= _ALWAYS + len(sample) // 8 and sample.count(b"\x0a") <= _ALWAYS + len(sample) // 4


def _sample(request: bytes) -> bytes:
    if len(request) <= 2 * _WINDOWS * _WINDOW_BYTES:
        return request
    room = len(request) - _WINDOW_BYTES
    starts = [int(random.random() * room) for _ in range(_WINDOWS)]
    return b"".join([request[start : start + _WINDOW_BYTES] for start in starts])


# Way from a request down to whatever holds attributes: message → field → message; `None` is an attribute.
_WAYS: dict[str, dict[int, str | None]] = {
    "request": {1: "resource_spans"},
    "resource_spans": {2: "scope_spans"},
    "scope_spans": {1: "scope", 2: "span"},
    "scope": {3: None},
    "span": {9: None, 11: "event", 13: "link"},
    "event": {3: None},
    "link": {4: None},
}


def _count_short(request: bytes, limit: int) -> int:
    count = 0
    waiting = [("request", 0, len(request))]
    while waiting:
        message, at, end = waiting.pop()
        ways = _WAYS[message]
        for field in fields(request, at, end):
            if field.wire_type != 2 or field.number not in ways:
                continue
            inner = ways[field.number]
            if inner is not None:
                waiting.append((inner, field.content, field.end))
            elif field.end - field.start <= _SHORT_BYTES:
                count += 1
                if count > limit:
                    return count
    return count
