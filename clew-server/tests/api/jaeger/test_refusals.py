"""What both APIs of Jaeger answer where the query service refuses or fails, and who may ask over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import grpc
import grpc.aio
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette

from clew_server.api.jaeger.grpc import JaegerGrpc
from clew_server.api.jaeger.http import JaegerApi
from clew_server.api.jaeger.messages import message
from clew_server.api.jaeger.v3 import JaegerApiV3
from clew_server.errors import Damaged, NotFound, Unavailable
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.query.service import Pieces, QueryService
from clew_server.store.contract import Names, Page, StoreFailed, TraceSummary


class Query:
    """A query service with one service, and traces of which those of `fails` raise."""

    def __init__(self, **fails: Exception) -> None:
        self.fails = fails
        self.asked: list[str] = []

    async def services(self) -> Names[str]:
        return Names(["", "a/b c"], "a part")

    async def operations(self, service: str) -> Names[tuple[str, str]]:
        self.asked.append(service)
        return Names([("GET", "server"), ("GET", "client")], None)

    async def search(self, search: object) -> Page:
        if "search" in self.fails:
            raise self.fails["search"]
        found = [TraceSummary(f"{n:032x}", 1, 1, 1, 0, "s", "n", True) for n in (1, 2, 3)]
        return Page(found, None, False, "it was slow")

    async def pieces(self, trace_id: str, form: Callable[[Trace], Iterator[bytes]]) -> Pieces:
        error = self.fails.get(f"trace_{int(trace_id, 16)}")
        if error is not None:
            raise error

        span = Span(trace_id=bytes.fromhex(trace_id.rjust(32, "0")), span_id=b"12345678", start_time_unix_nano=10**18)
        trace = trace_from_spans([StoredSpan(b"", "", b"", "", span.SerializeToString(), 10**18)])

        async def made() -> AsyncIterator[bytes]:
            for piece in form(trace):
                yield piece

        return Pieces(made(), None)


def ask(query: Query, path: str) -> httpx.Response:
    """The answer of both APIs' routes."""

    async def run() -> httpx.Response:
        served = cast(QueryService, query)
        apis = JaegerApi(served, clock_ns=lambda: 10**18), JaegerApiV3(served, clock_ns=lambda: 10**18)
        app = Starlette(routes=[route for api in apis for route in api.routes()])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.get(path, headers={"Accept-Encoding": "identity"})

    return asyncio.run(run())


def test_a_service_may_have_a_slash_and_an_operation_of_two_kinds_is_named_once() -> None:
    query = Query()
    assert ask(query, "/api/services/a%2Fb%20c/operations").json()["data"] == ["GET"]
    assert query.asked == ["a/b c"]


def test_what_could_not_be_read_is_said_beside_the_names() -> None:
    answer = ask(Query(), "/api/services").json()
    assert answer["data"] == ["a/b c"]
    assert answer["errors"] == [{"msg": "some may be missing: a part"}]


def test_a_trace_that_cannot_be_shown_is_named_and_the_others_are_shown() -> None:
    for fails, shown, lost in (
        ({"trace_1": NotFound("gone")}, [2, 3], [(404, "gone")]),
        ({"trace_3": Damaged("broken")}, [1, 2], [(500, "broken")]),
        ({"trace_1": Unavailable("busy"), "trace_2": StoreFailed("Code: 1. /a/path")}, [3], [(503, "busy"), (500, "")]),
        ({f"trace_{n}": NotFound("gone") for n in (1, 2, 3)}, [], [(404, "gone")] * 3),
    ):
        answer = ask(Query(**fails), "/api/traces?service=s")
        assert answer.status_code == 200
        assert [int(trace["traceID"], 16) for trace in answer.json()["data"]] == shown
        *errors, last = answer.json()["errors"]
        assert last == {"msg": "the search is not complete: it was slow"}
        assert [error["code"] for error in errors] == [code for code, _ in lost]
        assert all(said in error["msg"] for error, (_, said) in zip(errors, lost, strict=True))
        assert "/a/path" not in answer.text  # the engine's own words stay here


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable("busy"), 503), (StoreFailed("Code: 1. /a/path"), 500), (RuntimeError("/a/path"), 500)],
)
def test_a_search_that_fails_has_the_status_and_the_shape_of_each_api(error: Exception, status: int) -> None:
    older = ask(Query(search=error), "/api/traces?service=s")
    newer = ask(Query(search=error), "/api/v3/traces?query.startTimeMin=now-1h&query.startTimeMax=now")
    assert older.status_code == newer.status_code == status
    assert older.json()["errors"][0]["code"] == newer.json()["error"]["httpCode"] == status
    assert ("retry-after" in older.headers) == (status == 503)
    assert "/a/path" not in older.text + newer.text


def test_over_grpc_the_token_is_asked_for_and_errors_are_statuses() -> None:
    def call(query: Query, metadata: list[tuple[str, str]], name: str, request: Any) -> grpc.StatusCode:
        async def run() -> grpc.StatusCode:
            server = JaegerGrpc(cast(QueryService, query), host="127.0.0.1", port=0, token="secret")
            port = await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    method = channel.unary_unary(f"/jaeger.api_v3.QueryService/{name}")
                    await method(request.SerializeToString(), metadata=metadata, timeout=100)
            except grpc.aio.AioRpcError as error:
                return error.code()
            finally:
                await server.stop()
            return grpc.StatusCode.OK

        return asyncio.run(run())

    asked = message("GetServicesRequest")()
    allowed = [("authorization", "Bearer secret")]
    assert call(Query(), allowed, "GetServices", asked) == grpc.StatusCode.OK
    assert call(Query(), [], "GetServices", asked) == grpc.StatusCode.UNAUTHENTICATED
    assert call(Query(), [("authorization", "Bearer other")], "GetServices", asked) == grpc.StatusCode.UNAUTHENTICATED
    assert call(Query(), [], "GetTrace", message("GetTraceRequest")(trace_id="1")) == grpc.StatusCode.UNAUTHENTICATED
    for error, code in (
        (Unavailable("busy"), grpc.StatusCode.UNAVAILABLE),
        (NotFound("gone"), grpc.StatusCode.NOT_FOUND),
        (StoreFailed("Code: 1"), grpc.StatusCode.INTERNAL),
    ):
        found = call(Query(trace_1=error), allowed, "GetTrace", message("GetTraceRequest")(trace_id="1"))
        assert found == code
