"""redis-py against a Redis server: what commands, pipelines and transactions leave behind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
import redis as redis_py
import redis.asyncio as async_redis
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import redis as instrumentation
from clew.testing import DatabaseKit, SpanRecorder, assert_span
from clew.testing.kits.sameness import aoutcome, outcome
from harness.backends import Backend


@pytest.fixture
def client(redis: Backend, tracer_provider: Any) -> Iterator[redis_py.Redis]:
    with redis_py.Redis(redis.host, redis.port) as plain:
        plain.flushall()
        yield clew.redis.traced(plain, tracer_provider=tracer_provider, with_statement=True)


class TestKit(DatabaseKit):
    component = "Redis"
    span_name = "GETSET"
    attributes = MappingProxyType({"db.system.name": "redis", "db.operation.name": "GETSET"})
    secret = "ada"
    statement = "GETSET ? ?"
    failure_code = "WRONGTYPE"
    takes_options = True

    @pytest.fixture(autouse=True)
    def connect(self, redis: Backend) -> Iterator[None]:
        with redis_py.Redis(redis.host, redis.port) as self.untraced:
            self.untraced.flushall()
            self.untraced.lpush("list", 1)
            yield

    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        client = clew.redis.traced(
            redis_py.Redis(connection_pool=self.untraced.connection_pool), tracer_provider=tracer_provider, **options
        )
        try:
            client.getset("list" if fails else "text", "ada")
        except redis_py.RedisError as error:
            return error
        return None


class TestAsyncKit(TestKit):
    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        async def run() -> BaseException | None:
            address = self.untraced.connection_pool.connection_kwargs
            async with async_redis.Redis(host=address["host"], port=address["port"]) as client:
                await client.ping()
                clew.redis.traced(client, tracer_provider=tracer_provider, **options)
                try:
                    await client.getset("list" if fails else "text", "ada")
                except redis_py.RedisError as error:
                    return error
            return None

        return asyncio.run(run())


def names(spans: SpanRecorder) -> list[str]:
    return [span.name for span in spans.spans]


def test_a_command_is_a_client_span_of_the_current_one(
    redis: Backend, client: redis_py.Redis, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
        client.set("customer", "ada")
    span = spans.one(kind=SpanKind.CLIENT)
    assert_span(
        span,
        name="SET",
        status=StatusCode.UNSET,
        parent_id=f"{request.get_span_context().span_id:016x}",
        attributes={
            "component": "Redis",
            "db.system.name": "redis",
            "db.operation.name": "SET",
            "db.namespace": "0",
            "db.query.text": "SET ? ?",
            "server.address": redis.host,
            "server.port": redis.port,
        },
    )
    assert "ada" not in str(dict(span.attributes))
    assert spans.open == 0


def test_statements_are_kept_on_demand_only(redis: Backend, tracer_provider: Any, spans: SpanRecorder) -> None:
    with redis_py.Redis(redis.host, redis.port) as plain:
        clew.redis.traced(plain, tracer_provider=tracer_provider).get("secret")
    assert "db.query.text" not in spans.one(name="GET").attributes


def test_subcommands_belong_to_the_name(client: redis_py.Redis, spans: SpanRecorder) -> None:
    client.config_get("maxmemory")
    client.client_setname("me")
    assert names(spans) == ["CONFIG GET", "CLIENT SETNAME"]
    assert spans.spans[0].attributes["db.query.text"] == "CONFIG GET ?"


def test_an_error_of_the_server_has_its_code(client: redis_py.Redis, spans: SpanRecorder) -> None:
    client.set("name", "ada")
    with pytest.raises(redis_py.ResponseError):
        client.lpush("name", 1)
    span = spans.one(name="LPUSH")
    assert_span(span, status=StatusCode.ERROR, attributes={"db.response.status_code": "WRONGTYPE"})
    assert span.attributes["error.type"].endswith("ResponseError")
    assert [event.name for event in span.events] == ["exception"]


def test_a_pipeline_is_one_span(client: redis_py.Redis, spans: SpanRecorder) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.set("a", 1).get("a").incr("a")
        assert pipe.execute() == [True, b"1", 2]
    span = spans.one()
    assert_span(
        span,
        name="PIPELINE",
        attributes={"db.operation.batch.size": 3, "db.query.text": "SET ? ?; GET ?; INCRBY ? ?"},
    )


def test_a_transaction_of_one_command_is_named_after_it(client: redis_py.Redis, spans: SpanRecorder) -> None:
    with client.pipeline() as pipe:
        pipe.set("a", 1).set("b", 2)
        pipe.execute()
    assert names(spans) == ["MULTI SET"]


def test_a_watched_transaction_shows_what_is_read_meanwhile(client: redis_py.Redis, spans: SpanRecorder) -> None:
    client.set("balance", 5)

    def pay(pipe: Any) -> None:
        balance = int(pipe.get("balance"))
        pipe.multi()
        pipe.set("balance", balance - 1)

    client.transaction(pay, "balance")
    assert names(spans) == ["SET", "WATCH", "GET", "MULTI SET", *names(spans)[4:]]
    assert spans.open == 0


def test_an_error_in_a_pipeline_that_does_not_raise_is_an_error_still(
    client: redis_py.Redis, spans: SpanRecorder
) -> None:
    client.set("name", "ada")
    pipe = client.pipeline(transaction=False)
    pipe.lpush("name", 1).get("name")
    replies = pipe.execute(raise_on_error=False)
    assert isinstance(replies[0], redis_py.ResponseError)
    assert_span(
        spans.one(name="PIPELINE"), status=StatusCode.ERROR, attributes={"db.response.status_code": "WRONGTYPE"}
    )


def test_a_server_that_is_not_there_is_an_error(tracer_provider: Any, spans: SpanRecorder) -> None:
    client = clew.redis.traced(redis_py.Redis("127.0.0.1", 1), tracer_provider=tracer_provider)
    with pytest.raises(redis_py.ConnectionError):
        client.ping()
    span = spans.one(name="PING")
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "redis.exceptions.ConnectionError"})


def test_the_async_client_is_traced_as_well(redis: Backend, tracer_provider: Any, spans: SpanRecorder) -> None:
    async def work() -> int:
        async with async_redis.Redis(host=redis.host, port=redis.port) as client:
            assert clew.redis.traced(client, tracer_provider=tracer_provider) is client
            with tracer_provider.get_tracer("app").start_as_current_span("request") as span:
                await asyncio.gather(*(client.set(f"task{n}", n) for n in range(5)))
                async with client.pipeline(transaction=True) as pipe:
                    pipe.get("task1")
                    assert await pipe.execute() == [b"1"]
            with pytest.raises(redis_py.ResponseError):
                await client.lpush("task1", 1)
            return span.get_span_context().span_id

    parent = asyncio.run(work())
    made = [span for span in spans.spans if span.kind is SpanKind.CLIENT]
    assert [span.name for span in made] == ["SET"] * 5 + ["MULTI GET", "LPUSH"]
    assert {span.parent.span_id for span in made[:6]} == {parent}
    assert spans.open == 0


def test_patched_clients_are_traced_until_it_is_undone_and_never_twice(
    redis: Backend, client: redis_py.Redis, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with redis_py.Redis(redis.host, redis.port) as before:
        undo = instrumentation.patch(tracer_provider)
        try:
            before.get("a")
            client.get("a")
            with before.pipeline() as pipe:
                pipe.get("a")
                pipe.execute()
            assert names(spans) == ["GET", "GET", "MULTI GET"]
        finally:
            undo()
        before.get("a")
    assert len(spans.spans) == 3


def test_a_transaction_that_is_to_be_tried_again_is_no_failure(client: redis_py.Redis, spans: SpanRecorder) -> None:
    client.set("balance", 5)
    tries: list[int] = []

    def pay(pipe: Any) -> None:
        tries.append(int(pipe.get("balance")))
        if len(tries) == 1:
            client.set("balance", 4)  # by somebody else, meanwhile
        pipe.multi()
        pipe.set("balance", tries[-1] - 1)

    client.transaction(pay, "balance")
    assert tries == [5, 4]
    transactions = [span for span in spans.spans if span.name == "MULTI SET"]
    assert [span.status.status_code for span in transactions] == [StatusCode.UNSET, StatusCode.UNSET]
    assert not [event for span in transactions for event in span.events]
    with client.pipeline() as pipe:
        pipe.watch("balance")
        client.set("balance", 7)
        pipe.multi()
        pipe.set("balance", 1)
        with pytest.raises(redis_py.WatchError):
            pipe.execute()
    assert_span(spans.spans[-1], name="MULTI SET", status=StatusCode.UNSET)


def test_a_script_that_the_library_loads_by_itself_is_no_failure(
    redis: Backend, client: redis_py.Redis, tracer_provider: Any, spans: SpanRecorder
) -> None:
    client.script_flush()
    spans.clear()
    assert client.register_script("return 7")() == 7
    assert names(spans) == ["EVALSHA", "SCRIPT LOAD", "EVALSHA"]
    assert {span.status.status_code for span in spans.spans} == {StatusCode.UNSET}
    assert_span(spans.spans[0], attributes={"db.response.status_code": "NOSCRIPT"})

    async def with_the_async_client() -> Any:
        async with async_redis.Redis(host=redis.host, port=redis.port) as own:
            clew.redis.traced(own, tracer_provider=tracer_provider)
            return await own.register_script("return 8")()

    assert asyncio.run(with_the_async_client()) == 8
    assert {span.status.status_code for span in spans.spans} == {StatusCode.UNSET}

    with pytest.raises(redis_py.exceptions.NoScriptError):
        client.evalsha("0" * 40, 0)
    assert_span(spans.spans[-1], name="EVALSHA", status=StatusCode.ERROR)


@pytest.mark.parametrize("way", ["traced", "patched"])
def test_commands_pipelines_and_transactions_of_a_cluster_are_traced(
    way: str, redis_cluster: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    def use(client: Any) -> None:
        client.set("{shop}a", 1)
        with client.pipeline() as pipe:
            pipe.get("{shop}a").incr("{shop}b")
            pipe.execute()
        with client.pipeline(transaction=True) as pipe:
            pipe.set("{shop}a", 1).set("{shop}b", 2)
            pipe.execute()

    async def ause(client: Any) -> None:
        await client.set("{shop}a", 1)
        async with client.pipeline() as pipe:
            await pipe.get("{shop}a").incr("{shop}b").execute()
        async with client.pipeline(transaction=True) as pipe:
            await pipe.set("{shop}a", 1).set("{shop}b", 2).execute()

    async def both(trace: Any) -> None:
        client = redis_py.RedisCluster(redis_cluster.host, redis_cluster.port)
        spans.clear()  # connecting asks for the nodes
        use(trace(client))
        client.close()
        assert names(spans) == ["SET", "PIPELINE", "MULTI SET"]
        async with async_redis.RedisCluster(redis_cluster.host, redis_cluster.port) as own:
            spans.clear()
            await ause(trace(own))
            assert names(spans) == ["SET", "PIPELINE", "MULTI SET"]

    if way == "traced":
        asyncio.run(both(lambda client: clew.redis.traced(client, tracer_provider=tracer_provider)))
    else:
        undo = instrumentation.patch(tracer_provider)
        try:
            asyncio.run(both(lambda client: client))
        finally:
            undo()
    assert_span(spans.spans[1], attributes={"db.operation.batch.size": 2})
    assert spans.open == 0


def test_what_is_not_a_client_is_refused() -> None:
    with pytest.raises(TypeError, match="not a Redis client: dict"):
        clew.redis.traced({})


def watched(client: redis_py.Redis) -> Any:
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        before = pipeline.get("a")
        pipeline.multi()
        pipeline.set("a", 5)
        return before, pipeline.execute()


CALLS: list[Callable[[Any], Any]] = [
    lambda c: c.set(name="a", value=2, ex=100, nx=True),
    lambda c: c.get("a"),
    lambda c: c.execute_command("GET", "a"),
    lambda c: c.execute_command("CONFIG GET", "maxmemory"),
    lambda c: c.execute_command("GET", "a", NEVER_DECODE=True),
    lambda c: c.execute_command(),
    lambda c: c.get(),
    lambda c: c.set("a", object()),
    lambda c: c.lpush("a", 1),
    lambda c: c.eval("return redis.error_reply('MY code')", 0),
    lambda c: c.pipeline(),
    lambda c: c.pipeline(True).set("b", 1).get("b").execute(),
    lambda c: c.pipeline(transaction=False, shard_hint=None).execute(),
    lambda c: c.pipeline().lpush("a", 1).execute(),
    lambda c: c.pipeline().lpush("a", 1).execute(raise_on_error=False),
    lambda c: c.pipeline().execute(1, 2),
    lambda c: c.pipeline(colour="red"),
]
SYNC_CALLS: list[Callable[[Any], Any]] = [
    *CALLS,
    watched,
    lambda c: (len(c.pipeline().get("a")), bool(c.pipeline())),
    lambda c: c.transaction(lambda pipeline: [pipeline.multi(), pipeline.set("a", 3)], "a"),
    lambda c: c.register_script("return 1")(),
    lambda c: [*c.scan_iter(match="a")],
    lambda c: c.lock("lock", timeout=10).acquire(blocking=False),
    lambda c: (type(c), type(c.pubsub()), type(c.client())),
]


async def awaited(call: Callable[[Any], Any], client: Any) -> Any:
    """What a call gives, awaited where it can be."""
    given = call(client)
    return await given if isinstance(given, Awaitable) else given


@pytest.mark.parametrize("is_patched", [False, True], ids=["explicit", "patched"])
def test_clients_behave_as_without_tracing(redis: Backend, tracer_provider: Any, is_patched: bool) -> None:
    got = []
    undo = instrumentation.patch(tracer_provider) if is_patched else None
    try:
        with redis_py.Redis(redis.host, redis.port) as client:
            client.flushall()
            if not is_patched:
                clew.redis.traced(client, tracer_provider=tracer_provider)
            got += [outcome(call, client) for call in SYNC_CALLS]
    finally:
        if undo is not None:
            undo()
    with redis_py.Redis(redis.host, redis.port) as plain:
        plain.flushall()
        for call, one in zip(SYNC_CALLS, got, strict=True):
            assert one == outcome(call, plain), inspect.getsource(call)


@pytest.mark.parametrize("is_patched", [False, True], ids=["explicit", "patched"])
def test_async_clients_behave_as_without_tracing(redis: Backend, tracer_provider: Any, is_patched: bool) -> None:
    async def run(traced: bool) -> list[Any]:
        async with async_redis.Redis(host=redis.host, port=redis.port) as client:
            await client.flushall()
            if traced and not is_patched:
                clew.redis.traced(client, tracer_provider=tracer_provider)
            return [await aoutcome(lambda c, call=call: awaited(call, c), client) for call in CALLS]

    undo = instrumentation.patch(tracer_provider) if is_patched else None
    try:
        got = asyncio.run(run(True))
    finally:
        if undo is not None:
            undo()
    for call, one, other in zip(CALLS, got, asyncio.run(run(False)), strict=True):
        assert one == other, inspect.getsource(call)
