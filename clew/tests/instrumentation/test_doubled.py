"""A call that others trace too has one span: frameworks by themselves and OpenTelemetry's own instrumentations."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pymongo
import pytest
import redis
import requests
import sqlalchemy
from fastapi import FastAPI
from opentelemetry import propagate, trace
from opentelemetry.context import attach, detach
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.pymongo import CommandTracer as PyMongoCommandTracer
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarletteMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import clew.instrumentation.httpx
import clew.instrumentation.pymongo
import clew.instrumentation.redis
import clew.instrumentation.requests
import clew.instrumentation.sqlalchemy
import clew.instrumentation.sqlite3
import clew.instrumentation.starlette
import clew.instrumentation.urllib3
from clew import doubled
from clew.instrumentation.asgi import TracingMiddleware
from clew.testing import SpanRecorder
from clew.tracing.tracer import Tracer
from clew.transport import Call

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from wire_peers import MongoPeer, Peer, Server, serving

PYMONGO = "opentelemetry.instrumentation.pymongo"

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WITH_PARENT = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}


def scope_of(span: Any) -> str:
    return str(span.instrumentation_scope.name)


def get(app: Any, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(main())


def fastapi(tracer_provider: Any) -> FastAPI:
    app = FastAPI(telemetry={"tracer_provider": tracer_provider})

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        trace.get_current_span().set_attribute("shop.item", item)
        with tracer_provider.get_tracer("shop").start_as_current_span("look up"):
            if item == 500:
                raise ValueError("no such item")
        return item

    return app


def one_server_span(recorder: SpanRecorder, scope: str) -> Any:
    """The only SERVER span, of this scope; besides it there is the application's own span below it and no other."""
    spans = recorder.spans
    (server,) = [span for span in spans if span.kind is SpanKind.SERVER]
    assert scope_of(server).startswith(scope)
    others = [span for span in spans if span is not server]
    assert [span.name for span in others] == ["look up"]
    assert others[0].parent.span_id == server.context.span_id
    return server


@pytest.mark.parametrize("headers", [{}, WITH_PARENT], ids=["root", "child"])
def test_fastapi_that_traces_itself_adds_no_span_to_clews(tracer_provider: Any, headers: dict[str, str]) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(fastapi(tracer_provider), tracer_provider=tracer_provider)
    assert get(app, "/items/7", headers).json() == 7
    server = one_server_span(recorder, "clew")
    assert server.name == "GET /items/{item}"
    assert server.attributes["shop.item"] == 7, "what the application says of the current span"
    if headers:
        assert f"{server.parent.span_id:016x}" == PARENT_ID
    else:
        assert server.parent is None


