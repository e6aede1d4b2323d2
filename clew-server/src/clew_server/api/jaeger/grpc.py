"""`jaeger.api_v3.QueryService` over gRPC, on a port of its own: the answers of `/api/v3` for clients made from Jaeger's proto."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from clew_server.api.jaeger.answers import message_of
from clew_server.api.jaeger.calls import call_counts
from clew_server.api.jaeger.ids import trace_id_from_jaeger
from clew_server.api.jaeger.messages import message
from clew_server.api.jaeger.searches import DEFAULT_LIMIT, JaegerSearch, checked_tags
from clew_server.api.jaeger.summaries import Summary, service_counts
from clew_server.errors import BadInput, Damaged, NotFound, Unavailable
from clew_server.model.otlp_read import otlp_pieces
from clew_server.model.search import KIND_WORDS
from clew_server.model.trace import Trace
from clew_server.query.service import QueryService
from clew_server.sockets.grpc_port import serve_grpc

_log = logging.getLogger(__name__)

SERVICE: Final = "jaeger.api_v3.QueryService"
_CHUNK_BYTES: Final = 1 << 20
"""A message of a stream holds about so much, since clients take no more than 4 MiB at once unless they are told to."""
_MAX_REQUEST_BYTES: Final = 1 << 20

_Context = grpc.aio.ServicerContext[bytes, bytes]


class JaegerGrpc(grpc.GenericRpcHandler):
    """One gRPC listener. With a `token`, every call needs `authorization: Bearer <token>`."""

    def __init__(self, query: QueryService, *, host: str, port: int, token: str | None) -> None:
        self._query = query
        self._host, self._port = host, port
        self._wanted = f"Bearer {token}".encode() if token is not None else None
        self._server: grpc.aio.Server | None = None
        self._unary: dict[str, tuple[str, Callable[[Any], Any]]] = {
            "GetServices": ("GetServicesRequest", self._services),
            "GetOperations": ("GetOperationsRequest", self._operations),
            "GetDependencies": ("GetDependenciesRequest", self._dependencies),
        }
        self._streams: dict[str, tuple[str, Callable[[Any], AsyncIterator[bytes]]]] = {
            "GetTrace": ("GetTraceRequest", self._trace),
            "FindTraces": ("FindTracesRequest", self._traces),
            "FindTraceSummaries": ("FindTraceSummariesRequest", self._summaries),
        }

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError (EADDRINUSE) where the address cannot be had."""
        self._server, _, port = await serve_grpc(self, self._host, self._port, message_bytes=_MAX_REQUEST_BYTES)
        return port

    async def stop(self, grace_s: float = 1.0) -> None:
        """Take nothing new; what is being answered has `grace_s`."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """grpc asks here for the handler of a method; None is UNIMPLEMENTED."""
        service, _, name = handler_call_details.method.lstrip("/").partition("/")
        if service != SERVICE:
            return None
        if name in self._unary:
            wanted, call = self._unary[name]

            async def answer(body: bytes, context: _Context) -> bytes:
                async with self._answering(context):
                    return bytes((await call(_parsed(wanted, body))).SerializeToString())

            return grpc.unary_unary_rpc_method_handler(answer)
        if name in self._streams:
            asked, pieces = self._streams[name]

            async def stream(body: bytes, context: _Context) -> AsyncIterator[bytes]:
                async with self._answering(context):
                    async for piece in pieces(_parsed(asked, body)):
                        yield piece

            return grpc.unary_stream_rpc_method_handler(stream)
        return None

    @asynccontextmanager
    async def _answering(self, context: _Context) -> AsyncIterator[None]:
        """Checks the token, and makes each exception the status of the call."""
        if self._wanted is not None:
            given = dict(context.invocation_metadata() or ()).get("authorization", "")
            if not hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), self._wanted):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is needed: authorization: Bearer …")
        try:
            yield
        except BadInput as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except Unavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except (grpc.aio.AbortError, grpc.RpcError):
            raise
        except Exception as error:
            _log.exception("an answer of Jaeger's gRPC API failed")
            await context.abort(grpc.StatusCode.INTERNAL, message_of(error))

    async def _services(self, request: Any) -> Any:
        names = await self._query.services()
        return message("GetServicesResponse")(services=[name for name in names.found if name])

    async def _operations(self, request: Any) -> Any:
        if not request.service:
            raise BadInput("service is required", code="missing_parameter")
        names = await self._query.operations(request.service)
        kind = request.span_kind.lower()
        found = message("GetOperationsResponse")()
        for name, word in names.found:
            if kind in ("", word):
                found.operations.add(name=name, span_kind="" if word == KIND_WORDS[0] else word)
        return found

    async def _dependencies(self, request: Any) -> Any:
        for name in ("start_time", "end_time"):
            if not request.HasField(name):
                raise BadInput(f"{name} is required", code="missing_parameter")
        start, end = request.start_time.ToNanoseconds(), request.end_time.ToNanoseconds()
        if start >= end:
            raise BadInput("end_time must be after start_time")
        dependencies, _ = await self._query.dependencies(max(0, start), max(0, end))
        found = message("DependenciesResponse")()
        for caller, callee, calls in call_counts(dependencies):
            found.dependencies.add(parent=caller, child=callee, call_count=calls)
        return found

    async def _trace(self, request: Any) -> AsyncIterator[bytes]:
        found = await self._query.pieces(trace_id_from_jaeger(request.trace_id), _chunks)
        async for piece in found.pieces:
            yield piece

    async def _traces(self, request: Any) -> AsyncIterator[bytes]:
        page = await self._query.search(_search(request.query))
        for trace in page.traces:
            try:
                found = await self._query.pieces(trace.trace_id, _chunks)
            except (NotFound, Damaged):  # it expired, or is damaged: the others can be shown
                continue
            async for piece in found.pieces:
                yield piece

    async def _summaries(self, request: Any) -> AsyncIterator[bytes]:
        page = await self._query.search(_search(request.query))
        for trace in page.traces:
            try:
                counts = await self._query.kept_view(trace.trace_id, service_counts)
            except (NotFound, Damaged):
                continue
            found = message("FindTraceSummariesResponse")()
            made = found.summaries.add(
                trace_id=trace.trace_id,
                root_service_name=trace.root_service,
                root_operation_name=trace.root_name,
                min_start_time_unix_nano=trace.start_unix_nano,
                max_end_time_unix_nano=trace.start_unix_nano + trace.duration_ns,
                span_count=counts.spans.total(),
                error_span_count=counts.errors.total(),
                orphan_span_count=counts.orphans,
            )
            for name, spans, errors in Summary(trace, counts).services():
                made.services.add(name=name, span_count=spans, error_span_count=errors)
            yield found.SerializeToString()


def _parsed(name: str, body: bytes) -> Any:
    try:
        return message(name).FromString(body)
    except DecodeError:
        raise BadInput(f"the message is no {name}") from None


def _chunks(trace: Trace) -> Iterator[bytes]:
    """The trace as messages of `TracesData`, every field as it came."""
    begin = size = 0
    for row, raw in enumerate(trace.stored.raw):
        size += len(raw)
        if size >= _CHUNK_BYTES:
            yield b"".join(otlp_pieces(trace.stored[begin : row + 1]))
            begin, size = row + 1, 0
    if begin < len(trace):
        yield b"".join(otlp_pieces(trace.stored[begin:]))


def _search(query: Any) -> Any:
    if query.filter:
        raise BadInput("filter is not supported; use attributes")
    if not query.HasField("start_time_min") or not query.HasField("start_time_max"):
        raise BadInput("start_time_min and start_time_max are required", code="missing_parameter")
    start, end = query.start_time_min.ToNanoseconds(), query.start_time_max.ToNanoseconds()
    if start >= end:
        raise BadInput("start_time_min must be before start_time_max")
    return JaegerSearch(
        start_min_unix_nano=max(0, start),
        start_max_unix_nano=max(0, end),
        service=query.service_name,
        operation=query.operation_name,
        tags=checked_tags(dict(query.attributes)),
        duration_min_ns=max(0, query.duration_min.ToNanoseconds()),
        duration_max_ns=max(0, query.duration_max.ToNanoseconds()),
        limit=query.search_depth or DEFAULT_LIMIT,
    ).search()
