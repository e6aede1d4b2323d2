"""Sockets: HTTP and gRPC requests → decoder → intake → the answer their protocol wants. The only I/O of this room."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hmac
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from clew_server.collector.intake import GAVE_WAY, Intake, Reservation
from clew_server.errors import BadInput, TooLarge, Unavailable, Unsupported
from clew_server.receivers import status
from clew_server.receivers.contract import MAX_REQUEST_BYTES, OtlpBatch, ReceiverState
from clew_server.receivers.memory import LARGE_BYTES, give_back
from clew_server.receivers.otlp import (
    JSON,
    PROTOBUF,
    check_encoding,
    decode_otlp,
    gunzip,
    is_quick,
    media_type,
    says_it_is_small,
)
from clew_server.receivers.signals import LOGS, TRACES, Signal

logger = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

PATHS = {"/v1/traces": TRACES, "/v1/logs": LOGS}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EXPORT_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
METHODS = {EXPORT: TRACES, EXPORT_LOGS: LOGS}
MAX_METADATA_BYTES = 16 << 10
MAX_STREAMS = 16
"""Concurrent gRPC calls of one connection, limited because a message is in memory before its handler is called."""
_OTHER_SIGNALS = {"/v1/metrics": "metrics", "/v1development/profiles": "profiles"}

BODY_STEP_BYTES, BODY_STEP_WITHIN_S = 512, 10.0
"""A body may arrive slowly, but at least this much of it within this time."""
GRPC_MESSAGE_WITHIN_S = 60.0
"""Time for a whole gRPC message, since gRPC does not say how much of it has arrived."""
_TOO_SLOW = f"less than {BODY_STEP_BYTES} bytes of the body came in {BODY_STEP_WITHIN_S:.0f} s; send the request again"
_NO_MEMORY = "this machine is out of memory for a request of this size; send it again"
_NO_MEMORY_RETRY_S = 2.0
_UNFORESEEN = "clew failed over this request; its log says more"

# A gzipped body that unfolds to more is not even unpacked on the event loop.
_UNPACK_INLINE_BYTES = 256 << 10
_DECODERS = 2


class _Gone(Exception):
    """The client left before its request was whole."""


class _Decoding:
    """Decodes what takes a moment at once and the rest in a few threads, so that others are not kept waiting."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_DECODERS, thread_name_prefix="clew-decode")

    async def run(
        self, body: bytes, media: str, signal: Signal, reservation: Reservation, *, is_gzip: bool = False
    ) -> OtlpBatch:
        if is_gzip:
            if not says_it_is_small(body, _UNPACK_INLINE_BYTES):
                return await self._in_thread(body, media, signal, reservation, True)
            try:
                unpacked = gunzip(body, grow_to=reservation.grow_to, most_bytes=_UNPACK_INLINE_BYTES)
            except TooLarge:  # it lied about its size
                return await self._in_thread(body, media, signal, reservation, True)
            body = unpacked
        if is_quick(body, media, signal):
            return decode_otlp(body, media, signal)
        return await self._in_thread(body, media, signal, reservation, False)

    async def _in_thread(
        self, body: bytes, media: str, signal: Signal, reservation: Reservation, is_gzip: bool
    ) -> OtlpBatch:
        call = functools.partial(_unpack_and_decode, body, media, signal, reservation, is_gzip)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _unpack_and_decode(body: bytes, media: str, signal: Signal, reservation: Reservation, is_gzip: bool) -> OtlpBatch:
    is_large = len(body) > LARGE_BYTES
    try:
        if is_gzip:
            # The packed bytes stay in memory beside the unpacked ones.
            body = gunzip(body, grow_to=reservation.grow_to)
            is_large |= len(body) > LARGE_BYTES
        return decode_otlp(body, media, signal)
    finally:
        if is_large:
            give_back()