def test_a_failure_in_fastapi_is_recorded_once(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = TracingMiddleware(fastapi(tracer_provider), tracer_provider=tracer_provider)
    assert get(app, "/items/500").status_code == 500
    server = one_server_span(recorder, "clew")
    assert server.status.status_code is StatusCode.ERROR
    assert [event.name for event in server.events].count("exception") <= 1


def test_the_first_request_after_instrument_has_one_span_too(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    undo = clew.instrumentation.starlette.patch(tracer_provider)
    undo_fastapi = clew.instrumentation.starlette.patch_fastapi(tracer_provider)
    try:
        get(fastapi(tracer_provider), "/items/7", WITH_PARENT)
    finally:
        undo_fastapi()
        undo()
    one_server_span(recorder, "clew")


def test_where_fastapi_begins_first_its_spans_stay(tracer_provider: Any) -> None:
    app = fastapi(tracer_provider)
    app.add_middleware(TracingMiddleware, tracer_provider=tracer_provider)
    recorder = SpanRecorder(tracer_provider)
    get(app, "/items/7", WITH_PARENT)
    (server,) = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert scope_of(server) == "fastapi"


def test_fastapi_without_clew_traces_as_ever(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    get(fastapi(tracer_provider), "/items/7", WITH_PARENT)
    (server,) = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert scope_of(server) == "fastapi"


@pytest.mark.parametrize("headers", [{}, WITH_PARENT], ids=["root", "child"])
def test_opentelemetrys_fastapi_instrumentation_inside_clews_adds_no_span(
    tracer_provider: Any, headers: dict[str, str]
) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = fastapi(tracer_provider)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracer_provider)
    try:
        assert get(TracingMiddleware(app, tracer_provider=tracer_provider), "/items/7", headers).json() == 7
        server = one_server_span(recorder, "clew")
        assert server.attributes["shop.item"] == 7
        get(TracingMiddleware(app, tracer_provider=tracer_provider), "/items/500", headers)
        failed = [span for span in recorder.spans if span.kind is SpanKind.SERVER][-1]
        assert [event.name for event in failed.events].count("exception") <= 1
    finally:
        FastAPIInstrumentor.uninstrument_app(app)  # it has patched Starlette's background tasks, of all applications


def plain(tracer_provider: Any) -> Starlette:
    async def look_up(request: Any) -> PlainTextResponse:
        with tracer_provider.get_tracer("shop").start_as_current_span("look up"):
            return PlainTextResponse("ok")

    return Starlette(routes=[Route("/items", look_up)])


Middleware = Callable[..., Any]


@pytest.mark.parametrize("other", [OpenTelemetryMiddleware, StarletteMiddleware], ids=["contrib", "starlette"])
@pytest.mark.parametrize("headers", [{}, WITH_PARENT], ids=["root", "child"])
def test_of_two_asgi_middlewares_the_outer_one_makes_the_span(
    tracer_provider: Any, other: Middleware, headers: dict[str, str]
) -> None:
    inside = TracingMiddleware(
        other(plain(tracer_provider), tracer_provider=tracer_provider), tracer_provider=tracer_provider
    )
    recorder = SpanRecorder(tracer_provider)
    assert get(inside, "/items", headers).text == "ok"
    one_server_span(recorder, "clew")

    outside = other(
        TracingMiddleware(plain(tracer_provider), tracer_provider=tracer_provider), tracer_provider=tracer_provider
    )
    recorder = SpanRecorder(tracer_provider)
    assert get(outside, "/items", headers).text == "ok"
    servers = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert len(servers) == 1
    assert not scope_of(servers[0]).startswith("clew")
    (looked_up,) = [span for span in recorder.spans if span.name == "look up"]
    assert looked_up.context.trace_id == servers[0].context.trace_id


@contextmanager
def instrumented(instrumentor: Any, tracer_provider: Any) -> Iterator[None]:
    instrumentor.instrument(tracer_provider=tracer_provider, skip_dep_check=True)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@contextmanager
def patched(module: Any, tracer_provider: Any) -> Iterator[None]:
    undo = module.patch(tracer_provider)
    try:
        yield
    finally:
        undo()


@pytest.fixture(params=[False, True], ids=["clew first", "clew last"])
def both(request: pytest.FixtureRequest) -> Callable[[Any, Any, Any], ExitStack]:
    """Applies both instrumentations of a library, in either order."""

    def apply(instrumentor: Any, modules: Any, tracer_provider: Any) -> ExitStack:
        stack = ExitStack()
        ours = [lambda m=module: patched(m, tracer_provider) for module in modules]
        theirs = [lambda: instrumented(instrumentor, tracer_provider)]
        for make in [*theirs, *ours] if request.param else [*ours, *theirs]:
            stack.enter_context(make())
        return stack

    return apply


@pytest.fixture
def peer() -> Iterator[Server]:
    with serving(Peer) as server:
        yield server


def one_client_span(recorder: SpanRecorder, count: int = 1) -> list[Any]:
    spans = [span for span in recorder.spans if span.kind is SpanKind.CLIENT]
    assert len(spans) == count, [(scope_of(span), span.name) for span in spans]
    return spans


def test_requests_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, peer: Server
) -> None:
    modules = (clew.instrumentation.requests, clew.instrumentation.urllib3)
    recorder = SpanRecorder(tracer_provider)
    with both(RequestsInstrumentor(), modules, tracer_provider):
        assert requests.get(f"http://127.0.0.1:{peer.port}/a", timeout=100).text == "ok"
        (span,) = one_client_span(recorder)
        sent = peer.asked[-1].decode().lower()
        assert sent.count("traceparent:") == 1
        assert f"{span.context.span_id:016x}" in sent, "the span that is recorded is the one the server is told"
        with tracer_provider.get_tracer("shop").start_as_current_span("in a call of its own"):
            requests.get(f"http://127.0.0.1:{peer.port}/b", timeout=100)
        one_client_span(recorder, 2)


def test_httpx_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, peer: Server
) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def ask() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{peer.port}/a")

    with both(HTTPXClientInstrumentor(), (clew.instrumentation.httpx,), tracer_provider):
        assert httpx.get(f"http://127.0.0.1:{peer.port}/a").text == "ok"
        (span,) = one_client_span(recorder)
        sent = peer.asked[-1].decode().lower()
        assert sent.count("traceparent:") == 1
        assert f"{span.context.span_id:016x}" in sent
        asyncio.run(ask())
        one_client_span(recorder, 2)


