"""Public calls of the libraries give the same with and without tracing: results, classes, defaults, exceptions.

sqlite3, DB-API and httpx2 have theirs in their own files, FastAPI, Litestar and Django in `test_same_applications.py`;
libraries that need a server of their own in tests-e2e.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import http.client
import sys
import threading
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import flask
import grpc
import httpx
import pytest
import requests
import requests.adapters
import sqlalchemy
import starlette.applications
import starlette.testclient
import urllib3
from aiohttp import web
from grpc import aio
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from clew.instrumentation import aiohttp as aiohttp_instrumentation
from clew.instrumentation import flask as flask_instrumentation
from clew.instrumentation import grpc as grpc_instrumentation
from clew.instrumentation import grpc_aio as grpc_aio_instrumentation
from clew.instrumentation import http_client as http_client_instrumentation
from clew.instrumentation import httpx as httpx_instrumentation
from clew.instrumentation import requests as requests_instrumentation
from clew.instrumentation import sqlalchemy as sqlalchemy_instrumentation
from clew.instrumentation import starlette as starlette_instrumentation
from clew.instrumentation import threads as threads_instrumentation
from clew.instrumentation import urllib3 as urllib3_instrumentation
from clew.recorder.provider import TracerProvider
from clew.testing.kits.sameness import aoutcome, outcome

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer
from same_calls import assert_same_when_patched

# What is called wrongly is not closed, and has no other name than its garbage.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
# Nothing listens there.
REFUSED = "http://127.0.0.1:1/"


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """Collects what the last of the tests leaves to the garbage collector, where the warning is no error as in other files."""
    yield
    gc.collect()


@pytest.fixture
def tracer_provider() -> Iterator[Any]:
    """clew's alone: what an application gets does not depend on who makes the spans."""
    provider = TracerProvider()
    yield provider
    provider.shutdown()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer().running() as running:
        yield running


def send(library: Any, url: str) -> requests.Response:
    request = requests.Request("GET", url).prepare()
    sent: requests.Response = library.send(request)
    return sent


REQUESTS: list[Callable[[str], Any]] = [
    lambda url: requests.get(url, timeout=100).text,
    lambda url: requests.request(method="post", url=url, data={"a": 1}, timeout=(100, 100)).status_code,
    lambda url: requests.post(url, json={"a": 1}, timeout=100).json(),
    lambda url: requests.head(url, timeout=100).content,
    lambda url: requests.put(url, data=iter([b"a", b"b"]), timeout=100).status_code,
    lambda url: requests.get(f"{url}/status/404", timeout=100).raise_for_status().args,
    lambda url: [one.status_code for one in requests.get(f"{url}/redirect", timeout=100).history],
    lambda url: requests.get(f"{url}/redirect", allow_redirects=False, timeout=100).headers["location"],
    lambda url: [*requests.get(url, stream=True, timeout=100).iter_content(1)],
    lambda url: requests.get(url, headers={"x-mine": "1"}, timeout=100).request.headers["x-mine"],
    lambda url: requests.get(url, hooks={"response": lambda got, **_: got.close()}, timeout=100).status_code,
    lambda url: send(requests.Session(), url).text,
    lambda url: send(requests.adapters.HTTPAdapter(max_retries=2), url).text,
    lambda url: requests.Session().get_adapter(url),
    lambda url: requests.get(REFUSED, timeout=5),
    lambda url: requests.get("nothing", timeout=5),
    lambda url: requests.get("http://", timeout=5),
    lambda url: requests.get(url, timeout="soon"),  # type: ignore[arg-type]
    lambda url: requests.get(url, headers={"x": "a\nb"}, timeout=5),
    lambda url: requests.get(),  # type: ignore[call-arg]
    lambda url: requests.get(url, colour="red"),  # type: ignore[call-arg]
    lambda url: requests.adapters.HTTPAdapter().send(None),  # type: ignore[arg-type]
]


def test_requests_behaves_as_without_tracing(peer: Peer, tracer_provider: Any) -> None:
    modules = [requests_instrumentation, urllib3_instrumentation, http_client_instrumentation]
    patches = [module.patch for module in modules]
    assert_same_when_patched(patches, tracer_provider, lambda: peer.url, REQUESTS)
    assert_same_when_patched(patches[:1], tracer_provider, lambda: peer.url, REQUESTS)


def pool(url: str) -> urllib3.HTTPConnectionPool:
    return urllib3.HTTPConnectionPool("127.0.0.1", int(url.rpartition(":")[2]))


