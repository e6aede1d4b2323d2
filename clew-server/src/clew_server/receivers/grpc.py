"""Receivers over gRPC, each on a port of its own: unary methods over raw bytes, refusals as `google.rpc.Status`."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import grpc
import grpc.aio

from clew_server.collector.intake import Intake
from clew_server.errors import BadInput, TooLarge, Unavailable
from clew_server.receivers import status
from clew_server.receivers.contract import PROTOBUF, Head, ReceiverSpec, ReceiverState
from clew_server.receivers.decoding import NO_MEMORY, NO_MEMORY_RETRY_S, UNFORESEEN, Decoding
from clew_server.sockets.grpc_port import serve_grpc

logger = logging.getLogger(__name__)

MESSAGE_WITHIN_S = 60.0
"""Time for a whole message, since gRPC does not say how much of it has arrived."""


class GrpcReceiver(grpc.GenericRpcHandler):
    """One gRPC listener: the spec's `paths` are unary methods, every other method is UNIMPLEMENTED.

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
    ) -> None:
        """With a `token`, every call needs `authorization: Bearer <token>`. An IPv6 host comes without brackets.

        `other`: functions for methods that carry no spans, from request to response; quick, called in the event loop. They may
        raise BadInput.
        """
        self._spec = spec
        self._intake = intake
        self._host, self._port = host, port
        self._wanted = f"Bearer {token}".encode() if token is not None else None
        self._other = other
        self._decoding = Decoding(spec)
        self._server: grpc.aio.Server | None = None
        self.state = state

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError (EADDRINUSE) where the address cannot be had."""
        limits = self._spec.limits
        self._server, host, port = await serve_grpc(
            self,
            self._host,
            self._port,
            message_bytes=limits.message_bytes,
            more=[
                ("grpc.max_allowed_incoming_connections", limits.connections),
                ("grpc.max_connection_idle_ms", int(limits.idle_s * 1000)),
            ],
        )
        self.state.address = f"{host}:{port}"
        return port

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take nothing new, finish what is being handled, for at most `grace_s`."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None
        self._decoding.close()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """grpc asks here for the handler of a method; None is UNIMPLEMENTED."""
        method = handler_call_details.method
        if method in self._other:
            function = self._other[method]

            async def ask(_messages: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
                return await self._ask(context, function)

            return grpc.stream_unary_rpc_method_handler(ask)
        if method not in self._spec.paths:
            return None

        async def take(_messages: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._take(context, method)

        # The methods are unary; as a stream their handler starts before the message is there, and can end what crawls.
        return grpc.stream_unary_rpc_method_handler(take)

    async def _greet(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> dict[str, str]:
        """The headers of a call that may be made."""
        self.state.saw(_peer(context.peer()), time.time_ns())
        headers = {
            key: value if isinstance(value, str) else value.decode("latin-1")
            for key, value in context.invocation_metadata() or ()
        }
        if self._wanted is not None and not self._is_allowed(headers):
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, "a token is needed: authorization: Bearer …")
        return headers

    async def _ask(self, context: grpc.aio.ServicerContext[bytes, bytes], function: Callable[[bytes], bytes]) -> bytes:
        await self._greet(context)
        try:
            return function(await _read_message(context))
        except Unavailable as error:
            await self._refuse_for_now(context, str(error), error.retry_after_s)
        except BadInput as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:
            logger.exception("a call to %s failed in a way nobody foresaw", self._spec.name)
            await self._refuse(context, grpc.StatusCode.INTERNAL, UNFORESEEN)
        raise AssertionError("a refusal raises")

    async def _take(self, context: grpc.aio.ServicerContext[bytes, bytes], method: str) -> bytes:
        headers = await self._greet(context)
        head = Head(method, PROTOBUF, headers)
        try:
            body = await _read_message(context)
            # The message is in memory already; what the budget can still spare is everything that comes after it.
            with self._intake.reserve(len(body)) as reservation:
                batch = await self._decoding.run(body, head, reservation)
                del body
                await self._intake.accept(batch)
        except Unavailable as error:
            await self._refuse_for_now(context, str(error), error.retry_after_s)
        except MemoryError:
            await self._refuse_for_now(context, NO_MEMORY, NO_MEMORY_RETRY_S)
        except TooLarge as error:
            await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except BadInput as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:
            logger.exception("a request to %s failed in a way nobody foresaw", self._spec.name)
            await self._refuse(context, grpc.StatusCode.INTERNAL, UNFORESEEN)
        self.state.spans += batch.spans - batch.fragments
        return self._spec.answers.accepted(batch, head).body

    def _is_allowed(self, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "").encode("latin-1", "replace")
        return hmac.compare_digest(given, self._wanted or b"")

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
        async with asyncio.timeout(MESSAGE_WITHIN_S):
            message = await context.read()
    except TimeoutError:
        raise Unavailable(f"the message was not whole within {MESSAGE_WITHIN_S:.0f} s; send it again") from None
    if not isinstance(message, bytes):
        raise BadInput("the call ended without a message")
    return message


def _peer(peer: str) -> str:
    """`host:port` of grpc's `ipv4:host:port` or `ipv6:%5B::1%5D:port`."""
    return peer.partition(":")[2].replace("%5B", "[").replace("%5D", "]")
