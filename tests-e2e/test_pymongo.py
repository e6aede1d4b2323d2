"""PyMongo against a MongoDB-wire server: what each command leaves behind."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

import pymongo
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure, PyMongoError

import clew
from clew.instrumentation import pymongo as instrumentation
from clew.testing import DatabaseKit, SpanRecorder, assert_span
from clew.testing.kits.checks import suppressed
from clew.testing.kits.sameness import outcome
from harness.backends import Backend


class TestKit(DatabaseKit):
    component = "MongoDB"
    span_name = "insert kit"
    attributes = MappingProxyType({"db.system.name": "mongodb", "db.collection.name": "kit", "db.namespace": "shop"})
    secret = "ada"
    statement = '{"insert": "kit", "ordered": "?", "documents": [{"_id": "?", "name": "?"}]}'
    failure_code = "11000"
    # The listener sees replies, not what the driver makes of them.
    raises = False
    takes_options = True

    @pytest.fixture(autouse=True)
    def connect(self, mongodb: Backend) -> Iterator[None]:
        self.server = mongodb
        with pymongo.MongoClient(mongodb.host, mongodb.port) as self.untraced, ExitStack() as self.later:
            yield

    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        kit = self.untraced.shop.kit
        kit.drop()
        if fails:
            kit.insert_one({"_id": 1})
        tracer = clew.pymongo.CommandTracer(tracer_provider=tracer_provider, **options)
        # Closed after the test, since the end of its session is a command of its own.
        client = self.later.enter_context(
            pymongo.MongoClient(self.server.host, self.server.port, event_listeners=[tracer])
        )
        try:
            client.shop.command({"insert": "kit", "ordered": True, "documents": [{"_id": 1, "name": "ada"}]})
        except PyMongoError as error:
            return error
        return None


class TestAsyncKit(TestKit):
    def call(self, tracer_provider: Any, *, fails: bool = False, **options: Any) -> BaseException | None:
        kit = self.untraced.shop.kit
        kit.drop()
        if fails:
            kit.insert_one({"_id": 1})

        async def run() -> BaseException | None:
            tracer = clew.pymongo.CommandTracer(tracer_provider=tracer_provider, **options)
            client: pymongo.AsyncMongoClient[Any] = pymongo.AsyncMongoClient(
                self.server.host, self.server.port, event_listeners=[tracer]
            )
            try:
                await client.shop.command({"insert": "kit", "ordered": True, "documents": [{"_id": 1, "name": "ada"}]})
            except PyMongoError as error:
                return error
            finally:
                # The end of its session is a command of its own.
                with suppressed():
                    await client.close()
            return None

        return asyncio.run(run())


def connected(mongodb: Backend, tracer_provider: Any, **options: Any) -> pymongo.MongoClient[Any]:
    tracer = clew.pymongo.CommandTracer(tracer_provider=tracer_provider, **options)
    return pymongo.MongoClient(mongodb.host, mongodb.port, event_listeners=[tracer], serverSelectionTimeoutMS=5_000)


def names(spans: SpanRecorder) -> list[str]:
    return [span.name for span in spans.spans]


def test_a_command_is_a_client_span_of_the_current_one(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with (
        connected(mongodb, tracer_provider) as client,
        tracer_provider.get_tracer("app").start_as_current_span("request") as request,
    ):
        client.shop.orders.insert_one({"customer": "ada lovelace", "total": 12})
    span = spans.one(kind=SpanKind.CLIENT, name="insert orders")
    assert_span(
        span,
        status=StatusCode.UNSET,
        parent_id=f"{request.get_span_context().span_id:016x}",
        attributes={
            "component": "MongoDB",
            "db.system.name": "mongodb",
            "db.operation.name": "insert",
            "db.collection.name": "orders",
            "db.namespace": "shop",
            "server.address": mongodb.host,
            "server.port": mongodb.port,
        },
    )
    assert "db.query.text" not in span.attributes
    assert "lovelace" not in span.to_json()


def test_each_batch_of_a_cursor_has_its_span(mongodb: Backend, tracer_provider: Any, spans: SpanRecorder) -> None:
    with connected(mongodb, tracer_provider) as client:
        client.shop.batches.drop()
        client.shop.batches.insert_many([{"n": n} for n in range(25)])
        assert len(list(client.shop.batches.find({}, batch_size=10))) == 25
        client.shop.command("ping")
    assert names(spans) == [
        "drop batches",
        "insert batches",
        "find batches",
        "getMore batches",
        "getMore batches",
        "ping shop",
        *(["endSessions admin"] if "endSessions admin" in names(spans) else []),
    ]
    assert spans.open == 0


def test_a_refused_command_is_an_error_with_its_code(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with connected(mongodb, tracer_provider) as client, pytest.raises(OperationFailure) as refused:
        client.shop.command("nosuch")
    span = spans.one(name="nosuch shop")
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "59", "db.response.status_code": "59"})
    assert span.status.description == (refused.value.details or {})["errmsg"]


def test_a_write_error_is_an_error_though_the_driver_calls_it_a_success(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with connected(mongodb, tracer_provider) as client:
        client.shop.unique.drop()
        client.shop.unique.insert_one({"_id": 1})
        with pytest.raises(DuplicateKeyError):
            client.shop.unique.insert_one({"_id": 1})
    first, second = (span for span in spans.spans if span.name == "insert unique")
    assert_span(first, status=StatusCode.UNSET)
    assert_span(second, status=StatusCode.ERROR, attributes={"error.type": "11000"})


def test_a_server_that_is_lost_is_an_error(tracer_provider: Any, spans: SpanRecorder) -> None:
    from harness import backends

    try:
        server = backends.mongodb()
        with server as running, connected(running, tracer_provider, with_statement=True) as client:
            client.shop.lost.find_one()
            running.process.kill()
            running.process.wait()
            with pytest.raises(AutoReconnect):
                client.shop.lost.insert_one({"n": 1})
    except backends.Absent as reason:
        pytest.skip(str(reason))
    failed = [span for span in spans.spans if span.status.status_code is StatusCode.ERROR]
    assert spans.open == 0
    # The driver may notice before it sends anything; then there was no command.
    assert all("error.type" in span.attributes for span in failed)


def test_statements_are_written_on_demand_and_without_values(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with connected(mongodb, tracer_provider, with_statement=True) as client:
        list(client.shop.orders.find({"customer": {"$in": ["ada", "bob"]}, "total": {"$gt": 3}}, limit=5))
    span = spans.one(name="find orders")
    assert json.loads(span.attributes["db.query.text"]) == {
        "find": "orders",
        "filter": {"customer": {"$in": ["?", "?"]}, "total": {"$gt": "?"}},
        "limit": "?",
        "singleBatch": "?",
    } or json.loads(span.attributes["db.query.text"]) == {
        "find": "orders",
        "filter": {"customer": {"$in": ["?", "?"]}, "total": {"$gt": "?"}},
        "limit": "?",
    }
    assert "ada" not in span.attributes["db.query.text"]


def test_kratos_names_are_written_where_they_are_asked_for(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    with connected(mongodb, tracer_provider, conventions="kratos") as client:
        client.shop.orders.find_one()
        with pytest.raises(OperationFailure):
            client.shop.command("nosuch")
    found, refused = spans.one(name="find orders"), spans.one(name="nosuch shop")
    assert_span(found, status=StatusCode.OK)
    assert isinstance(found.attributes["queryId"], int)
    assert found.attributes["command"] == "find"
    assert found.attributes["event"] == "succeeded"
    assert 0 < found.attributes["ms"] < 5_000
    assert not [key for key in found.attributes if key.startswith(("db.", "rpc.", "http."))]
    assert_span(refused, status=StatusCode.ERROR, attributes={"command": "nosuch", "event": "error"})


def test_threads_have_spans_of_their_own(mongodb: Backend, tracer_provider: Any, spans: SpanRecorder) -> None:
    tracer = tracer_provider.get_tracer("app")

    def work(number: int) -> tuple[int, int]:
        with tracer.start_as_current_span(f"request {number}") as span:
            client.shop.threads.insert_one({"n": number})
            return number, span.get_span_context().trace_id

    with connected(mongodb, tracer_provider) as client, ThreadPoolExecutor(8) as pool:
        traces = dict(pool.map(work, range(40)))
    inserts = [span for span in spans.spans if span.name == "insert threads"]
    assert len(inserts) == 40
    assert {span.context.trace_id for span in inserts} == set(traces.values())
    assert spans.open == 0


def test_the_async_client_is_traced_as_well(mongodb: Backend, tracer_provider: Any, spans: SpanRecorder) -> None:
    async def work() -> int:
        listener = clew.pymongo.CommandTracer(tracer_provider=tracer_provider)
        async with pymongo.AsyncMongoClient(mongodb.host, mongodb.port, event_listeners=[listener]) as client:
            with tracer_provider.get_tracer("app").start_as_current_span("request") as span:
                await asyncio.gather(*(client.shop.tasks.insert_one({"n": n}) for n in range(5)))
            return span.get_span_context().span_id

    parent = asyncio.run(work())
    inserts = [span for span in spans.spans if span.name == "insert tasks"]
    assert [span.parent.span_id for span in inserts] == [parent] * 5


def test_patched_clients_are_traced_until_it_is_undone_and_never_twice(
    mongodb: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    undo = instrumentation.patch(tracer_provider)
    try:
        with pymongo.MongoClient(mongodb.host, mongodb.port) as plain, connected(mongodb, tracer_provider) as explicit:
            plain.shop.orders.find_one()
            explicit.shop.orders.find_one()
            assert names(spans) == ["find orders", "find orders"]
            undo()
            plain.shop.orders.find_one()
            assert names(spans) == ["find orders", "find orders"]
    finally:
        undo()
    spans.clear()
    with pymongo.MongoClient(mongodb.host, mongodb.port) as client:
        client.shop.orders.find_one()
    assert spans.spans == []


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown convention"):
        clew.pymongo.CommandTracer(conventions="opentracing")


def refused() -> Any:
    with pymongo.MongoClient("127.0.0.1", 1, serverSelectionTimeoutMS=1) as client:
        return client.shop.command("ping")


CALLS: list[Callable[[Any], Any]] = [
    lambda db: db.same.insert_one({"_id": 1, "name": "ada"}),
    lambda db: db.same.insert_many(documents=[{"_id": 2}, {"_id": 3}], ordered=False).inserted_ids,
    lambda db: db.same.find_one({"_id": 1}),
    lambda db: [*db.same.find(filter={}, batch_size=1).sort("_id")],
    lambda db: db.same.update_one({"_id": 1}, {"$set": {"name": "bob"}}).modified_count,
    lambda db: db.same.insert_one({"_id": 1}).acknowledged,
    lambda db: db.same.delete_many({}).deleted_count,
    lambda db: db.command("ping")["ok"],
    lambda db: db.command("gone"),
    lambda db: db.same.find_one({"$gone": 1}),
    lambda db: db.same.insert_one(7),
    lambda db: db.same.find_one(colour="red"),
    lambda db: (type(db), type(db.client), type(db.same)),
    lambda db: pymongo.MongoClient(event_listeners=7),
    lambda db: pymongo.MongoClient(event_listeners=["mine"]),
    lambda db: pymongo.MongoClient(colour="red"),
    lambda db: pymongo.MongoClient("nothing://"),
    lambda db: refused(),
]


def without_times(got: Any) -> Any:
    """Without what a server's description says of when it was looked for."""
    return (
        (got[0], got[2:])
        if isinstance(got, tuple) and issubclass(got[0], pymongo.errors.ServerSelectionTimeoutError)
        else got
    )


@pytest.mark.parametrize("is_patched", [False, True], ids=["explicit", "patched"])
def test_clients_behave_as_without_tracing(mongodb: Backend, tracer_provider: Any, is_patched: bool) -> None:
    def called(client: Any) -> list[Any]:
        with client:
            client.shop.same.drop()
            # With a listener the driver runs other lines of its own.
            own = os.path.dirname(pymongo.__file__)
            return [without_times(outcome(call, client.shop, without=own)) for call in CALLS]

    undo = instrumentation.patch(tracer_provider) if is_patched else None
    try:
        options = (
            {} if is_patched else {"event_listeners": [clew.pymongo.CommandTracer(tracer_provider=tracer_provider)]}
        )
        got = called(pymongo.MongoClient(mongodb.host, mongodb.port, **options))
    finally:
        if undo is not None:
            undo()
    for call, one, other in zip(CALLS, got, called(pymongo.MongoClient(mongodb.host, mongodb.port)), strict=True):
        assert one == other, inspect.getsource(call)
