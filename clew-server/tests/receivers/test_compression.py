"""Bodies packed with deflate and brotli; gzip is in test_otlp_decode.py."""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from collections.abc import Callable

import pytest

from clew_server.errors import BadInput, TooLarge, Unavailable, Unsupported
from clew_server.receivers.compression import encoding_of, unpacked
from clew_server.receivers.contract import Encoding

ALL: tuple[Encoding, ...] = ("gzip", "deflate", "br")


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


def brotli(data: bytes) -> bytes:
    packed: bytes = pytest.importorskip("brotli", minversion="1.2").compress(data, quality=4)
    return packed


PACKERS: dict[str, tuple[Encoding, Callable[[bytes], bytes]]] = {
    "zlib": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "brotli": ("br", brotli),
}
every = pytest.mark.parametrize(("encoding", "pack"), PACKERS.values(), ids=PACKERS)


@every
def test_what_was_packed_is_unpacked(encoding: Encoding, pack: Callable[[bytes], bytes]) -> None:
    for whole in (b"", b"x", os.urandom(3000), b"clew" * 1_000_000):
        assert unpacked(pack(whole), encoding) == whole


@every
def test_what_is_broken_or_cut_is_refused(encoding: Encoding, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(os.urandom(3000))
    for bad in (b"", b"plain text", whole[:-1], whole[:100], whole[:5], whole + b"tail"):
        with pytest.raises(BadInput):
            unpacked(bad, encoding)


@every
def test_a_bomb_is_given_up_at_the_limit(encoding: Encoding, pack: Callable[[bytes], bytes]) -> None:
    asked: list[int] = []
    with pytest.raises(TooLarge, match="after decompression"):
        unpacked(pack(bytes(8 << 20)), encoding, grow_to=asked.append, most_bytes=3 << 20)
    assert max(asked) <= (3 << 20) + (1 << 20)


@every
def test_unpacking_stops_when_there_is_no_room(encoding: Encoding, pack: Callable[[bytes], bytes]) -> None:
    def grow_to(size_bytes: int) -> None:
        if size_bytes > 2 << 20:
            raise Unavailable("no room")

    with pytest.raises(Unavailable):
        unpacked(pack(bytes(5 << 20)), encoding, grow_to=grow_to)


def test_a_receiver_says_which_it_takes() -> None:
    assert [encoding_of(said, ALL) for said in ("", "Deflate", "x-gzip")] == [None, "deflate", "gzip"]
    with pytest.raises(Unsupported, match="send gzip, deflate, br or none"):
        encoding_of("zstd", ALL)


def test_brotli_without_its_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(Unsupported, match=r"clew-server\[brotli\]"):
        encoding_of("br", ALL)
    monkeypatch.setitem(sys.modules, "brotli", importlib.import_module("zlib"))  # a brotli that is too old
    with pytest.raises(Unsupported, match=r"clew-server\[brotli\]"):
        encoding_of("br", ALL)
