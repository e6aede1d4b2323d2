"""The bytes of a file as a stream that can be looked into and unpacked, never more of it in memory than is asked for. No I/O."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from clew_server.errors import BadInput, Unsupported

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_STEP_BYTES: Final = 1 << 20


class Blocks:
    """A place in the bytes of `blocks`, which are taken one at a time and only when they are needed."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = b""
        self._at = 0

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end; the place stays."""
        self._hold(size)
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        self._hold(size)
        taken = self._held[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> Iterator[bytes]:
        """Everything that is left, in blocks."""
        held, self._held, self._at = self._held[self._at :], b"", 0
        if held:
            yield held
        yield from self._blocks

    def _hold(self, size: int) -> None:
        have = len(self._held) - self._at
        if have >= size:
            return
        parts = [self._held[self._at :]]
        while have < size:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            have += len(block)
        self._held, self._at = b"".join(parts), 0


def unpacked(source: Blocks) -> Blocks:
    """The same bytes without gzip or zstd around them. Raises as `unzstd` while it is read, BadInput for damaged bytes."""
    head = source.peek(4)
    if head.startswith(GZIP):
        return Blocks(_gunzipped(source.rest()))
    if head == ZSTD:
        return Blocks(_unzstd(source.rest()))
    return source


def unzstd(data: bytes) -> Blocks:
    """The content of whole zstd frames. Raises Unsupported, at once, where this Python cannot read zstd."""
    _zstd()
    return Blocks(_unzstd(iter([data])))


def _gunzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    begun = False
    for block in blocks:
        rest = block
        while rest:
            if inflate.eof:
                # Zero bytes behind a member are padding (RFC 1952 leaves them to the program; gzip accepts them).
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                inflate, begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
            try:
                piece = inflate.decompress(rest, _STEP_BYTES)
            except zlib.error as error:
                raise BadInput(f"the gzip data are damaged: {error}", code="malformed") from error
            begun = True
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if piece:
                yield piece
    if begun and not inflate.eof:
        raise BadInput("the gzip data end too early", code="malformed")


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    zstd = _zstd()
    unpack: Any = None
    for block in blocks:
        rest = block
        while rest or (unpack is not None and not unpack.eof and not unpack.needs_input):
            if unpack is None or unpack.eof:
                unpack = zstd.ZstdDecompressor()
            try:
                piece = unpack.decompress(rest, _STEP_BYTES)
            except zstd.ZstdError as error:
                raise BadInput(f"the zstd data are damaged: {error}", code="malformed") from error
            rest = unpack.unused_data if unpack.eof else b""
            if piece:
                yield piece
    if unpack is not None and not unpack.eof:
        raise BadInput("the zstd data end too early", code="malformed")


def _zstd() -> Any:
    """The module `compression.zstd` of Python 3.14, or its twin for older ones. Raises Unsupported without either."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise Unsupported(
        "zstd cannot be read by this Python: use 3.14, or pip install backports.zstd, or unpack the file first",
        code="unsupported_encoding",
    )
