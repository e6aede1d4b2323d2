"""Receivers over HTTP: a POST is read within limits, unpacked, decoded, accepted and answered in the words of its protocol."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from clew_server.collector.intake import GAVE_WAY, Intake, Reservation
from clew_server.collector.remembered import Remembered
from clew_server.errors import BadInput, TooLarge, Unavailable, Unsupported
from clew_server.model.facts import NOTHING_KNOWN
from clew_server.receivers.compression import encoding_of
from clew_server.receivers.contract import Answer, Encoding, Head, OtlpBatch, ReceiverSpec, ReceiverState
from clew_server.receivers.decoding import NO_MEMORY, NO_MEMORY_RETRY_S, UNFORESEEN, Decoding
from clew_server.receivers.paths import Paths

logger = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

BODY_STEP_BYTES, BODY_STEP_WITHIN_S = 512, 10.0
"""A body may arrive slowly, but at least this much of it within this time."""
_TOO_SLOW = f"less than {BODY_STEP_BYTES} bytes of the body came in {BODY_STEP_WITHIN_S:.0f} s; send the request again"


class _Gone(Exception):
    """The client left before its request was whole."""


class HttpReceiver:
    """One HTTP listener's requests, as an ASGI app: `POST` to the spec's paths; the rest goes to `other`, or is 404."""

    def __init__(
        self,
        spec: ReceiverSpec,
        intake: Intake,
        state: ReceiverState,
        *,
        other: AsgiApp | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """`remembered`: where what agents say of themselves is kept, for a spec that has something to remember."""
        self._spec = spec
        self._answers = spec.answers
        self._intake = intake
        self._other = other
        self._remembered = remembered
        self._known = NOTHING_KNOWN if remembered is None else remembered.facts(spec.system)
        self._paths = Paths((*spec.paths, *spec.remembers))
        self._decoding = Decoding(spec)
        self.state = state

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        found = self._paths.find(scope["path"]) if scope["type"] == "http" else None
        if found is not None:
            if scope["method"] in self._spec.verbs or not self._spec.shares_paths:
                await self._take(scope, receive, send, found.parts)
                return
        elif scope["type"] == "http" and (why_not := self._spec.not_found(head_of(scope))) is not None:
            await self._refuse(send, 404, why_not, head_of(scope))
            return
        if self._other is not None:
            if not self._spec.paths and scope["type"] == "http":  # a port that is only asked
                self.state.saw(_client(scope), time.time_ns())
            await self._other(scope, receive, send)
        elif scope["type"] == "http":
            sentence = f"clew receives spans here: {self._spec.verbs[0]} {' or '.join(self._spec.paths)}"
            await _answer(send, Answer(404, sentence.encode()))
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    def close(self) -> None:
        """Stop the decoding threads."""
        self._decoding.close()

    async def _take(self, scope: _Scope, receive: _Receive, send: _Send, parts: Mapping[str, str]) -> None:
        head = dataclasses.replace(head_of(scope), known=self._known, parts=parts)
        self.state.saw(_client(scope), time.time_ns())
        if scope["method"] not in self._spec.verbs:
            allowed = ", ".join(self._spec.verbs)
            why = f"{scope['method']} {head.path}: use {self._spec.verbs[0]}"
            await self._refuse(send, 405, why, head, [(b"allow", allowed.encode())])
            return
        try:
            self._spec.check(head)
            encoding = encoding_of(head.headers.get("content-encoding", ""), self._spec.encodings)
            batch = await self._receive(receive, head, encoding)
        except _Gone:
            self.state.refused("the client left before its request was whole")
            self._intake.note_refused()
        except Unavailable as error:
            await self._refuse(send, 503, str(error), head, [_retry_after(error.retry_after_s)])
        except MemoryError:
            await self._refuse(send, 503, NO_MEMORY, head, [_retry_after(NO_MEMORY_RETRY_S)])
        except TooLarge as error:
            await self._refuse(send, 413, str(error), head)
        except Unsupported as error:
            await self._refuse(send, 415, str(error), head)
        except BadInput as error:
            await self._refuse(send, 400, str(error), head)
        except Exception:
            logger.exception("a request to %s failed unexpectedly", self._spec.name)
            await self._refuse(send, 500, UNFORESEEN, head)
        else:
            if batch is None:
                await _answer(send, self._spec.said)
                return
            self.state.took(batch)
            await _answer(send, self._answers.accepted(batch, head))

    async def _receive(self, receive: _Receive, head: Head, encoding: Encoding | None) -> OtlpBatch | None:
        """None for what an agent says of itself."""
        most_bytes = self._spec.limits.message_bytes
        declared = head.headers.get("content-length", "0")
        size = int(declared) if declared.isdecimal() else 0
        if size > most_bytes:
            raise TooLarge(f"{size} bytes: a request holds at most {most_bytes}")
        async with _arriving(self._intake) as (reservation, patience):
            body = await _read_body(receive, reservation, patience, most_bytes)
            patience.reschedule(None)
            if head.path in self._spec.remembers:
                if self._remembered is None or encoding is not None:
                    raise Unsupported("this is not taken here, or not compressed", code="unsupported")
                facts = self._spec.remembers[head.path](body, head)
                await self._remembered.add(self._spec.system, facts)
                return None
            batch = await self._decoding.run(body, head, reservation, encoding=encoding)
            del body
            await self._intake.accept(batch)
        return batch

    async def _refuse(
        self, send: _Send, status: int, message: str, head: Head, more: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self.state.refused(message)
        self._intake.note_refused()
        answer = self._answers.refused(status, message, head)
        await _answer(send, answer._replace(headers=(*answer.headers, *more)))


def _client(scope: _Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "unix"


def head_of(scope: _Scope) -> Head:
    """The head of a request, without what its path's pattern found."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope.get("query_string", b"").decode("latin-1")
    return Head(scope["path"], headers.get("content-type", ""), headers, query)


def _retry_after(delay_s: float) -> tuple[bytes, bytes]:
    return b"retry-after", str(max(1, math.ceil(delay_s))).encode()


@contextlib.asynccontextmanager
async def _arriving(intake: Intake) -> AsyncIterator[tuple[Reservation, asyncio.Timeout]]:
    """Room for a body that is still to come, and the time it may stand still. Raises Unavailable when either is over."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(BODY_STEP_WITHIN_S) as patience:

            def hurry() -> None:
                loop.call_soon_threadsafe(_expire, patience)

            with intake.reserve(on_gone=hurry) as reservation:
                yield reservation, patience
    except TimeoutError:
        if reservation.gave_way:
            raise Unavailable(GAVE_WAY) from None
        raise Unavailable(_TOO_SLOW) from None


def _expire(patience: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # over already
        patience.reschedule(0)


async def _read_body(receive: _Receive, reservation: Reservation, patience: asyncio.Timeout, most_bytes: int) -> bytes:
    """The whole body, however it is chunked. Raises TooLarge beyond the limit, Unavailable beyond the budget, _Gone."""
    loop = asyncio.get_running_loop()
    chunks: list[bytes] = []
    size = step = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        if chunk:
            size += len(chunk)
            if size > most_bytes:
                raise TooLarge(f"a request holds at most {most_bytes} bytes")
            reservation.grow_to(size)
            chunks.append(chunk)
        if not message.get("more_body", False):
            reservation.whole()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if size - step >= BODY_STEP_BYTES:
            step = size
            patience.reschedule(loop.time() + BODY_STEP_WITHIN_S)


async def _answer(send: _Send, answer: Answer) -> None:
    media = "text/plain; charset=utf-8" if answer.media == "text/plain" else answer.media
    headers = [
        (b"content-type", media.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
