"""Trace and span id in log records, whatever makes them and whoever handles them."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import queue
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from clew import guard, logs
from clew.logs import TraceContextFilter, add_trace_context

CONTEXT = SpanContext(0xA0, 0xB0, False, TraceFlags(1))
TRACE_ID, SPAN_ID = f"{0xA0:032x}", f"{0xB0:016x}"
INSIDE = {
    "trace_id": TRACE_ID,
    "span_id": SPAN_ID,
    "trace_sampled": True,
    "otelTraceID": TRACE_ID,
    "otelSpanID": SPAN_ID,
    "otelTraceSampled": True,
}
OUTSIDE = {
    "trace_id": "",
    "span_id": "",
    "trace_sampled": False,
    "otelTraceID": "0",
    "otelSpanID": "0",
    "otelTraceSampled": False,
}
SERVICE = {"service_name": "shop", "otelServiceName": "shop"}


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def ids(self) -> list[dict[str, Any]]:
        return [{name: getattr(record, name) for name in (*INSIDE, *SERVICE)} for record in self.records]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def installed() -> Iterator[None]:
    before = vars(logging.Logger)["makeRecord"], vars(logging.Logger)["handle"], logging.getLogRecordFactory()
    logs.install(TracerProvider(resource=Resource({"service.name": "shop"})))
    yield
    logs.uninstall()
    logging.setLogRecordFactory(before[2])
    assert before[:2] == (vars(logging.Logger)["makeRecord"], vars(logging.Logger)["handle"])


def logger_of(kept: Kept, kind: type[logging.Logger] = logging.Logger) -> logging.Logger:
    logger = kind("test")
    logger.addHandler(kept)
    return logger


@pytest.mark.usefixtures("installed")
def test_every_record_of_every_logger_carries_the_ids(kept: Kept) -> None:
    loggers = [logger_of(kept), logging.getLogger("clew.test.logs"), logging.getLogger("clew.test.logs.child")]
    loggers[1].addHandler(kept)
    for logger in loggers:
        logger.warning("outside")
        with use_span(NonRecordingSpan(CONTEXT)):
            logger.warning("inside")
    loggers[1].removeHandler(kept)
    assert kept.ids() == [{**OUTSIDE, **SERVICE}, {**INSIDE, **SERVICE}] * 3


@pytest.mark.usefixtures("installed")
def test_a_span_that_is_not_sampled_has_ids_and_says_so(kept: Kept) -> None:
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_as_current_span("span") as span:
        logger_of(kept).warning("inside")
    [ids] = kept.ids()
    assert ids["trace_id"] == ids["otelTraceID"] == f"{span.get_span_context().trace_id:032x}"
    assert ids["trace_sampled"] is ids["otelTraceSampled"] is False


@pytest.mark.usefixtures("installed")
def test_a_format_written_for_opentelemetrys_instrumentation_works_unchanged() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(
        logging.Formatter(
            "[trace_id=%(otelTraceID)s span_id=%(otelSpanID)s resource.service.name=%(otelServiceName)s "
            "trace_sampled=%(otelTraceSampled)s] %(message)s"
        )
    )
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("outside")
    with use_span(NonRecordingSpan(CONTEXT)):
        logger.warning("inside")
    assert written.getvalue() == (
        "[trace_id=0 span_id=0 resource.service.name=shop trace_sampled=False] outside\n"
        f"[trace_id={TRACE_ID} span_id={SPAN_ID} resource.service.name=shop trace_sampled=True] inside\n"
    )


@pytest.mark.usefixtures("installed")
def test_a_queue_handlers_listener_sees_the_ids_of_whoever_logged(kept: Kept) -> None:
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logger = logging.Logger("test")
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    kept.addFilter(TraceContextFilter())
    listener = logging.handlers.QueueListener(waiting, kept)
    listener.start()
    with use_span(NonRecordingSpan(CONTEXT)):
        logger.warning("inside")
    listener.stop()
    assert kept.ids() == [{**INSIDE, **SERVICE}]


@pytest.mark.usefixtures("installed")
def test_an_extra_of_the_same_name_raises_nothing_and_wins(kept: Kept) -> None:
    logger = logger_of(kept)
    adapter = logging.LoggerAdapter(logger, {"span_id": "adapted"})
    with use_span(NonRecordingSpan(CONTEXT)):
        logger.warning("mine", extra={"trace_id": "mine", "service_name": "till"})
        adapter.warning("adapted")
    assert kept.ids() == [
        {**INSIDE, **SERVICE, "trace_id": "mine", "service_name": "till"},
        {**INSIDE, **SERVICE, "span_id": "adapted"},
    ]


@pytest.mark.usefixtures("installed")
def test_a_record_factory_set_later_changes_nothing(kept: Kept) -> None:
    class Record(logging.LogRecord):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.otelServiceName = "made"

    logging.setLogRecordFactory(Record)
    with use_span(NonRecordingSpan(CONTEXT)):
        logger_of(kept).warning("inside")
    assert isinstance(kept.records[0], Record)
    assert kept.ids() == [{**INSIDE, **SERVICE, "otelServiceName": "made"}]


@pytest.mark.usefixtures("installed")
def test_loggers_that_make_or_handle_records_themselves_are_no_exception(kept: Kept) -> None:
    class Maker(logging.Logger):
        def makeRecord(self, name: str, level: int, *args: Any, **keywords: Any) -> logging.LogRecord:  # type: ignore[override]
            return logging.makeLogRecord({"name": name, "levelno": level, "msg": "made"})

    class Handling(logging.Logger):
        def handle(self, record: logging.LogRecord) -> None:
            self.callHandlers(record)

    with use_span(NonRecordingSpan(CONTEXT)):
        logger_of(kept, Maker).warning("inside")
        logger_of(kept, Handling).warning("inside")
    assert kept.ids() == [{**INSIDE, **SERVICE}] * 2


@pytest.mark.usefixtures("installed")
def test_filters_of_loggers_see_the_ids_and_the_caller_is_found_as_before(kept: Kept) -> None:
    seen: list[Any] = []
    logger = logger_of(kept)
    logger.addFilter(lambda record: seen.append(getattr(record, "trace_id", None)) or True)
    with use_span(NonRecordingSpan(CONTEXT)):
        logger.warning("inside", stack_info=True)
    assert seen == [TRACE_ID]
    assert kept.records[0].funcName == "test_filters_of_loggers_see_the_ids_and_the_caller_is_found_as_before"
    assert kept.records[0].stack_info.splitlines()[-1].strip() == 'logger.warning("inside", stack_info=True)'


def test_install_and_uninstall_may_be_called_twice(kept: Kept) -> None:
    before = logging.Logger.makeRecord, logging.Logger.handle
    logs.uninstall()
    logs.install()
    once = logging.Logger.makeRecord, logging.Logger.handle
    logs.install()
    assert (logging.Logger.makeRecord, logging.Logger.handle) == once != before
    logs.uninstall()
    logs.uninstall()
    assert (logging.Logger.makeRecord, logging.Logger.handle) == before
    logger_of(kept).warning("outside")
    assert not hasattr(kept.records[0], "trace_id")


def test_uninstall_leaves_alone_what_somebody_has_put_over_it(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    original = logging.Logger.makeRecord
    logs.install()
    ours = logging.Logger.makeRecord

    def theirs(self: Any, *args: Any, **keywords: Any) -> Any:
        return ours(self, *args, **keywords)

    monkeypatch.setattr(logging.Logger, "makeRecord", theirs)
    logs.uninstall()
    assert logging.Logger.makeRecord is theirs
    logger_of(kept).warning("off")
    assert not hasattr(kept.records[0], "trace_id")
    logs.install()
    logger_of(kept).warning("on again")
    logs.uninstall()
    assert kept.records[1].trace_id == ""
    monkeypatch.setattr(logging.Logger, "makeRecord", original)


@pytest.mark.usefixtures("installed")
def test_a_record_that_has_no_place_for_them_is_logged_without(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        __slots__ = ("levelno", "msg", "name")

    record: Any = Bare()
    record.name, record.levelno, record.msg = "test", logging.WARNING, "bare"
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    logger_of(kept).handle(record)
    assert kept.records == [record]


@pytest.mark.usefixtures("installed")
def test_a_failure_of_ours_does_not_reach_who_logs(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(NonRecordingSpan):
        def get_span_context(self) -> SpanContext:
            raise RuntimeError("broken")

    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    before = guard.failures().get("ids in a log record", 0)
    with use_span(Broken(CONTEXT)):
        logger_of(kept).warning("inside")
    assert [record.getMessage() for record in kept.records] == ["inside"]
    assert guard.failures()["ids in a log record"] > before


def test_the_service_is_that_of_the_global_provider_of_the_moment(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.install()
    try:
        for name in (None, "first", "second"):
            provider = name and TracerProvider(resource=Resource({"service.name": name}))
            monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
            logger_of(kept).warning("outside")
    finally:
        logs.uninstall()
    assert [one["otelServiceName"] for one in kept.ids()] == ["", "first", "second"]


def test_a_filter_gives_the_records_of_one_handler_the_same(kept: Kept) -> None:
    kept.addFilter(TraceContextFilter())
    logger = logger_of(kept)
    logger.warning("outside")
    with use_span(NonRecordingSpan(CONTEXT)):
        logger.warning("inside")
        logger.warning("mine", extra={"trace_id": "mine"})
    assert [{name: one[name] for name in INSIDE} for one in kept.ids()] == [
        OUTSIDE,
        INSIDE,
        {**INSIDE, "trace_id": "mine"},
    ]


def test_a_structlog_event_has_the_ids_of_the_current_span_unless_it_says_otherwise() -> None:
    assert add_trace_context(None, "info", {"event": "hello"}) == {"event": "hello"}
    with use_span(NonRecordingSpan(CONTEXT)):
        assert add_trace_context(None, "info", {"event": "hello"}) == {
            "event": "hello",
            "trace_id": TRACE_ID,
            "span_id": SPAN_ID,
            "trace_sampled": True,
        }
        assert add_trace_context(None, "info", {"trace_id": "mine"})["trace_id"] == "mine"


PROGRAM = """
import json, logging
import clew
provider = clew.configure("shop")
with provider.get_tracer("t").start_as_current_span("span") as span:
    logging.getLogger("a").error("hello %s", "you")
print(json.dumps([len(logging.getLogger().handlers), f"{span.get_span_context().trace_id:032x}"]))
"""


@pytest.mark.parametrize(
    ("variables", "handlers", "line"),
    [
        ({}, 0, "hello you\n"),
        ({"OTEL_PYTHON_LOG_CORRELATION": "true"}, 0, "hello you\n"),
        (
            {"OTEL_PYTHON_LOG_CORRELATION": "True", "OTEL_PYTHON_LOG_FORMAT": "%(trace_id)s %(service_name)s"},
            1,
            "TRACE shop\n",
        ),
        ({"OTEL_PYTHON_LOG_FORMAT": "%(trace_id)s"}, 0, "hello you\n"),
        ({"OTEL_PYTHON_LOG_CORRELATION": "true", "OTEL_PYTHON_LOG_LEVEL": "critical"}, 1, ""),
    ],
)
def test_configure_does_as_the_variables_say(variables: dict[str, str], handlers: int, line: str) -> None:
    environment = {**variables, "OTEL_TRACES_EXPORTER": "none", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=100, check=True
    )
    found, trace_id = json.loads(done.stdout)
    assert found == handlers
    assert done.stderr == line.replace("TRACE", trace_id)
