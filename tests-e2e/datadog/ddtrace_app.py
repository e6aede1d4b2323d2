"""Two services that trace with ddtrace: FRONT BACK WATCHED_S; prints the trace id. The agent's address and the API are in the
environment. Goes on for WATCHED_S seconds with a span each.

Ends with an error where ddtrace logged anything.
"""

from __future__ import annotations

import logging
import sys
import threading
import time

logged: list[logging.LogRecord] = []


class Noting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(record)


logging.getLogger().addHandler(Noting(logging.WARNING))

from ddtrace.propagation.http import HTTPPropagator  # noqa: E402  # what it logs at its import counts too
from ddtrace.trace import tracer  # noqa: E402

front, back, watched_s = sys.argv[1:]
headers: dict[str, str] = {}


def answer() -> None:
    """The second service, which knows of the first only by the headers."""
    tracer.context_provider.activate(HTTPPropagator.extract(headers))
    try:
        with tracer.trace("flask.request", service=back, resource="POST /stock", span_type="web") as stock:
            stock.set_tag("span.kind", "server")
            stock.set_tag("http.status_code", "500")
            with tracer.trace("postgres.query", service=back, resource="select 1 from stock", span_type="sql") as look:
                look.set_tag("span.kind", "client")
                look.set_tag("db.system", "postgresql")
                look.set_metric("ratio", 0.5)
                look.set_metric("db.row_count", 7)
            later = threading.Thread(target=job, args=(stock.context,))
            later.start()
            later.join()
            raise LookupError("no stock")
    except LookupError:
        pass


def job(context: object) -> None:
    """What the second service does in another thread."""
    tracer.context_provider.activate(context)
    with tracer.trace("job", service=back) as span:
        span.set_tag("span.kind", "consumer")
        span.link_span(context, {"why": "later"})


with tracer.trace("web.request", service=front, resource="GET /buy", span_type="web") as buy:
    buy.set_tag("span.kind", "server")
    buy.set_tag("http.method", "GET")
    buy.set_tag("http.status_code", "500")
    buy.error = 1
    with tracer.trace("requests.request", service=front, resource="POST", span_type="http") as post:
        post.set_tag("span.kind", "client")
        post.set_tag("peer.service", back)
        post.error = 1
        post._add_event("queued", {"size": 3})
        HTTPPropagator.inject(post.context, headers)
        second = threading.Thread(target=answer)
        second.start()
        second.join()
print(f"{buy.trace_id:032x}")
for _ in range(int(float(watched_s))):
    with tracer.trace("tick", service=front):
        time.sleep(1)
tracer.shutdown()
if logged:
    sys.exit("\n".join(f"{record.name}: {record.getMessage()}" for record in logged))
