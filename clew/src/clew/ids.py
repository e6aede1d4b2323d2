"""Identifier conversions: how ids of other systems become 16-byte trace ids and 8-byte span ids.

A system's propagator and its receiver must call the same function, or their spans will not join; none of
these may change after a release. Ids are `bytes`, big-endian.
"""

from __future__ import annotations

import base64
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


# Zipkin: client and server of a call may report one id.


def span_id_from_zipkin_server(
    trace_id: bytes, span_id: bytes, service: str = "", ipv4: str = "", ipv6: str = "", port: int = 0
) -> bytes:
    """8 bytes for the server's side of a shared span: `s8` of both ids in hex and of the endpoint that reported it."""
    return s8(f"{trace_id.hex()}|{span_id.hex()}|server|{service}|{ipv4}|{ipv6}|{port}")


# SkyWalking: spans are numbers within a segment, whose id is any text.

_OUR_SEGMENT: Final = re.compile(r"clew([0-9a-f]{16})000000000000").fullmatch


def span_id_from_skywalking(segment_id: str, span_number: int) -> bytes:
    """8 bytes from a segment's id and a span's number in it; of a segment made here, the span id it was made of."""
    ours = _OUR_SEGMENT(segment_id)
    if ours is not None and span_number == 0:
        return bytes.fromhex(ours[1])
    return s8(f"{segment_id}|{span_number}")


def span_id_to_skywalking(span_id: bytes) -> str:
    """A segment id, to be sent with span number 0, that `span_id_from_skywalking` turns back into `span_id`."""
    return f"clew{span_id.hex()}000000000000"


# Pinpoint: `agentId^agentStartTime^sequence`, and signed 64-bit spans of which the caller chooses the callee's.

_OUR_TRANSACTION: Final = re.compile(r"c\.([A-Za-z0-9_-]{22})\^1000000000000\^0").fullmatch


def trace_id_from_pinpoint(transaction_id: str) -> bytes:
    """16 bytes from a transaction id: hashed (`t16`), or of one made here the trace id it was made of."""
    ours = _OUR_TRANSACTION(transaction_id)
    return t16(transaction_id) if ours is None else base64.urlsafe_b64decode(ours[1] + "==")


def trace_id_to_pinpoint(trace_id: bytes) -> str:
    """A transaction id that `trace_id_from_pinpoint` turns back; its agent id has the 24 characters allowed."""
    return f"c.{base64.urlsafe_b64encode(trace_id).decode()[:22]}^1000000000000^0"


def span_id_to_pinpoint_callee(span_id: bytes) -> int:
    """The id for Pinpoint's span in the callee of our span: derived, so that the callee's parent can be found."""
    return int.from_bytes(s8(f"callee|{span_id.hex()}"), "big", signed=True)


def parent_id_from_pinpoint(transaction_id: str, span_id: int, parent_span_id: int) -> bytes:
    """The span that called Pinpoint's span `span_id`: ours, or the event in `parent_span_id` that chose the id.

    An event that calls another service has the id `s8("next" + transaction id + callee's span id)`. Raises
    OverflowError for numbers beyond 64 bits.
    """
    parent = span_id_from_int64(parent_span_id)
    if span_id_from_int64(span_id) == span_id_from_int64(span_id_to_pinpoint_callee(parent)):
        return parent
    return span_id_from_pinpoint_call(transaction_id, span_id)


def span_id_from_pinpoint_call(transaction_id: str, next_span_id: int) -> bytes:
    """The event that calls another service, by the id that it chose for the callee's span."""
    return s8(f"next{transaction_id}{next_span_id}")


def span_id_from_pinpoint_async(transaction_id: str, span_id: int, async_id: int) -> bytes:
    """The event of Pinpoint's span `span_id` that starts the asynchronous part `async_id` and makes no outgoing call."""
    return s8(f"async|{transaction_id}|{span_id}|{async_id}")


def span_id_from_pinpoint_event(
    transaction_id: str, span_id: int, sequence: int, async_id: int = 0, async_sequence: int = 0
) -> bytes:
    """Any other event of Pinpoint's span `span_id`; `async_id` and `async_sequence` are 0 outside of asynchronous parts."""
    return s8(f"event|{transaction_id}|{span_id}|{async_id}|{async_sequence}|{sequence}")


# CAT: `domain-ip-hour-index` for a message tree; a call's child has an id made by its caller.