URLLIB3: list[Callable[[str], Any]] = [
    lambda url: urllib3.request("GET", url).data,
    lambda url: urllib3.request(method="POST", url=url, body=b"a", timeout=5, retries=False).status,
    lambda url: urllib3.request("POST", url, fields={"a": "1"}).status,
    lambda url: urllib3.request("POST", url, json={"a": 1}).json(),
    lambda url: urllib3.request("GET", f"{url}/redirect").geturl(),
    lambda url: urllib3.request("GET", f"{url}/redirect", redirect=False).status,
    lambda url: urllib3.request("GET", f"{url}/status/500", retries=urllib3.Retry(2, status_forcelist=[500])).status,
    lambda url: urllib3.request("GET", url, preload_content=False).read(1),
    lambda url: urllib3.PoolManager(headers={"x-mine": "1"}).urlopen("GET", url).status,
    lambda url: pool(url).urlopen("GET", "/"),
    lambda url: pool(url).urlopen(url="/", method="GET", headers=None, pool_timeout=5).status,
    lambda url: pool(url).urlopen("GET", "/", assert_same_host=False, release_conn=True).data,
    lambda url: pool(url).request("HEAD", "/").headers["x-answer"],
    lambda url: urllib3.request("GET", REFUSED, retries=False),
    lambda url: urllib3.request("GET", REFUSED, retries=1),
    lambda url: urllib3.request("GET", "http://"),
    lambda url: urllib3.request("GET", url, timeout="soon"),  # type: ignore[arg-type]
    lambda url: urllib3.request("GET"),  # type: ignore[call-arg]
    lambda url: pool(url).urlopen("GET", "/", colour="red"),  # type: ignore[call-overload]
    lambda url: pool(url).urlopen("GET", "/", headers=7),  # type: ignore[call-overload]
]


def test_urllib3_behaves_as_without_tracing(peer: Peer, tracer_provider: Any) -> None:
    assert_same_when_patched([urllib3_instrumentation.patch], tracer_provider, lambda: peer.url, URLLIB3)


def connection(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=100)


def twice(url: str) -> Any:
    one = connection(url)
    one.request("GET", "/")
    one.request("GET", "/")


def by_hand(url: str) -> Any:
    one = connection(url)
    one.putrequest("POST", "/", skip_host=False, skip_accept_encoding=True)
    one.putheader("content-length", "1")
    one.endheaders(b"a")
    with one.getresponse() as got:
        return got.status, got.reason, got.read(), got.getheader("x-answer")


def asked(url: str, *args: Any, **options: Any) -> Any:
    one = connection(url)
    one.request(*args, **options)
    with one.getresponse() as got:
        return got, got.status, got.read(), got.version


HTTP_CLIENT: list[Callable[[str], Any]] = [
    lambda url: asked(url, "GET", "/"),
    lambda url: asked(url, method="POST", url="/", body=iter([b"a"]), headers={"x-mine": "1"}, encode_chunked=True),
    lambda url: asked(url, "HEAD", "/status/404"),
    by_hand,
    twice,
    lambda url: connection(url).getresponse(),
    lambda url: connection(url).putheader("x", "1"),
    lambda url: connection(url).request("GET", "/a b"),
    lambda url: asked(url, "GE T", "/"),
    lambda url: connection(url).request("GET", "/", headers={"x": "a\nb"}),
    lambda url: connection(url).request("GET"),  # type: ignore[call-arg]
    lambda url: connection("http://127.0.0.1:1").request("GET", "/"),
    lambda url: connection(url).close(),
    lambda url: urllib.request.urlopen(url, timeout=100).read(),
    lambda url: urllib.request.urlopen(urllib.request.Request(url, b"a", method="PUT"), timeout=100).status,
    lambda url: urllib.request.urlopen(f"{url}/redirect", timeout=100).geturl(),
    lambda url: urllib.request.urlopen(f"{url}/status/404", timeout=100),
    lambda url: urllib.request.urlopen(REFUSED, timeout=100),
]


def test_http_client_and_urllib_behave_as_without_tracing(peer: Peer, tracer_provider: Any) -> None:
    assert_same_when_patched([http_client_instrumentation.patch], tracer_provider, lambda: peer.url, HTTP_CLIENT)


