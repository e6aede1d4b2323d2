"""Receivers over gRPC, each on a port of its own: methods over raw bytes, refusals as `google.rpc.Status`."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

import grpc
import grpc.aio

from clew_server.collector.intake import Intake
from clew_server.collector.remembered import Remembered
from clew_server.errors import BadInput, TooLarge, Unavailable
from clew_server.model.facts import NOTHING_KNOWN
from clew_server.receivers import status
from clew_server.receivers.canonical import joined
from clew_server.receivers.contract import (
    PROTOBUF,
    Decoder,
    Head,
    Other,
    OtlpBatch,
    ReceiverSpec,
    ReceiverState,
    Stream,
)
from clew_server.receivers.decoding import NO_MEMORY, NO_MEMORY_RETRY_S, UNFORESEEN, Decoding
from clew_server.receivers.grpc_reading import Arrived, Arriving, Reading
from clew_server.sockets.grpc_port import serve_grpc

logger = logging.getLogger(__name__)

_TURN_BYTES = 16 << 10
"""Messages of one stream that are decoded in the event loop before others get their turn."""
_TOGETHER_BYTES = 1 << 20
"""Messages that wait together are written together, up to this size."""
FACTS_WITHIN_S = 1.0
"""What an agent says of itself comes by another connection than the spans that refer to it, so either may come first."""
_KEEPALIVE_MS = 60_000
_CLIENT_PING_MS = 5_000
_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcReceiver(grpc.GenericRpcHandler):
    """One gRPC listener: the spec's `paths` are unary methods, `streams` those with many messages a call, `others` carry no
    spans; every other method is UNIMPLEMENTED.

    Nothing may fork this process after `start`: grpcio's threads do not survive it.
    """

    def __init__(
        self,
        spec: ReceiverSpec,
        intake: Intake,
        state: ReceiverState,
        *,
        host: str,
        port: int,
        token: str | None = None,
        other: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType({}),
        remembered: Remembered | None = None,
        client: Callable[[str], str] | None = None,
    ) -> None:
        """With a `token`, every call needs `authorization: Bearer <token>`. An IPv6 host comes without brackets.

        `other`: functions for methods that carry no spans, from request to response; quick, called in the event loop. They may
        raise BadInput. `remembered`: where what agents say of themselves is kept, for a spec that has something to remember.
        `client`: for a server behind another port, of which the state's address is: who is behind a peer, `host:port`.
        """
        self._spec = spec
        self._intake = intake
        self._host, self._port = host, port
        self._wanted = f"Bearer {token}".encode() if token is not None else None
        self._other = other
        self._remembered = remembered
        self._client = client
        self._known = NOTHING_KNOWN if remembered is None else remembered.facts(spec.system)
        self._decoding = Decoding(spec)
        self._server: grpc.aio.Server | None = None
        self._reading = Reading()
        self._open_streams = 0
        self._handling: set[asyncio.Task[None]] = set()
        self.state = state

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError (EADDRINUSE) where the address cannot be had."""
        limits = self._spec.limits
        self._server, host, port = await serve_grpc(
            self,
            self._host,
            self._port,
            message_bytes=limits.message_bytes,
            ports=self._spec.ports,
            more=[
                ("grpc.max_allowed_incoming_connections", limits.connections),
                ("grpc.max_connection_idle_ms", int(limits.idle_s * 1000)),
                # A connection with an open call is not idle; keepalive pings find out whether its peer is still there.
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                # Agents ask too, some every ten seconds; by default grpc closes the connection over that.
                ("grpc.http2.min_ping_interval_without_data_ms", _CLIENT_PING_MS),
            ],
        )
        if self._client is None:
            self.state.address = f"{host}:{port}"
        return port

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take nothing new, finish what is being handled, for at most `grace_s`. Streams that stay open are ended."""
        if self._server is not None:
            self._reading.end_within(grace_s / 4)
            await self._server.stop(grace_s)
            self._server = None
        self._decoding.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """grpc asks here for the handler of a method; None is UNIMPLEMENTED."""
        method = handler_call_details.method
        # All handlers take a stream, also those of unary methods, which look the same on the wire: such a handler starts
        # before the message is complete, and can end a call that arrives too slowly.
        if method in self._other:
            function = self._other[method]

            async def ask(_messages: object, context: _Context) -> bytes:
                return await self._ask(context, function)

            return grpc.stream_unary_rpc_method_handler(ask)
        if method in self._spec.remembers:

            async def remember(_messages: object, context: _Context) -> bytes:
                return await self._remember(context, method)

            return grpc.stream_unary_rpc_method_handler(remember)
        if method in self._spec.streams:
            stream = self._spec.streams[method]

            async def take_each(_messages: object, context: _Context) -> None:
                await self._take_each(context, method, stream)

            return grpc.stream_stream_rpc_method_handler(take_each)
        if method in self._spec.others:
            other = self._spec.others[method]

            async def answer(_messages: object, context: _Context) -> None:
                await self._answer_other(context, other)

            return grpc.stream_stream_rpc_method_handler(answer)
        if method not in self._spec.paths:
            return None

        async def take(_messages: object, context: _Context) -> bytes:
            return await self._take(context, method)

        return grpc.stream_unary_rpc_method_handler(take)

    async def _greet(self, context: _Context) -> dict[str, str]:
        """The headers of a call that may be made."""
        peer = _peer(context.peer())
        self.state.saw(peer if self._client is None else self._client(peer), time.time_ns())
        headers = {
            key: value if isinstance(value, str) else value.decode("latin-1")
            for key, value in context.invocation_metadata() or ()
        }
        if self._wanted is not None and not self._is_allowed(headers):
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, "a token is needed: authorization: Bearer …")
        return headers

    async def _ask(self, context: _Context, function: Callable[[bytes], bytes]) -> bytes:
        await self._greet(context)
        try:
            return function(await self._reading.only(context))
        except Exception as error:
            await self._refuse_for(context, error)

    async def _remember(self, context: _Context, method: str) -> bytes:
        head = Head(method, PROTOBUF, await self._greet(context), known=self._known)
        try:
            if self._remembered is None:
                raise Unavailable("what agents say of themselves is kept nowhere")
            body = await self._reading.only(context)
            self._intake.check_room()
            await self._remembered.add(self._spec.system, self._spec.remembers[method](body, head))
        except Exception as error:
            await self._refuse_for(context, error)
        return self._spec.said.body

    async def _take(self, context: _Context, method: str) -> bytes:
        head = Head(method, PROTOBUF, await self._greet(context), known=self._known)
        try:
            body = await self._reading.only(context)
            # The message is in memory already; what the budget can still spare is everything that comes after it.
            with self._intake.reserve(len(body)) as reservation:
                batch = await self._understood(Arrived(body, reservation), head, self._spec.decode)
                del body
                await self._intake.accept(batch)
        except Exception as error:
            await self._refuse_for(context, error)
        self.state.took(batch)
        return self._spec.answers.accepted(batch, head).body

    async def _understood(self, one: Arrived, head: Head, decode: Decoder) -> OtlpBatch:
        """What a message means, with what its agent says of itself where that comes within a moment. Raises as a decoder."""
        batch = await self._decoding.run(one.body, head, one.held, decode=decode)
        if not batch.lacking or self._remembered is None:
            return batch
        if await self._remembered.wait_for(self._spec.system, batch.lacking, FACTS_WITHIN_S):
            batch = await self._decoding.run(one.body, head, one.held, decode=decode)
        if batch.notes:
            # Before the spans, so that what is stored without its names is never there without its note.
            await self._remembered.add(self._spec.system, batch.notes)
        return batch

    async def _take_each(self, context: _Context, method: str, stream: Stream) -> None:
        head = Head(method, PROTOBUF, await self._greet(context), known=self._known)
        try:
            with self._one_more_stream():
                arriving = Arriving(context, self._intake.reserve)
                # A task of its own: what was read is handled also where the client has gone.
                handling = asyncio.create_task(self._handle(arriving, context, head, stream))
                self._handling.add(handling)
                handling.add_done_callback(self._handled)
                try:
                    await asyncio.shield(handling)
                finally:
                    arriving.end()
                if not stream.answer_each:
                    await context.write(self._spec.answers.accepted(_NOTHING, head).body)
        except Exception as error:
            await self._refuse_for(context, error)

    def _handled(self, handling: asyncio.Task[None]) -> None:
        self._handling.discard(handling)
        if not handling.cancelled():
            handling.exception()  # taken, else asyncio complains where the client has gone

    async def _handle(self, arriving: Arriving, context: _Context, head: Head, stream: Stream) -> None:
        try:
            decode = stream.decoder(head) if stream.decoder is not None else self._spec.decode
            while arrived := await self._reading.some(arriving, self._spec.limits.stream_idle_s):
                with contextlib.ExitStack() as held:
                    for one in arrived:
                        held.enter_context(one.held)
                    await self._take_together(arrived, context, head, stream, decode)
        finally:
            arriving.close()

    async def _take_together(
        self, arrived: Sequence[Arrived], context: _Context, head: Head, stream: Stream, decode: Decoder
    ) -> None:
        """Messages that have come together are one record of the log, up to a size. Raises what a message costs its stream,
        after those before it are accepted."""
        batches: list[OtlpBatch] = []
        decoded_bytes = together_bytes = 0
        error: Exception | None = None
        for one in arrived:
            try:
                batch = await self._decoded(one, head, stream, decode)
            except Exception as raised:  # the caller answers it
                error = raised
                break
            batches.append(batch)
            together_bytes += len(batch.request)
            if together_bytes >= _TOGETHER_BYTES:
                await self._accept_all(batches, context, head, stream)
                batches, together_bytes = [], 0
            decoded_bytes += len(one.body)
            if decoded_bytes >= _TURN_BYTES:
                decoded_bytes = 0
                await asyncio.sleep(0)  # others get their turn
        if batches:
            await self._accept_all(batches, context, head, stream)
        if error is not None:
            raise error

    async def _accept_all(self, batches: Sequence[OtlpBatch], context: _Context, head: Head, stream: Stream) -> None:
        taken = [batch for batch in batches if batch is not _NOTHING]
        if taken:
            batch = joined(taken)
            await self._intake.accept(batch)
            self.state.took(batch)
        if stream.answer_each:
            for one in batches:
                await context.write(self._spec.answers.accepted(one, head).body)

    async def _decoded(self, one: Arrived, head: Head, stream: Stream, decode: Decoder) -> OtlpBatch:
        """`_NOTHING` for a message that was refused in a stream that goes on."""
        try:
            return await self._understood(one, head, decode)
        except BadInput as error:
            if not stream.keep_open:
                raise
            self.state.refused(str(error))
            self._intake.note_refused()
            return _NOTHING

    async def _answer_other(self, context: _Context, other: Other) -> None:
        await self._greet(context)
        try:
            with self._one_more_stream():
                while await self._reading.next(context, self._spec.limits.stream_idle_s) is not None:
                    if other.kind:
                        batch = _NOTHING._replace(dropped={other.kind: 1})
                        await self._intake.accept(batch)
                        self.state.took(batch)
                    if other.answers == "each":
                        await context.write(other.answer)
                if other.answers == "once":
                    await context.write(other.answer)
                elif other.answers == "never":
                    await self._reading.until_the_end()
        except Exception as error:
            await self._refuse_for(context, error)

    @contextlib.contextmanager
    def _one_more_stream(self) -> Iterator[None]:
        """Raises Unavailable for one too many."""
        if self._open_streams >= self._spec.limits.streams:
            raise Unavailable(f"{self._open_streams} streams are open at this listener already")
        self._open_streams += 1
        try:
            yield
        finally:
            self._open_streams -= 1

    def _is_allowed(self, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "")
        if not given and "authentication" in headers:  # SkyWalking's agents have no other
            given = "Bearer " + headers["authentication"].removeprefix("Bearer ")
        return hmac.compare_digest(given.encode("latin-1", "replace"), self._wanted or b"")

    async def _refuse_for(self, context: _Context, error: Exception) -> NoReturn:
        """Answer with the refusal that an error means, which raises."""
        match error:
            case Unavailable():
                await self._refuse_for_now(context, str(error), error.retry_after_s)
            case MemoryError():
                await self._refuse_for_now(context, NO_MEMORY, NO_MEMORY_RETRY_S)
            case TooLarge():
                await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            case BadInput():
                await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            case grpc.aio.AbortError():
                raise error
        logger.error("a request to %s failed unexpectedly", self._spec.name, exc_info=error)
        await self._refuse(context, grpc.StatusCode.INTERNAL, UNFORESEEN)

    async def _refuse_for_now(self, context: _Context, message: str, retry_after_s: float) -> NoReturn:
        # Other clients read the status details; Python's exporter only the second.
        context.set_trailing_metadata(
            (
                ("grpc-status-details-bin", status.status_protobuf(status.UNAVAILABLE, message, retry_after_s)),
                ("google.rpc.retryinfo-bin", status.retry_info(retry_after_s)),
            )
        )
        await self._refuse(context, grpc.StatusCode.UNAVAILABLE, message)

    async def _refuse(self, context: _Context, code: grpc.StatusCode, message: str) -> NoReturn:
        """Count and abort, which raises."""
        self.state.refused(message)
        self._intake.note_refused()
        await context.abort(code, message)
        raise AssertionError("abort raises")


_NOTHING = OtlpBatch(b"", b"", 0, None, {})


def _peer(peer: str) -> str:
    """`host:port` of grpc's `ipv4:host:port` or `ipv6:%5B::1%5D:port`."""
    return peer.partition(":")[2].replace("%5B", "[").replace("%5D", "]")