def test_redis_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, peer: Server
) -> None:
    recorder = SpanRecorder(tracer_provider)
    with both(RedisInstrumentor(), (clew.instrumentation.redis,), tracer_provider):
        client = redis.Redis(port=peer.port, protocol=2)
        client.ping()
        before = len([span for span in recorder.spans if span.kind is SpanKind.CLIENT])
        client.set("a", 1)
        assert len([span for span in recorder.spans if span.kind is SpanKind.CLIENT]) == before + 1
        client.close()


def test_a_call_made_while_a_request_is_answered_is_not_taken_for_it(tracer_provider: Any, peer: Server) -> None:
    """A client span of others within clew's server span is another call."""

    def ask(request: Any) -> PlainTextResponse:
        return PlainTextResponse(requests.get(f"http://127.0.0.1:{peer.port}/a", timeout=100).text)

    app = TracingMiddleware(Starlette(routes=[Route("/ask", ask)]), tracer_provider=tracer_provider)
    recorder = SpanRecorder(tracer_provider)
    with instrumented(RequestsInstrumentor(), tracer_provider):
        assert get(app, "/ask").text == "ok"
    (client,) = one_client_span(recorder)
    (server,) = [span for span in recorder.spans if span.kind is SpanKind.SERVER]
    assert client.parent.span_id == server.context.span_id


def test_what_was_started_within_a_call_and_outlives_it_is_traced_by_others(tracer_provider: Any) -> None:
    """The context of a call that has ended still names clew's span; nobody is silent for its sake."""
    other = tracer_provider.get_tracer("opentelemetry.instrumentation.asgi")
    started = asyncio.Event()

    async def later() -> None:
        await started.wait()
        with other.start_as_current_span("later", kind=SpanKind.SERVER):
            pass

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def start(request: Any) -> PlainTextResponse:
            tasks.append(asyncio.create_task(later()))
            return PlainTextResponse("ok")

        app = TracingMiddleware(Starlette(routes=[Route("/", start)]), tracer_provider=tracer_provider)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            await client.get("/")
        started.set()
        await asyncio.gather(*tasks)

    recorder = SpanRecorder(tracer_provider)
    asyncio.run(main())
    assert sorted(span.name for span in recorder.spans if span.kind is SpanKind.SERVER) == ["GET /", "later"]


@pytest.fixture
def engines() -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(url: str = "sqlite://") -> Any:
        made.append(sqlalchemy.create_engine(url))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


def select(engine: Any, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(statement))]


def statements(recorder: SpanRecorder) -> list[Any]:
    """Client spans without those of OpenTelemetry's for connecting, for which clew has none of its own."""
    return [span for span in recorder.spans if span.kind is SpanKind.CLIENT and span.name != "connect"]


def test_sqlalchemy_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, engines: Any
) -> None:
    with both(SQLAlchemyInstrumentor(), (clew.instrumentation.sqlalchemy,), tracer_provider):
        engine = engines()
        recorder = SpanRecorder(tracer_provider)
        assert select(engine, "SELECT 1") == [(1,)]
        assert len(statements(recorder)) == 1
        with pytest.raises(sqlalchemy.exc.OperationalError):
            select(engine, "SELECT nothing FROM nowhere")
        with tracer_provider.get_tracer("shop").start_as_current_span("of an application"):
            assert select(engine, "SELECT 2") == [(2,)]
    first, failed, within = statements(recorder)
    assert {scope_of(span) for span in (first, failed, within)} == {"clew.sqlalchemy"}, "its listeners come first"
    assert failed.status.status_code is StatusCode.ERROR


