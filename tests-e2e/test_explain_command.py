"""`clew explain` against a real server: its exit codes, its width, any terminal, and the API's object in one line."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from harness.server import Server, clew_command
from harness.shop import Shop
from harness.wire import fresh_name, new_trace_id, request, span


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    return Shop(server)


def explain(trace_id: str, *words: str, server: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "COLUMNS"))}
    done = subprocess.run(
        [*clew_command(), "explain", trace_id, "--server", server, *words],
        capture_output=True,
        env=variables | {"PYTHONIOENCODING": "utf-8"} | environment,
        timeout=100,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


def test_scripts_can_branch_on_the_exit_code(server: Server, shop: Shop) -> None:
    traces = {shop.usual: 0, "ab" * 16: 1, "no-id": 2, shop.failed: 3, shop.slow: 4}
    for trace_id, code in traces.items():
        done = explain(trace_id, server=server.http)
        assert done.returncode == code, done.stderr
        assert explain(trace_id, "--json", server=server.http).returncode == code
        if code in (1, 2):
            assert (done.stdout, len(done.stderr.splitlines())) == (b"", 1)
    assert explain(shop.usual, server="http://127.0.0.1:1").returncode == 7


def test_json_is_the_object_of_the_api_in_one_line(server: Server, shop: Shop) -> None:
    (line,) = explain(shop.slow, "--json", server=server.http).stdout.decode().splitlines()
    answer = server.get_json(f"/api/v1/traces/{shop.slow}/explain")
    # When the trace is no longer young, a note less.
    for one in (printed := json.loads(line), answer):
        del one["completeness"], one["etag"]
    assert printed == answer


def test_the_verdict_is_the_first_thing_and_its_sentences_are_those_of_the_api(server: Server, shop: Shop) -> None:
    shown = explain(shop.failed, server=server.http).stdout.decode()
    answer = server.get_json(f"/api/v1/traces/{shop.failed}/explain")
    assert " ".join(shown.split()).startswith(f"✖ {answer['summary']}")
    for finding in answer["findings"]:
        assert " ".join(finding["text"].split()) in " ".join(shown.split())
    assert "\x1b" not in shown
    order = [shown.index(part) for part in ("what was found", "where the time went", "critical path", server.http)]
    assert order == sorted(order)


def test_lines_have_at_most_80_columns_and_an_ascii_terminal_bears_them(server: Server) -> None:
    service, trace_id = fresh_name("büro-日" * 10), new_trace_id()
    root = span(trace_id, name="GET /" + "süß" * 60, duration_ns=90_000_000, failed=True)
    call = span(trace_id, parent_id=root.span_id, name="✖" * 90, failed=True, start_unix_nano=root.start_time_unix_nano)
    call.status.message = "kaputt – µ " * 40
    server.export(request(service, [root, call]))
    server.flush()
    wide = explain(trace_id.hex(), server=server.http, COLUMNS="200")
    assert max(map(len, wide.stdout.decode().split("\n"))) <= 80
    for encoding in ("ascii", "latin-1"):
        plain = explain(trace_id.hex(), server=server.http, PYTHONIOENCODING=encoding)
        assert plain.returncode == 3
        assert max(map(len, plain.stdout.decode(encoding).split("\n"))) <= 80
    assert json.loads(explain(trace_id.hex(), "--json", server=server.http, PYTHONIOENCODING="ascii").stdout)