class Httpx:
    """A client and where it asks; a client for each call would read certificates each time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(verify=False)
        self.transport = httpx.HTTPTransport(verify=False)


async def ahttpx(url: str, **options: Any) -> Any:
    async with httpx.AsyncClient(verify=False) as client:
        got = await client.get(url, **options)
        return got, got.status_code, got.text


HTTPX: list[Callable[[Httpx], Any]] = [
    lambda c: c.client.get(c.url).text,
    lambda c: c.client.post(c.url, json={"a": 1}).json(),
    lambda c: c.client.request("PUT", c.url, content=iter([b"a"]), timeout=100).status_code,
    lambda c: c.client.get(f"{c.url}/redirect").headers["location"],
    lambda c: [one.status_code for one in c.client.get(f"{c.url}/redirect", follow_redirects=True).history],
    lambda c: c.client.get(f"{c.url}/status/404").raise_for_status(),
    lambda c: c.client.get(c.url).extensions["http_version"],
    lambda c: sorted(c.client.get(c.url).request.extensions),
    lambda c: c.client.send(httpx.Request("GET", c.url)).elapsed,
    lambda c: c.transport.handle_request(request=httpx.Request("GET", c.url)).read(),
    lambda c: c.client.get(REFUSED),
    lambda c: c.client.get("nothing"),
    lambda c: c.client.get(c.url, timeout="soon"),  # type: ignore[arg-type]
    lambda c: c.client.get(),  # type: ignore[call-arg]
    lambda c: c.transport.handle_request(None),  # type: ignore[arg-type]
    lambda c: asyncio.run(ahttpx(c.url)),
    lambda c: asyncio.run(ahttpx(f"{c.url}/redirect", follow_redirects=True)),
    lambda c: asyncio.run(ahttpx(REFUSED)),
    lambda c: asyncio.run(ahttpx(c.url, timeout="soon")),
    lambda c: asyncio.run(httpx.AsyncHTTPTransport(verify=False).handle_async_request(None)),  # type: ignore[arg-type]
]


def test_httpx_behaves_as_without_tracing(peer: Peer, tracer_provider: Any) -> None:
    assert_same_when_patched([httpx_instrumentation.patch], tracer_provider, lambda: Httpx(peer.url), HTTPX)


async def by_aiohttp(url: str, method: str = "GET", session: dict[str, Any] | None = None, **options: Any) -> Any:
    async with aiohttp.ClientSession(**(session or {})) as client, client.request(method, url, **options) as got:
        return client, got, got.status, await got.text(), got.headers.get("x-answer"), str(got.url)


async def heard(url: str) -> Any:
    """The application's own trace configuration is called as without ours."""
    seen = []

    async def note(session: Any, context: Any, about: Any) -> None:
        seen.append((session, type(context), getattr(context, "trace_request_ctx", None), about))

    config = aiohttp.TraceConfig()
    config.on_request_start.append(note)
    await by_aiohttp(url, session={"trace_configs": [config]}, trace_request_ctx={"mine": 1})
    return seen


def run_each(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Any]:
    @functools.wraps(call)
    def run(subject: Any) -> Any:
        return asyncio.run(aoutcome(call, subject))

    return run


AIOHTTP: list[Callable[[str], Awaitable[Any]]] = [
    lambda url: by_aiohttp(url),
    lambda url: by_aiohttp(url, "POST", json={"a": 1}),
    lambda url: by_aiohttp(f"{url}/redirect"),
    lambda url: by_aiohttp(f"{url}/redirect", allow_redirects=False),
    lambda url: by_aiohttp(f"{url}/status/404", raise_for_status=True),
    lambda url: by_aiohttp("/here", session={"base_url": url, "headers": {"x-mine": "1"}}),
    lambda url: heard(url),
    lambda url: by_aiohttp(REFUSED),
    lambda url: by_aiohttp("nothing"),
    lambda url: by_aiohttp(url, timeout="soon"),
    lambda url: by_aiohttp(url, colour="red"),
    lambda url: by_aiohttp(url, session={"colour": "red"}),
    lambda url: by_aiohttp(url, session={"trace_configs": 7}),
]


def test_aiohttp_clients_behave_as_without_tracing(peer: Peer, tracer_provider: Any) -> None:
    calls = [run_each(call) for call in AIOHTTP]
    assert_same_when_patched([aiohttp_instrumentation.patch], tracer_provider, lambda: peer.url, calls)


