"""Compressed bodies: what a Content-Encoding says, and gzip unpacked within a limit. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.contract import MAX_REQUEST_BYTES

_INFLATE_STEP_BYTES = 1 << 20
_MAX_GZIP_MEMBERS = 1024


def check_encoding(content_encoding: str) -> bool:
    """Whether the body is gzipped. Raises Unsupported for any other compression."""
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return False
    if encoding in ("gzip", "x-gzip"):
        return True
    raise Unsupported(f"Content-Encoding {encoding}: send gzip or none", code="unsupported_encoding")


def says_it_is_small(body: bytes, least: int) -> bool:
    """Whether a gzipped body says that it is small; it may lie."""
    return len(body) <= least and int.from_bytes(body[-4:], "little") <= least


def gunzip(
    body: bytes,
    *,
    grow_to: Callable[[int], None] = lambda size_bytes: None,
    most_bytes: int = MAX_REQUEST_BYTES,
) -> bytes:
    """The decompressed body, never more than a step beyond the limit in memory.

    `grow_to` hears the size before each further MiB and may raise. Raises TooLarge past `most_bytes`, BadInput for bytes
    that are not whole gzip members.
    """
    out: list[bytes] = []
    size = members = 0
    rest = body
    try:
        while rest and members < _MAX_GZIP_MEMBERS:
            members += 1
            inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            while not inflate.eof:
                step = min(_INFLATE_STEP_BYTES, most_bytes + 1 - size)
                grow_to(size + step)
                piece = inflate.decompress(rest, step)
                rest = inflate.unconsumed_tail
                size += len(piece)
                if size > most_bytes:
                    raise TooLarge(f"more than {most_bytes} bytes after decompression")
                out.append(piece)
                if not piece and not rest and not inflate.eof:
                    raise BadInput("the gzip data end too early", code="malformed")
            # Zero bytes behind the last member are padding (RFC 1952 leaves them to the program; gzip accepts them).
            rest = inflate.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadInput(f"the body is not gzip: {error}", code="malformed") from error
    if rest or not members:
        raise BadInput("the body is not gzip", code="malformed")
    return b"".join(out)
