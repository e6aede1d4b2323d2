"""Django over WSGI and ASGI, with its own settings in an interpreter of its own: Django is configured once a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import asyncio, json, sys, wsgiref.util
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path

def user(request, pk):
    return HttpResponse(clew.trace_id())

def broken(request):
    raise ValueError("no tea")

async def later(request, pk):
    return HttpResponse(clew.trace_id())

urlpatterns = [path("users/<int:pk>/", user), path("broken/", broken), path("api/", include([path("later/<int:pk>/", later)]))]
how = sys.argv[1]
middleware = [] if how == "patched" else ["clew.instrumentation.django.RouteMiddleware"]
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], MIDDLEWARE=middleware, LOGGING_CONFIG=None)
import django, logging
logging.disable()
django.setup()
import clew
from clew.testing import InMemoryExporter
exporter = InMemoryExporter()
provider = clew.TracerProvider(exporter=exporter)
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
wsgi_app, asgi_app = get_wsgi_application(), get_asgi_application()
if how == "patched":
    clew.instrument(provider)
else:
    wsgi_app = clew.wsgi.TracingMiddleware(wsgi_app, tracer_provider=provider)
    asgi_app = clew.asgi.TracingMiddleware(asgi_app, tracer_provider=provider)

def by_wsgi(url):
    environ = {"PATH_INFO": url}
    wsgiref.util.setup_testing_defaults(environ)
    body = wsgi_app(environ, lambda *_: None)
    text = b"".join(body).decode()
    body.close()
    return text

async def by_asgi(url):
    sent, received = [], []
    async def receive():
        if received:
            await asyncio.sleep(3600)
        received.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": url, "raw_path": url.encode(), "query_string": b"",
             "headers": [(b"host", b"shop")], "http_version": "1.1", "scheme": "http", "server": ("shop", 80), "client": ("1.2.3.4", 5)}
    await asgi_app(scope, receive, send)
    return b"".join(m.get("body", b"") for m in sent).decode()

texts = [by_wsgi("/users/7/"), by_wsgi("/api/later/8/"), asyncio.run(by_asgi("/users/9/")), asyncio.run(by_asgi("/api/later/10/"))]
asyncio.run(by_asgi("/broken/"))
by_wsgi("/broken/")
by_wsgi("/nowhere/")
provider.force_flush()
spans = [{"name": s.name, "trace": f"{s.context.trace_id:032x}", "status": s.status.status_code.name,
          "attributes": dict(s.attributes), "exceptions": [e.attributes["exception.type"] for e in s.events]} for s in sorted(exporter.spans, key=lambda span: span.start_time)]
provider.shutdown()
print(json.dumps({"texts": texts, "spans": spans}))
"""


@pytest.fixture(scope="module", params=["explicit", "patched"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    program: Path = tmp_path_factory.mktemp("django") / "shop.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), request.param], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_routes_name_the_spans_over_both_protocols(outcome: Any) -> None:
    names = [span["name"] for span in outcome["spans"]]
    assert names == [
        "GET /users/<int:pk>/",
        "GET /api/later/<int:pk>/",
        "GET /users/<int:pk>/",
        "GET /api/later/<int:pk>/",
        "GET /broken/",
        "GET /broken/",
        "GET",
    ]
    assert [span["attributes"].get("http.route") for span in outcome["spans"]][:2] == [
        "/users/<int:pk>/",
        "/api/later/<int:pk>/",
    ]


def test_the_span_is_current_in_the_views(outcome: Any) -> None:
    assert outcome["texts"] == [span["trace"] for span in outcome["spans"][:4]]


def test_an_exception_that_django_answers_is_on_the_span(outcome: Any) -> None:
    for broken in outcome["spans"][4:6]:
        assert (broken["status"], broken["attributes"]["error.type"], broken["exceptions"]) == (
            "ERROR",
            "ValueError",
            ["ValueError"],
        )
        assert broken["attributes"]["http.response.status_code"] == 500


def test_what_no_route_matches_has_the_method_for_a_name(outcome: Any) -> None:
    nowhere = outcome["spans"][6]
    assert (nowhere["name"], nowhere["status"]) == ("GET", "UNSET")


ON_SQLITE = """
import sys
import clew
if sys.argv[1] == "traced":
    from clew.testing import InMemoryExporter
    clew.instrument(clew.TracerProvider(exporter=InMemoryExporter()))
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT strftime('%s','2020-01-01')")
    print(cursor.fetchall(), type(cursor.cursor))
    cursor.execute("SELECT %s, strftime('%%s','2020-01-01')", ["x"])
    print(cursor.fetchall())
    cursor.execute("CREATE TABLE orders (n)")
    cursor.executemany("INSERT INTO orders VALUES (%s)", iter([(1,)]))
print(type(connection.connection).__name__, connection.queries_log)
"""


def test_django_on_sqlite_gets_what_it_gets_without_tracing(tmp_path: Path) -> None:
    program = tmp_path / "orders.py"
    program.write_text(ON_SQLITE)
    printed = [
        subprocess.run(
            [sys.executable, str(program), how], capture_output=True, text=True, timeout=100, check=True
        ).stdout
        for how in ("plain", "traced")
    ]
    assert "1577836800" in printed[0]
    assert printed[1] == printed[0]