def test_aiohttp_applications_behave_as_without_tracing(tracer_provider: Any) -> None:
    @web.middleware
    async def shouting(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        response.headers["x-shouting"] = "yes"
        return response  # type: ignore[no-any-return]

    async def hello(request: web.Request) -> web.Response:
        if request.match_info["name"] == "nobody":
            raise web.HTTPNotFound
        if request.match_info["name"] == "broken":
            raise ValueError("no tea")
        return web.Response(text=request.match_info["name"])

    async def ask(path: str) -> Any:
        app = web.Application(middlewares=[shouting])
        app.router.add_get("/hello/{name}", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            async with aiohttp.ClientSession() as client, client.get(f"{site.name}{path}") as got:
                return app, got.status, await got.text(), got.headers.get("x-shouting")
        finally:
            await runner.cleanup()

    calls: list[Callable[[Any], Any]] = [
        run_each(lambda _: ask("/hello/ada")),
        run_each(lambda _: ask("/hello/nobody")),
        run_each(lambda _: ask("/hello/broken")),
        run_each(lambda _: ask("/gone")),
        lambda _: web.Application(middlewares=7),  # type: ignore[arg-type]
        lambda _: web.Application(colour="red"),  # type: ignore[call-arg]
        lambda _: web.Application(client_max_size=7)._client_max_size,
    ]
    assert_same_when_patched([aiohttp_instrumentation.patch], tracer_provider, lambda: None, calls)


def engine() -> sqlalchemy.Engine:
    made = sqlalchemy.create_engine("sqlite://")
    with made.begin() as one:
        one.exec_driver_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT UNIQUE)")
        one.exec_driver_sql("INSERT INTO orders (customer) VALUES ('ada')")
    return made


def connected(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(call)
    def run(made: sqlalchemy.Engine) -> Any:
        with ExitStack() as stack:
            stack.callback(made.dispose)
            return outcome(call, stack.enter_context(made.connect()))

    return run


ORDERS = sqlalchemy.table("orders", sqlalchemy.column("id"), sqlalchemy.column("customer"))
SQLALCHEMY: list[Callable[[Any], Any]] = [
    lambda c: c.execute(sqlalchemy.text("SELECT strftime('%s', '2020-01-01')")).all(),
    lambda c: c.execute(statement=sqlalchemy.select(ORDERS)).mappings().all(),
    lambda c: c.execute(sqlalchemy.insert(ORDERS), [{"customer": "bob"}, {"customer": "eve"}]).rowcount,
    lambda c: c.execute(sqlalchemy.insert(ORDERS).returning(ORDERS.c.id), [{"customer": "bob"}]).scalar(),
    lambda c: c.execute(sqlalchemy.insert(ORDERS), {"customer": "bob"}),
    lambda c: c.exec_driver_sql("SELECT ?", (3,)).scalar_one(),
    lambda c: c.exec_driver_sql("INSERT INTO orders (customer) VALUES (?)", [("bob",), ("eve",)]).rowcount,
    lambda c: c.scalar(sqlalchemy.text("SELECT :a"), {"a": 3}),
    lambda c: Session(c).execute(sqlalchemy.text("SELECT 1")).scalar(),
    lambda c: c.execution_options(yield_per=1).execute(sqlalchemy.select(ORDERS)).partitions(),
    lambda c: c.execute(sqlalchemy.text("SELEC")),
    lambda c: c.execute(sqlalchemy.insert(ORDERS), {"customer": "ada"}),
    lambda c: c.exec_driver_sql("SELECT ?"),
    lambda c: c.execute("SELECT 1"),
    lambda c: c.execute(),
    lambda c: c.execute(sqlalchemy.text("SELECT 1"), 7),
    lambda c: (type(c), type(c.engine), type(c.connection.dbapi_connection), c.in_transaction()),
]


def test_sqlalchemy_behaves_as_without_tracing(tracer_provider: Any) -> None:
    calls = [connected(call) for call in SQLALCHEMY]
    assert_same_when_patched([sqlalchemy_instrumentation.patch], tracer_provider, engine, calls)


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """`/a.B/Echo` answers what it was sent, `/a.B/Fail` with a status, `/a.B/Break` raises, `/a.B/Count` streams."""

    def service(self, details: Any) -> Any:
        def echo(request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata((("x-trailer", "yes"),))
            return request

        def fail(request: bytes, context: Any) -> bytes:
            context.abort(grpc.StatusCode.NOT_FOUND, "no tea")
            raise AssertionError

        def broken(request: bytes, context: Any) -> bytes:
            raise ValueError("no tea")

        def count(request: bytes, context: Any) -> Iterator[bytes]:
            yield from (b"1", b"2")

        method = details.method.rpartition("/")[2]
        if method == "Count":
            return grpc.unary_stream_rpc_method_handler(count)
        handlers = {"Echo": echo, "Fail": fail, "Break": broken}
        return grpc.unary_unary_rpc_method_handler(handlers[method]) if method in handlers else None


def failure(call: Callable[[], Any]) -> Any:
    """What a call raises, without what differs from call to call."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Any = raised.value
    return error.code(), error.details()


def with_call(channel: grpc.Channel) -> Any:
    reply, call = channel.unary_unary("/a.B/Echo").with_call(b"x", timeout=100, metadata=(("x-mine", "1"),))
    return reply, call.code(), call.details(), [pair.key for pair in call.trailing_metadata()]


def future(channel: grpc.Channel) -> Any:
    pending = channel.unary_unary("/a.B/Echo").future(b"x")
    return pending.result(timeout=100), pending.done(), pending.cancelled(), pending.exception(), pending.code()


GRPC: list[Callable[[Any], Any]] = [
    lambda c: c.unary_unary("/a.B/Echo")(b"x"),
    lambda c: c.unary_unary(method="/a.B/Echo", request_serializer=str.encode)(request="x", timeout=100),
    with_call,
    future,
    lambda c: [*c.unary_stream("/a.B/Count")(b"x")],
    lambda c: c.stream_unary("/a.B/Echo")(iter([b"x"])),
    lambda c: [*c.stream_stream("/a.B/Count")(iter([b"x"]))],
    lambda c: failure(lambda: c.unary_unary("/a.B/Fail")(b"x")),
    lambda c: failure(lambda: c.unary_unary("/a.B/Break")(b"x")),
    lambda c: failure(lambda: c.unary_unary("/a.B/Gone")(b"x")),
    lambda c: failure(lambda: c.unary_unary("/a.B/Fail").future(b"x").result(timeout=100)),
    lambda c: failure(lambda: [*c.unary_stream("/a.B/Gone")(b"x")]),
]


class EchoServer:
    """A server of `Echo` that is made when it is entered, by whatever `grpc.server` is then."""

    def __enter__(self) -> str:
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.server = grpc.server(self.pool)
        self.server.add_generic_rpc_handlers((Echo(),))
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        return f"127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.stop(None).wait(100)
        self.pool.shutdown()


def over_a_channel(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(call)
    def run(_: Any) -> Any:
        with EchoServer() as target, grpc.insecure_channel(target) as channel:
            return outcome(call, channel)

    return run


def test_grpc_behaves_as_without_tracing(tracer_provider: Any) -> None:
    calls = [over_a_channel(call) for call in GRPC]
    assert_same_when_patched([grpc_instrumentation.patch], tracer_provider, lambda: None, calls)


async def acall(channel: Any) -> Any:
    call = channel.unary_unary("/a.B/Echo")(b"x", metadata=(("x-mine", "1"),), timeout=100)
    reply = await call
    return reply, await call.code(), await call.details(), call.done(), call.cancelled()


async def astream(channel: Any, method: str = "/a.B/Count") -> Any:
    return [one async for one in channel.unary_stream(method)(b"x")]


async def afailure(call: Awaitable[Any]) -> Any:
    with pytest.raises(aio.AioRpcError) as raised:
        await call
    return type(raised.value), raised.value.code(), raised.value.details()


async def araised(call: Callable[[], Any]) -> Any:
    return await call()


AGRPC: list[Callable[[Any], Awaitable[Any]]] = [
    acall,
    astream,
    lambda c: afailure(c.unary_unary("/a.B/Fail")(b"x")),
    lambda c: afailure(c.unary_unary("/a.B/Break")(b"x")),
    lambda c: afailure(c.unary_unary("/a.B/Gone")(b"x")),
    lambda c: afailure(astream(c, "/a.B/Gone")),
    lambda c: araised(lambda: c.unary_unary("/a.B/Echo")()),
    lambda c: araised(lambda: c.unary_unary()),
    lambda c: araised(lambda: aio.insecure_channel()),  # type: ignore[call-arg]
    lambda c: araised(lambda: aio.server(colour="red")),  # type: ignore[call-arg]
]


def over_an_async_channel(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Any]:
    @functools.wraps(call)
    def run(_: Any) -> Any:
        async def main() -> Any:
            server = aio.server()
            server.add_generic_rpc_handlers((Echo(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    return type(server), type(channel), await aoutcome(call, channel)
            finally:
                await server.stop(None)

        return asyncio.run(main())

    return run


def test_grpc_aio_behaves_as_without_tracing(tracer_provider: Any) -> None:
    calls = [over_an_async_channel(call) for call in AGRPC]
    assert_same_when_patched([grpc_aio_instrumentation.patch], tracer_provider, lambda: None, calls)


class Own(threading.Thread):
    """Has a `run` of its own."""

    def run(self) -> None:
        self.seen = threading.current_thread() is self, type(self.run).__name__, self.name


def ran(thread: Any) -> Any:
    thread.start()
    thread.join(100)
    return thread.is_alive(), getattr(thread, "seen", None), sorted(vars(thread))


def submitted(*args: Any, **kwargs: Any) -> Any:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pending = executor.submit(*args, **kwargs)
        return pending, pending.result(timeout=100)


THREADS: list[Callable[[Any], Any]] = [
    lambda _: ran(Own(name="own")),
    lambda _: ran(threading.Thread(target=print, kwargs={"end": ""})),
    lambda _: ran(threading.Timer(0, print, kwargs={"end": ""})),
    lambda _: ran(threading.Thread()),
    lambda _: threading.Thread.start(),  # type: ignore[call-arg]
    lambda _: (thread := Own(name="own"), ran(thread), thread.start()),
    lambda _: submitted(pow, 2, exp=3),
    lambda _: submitted(int, "x"),
    lambda _: submitted(),
    lambda _: submitted(7),
    lambda _: [*concurrent.futures.ThreadPoolExecutor(2).map(pow, [2, 3], [2, 2])],
    lambda _: asyncio.run(asyncio.to_thread(pow, 2, exp=3)),
]


def test_threads_and_executors_behave_as_without_tracing(tracer_provider: Any) -> None:
    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        assert_same_when_patched(
            [threads_instrumentation.patch], tracer_provider, lambda: None, THREADS, makes_spans=False
        )


def make_flask() -> Any:
    app = flask.Flask("shop")

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return name

    @app.get("/broken")
    def broken() -> str:
        raise ValueError("no tea")

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(iter(["a", "b"]))

    return app


def answer(got: Any) -> Any:
    return got.status_code, got.text, sorted(got.headers)


FLASK: list[Callable[[Any], Any]] = [
    lambda app: answer(app.test_client().get("/hello/ada")),
    lambda app: answer(app.test_client().get("/gone")),
    lambda app: answer(app.test_client().post("/hello/ada")),
    lambda app: answer(app.test_client().get("/broken")),
    lambda app: answer(app.test_client().get("/stream")),
    lambda app: (app, app.wsgi_app, app.url_map, [rule.endpoint for rule in app.url_map.iter_rules()]),
    lambda app: app(),
    lambda app: app({}, None),
]


def test_flask_behaves_as_without_tracing(tracer_provider: Any) -> None:
    assert_same_when_patched([flask_instrumentation.patch], tracer_provider, make_flask, FLASK)


def make_starlette() -> Any:
    async def hello(request: Any) -> PlainTextResponse:
        if request.path_params["name"] == "nobody":
            raise HTTPException(404, "nobody")
        if request.path_params["name"] == "broken":
            raise ValueError("no tea")
        return PlainTextResponse(request.path_params["name"], headers={"x-answer": "yes"})

    async def stream(request: Any) -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]))

    return starlette.applications.Starlette(routes=[Route("/hello/{name}", hello), Route("/stream", stream)])


def ask(app: Any, path: str, method: str = "GET") -> Any:
    with starlette.testclient.TestClient(app) as client:
        return answer(client.request(method, path))


STARLETTE: list[Callable[[Any], Any]] = [
    lambda app: ask(app, "/hello/ada"),
    lambda app: ask(app, "/hello/ada", "HEAD"),
    lambda app: ask(app, "/hello/ada", "POST"),
    lambda app: ask(app, "/hello/nobody"),
    lambda app: ask(app, "/hello/broken"),
    lambda app: ask(app, "/stream"),
    lambda app: ask(app, "/gone"),
    lambda app: (app, app.router, app.middleware_stack, app.user_middleware, app.state),
    lambda app: app(),
    lambda app: asyncio.run(app({}, None, None)),
]


def test_starlette_behaves_as_without_tracing(tracer_provider: Any) -> None:
    assert_same_when_patched([starlette_instrumentation.patch], tracer_provider, make_starlette, STARLETTE)