class OtlpHttpReceiver:
    """OTLP/HTTP as an ASGI app: `POST` to one of `PATHS`, protobuf and JSON, gzip and plain; other paths go to `fallback`."""

    def __init__(self, intake: Intake, *, fallback: AsgiApp | None = None, address: str = "") -> None:
        self._intake = intake
        self._fallback = fallback
        self._decoding = _Decoding()
        self.state = ReceiverState("otlp-http", "http", address, "open", "--otlp-http-port")

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path in PATHS:
                await self._export(scope, receive, send, PATHS[path])
                return
            if path in _OTHER_SIGNALS:
                await self._other_signal(scope, path, send)
                return
        if self._fallback is not None:
            await self._fallback(scope, receive, send)
        elif scope["type"] == "http":
            await _answer(send, 404, b"clew receives traces here: POST /v1/traces", "text/plain")
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    def close(self) -> None:
        """Stop the decoding threads."""
        self.state.state = "off"
        self._decoding.close()

    async def _export(self, scope: _Scope, receive: _Receive, send: _Send, signal: Signal) -> None:
        headers = dict(scope["headers"])
        client = scope.get("client")
        self.state.saw(f"{client[0]}:{client[1]}" if client else "unix", time.time_ns())
        asked = headers.get(b"content-type", b"").decode("latin-1")
        if scope["method"] != "POST":
            await self._refuse(send, 405, asked, f"{scope['method']} {scope['path']}: use POST", [(b"allow", b"POST")])
            return
        try:
            media = media_type(asked)
            is_gzip = check_encoding(headers.get(b"content-encoding", b"").decode("latin-1"))
            batch = await self._receive(receive, headers, media, is_gzip, signal)
        except _Gone:
            self.state.refused("the client left before its request was whole")
            self._intake.note_refused()
        except Unavailable as error:
            await self._refuse(send, 503, asked, str(error), [_retry_after(error.retry_after_s)])
        except MemoryError:
            await self._refuse(send, 503, asked, _NO_MEMORY, [_retry_after(_NO_MEMORY_RETRY_S)])
        except TooLarge as error:
            await self._refuse(send, 413, asked, str(error))
        except Unsupported as error:
            await self._refuse(send, 415, asked, str(error))
        except BadInput as error:
            await self._refuse(send, 400, asked, str(error))
        except Exception:
            logger.exception("a request failed in a way nobody foresaw")
            await self._refuse(send, 500, asked, _UNFORESEEN)
        else:
            self.state.spans += batch.spans - batch.fragments
            respond = status.response_json if media == JSON else status.response_protobuf
            await _answer(send, 200, respond(batch), media)

    async def _receive(
        self, receive: _Receive, headers: dict[bytes, bytes], media: str, is_gzip: bool, signal: Signal
    ) -> OtlpBatch:
        declared = headers.get(b"content-length", b"0")
        size = int(declared) if declared.isdigit() else 0
        if size > MAX_REQUEST_BYTES:
            raise TooLarge(f"{size} bytes: a request holds at most {MAX_REQUEST_BYTES}")
        async with _arriving(self._intake) as (reservation, patience):
            body = await _read_body(receive, reservation, patience)
            patience.reschedule(None)
            batch = await self._decoding.run(body, media, signal, reservation, is_gzip=is_gzip)
            del body
            await self._intake.accept(batch)
        return batch

    async def _refuse(
        self, send: _Send, http_status: int, content_type: str, message: str, extra: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self.state.refused(message)
        self._intake.note_refused()
        media, body = status.refusal_body(http_status, "", message, content_type)
        await _answer(send, http_status, body, media, extra)

    async def _other_signal(self, scope: _Scope, path: str, send: _Send) -> None:
        asked = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        sentence = f"clew takes no {_OTHER_SIGNALS[path]}: send traces and logs only, to {' and '.join(PATHS)}"
        await self._refuse(send, 404, asked, sentence)


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


async def _read_body(receive: _Receive, reservation: Reservation, patience: asyncio.Timeout) -> bytes:
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
            if size > MAX_REQUEST_BYTES:
                raise TooLarge(f"a request holds at most {MAX_REQUEST_BYTES} bytes")
            reservation.grow_to(size)
            chunks.append(chunk)
        if not message.get("more_body", False):
            reservation.whole()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if size - step >= BODY_STEP_BYTES:
            step = size
            patience.reschedule(loop.time() + BODY_STEP_WITHIN_S)


async def _answer(
    send: _Send, http_status: int, body: bytes, media: str, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    if media == "text/plain":
        media = "text/plain; charset=utf-8"
    headers = [(b"content-type", media.encode("latin-1")), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


class OtlpGrpcReceiver(grpc.GenericRpcHandler):
    """OTLP/gRPC on its own port: the unary `METHODS` over raw bytes, every other method UNIMPLEMENTED.

    Nothing may fork this process after `start`: grpcio's threads do not survive it.
    """

    def __init__(self, intake: Intake, *, host: str = "127.0.0.1", port: int = 4317, token: str | None = None) -> None:
        """With a `token`, every call needs `authorization: Bearer <token>`. An IPv6 host comes without brackets."""
        self._intake = intake
        self._host, self._port = host, port
        self._wanted = f"Bearer {token}".encode() if token is not None else None
        self._decoding = _Decoding()
        self._server: grpc.aio.Server | None = None
        self.state = ReceiverState("otlp-grpc", "grpc", option="--otlp-grpc-port")

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError (EADDRINUSE) where the address cannot be had."""
        server = grpc.aio.server(
            handlers=[self],
            options=[
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.so_reuseport", 0),  # else two servers share a port without a word
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                ("grpc.server_handshake_timeout_ms", 20_000),
            ],
        )
        host = f"[{self._host.strip('[]')}]" if ":" in self._host else self._host
        try:
            port = server.add_insecure_port(f"{host}:{self._port}")
        except RuntimeError as error:
            self.state.state = "failed"
            self.state.last_error = f"cannot listen on {host}:{self._port}"
            raise OSError(errno.EADDRINUSE, self.state.last_error) from error
        await server.start()
        self._server = server
        self.state.address = f"{host}:{port}"
        self.state.state = "open"
        return port

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take nothing new, finish what is being handled, for at most `grace_s`."""
        self.state.state = "off"
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None
        self._decoding.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """grpc asks here for the handler of a method; None is UNIMPLEMENTED."""
        signal = METHODS.get(handler_call_details.method)
        if signal is None:
            return None

        async def export(_messages: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._export(context, signal)

        # The methods are unary; as a stream their handler starts before the message is there, and can end what crawls.
        return grpc.stream_unary_rpc_method_handler(export)

    async def _export(self, context: grpc.aio.ServicerContext[bytes, bytes], signal: Signal) -> bytes:
        self.state.saw(_peer(context.peer()), time.time_ns())
        if self._wanted is not None and not self._is_allowed(context):
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, "a token is needed: authorization: Bearer …")
        try:
            body = await _read_message(context)
            # The message is in memory already; what the budget can still spare is everything that comes after it.
            with self._intake.reserve(len(body)) as reservation:
                batch = await self._decoding.run(body, PROTOBUF, signal, reservation)
                del body
                await self._intake.accept(batch)
        except Unavailable as error:
            await self._refuse_for_now(context, str(error), error.retry_after_s)
        except MemoryError:
            await self._refuse_for_now(context, _NO_MEMORY, _NO_MEMORY_RETRY_S)
        except TooLarge as error:
            await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except BadInput as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:
            logger.exception("a request failed in a way nobody foresaw")
            await self._refuse(context, grpc.StatusCode.INTERNAL, _UNFORESEEN)
        self.state.spans += batch.spans - batch.fragments
        return status.response_protobuf(batch)

    def _is_allowed(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> bool:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
                return hmac.compare_digest(given, self._wanted or b"")
        return False

    async def _refuse_for_now(
        self, context: grpc.aio.ServicerContext[bytes, bytes], message: str, retry_after_s: float
    ) -> None:
        # Other clients read the status details; Python's exporter only the second.
        context.set_trailing_metadata(
            (
                ("grpc-status-details-bin", status.status_protobuf(status.UNAVAILABLE, message, retry_after_s)),
                ("google.rpc.retryinfo-bin", status.retry_info(retry_after_s)),
            )
        )
        await self._refuse(context, grpc.StatusCode.UNAVAILABLE, message)

    async def _refuse(
        self, context: grpc.aio.ServicerContext[bytes, bytes], code: grpc.StatusCode, message: str
    ) -> None:
        """Count and abort, which raises."""
        self.state.refused(message)
        self._intake.note_refused()
        await context.abort(code, message)


async def _read_message(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """The call's one message. Raises Unavailable when it takes too long, BadInput when there is none.

    Ending the call resets its stream, and grpc frees what had come.
    """
    try:
        async with asyncio.timeout(GRPC_MESSAGE_WITHIN_S):
            message = await context.read()
    except TimeoutError:
        raise Unavailable(f"the message was not whole within {GRPC_MESSAGE_WITHIN_S:.0f} s; send it again") from None
    if not isinstance(message, bytes):
        raise BadInput("the call ended without a message")
    return message


def _peer(peer: str) -> str:
    """`host:port` of grpc's `ipv4:host:port` or `ipv6:%5B::1%5D:port`."""
    return peer.partition(":")[2].replace("%5B", "[").replace("%5D", "]")