def test_sqlalchemy_has_one_span_where_opentelemetrys_listener_comes_first(tracer_provider: Any, engines: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    engine = engines()
    SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=tracer_provider, skip_dep_check=True)
    try:
        clew.instrumentation.sqlalchemy.traced(engine, tracer_provider=tracer_provider)
        with patched(clew.instrumentation.sqlite3, tracer_provider):
            for number in range(2):
                assert select(engine, f"SELECT {number}") == [(number,)]
            with pytest.raises(sqlalchemy.exc.OperationalError):
                select(engine, "SELECT nothing FROM nowhere")
            assert select(engine, "SELECT 7") == [(7,)]
    finally:
        SQLAlchemyInstrumentor().uninstrument()
    assert [scope_of(span) for span in statements(recorder)] == ["opentelemetry.instrumentation.sqlalchemy"] * 4
    recorder = SpanRecorder(tracer_provider)
    assert select(engine, "SELECT 8") == [(8,)]
    assert [scope_of(span) for span in statements(recorder)] == ["clew.sqlalchemy"], "it is alone now"


def test_a_connection_that_fails_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, engines: Any
) -> None:
    recorder = SpanRecorder(tracer_provider)
    applied = both(SQLAlchemyInstrumentor(), (clew.instrumentation.sqlalchemy,), tracer_provider)
    with applied, pytest.raises(sqlalchemy.exc.OperationalError):
        select(engines("sqlite:////no/such/folder/file"), "SELECT 1")
    (span,) = one_client_span(recorder)
    assert span.name == "connect"


@pytest.fixture
def mongodb() -> Iterator[int]:
    with serving(MongoPeer) as server:
        yield server.port


def test_pymongo_has_one_span_beside_opentelemetrys_instrumentation(
    tracer_provider: Any, both: Any, mongodb: int
) -> None:
    async def ping_async(uri: str) -> None:
        async with pymongo.AsyncMongoClient(uri) as client:
            await asyncio.gather(*(client.admin.command("ping") for _ in range(3)))

    uri = f"mongodb://127.0.0.1:{mongodb}/?directConnection=true"
    recorder = SpanRecorder(tracer_provider)
    with both(PymongoInstrumentor(), (clew.instrumentation.pymongo,), tracer_provider):
        # There is one listener a process, which keeps the provider of the first call.
        PymongoInstrumentor()._commandtracer_instance._tracer = tracer_provider.get_tracer(PYMONGO)
        with pymongo.MongoClient(uri) as client:
            client.admin.command("ping")
            with pytest.raises(pymongo.errors.OperationFailure):
                client.shop.items.find_one()
        named = sorted(span.name for span in recorder.spans if "endSessions" not in span.name)
        assert named == ["admin.ping", "shop.find"]
        assert {scope_of(span) for span in recorder.spans} == {PYMONGO}
        asyncio.run(ping_async(uri))
        assert [span.name for span in recorder.spans].count("admin.ping") == 4
        assert {scope_of(span) for span in recorder.spans} == {PYMONGO}
    recorder = SpanRecorder(tracer_provider)
    with patched(clew.instrumentation.pymongo, tracer_provider), pymongo.MongoClient(uri) as client:
        client.admin.command("ping")
    assert {scope_of(span) for span in recorder.spans} == {"clew.pymongo"}, "it is alone now"


def test_a_command_has_one_span_where_clews_listener_comes_first(tracer_provider: Any, mongodb: int) -> None:
    recorder = SpanRecorder(tracer_provider)
    theirs = PyMongoCommandTracer(tracer_provider.get_tracer(PYMONGO))
    listeners = [clew.pymongo.CommandTracer(tracer_provider=tracer_provider), theirs]
    uri = f"mongodb://127.0.0.1:{mongodb}/?directConnection=true"
    with pymongo.MongoClient(uri, event_listeners=listeners) as client:
        client.admin.command("ping")
        with tracer_provider.get_tracer("shop").start_as_current_span("of an application"):
            client.admin.command("ping")
        with pytest.raises(pymongo.errors.OperationFailure):
            client.shop.items.find_one()
    assert {scope_of(span) for span in recorder.spans if span.kind is SpanKind.CLIENT} == {"clew.pymongo"}


