"""Celery over Redis: a sender here, and real workers in processes of their own; all send their spans to one sink."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import celery
import pytest
import redis as redis_py
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import celery as instrumentation
from clew.instrumentation import redis as redis_instrumentation
from clew.testing import ConsumerKit, ProducerKit, SpanRecorder, assert_span, exceptions_of
from clew.testing.kits.sameness import outcome
from harness.backends import Backend
from harness.server import Server

# Celery leaves connections to its broker to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    # Workers are processes of their own, which a busy machine starts slowly; all waits below end with their condition.
    pytest.mark.timeout(300),
]

TASKS = """
import os
import celery
import clew

app = celery.Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(broker_connection_retry_on_startup=True, task_default_queue=os.environ["QUEUE"], worker_hijack_root_logger=False)
clew.configure(service_name="worker", endpoint=os.environ["COLLECTOR"])
clew.celery.traced(app)

@app.task(name="shop.add")
def add(a, b):
    return [a + b, clew.trace_id()]

@app.task(name="shop.fail")
def fail():
    raise ValueError("no tea")

@app.task(name="shop.refuse", throws=(KeyError,))
def refuse():
    raise KeyError("sold out")

@app.task(name="shop.again", bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return clew.trace_id()

@app.task(name="shop.chain")
def chain(number):
    return add.delay(number, 1).id
"""


@pytest.fixture(scope="module", autouse=True)
def results_are_gone(redis: Backend) -> Iterator[None]:
    """While the server is there: a result that is collected later asks for it in vain."""
    yield
    gc.collect()


@pytest.fixture
def app(redis: Backend, request: pytest.FixtureRequest) -> Iterator[celery.Celery]:
    made = celery.Celery(
        "shop", broker=f"redis://{redis.address}/1", backend=f"redis://{redis.address}/1", set_as_current=False
    )
    made.conf.update(task_default_queue=f"tasks{abs(hash(request.node.name))}")
    yield made
    made.close()


Worker = Callable[..., None]


@pytest.fixture
def start_workers(app: celery.Celery, server: Server, tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "shop_tasks.py").write_text(TASKS)
    started: list[subprocess.Popen[bytes]] = []

    def start(pool: str) -> None:
        environment = {
            **os.environ,
            "BROKER": app.conf.broker_url,
            "QUEUE": app.conf.task_default_queue,
            "COLLECTOR": server.otlp_http,
        }
        command = [sys.executable, "-m", "celery", "-A", "shop_tasks", "worker", "-P", pool, "-c", "2", "-l", "warning"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment))

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        assert process.wait(100) == 0


class TestSending(ProducerKit):
    component = "Celery"
    span_name = "send shop.add"
    system = "celery"
    takes_options = True

    @pytest.fixture(autouse=True)
    def use(self, app: celery.Celery, redis: Backend) -> None:
        self.app = app
        self.redis = redis

    def call(self, tracer_provider: Any, body: Any, propagator: Any = None, **options: Any) -> Any:
        import json

        own = celery.Celery("shop", broker=self.app.conf.broker_url, set_as_current=False)
        own.conf.update(task_default_queue=self.app.conf.task_default_queue)
        clew.celery.traced(own, tracer_provider=tracer_provider, propagator=propagator, **options)
        own.send_task("shop.add", (1, 2))
        own.close()
        with redis_py.Redis(self.redis.host, self.redis.port, db=1) as broker:
            message = json.loads(broker.lpop(self.app.conf.task_default_queue))
        return [(name, value) for name, value in message["headers"].items() if isinstance(value, str)], None


class TestHandling(ConsumerKit):
    """A real worker in a thread of this process, where the body and what it sees are."""

    component = "Celery"
    span_name = "process shop.kit"
    system = "celery"
    takes_options = True
    # The worker keeps them, as the task's state.
    sees_exceptions = False
    # A task cannot be left by it: the worker takes it for a failure.
    sees_cancellation = False

    @pytest.fixture(autouse=True)
    def use(self, app: celery.Celery) -> None:
        self.app = app

    def call(
        self, tracer_provider: Any, body: Any, headers: Any = (), propagator: Any = None, **options: Any
    ) -> BaseException | None:
        own = celery.Celery("shop", broker=self.app.conf.broker_url, backend="cache+memory://", set_as_current=False)
        own.conf.update(
            task_default_queue=f"{self.app.conf.task_default_queue}kit",
            worker_hijack_root_logger=False,
            broker_connection_retry_on_startup=True,
            broker_transport_options={
                "polling_interval": 0.1
            },  # how long it waits before it looks whether it is to end
        )

        def kit() -> None:
            body()

        own.task(name="shop.kit", shared=False)(kit)  # else the next application has it too
        clew.celery.traced(own, tracer_provider=tracer_provider, propagator=propagator, **options)
        with self.app.connection_for_write() as connection:
            self.app.send_task(
                "shop.kit", queue=own.conf.task_default_queue, headers=dict(headers), connection=connection
            )
        over = Event()

        def finished(sender: Any = None, **_: Any) -> None:
            over.set()

        task_postrun.connect(finished, weak=False)
        try:
            with start_worker(own, pool="solo", perform_ping_check=False, shutdown_timeout=60):
                assert over.wait(100)
        finally:
            task_postrun.disconnect(finished)
            own.close()
        return None


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_sender_and_worker_are_one_trace(
    pool: str, app: celery.Celery, start_workers: Worker, server: Server, tracer_provider: Any, spans: SpanRecorder
) -> None:
    start_workers(pool)
    clew.celery.traced(app, tracer_provider=tracer_provider)
    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        sent = app.send_task("shop.add", (1, 2))
        total, worker_trace = sent.get(timeout=100)
    assert total == 3
    request, send = spans.one(kind=SpanKind.INTERNAL), spans.one(kind=SpanKind.PRODUCER)
    assert worker_trace == f"{request.context.trace_id:032x}"
    assert_span(
        send,
        name="send shop.add",
        parent_id=f"{request.context.span_id:016x}",
        attributes={
            "messaging.system": "celery",
            "messaging.operation.type": "send",
            "messaging.message.id": sent.id,
            "celery.task_name": "shop.add",
        },
    )
    (process,) = stored(server, worker_trace, 1)
    assert (process["name"], process["kind"], process["parentSpanId"]) == (
        "process shop.add",
        5,
        f"{send.context.span_id:016x}",
    )
    attributes = {one["key"]: next(iter(one["value"].values())) for one in process["attributes"]}
    assert attributes["celery.state"] == "SUCCESS"
    assert attributes["messaging.message.id"] == sent.id
    assert attributes["messaging.operation.type"] == "process"


def test_failures_retries_and_tasks_of_tasks(
    app: celery.Celery, start_workers: Worker, server: Server, tracer_provider: Any, spans: SpanRecorder
) -> None:
    start_workers("prefork")
    clew.celery.traced(app, tracer_provider=tracer_provider)
    tracer = tracer_provider.get_tracer("app")
    traces: dict[str, str] = {}
    for name, arguments in (("shop.fail", ()), ("shop.refuse", ()), ("shop.again", ()), ("shop.chain", (5,))):
        with tracer.start_as_current_span(name) as span:
            traces[name] = f"{span.get_span_context().trace_id:032x}"
            result = app.send_task(name, arguments)
            if name == "shop.fail":
                with pytest.raises(ValueError, match="no tea"):
                    result.get(timeout=100)
            elif name == "shop.refuse":
                with pytest.raises(KeyError, match="sold out"):
                    result.get(timeout=100)
            else:
                result.get(timeout=100)
    (failed,) = stored(server, traces["shop.fail"], 1)
    assert failed["status"]["code"] == 2
    assert failed["status"]["message"] == "no tea"
    assert [event["name"] for event in failed["events"]] == ["exception"]
    # The task says in `throws` that it may raise this.
    (refused,) = stored(server, traces["shop.refuse"], 1)
    assert refused.get("status", {}).get("code", 0) == 0
    assert not refused.get("events")
    assert {"key": "celery.state", "value": {"stringValue": "FAILURE"}} in refused["attributes"]
    again = stored(server, traces["shop.again"], 3)
    assert sorted(span["name"] for span in again) == ["process shop.again", "process shop.again", "send shop.again"]
    assert all(span.get("status", {}).get("code", 0) == 0 for span in again)
    chained = {span["name"]: span for span in stored(server, traces["shop.chain"], 3)}
    assert chained["send shop.add"]["parentSpanId"] == chained["process shop.chain"]["spanId"]
    assert chained["process shop.add"]["parentSpanId"] == chained["send shop.add"]["spanId"]


def stored(server: Server, trace_id: str, count: int) -> list[dict[str, Any]]:
    """The trace's spans once there are so many."""
    until = time.monotonic() + 100
    while True:
        answer = server.get(f"/api/v1/traces/{trace_id}?format=otlp")
        found: list[dict[str, Any]] = []
        if answer.status_code == 200:
            found = [
                span
                for resource in answer.json()["resourceSpans"]
                for scope in resource["scopeSpans"]
                for span in scope["spans"]
            ]
        if len(found) >= count or time.monotonic() > until:
            assert len(found) == count, [span["name"] for span in found]
            return found
        time.sleep(0.1)


def test_what_a_worker_does_for_itself_is_no_trace(
    app: celery.Celery, redis: Backend, tracer_provider: Any, spans: SpanRecorder
) -> None:
    """Heartbeats, acknowledgements and declarations; what a program sends to Redis or by kombu itself is one."""
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

    over = Event()

    @app.task(name="shop.tell", shared=False, ignore_result=True)
    def tell(news: str) -> None:
        with redis_py.Redis(redis.host, redis.port) as own:
            own.publish("news", news)
        over.set()

    undos = [one.patch(tracer_provider) for one in (instrumentation, redis_instrumentation)]
    try:
        with redis_py.Redis(redis.host, redis.port, db=1).pubsub() as heard:  # type: ignore[no-untyped-call]
            worker = start_worker(
                app,
                pool="solo",
                perform_ping_check=False,
                shutdown_timeout=60,
                without_heartbeat=False,
                heartbeat_interval=0.2,
            )
            with worker:
                tell.delay("tea")
                assert over.wait(100)
                heard.psubscribe("/1.celeryev/worker.heartbeat")
                for _ in range(4):  # the first says that it is subscribed
                    assert heard.get_message(timeout=100) is not None
        with app.connection_for_write() as connection, connection.SimpleQueue("mine") as queue:
            queue.put("tea")
    finally:
        for undo in undos:
            undo()
    roots = [span.name for span in spans.spans if span.parent is None]
    assert sorted(roots) == ["LPUSH", "send shop.tell"]
    told = next(span for span in spans.spans if span.name == "PUBLISH" and span.parent is not None)
    assert told.parent is not None


def test_a_task_on_the_spot_has_one_span(app: celery.Celery, tracer_provider: Any, spans: SpanRecorder) -> None:
    app.conf.task_always_eager = True
    clew.celery.traced(app, tracer_provider=tracer_provider)

    @app.task(name="shop.now")
    def now() -> str:
        return clew.trace_id()

    @app.task(name="shop.broken")
    def broken() -> None:
        raise ValueError("no tea")

    with tracer_provider.get_tracer("app").start_as_current_span("request") as request:
        assert now.delay().get() == f"{request.get_span_context().trace_id:032x}"
        assert broken.delay().failed()
    first, second = (span for span in spans.spans if span.kind is SpanKind.CONSUMER)
    assert_span(first, name="process shop.now", parent_id=f"{request.get_span_context().span_id:016x}")
    assert_span(second, name="process shop.broken", status=StatusCode.ERROR, attributes={"celery.state": "FAILURE"})
    assert len(exceptions_of(second)) == 1
    assert spans.open == 0


def test_patched_applications_are_traced_until_it_is_undone_and_never_twice(
    app: celery.Celery, tracer_provider: Any, spans: SpanRecorder
) -> None:
    explicit = celery.Celery("other", broker=app.conf.broker_url, set_as_current=False)
    clew.celery.traced(explicit, tracer_provider=tracer_provider)
    undo = instrumentation.patch(tracer_provider)
    try:
        app.send_task("shop.add", (1, 2))
        explicit.send_task("shop.add", (1, 2))
        assert [span.name for span in spans.spans] == ["send shop.add"] * 2
    finally:
        undo()
    app.send_task("shop.add", (1, 2))
    assert len(spans.spans) == 2
    explicit.close()


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match="not an application"):
        clew.celery.traced("shop")


