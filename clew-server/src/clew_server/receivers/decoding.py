"""Runs a receiver's decoder: at once where that takes a moment, else in a thread, so that other requests are not kept waiting."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor

from clew_server.collector.intake import Reservation
from clew_server.errors import TooLarge
from clew_server.receivers.compression import says_it_is_small, unpacked
from clew_server.receivers.contract import Decoder, Encoding, Head, OtlpBatch, ReceiverSpec
from clew_server.receivers.memory import LARGE_BYTES, give_back, memory_errors

NO_MEMORY = "this machine is out of memory for a request of this size; send it again"
NO_MEMORY_RETRY_S = 2.0
UNFORESEEN = "clew failed over this request; its log says more"

# A compressed body that unfolds to more is not even unpacked on the event loop.
_UNPACK_INLINE_BYTES = 256 << 10
_DECODERS = 2


class Decoding:
    """The decoder of one receiver. `run` belongs to the event loop and raises what the decoder raises, Unavailable, MemoryError."""

    def __init__(self, spec: ReceiverSpec) -> None:
        self._spec = spec
        self._pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix=f"clew-decode-{spec.name}")

    async def run(
        self,
        body: bytes,
        head: Head,
        reservation: Reservation,
        *,
        encoding: Encoding | None = None,
        decode: Decoder | None = None,
    ) -> OtlpBatch:
        """The batch of a body. The reservation grows to what is unpacked. `decode`: another decoder than the spec's."""
        decode = decode or self._spec.decode
        if encoding is not None:
            if not says_it_is_small(body, encoding, _UNPACK_INLINE_BYTES):
                return await self._in_thread(decode, body, head, reservation, encoding)
            most_bytes = min(_UNPACK_INLINE_BYTES, self._spec.limits.message_bytes)
            try:
                body = unpacked(body, encoding, grow_to=reservation.grow_to, most_bytes=most_bytes)
            except TooLarge:  # it lied about its size
                return await self._in_thread(decode, body, head, reservation, encoding)
        if self._spec.is_quick(body, head):
            return _decoded(decode, body, head)
        return await self._in_thread(decode, body, head, reservation, None)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(
        self, decode: Decoder, body: bytes, head: Head, reservation: Reservation, encoding: Encoding | None
    ) -> OtlpBatch:
        call = functools.partial(self._unpack_and_decode, decode, body, head, reservation, encoding)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _unpack_and_decode(
        self, decode: Decoder, body: bytes, head: Head, reservation: Reservation, encoding: Encoding | None
    ) -> OtlpBatch:
        is_large = len(body) > LARGE_BYTES
        try:
            if encoding is not None:
                # The packed bytes stay in memory beside the unpacked ones.
                body = unpacked(body, encoding, grow_to=reservation.grow_to, most_bytes=self._spec.limits.message_bytes)
                is_large |= len(body) > LARGE_BYTES
            return _decoded(decode, body, head)
        finally:
            if is_large:
                give_back()


def _decoded(decode: Decoder, body: bytes, head: Head) -> OtlpBatch:
    with memory_errors():
        return decode(body, head)