_OUR_MESSAGE: Final = re.compile(r"clew\.([0-9a-f]+)-00000000-0-0").fullmatch


def trace_id_from_cat(root_id: str) -> bytes:
    """16 bytes from a root message id: hashed (`t16`), or of one made here the trace id it was made of."""
    ours = _OUR_MESSAGE(root_id)
    return bytes.fromhex(ours[1]) if ours is not None and len(ours[1]) == 32 else t16(root_id)


def trace_id_to_cat(trace_id: bytes) -> str:
    """A root message id that `trace_id_from_cat` turns back."""
    return f"clew.{trace_id.hex()}-00000000-0-0"


def _our_span(message_id: str) -> bytes:
    """The span of a message id of `span_id_to_cat`; empty for any other."""
    ours = _OUR_MESSAGE(message_id)
    is_span = ours is not None and len(ours[1]) == 16 and ours[1] != "0" * 16
    return bytes.fromhex(ours[1]) if ours is not None and is_span else b""


def parent_id_from_cat(message_id: str, parent_id: str) -> bytes:
    """The span that called the tree `message_id`: ours, or the RemoteCall event with its id as data."""
    return _our_span(parent_id) or span_id_from_cat_call(message_id)


def span_id_to_cat(span_id: bytes) -> str:
    """A parent message id that `parent_id_from_cat` turns back."""
    return f"clew.{span_id.hex()}-00000000-0-0"


def span_id_from_cat(message_id: str, digest: str, number: int) -> bytes:
    """The transaction `number` of a tree, counted from 0, the root, in the order in which they begin.

    `digest` stands for all bytes of the tree: a client may give several trees of a thread one message id. The root of a tree with
    an id of `span_id_to_cat` is the span it was made of.
    """
    return (b"" if number else _our_span(message_id)) or s8(f"{message_id}/{digest}/{number}")


def span_id_from_cat_call(message_id: str) -> bytes:
    """The call whose callee makes the tree `message_id`: the RemoteCall event with this id as data."""
    return s8(f"call:{message_id}")


# EagleEye and SOFATracer: trace ids of 17 to 32 hex digits, spans by their path from the root, `0.2.1`.

_EAGLEEYE_HEX: Final = re.compile(r"[0-9a-fA-F]{17,32}").fullmatch
_MAX_RPC_ID: Final = 64
# No service makes so many calls from one span: a last part beyond is a span id of ours.
_MAX_CALLS: Final = 2**32


def trace_id_from_eagleeye(text: str) -> bytes:
    """16 bytes from a trace id: up to 32 hex digits padded on the left, the `T` of load tests off, else `t16`."""
    text = text.removesuffix("T")
    return bytes.fromhex(text.zfill(32)) if _EAGLEEYE_HEX(text) else t16(text)


def span_id_from_eagleeye(trace_id: str, rpc_id: str, side: str) -> bytes:
    """8 bytes for a span by its rpc id, which both sides of a call may have; `trace_id` as it was sent.

    `side` is `c` for the calling side (client, producer) and `s` for the other.
    """
    return s8(f"{trace_id.removesuffix('T')}|{rpc_id}|{side}")


def our_span_in_eagleeye(rpc_id: str) -> bytes | None:
    """The span that `span_id_to_eagleeye` made this rpc id of; None for one that another system made."""
    last = rpc_id.rpartition(".")[2]
    if len(last) > 9 and last.isascii() and last.isdecimal() and _MAX_CALLS <= int(last) < 2**64:
        return int(last).to_bytes(8, "big")
    return None


def parent_id_from_eagleeye(trace_id: str, rpc_id: str) -> bytes:
    """The client's span of a call by the ids it sent; `trace_id` as it was sent. Ours where we made the rpc id."""
    return our_span_in_eagleeye(rpc_id) or span_id_from_eagleeye(trace_id, rpc_id, "c")


def span_id_to_eagleeye(span_id: bytes, rpc_id: str = "0") -> str:
    """An rpc id below `rpc_id` that `parent_id_from_eagleeye` turns back into `span_id`.

    A number counted up would be shorter; this one joins. Where it would be longer than the 64 characters at which
    EagleEye starts again from 0, so does this. One span id in 2**32 does not join.
    """
    made = f"{rpc_id}.{int.from_bytes(span_id, 'big')}"
    return made if len(made) <= _MAX_RPC_ID else f"0.{int.from_bytes(span_id, 'big')}"