CALLS: list[Callable[[Any], Any]] = [
    lambda app: app.send_task("shop.add", (1, 2)),
    lambda app: app.send_task(name="shop.add", args=[1], kwargs={"b": 2}, countdown=1),
    lambda app: app.send_task("shop.add", (1, 2), None, 0, None, "id-1").id,
    lambda app: app.send_task("shop.add", headers={"x": "1"}, queue="elsewhere"),
    lambda app: app.send_task("shop.add", headers=7),
    lambda app: app.send_task("shop.add", 7),
    lambda app: app.send_task(),
    lambda app: app.send_task(task="shop.add"),
    lambda app: app.tasks["shop.double"].delay(2),
    lambda app: app.tasks["shop.double"].apply_async((2,), task_id="id-2").id,
    lambda app: app.tasks["shop.double"].apply((2,)).get(),
    lambda app: app.tasks["shop.double"].apply(("a", "b")).get(),
    lambda app: app.tasks["shop.double"](4),
    lambda app: app.signature("shop.add", (1, 2)).apply_async(),
    lambda app: celery.group(app.tasks["shop.double"].s(n) for n in (1, 2)).apply_async(),
    lambda app: app.tasks["shop.double"].delay(),
]


@pytest.mark.parametrize("is_patched", [False, True], ids=["explicit", "patched"])
def test_applications_behave_as_without_tracing(redis: Backend, tracer_provider: Any, is_patched: bool) -> None:
    def called(traced: bool) -> list[Any]:
        app = celery.Celery(
            "shop", broker=f"redis://{redis.address}/1", backend="cache+memory://", set_as_current=False
        )
        app.conf.update(task_default_queue="same")
        app.task(name="shop.double", shared=False)(lambda number: number * 2)
        if traced and not is_patched:
            clew.celery.traced(app, tracer_provider=tracer_provider)
        got = [outcome(call, app) for call in CALLS]
        app.close()
        return got

    undo = instrumentation.patch(tracer_provider) if is_patched else None
    try:
        got = called(True)
    finally:
        if undo is not None:
            undo()
    for call, one, other in zip(CALLS, got, called(False), strict=True):
        # Classes by their names: an application has subclasses of its own.
        assert repr(one) == repr(other), inspect.getsource(call)
