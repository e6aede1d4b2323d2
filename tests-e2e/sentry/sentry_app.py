"""Two services that trace with sentry-sdk, a process each: LIFECYCLE FRONT_DSN BACK_DSN; prints the trace id.

LIFECYCLE is `static` (transactions) or `stream` (spans that are sent as they end). Ends with an error where the SDK logged a warning.
"""

from __future__ import annotations

import http.client
import logging
import subprocess
import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sentry_sdk
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

logged: list[logging.LogRecord] = []


class Noting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(record)


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def begin(dsn: str, compression: str) -> None:
    """Without `debug` the SDK says nothing of what it could not send."""
    sentry_sdk.init(
        dsn=dsn,
        traces_sample_rate=1.0,
        release="shop@1.2",
        environment="prod",
        server_name="vm",
        send_default_pii=True,
        debug=True,
        trace_lifecycle=lifecycle,
        _experiments={"transport_compression_algo": compression},
    )
    logger = logging.getLogger("sentry_sdk.errors")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = False
    logger.addHandler(Noting(logging.WARNING))


def end() -> None:
    sentry_sdk.get_client().close(timeout=20)
    if logged:
        sys.exit("\n".join(f"{record.name}: {record.getMessage()}" for record in logged))


def stock(environ: Any, start_response: Any) -> list[bytes]:
    """The second service, which knows of the first only by the headers."""
    sentry_sdk.set_user({"id": "7", "username": "ann", "plan": "free"})
    sentry_sdk.set_tag("shelf", "b")
    sentry_sdk.set_context("cart", {"items": 2})
    if lifecycle == "static":
        with sentry_sdk.start_span(op="db", name="select 1 from stock") as look:
            look.set_data("db.system", "postgresql")
        with sentry_sdk.start_span(op="queue.publish", name="orders") as order:
            order.set_data("messaging.destination.name", "orders")
            fail()
    else:
        found = {"sentry.op": "db", "db.system": "postgresql"}
        with sentry_sdk.traces.start_span(name="select 1 from stock", attributes=found):
            pass
        found = {"sentry.op": "queue.publish", "messaging.destination.name": "orders"}
        with sentry_sdk.traces.start_span(name="orders", attributes=found):
            fail()
    start_response("500 Internal Server Error", [])
    return [b"no"]


def fail() -> None:
    try:
        try:
            raise KeyError("shelf")
        except KeyError as cause:
            raise LookupError("no stock") from cause
    except LookupError:
        sentry_sdk.capture_exception()


def ask(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/stock?n=1")
    connection.getresponse().read()


lifecycle, front, back = sys.argv[1:4]
if len(sys.argv) > 4:
    begin(back, "gzip")
    with make_server("127.0.0.1", 0, SentryWsgiMiddleware(stock), handler_class=Quiet) as server:
        print(server.server_port, flush=True)
        server.handle_request()
    end()
    sys.exit()

begin(front, "br")
second = subprocess.Popen([sys.executable, *sys.argv, "back"], stdout=subprocess.PIPE, text=True)
assert second.stdout is not None
port = int(second.stdout.readline())
late = RuntimeError("too late")
if lifecycle == "static":
    with sentry_sdk.start_transaction(op="http.server", name="GET /buy") as buy:
        buy.set_data("http.request.method", "GET")
        ask(port)
        buy.set_http_status(500)
    trace_id = buy.trace_id
    sentry_sdk.flush(20)
    with sentry_sdk.new_scope() as scope:
        scope.span = buy
        sentry_sdk.capture_exception(late)
else:
    known = {"sentry.op": "http.server", "http.request.method": "GET", "http.response.status_code": 500}
    with sentry_sdk.traces.start_span(name="GET /buy", attributes=known) as buy:
        ask(port)
        buy.status = "error"
        trace_id = buy.trace_id
        sentry_sdk.flush(20)
        sentry_sdk.capture_exception(late)
print(trace_id)
if second.wait(30):
    sys.exit("the second service logged a warning")
end()
