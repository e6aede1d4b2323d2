"""Compressed bodies: what a Content-Encoding says, and gzip, deflate and brotli unpacked within a limit. No I/O."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.contract import MAX_REQUEST_BYTES, Encoding

_STEP_BYTES: Final = 1 << 20
_MAX_GZIP_MEMBERS: Final = 1024
_NAMES: Final[dict[str, Encoding]] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br"}

GrowTo = Callable[[int], None]


def _without_limit(size_bytes: int) -> None:
    pass


def encoding_of(content_encoding: str, taken: Sequence[Encoding] = ("gzip",)) -> Encoding | None:
    """How a body is compressed; None where it is not. Raises Unsupported for what is not among those `taken`."""
    said = content_encoding.strip().lower()
    if said in ("", "identity"):
        return None
    encoding = _NAMES.get(said)
    if encoding is None or encoding not in taken:
        others = ", ".join(taken)
        raise Unsupported(f"Content-Encoding {said}: send {others} or none", code="unsupported_encoding")
    if encoding == "br":
        _brotli()
    return encoding


def says_it_is_small(body: bytes, encoding: Encoding, least: int) -> bool:
    """Whether a compressed body says that it is small; it may lie. Only gzip says how large it is."""
    return encoding == "gzip" and len(body) <= least and int.from_bytes(body[-4:], "little") <= least


def unpacked(
    body: bytes, encoding: Encoding, *, grow_to: GrowTo = _without_limit, most_bytes: int = MAX_REQUEST_BYTES
) -> bytes:
    """The decompressed body, never more than a step beyond the limit in memory.

    `grow_to` hears the size before each further MiB and may raise. Raises TooLarge past `most_bytes`, BadInput for bytes
    that are not whole, Unsupported for brotli where its package is missing.
    """
    return _UNPACKERS[encoding](body, grow_to=grow_to, most_bytes=most_bytes)


def gunzip(body: bytes, *, grow_to: GrowTo = _without_limit, most_bytes: int = MAX_REQUEST_BYTES) -> bytes:
    """The same for gzip, which may have several members."""
    return _inflated(body, "gzip", zlib.MAX_WBITS | 16, _MAX_GZIP_MEMBERS, grow_to, most_bytes)


def _inflate(body: bytes, *, grow_to: GrowTo, most_bytes: int) -> bytes:
    """deflate: in the form of zlib, as HTTP wants it, or bare, as some clients send it."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflated(body, "deflate", zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, 1, grow_to, most_bytes)


def _inflated(body: bytes, name: str, window_bits: int, most_members: int, grow_to: GrowTo, most_bytes: int) -> bytes:
    out: list[bytes] = []
    size = members = 0
    rest = body
    try:
        while rest and members < most_members:
            members += 1
            inflate = zlib.decompressobj(window_bits)
            while not inflate.eof:
                step = min(_STEP_BYTES, most_bytes + 1 - size)
                grow_to(size + step)
                piece = inflate.decompress(rest, step)
                rest = inflate.unconsumed_tail
                size += len(piece)
                if size > most_bytes:
                    raise _too_large(most_bytes)
                out.append(piece)
                if not piece and not rest and not inflate.eof:
                    raise BadInput(f"the {name} data end too early", code="malformed")
            # Zero bytes behind the last member are padding (RFC 1952 leaves them to the program; gzip accepts them).
            rest = inflate.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadInput(f"the body is not {name}: {error}", code="malformed") from error
    if rest or not members:
        raise BadInput(f"the body is not {name}", code="malformed")
    return b"".join(out)


def _unbrotli(body: bytes, *, grow_to: GrowTo, most_bytes: int) -> bytes:
    brotli = _brotli()
    decompressor = brotli.Decompressor()
    out: list[bytes] = []
    size, rest = 0, body
    try:
        while not decompressor.is_finished():
            grow_to(size + min(_STEP_BYTES, most_bytes + 1 - size))
            piece: bytes = decompressor.process(rest, output_buffer_limit=_STEP_BYTES // 2)
            rest = b""
            size += len(piece)
            if size > most_bytes:
                raise _too_large(most_bytes)
            out.append(piece)
            if not piece and decompressor.can_accept_more_data() and not decompressor.is_finished():
                raise BadInput("the brotli data end too early", code="malformed")
    except brotli.error as error:
        raise BadInput(f"the body is not brotli: {error}", code="malformed") from error
    return b"".join(out)


def _brotli() -> Any:
    try:
        found = importlib.import_module("brotli")
    except ImportError:
        found = None
    # Before 1.2 it cannot stop at a limit.
    if not hasattr(getattr(found, "Decompressor", None), "can_accept_more_data"):
        raise Unsupported(
            "Content-Encoding br: this server has no brotli; install clew-server[brotli], or send gzip or none",
            code="unsupported_encoding",
        )
    return found


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(f"more than {most_bytes} bytes after decompression")


_UNPACKERS: Final[dict[Encoding, Callable[..., bytes]]] = {"gzip": gunzip, "deflate": _inflate, "br": _unbrotli}