def aiohttp_config_of_opentelemetry(tracer_provider: Any) -> aiohttp.TraceConfig:
    """What OpenTelemetry's instrumentation does with spans in aiohttp's signals."""
    tracer = tracer_provider.get_tracer("opentelemetry.instrumentation.aiohttp_client")
    config = aiohttp.TraceConfig()

    async def started(session: Any, held: Any, about: Any) -> None:
        held.span = tracer.start_span(about.method, kind=SpanKind.CLIENT)
        held.token = attach(trace.set_span_in_context(held.span))
        propagate.inject(about.headers)

    async def ended(session: Any, held: Any, about: Any) -> None:
        detach(held.token)
        held.span.end()

    config.on_request_start.append(started)
    config.on_request_end.append(ended)
    return config


@pytest.mark.parametrize("is_first", [True, False], ids=["clew first", "clew last"])
def test_a_request_of_aiohttp_has_one_span_whose_signals_come_first(
    tracer_provider: Any, peer: Server, is_first: bool
) -> None:
    recorder = SpanRecorder(tracer_provider)
    configs = [
        clew.aiohttp.trace_config(tracer_provider=tracer_provider),
        aiohttp_config_of_opentelemetry(tracer_provider),
    ]

    async def main() -> None:
        async with aiohttp.ClientSession(trace_configs=configs if is_first else configs[::-1]) as session:
            for path in ("a", "b"):
                async with session.get(f"http://127.0.0.1:{peer.port}/{path}"):
                    pass
            # In another task, which has the context variables of this one.
            with tracer_provider.get_tracer("shop").start_as_current_span("of an application"):
                await asyncio.create_task(session.get(f"http://127.0.0.1:{peer.port}/c"))

    asyncio.run(main())
    wanted = "clew.aiohttp" if is_first else "opentelemetry.instrumentation.aiohttp_client"
    assert [scope_of(span) for span in one_client_span(recorder, 3)] == [wanted] * 3
    sent = b"".join(peer.asked).decode().lower()
    assert sent.count("traceparent:") == 3
    assert all(f"{span.context.span_id:016x}" in sent for span in one_client_span(recorder, 3))


def test_another_call_of_the_task_is_not_taken_for_one_that_is_not_current(tracer_provider: Any) -> None:
    """Spans of another family, below another span, in another task, and after clew's has ended."""
    recorder = SpanRecorder(tracer_provider)
    tracer = Tracer(SpanKind.CLIENT, scope="clew.tests", tracer_provider=tracer_provider)
    call = Call("db", "SQL", "ours")

    def theirs(name: str, library: str = "pymongo") -> None:
        tracer_provider.get_tracer(f"opentelemetry.instrumentation.{library}").start_span(
            name, kind=SpanKind.CLIENT
        ).end()

    async def in_another_task() -> None:
        theirs("in another task")

    async def main() -> None:
        ours = tracer.start(call.operation, transport=call)
        doubled.begun_beside(("db", False), ours)
        theirs("of another family", "requests")
        theirs("the same")
        with tracer_provider.get_tracer("shop").start_as_current_span("of an application"):
            theirs("below another span")
        await asyncio.create_task(in_another_task())
        ours.end()
        theirs("afterwards")

    asyncio.run(main())
    assert sorted(span.name for span in recorder.spans) == [
        "afterwards",
        "below another span",
        "in another task",
        "of an application",
        "of another family",
        "ours",
    ]


def test_a_task_that_begins_while_anothers_statement_runs_is_traced(tracer_provider: Any) -> None:
    """A task inherits context variables of the one that made it, but not its calls."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.tests", tracer_provider=tracer_provider)
    call = Call("db", "SQL", "SELECT")

    async def in_another_task() -> None:
        tracer.start(call.operation, transport=call).end()

    async def main() -> None:
        theirs = tracer_provider.get_tracer(PYMONGO).start_span("find", kind=SpanKind.CLIENT)
        await asyncio.create_task(in_another_task())
        tracer.start(call.operation, transport=call).end()
        theirs.end()
        tracer.start(call.operation, transport=call).end()

    recorder = SpanRecorder(tracer_provider)
    asyncio.run(main())
    assert [span.name for span in recorder.spans] == ["SELECT", "find", "SELECT"]


def test_the_doctor_names_the_instrumentations_of_sqlalchemy_and_pymongo() -> None:
    installed = doubled.installed()
    for name in ("sqlalchemy", "pymongo"):
        assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=" in installed[f"opentelemetry-instrumentation-{name}"]
