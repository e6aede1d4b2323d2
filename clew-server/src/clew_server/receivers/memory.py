"""Returns the memory of large requests to the system, and tells a parser that ran out of memory from a broken request."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator

from google.protobuf.message import EncodeError

from clew_server.errors import BadInput

LARGE_BYTES = 4 << 20
_PROBE_BYTES = 128 << 20


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library than glibc
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


def give_back() -> None:
    """Return free memory to the system. Takes milliseconds, during which other threads run."""
    trim = _trim()
    if trim is not None:
        trim(0)


def check_memory(error: BaseException) -> None:
    """Raises MemoryError where that is what the parser's error means."""
    if "alloc failed" in str(error):  # upb: "Error parsing message with type …: Arena alloc failed"
        raise MemoryError from error


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Around a decoder: BadInput that comes from memory running out is MemoryError."""
    try:
        yield
    except BadInput as error:
        check_memory(error)
        # Writing a message fails without a reason given; one that was read can always be written but for memory.
        if isinstance(error.__cause__, EncodeError) and not _has_room():
            raise MemoryError from error
        raise


def _has_room() -> bool:
    try:
        bytearray(_PROBE_BYTES)
    except MemoryError:
        return False
    return True
