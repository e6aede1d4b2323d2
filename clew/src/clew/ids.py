"""Identifier conversions: how ids of other systems become 16-byte trace ids and 8-byte span ids.

A system's propagator and its receiver must call the same function, or their spans will not join; none of
these may change after a release. Ids are `bytes`, big-endian.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_HEX: Final = re.compile(r"[0-9a-fA-F]+").fullmatch
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def trace_id_from_hex(text: str) -> bytes:
    """16 bytes from 1 to 32 hex digits, padded with zeros on the left. Raises ValueError for anything else."""
    return _from_hex(text, 16)


def span_id_from_hex(text: str) -> bytes:
    """8 bytes from 1 to 16 hex digits, padded with zeros on the left. Raises ValueError for anything else."""
    return _from_hex(text, 8)


def _from_hex(text: str, size_bytes: int) -> bytes:
    if len(text) > 2 * size_bytes or not _HEX(text):
        raise ValueError(f"not an id of up to {2 * size_bytes} hex digits: {text[:64]!r}")
    return bytes.fromhex(text.zfill(2 * size_bytes))


def trace_id_to_hex(trace_id: bytes) -> str:
    """32 lower-case hex digits, or 16 when the high half is zero, as systems with 64-bit ids write it."""
    text = trace_id.hex()
    return text[16:] if text.startswith("0" * 16) else text


def trace_id_from_text(text: str) -> bytes:
    """16 bytes from any string: 32 hex digits and UUIDs as they are, the rest hashed (`t16`)."""
    if len(text) == 32 and _HEX(text):
        return bytes.fromhex(text)
    if len(text) == 36 and _UUID(text):
        return bytes.fromhex(text.replace("-", ""))
    return t16(text)


def t16(text: str) -> bytes:
    """T16: the first 16 bytes of SHA-256 over the UTF-8 string."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def s8(text: str) -> bytes:
    """S8: the first 8 bytes of SHA-256 over a canonical UTF-8 string; never all zero."""
    span_id = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]
    return span_id if any(span_id) else b"\0\0\0\0\0\0\0\1"


def span_id_from_int64(number: int) -> bytes:
    """8 bytes from a signed or unsigned 64-bit integer, two's complement. Raises OverflowError beyond 64 bits."""
    return number.to_bytes(8, "big", signed=number < 0)


def trace_id_from_int64s(high: int, low: int) -> bytes:
    """16 bytes from two signed or unsigned 64-bit integers. Raises OverflowError beyond 64 bits."""
    return span_id_from_int64(high) + span_id_from_int64(low)
