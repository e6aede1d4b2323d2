"""Live tail over a real server: what is acknowledged is shown while it arrives, to many, and to slow readers within bounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from harness import wire
from harness.events import Events
from harness.server import Server, clew_command, free_port


def is_trace(trace_id: bytes) -> Callable[[str, dict[str, Any]], bool]:
    return lambda name, data: name == "trace" and data["trace_id"] == trace_id.hex()


def until(found: Callable[[], Any], timeout_s: float = 100) -> None:
    deadline = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def schema_errors(server: Server, name: str, data: dict[str, Any]) -> list[str]:
    document = server.get_json("/api/v1/openapi.json")
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert set(data) == set(document["components"]["schemas"][name]["properties"])
    return [error.message for error in Draft202012Validator(schema).iter_errors(data)]


def test_spans_of_a_real_sdk_are_shown_while_they_arrive_as_a_search_shows_them_later(server: Server) -> None:
    service = wire.fresh_name("live")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{server.otlp_http}/v1/traces")))
    tracer = provider.get_tracer("live")
    with Events(server, q=f'service="{service}" name=~"^GET" n>1') as events:
        assert events.head.headers["content-type"].startswith("text/event-stream")
        name, opening = events.next() or ("", {})
        assert (name, opening["rate"], opening["failed"]) == ("open", 50, False)
        with tracer.start_as_current_span("POST /other"):
            pass
        with tracer.start_as_current_span("GET /cart") as span:
            with tracer.start_as_current_span("SELECT"):
                pass
            span.set_attribute("n", 5)
            trace_id = span.get_span_context().trace_id.to_bytes(16, "big")
        provider.shutdown()
        shown = events.until(lambda name, data: name == "trace" and data["spans"] == 2)
        _, trace = shown[-1]
        # Only what matches came, and while it arrived: the store has not been waited for.
        assert {data["trace_id"] for name, data in shown if name == "trace"} == {trace_id.hex()}
        _, counts = events.until(lambda name, data: name == "counts")[-1]
        assert (counts["traces"], counts["spans"], counts["failed"], counts["skipped"]) == (1, 2, 0, 0)
    assert schema_errors(server, "TailTrace", trace) == []
    assert schema_errors(server, "TailCounts", counts) == []
    server.flush()
    (found,) = server.found(q=f'service="{service}" n=5')
    assert {key: trace[key] for key in found} == found
    assert trace["answer"]["shares"][0]["owner"] == service


def test_a_trace_is_shown_again_when_more_of_it_comes_and_taken_back_when_it_no_longer_matches(server: Server) -> None:
    service, trace_id, root = wire.fresh_name("grows"), wire.new_trace_id(), wire.new_span_id()
    with Events(server, q=f'{{service="{service}"}} and not {{name=audit}}') as events:
        now = time.time_ns()
        server.export(wire.request(service, [wire.span(trace_id, span_id=root, start_unix_nano=now)]))
        assert events.until(is_trace(trace_id))[-1][1]["failed_spans"] == 0
        pay = wire.span(trace_id, parent_id=root, name="pay", failed=True, start_unix_nano=now)
        server.export(wire.request(service, [pay]))
        _, grown = events.until(lambda name, data: is_trace(trace_id)(name, data) and data["spans"] == 2)[-1]
        assert (grown["failed_spans"], grown["errors"], grown["answer"]["handled"]) == (1, 1, 1)
        server.export(wire.request(service, [wire.span(trace_id, parent_id=root, name="audit")]))
        _, gone = events.until(lambda name, data: name == "gone")[-1]
        assert gone == {"trace_id": trace_id.hex()}


def test_failed_traces_are_never_skipped_and_others_over_the_rate_are_counted(server: Server) -> None:
    service = wire.fresh_name("busy")
    spans = [wire.span(name="fine") for _ in range(40)] + [wire.span(name="broken", failed=True) for _ in range(40)]
    with Events(server, q=f'service="{service}"', rate="5") as events:
        server.export(wire.request(service, spans))
        got = events.until(lambda name, data: name == "counts" and data["traces"] == 80)
        counts = got[-1][1]
        shown = [data["root_name"] for name, data in got if name == "trace"]
        assert shown.count("broken") == 40
        assert 5 <= shown.count("fine") < 40
        assert (counts["failed"], counts["skipped"], counts["skipped_failed"]) == (40, 40 - shown.count("fine"), 0)
    with Events(server, q=f'service="{service}"', failed="true") as events:
        again = [wire.span(name="fine"), wire.span(name="broken", failed=True)]
        server.export(wire.request(service, again))
        got = events.until(is_trace(again[1].trace_id))
        assert [data["root_name"] for name, data in got if name == "trace"] == ["broken"]


def test_who_comes_back_soon_is_sent_what_arrived_meanwhile_and_is_counted_on(server: Server) -> None:
    service = wire.fresh_name("back")
    first, second, third = wire.span(name="first"), wire.span(name="second"), wire.span(name="third", failed=True)
    with Events(server, q=f'service="{service}"') as events:
        _, opening = events.next() or ("", {})
        assert schema_errors(server, "TailOpen", opening) == []
        server.export(wire.request(service, [first]))
        events.until(is_trace(first.trace_id))
    until(lambda: server.status()["tail_listeners"] == 0)
    server.export(wire.request(service, [second]))
    with Events(server, q=f'service="{service}"', headers={"Last-Event-ID": events.last_id}) as again:
        assert again.next() == ("open", {**opening, "resumed": True})
        server.export(wire.request(service, [third]))
        got = again.until(lambda name, data: name == "counts" and data["traces"] == 3)
        if not any(is_trace(third.trace_id)(*one) for one in got):
            got += again.until(is_trace(third.trace_id))
        assert [data["root_name"] for name, data in got if name == "trace"] == ["second", "third"]
    # Another question is another tail.
    with Events(server, q="failed=true", headers={"Last-Event-ID": again.last_id}) as other:
        assert (other.next() or ("", {}))[1]["resumed"] is False


@pytest.mark.parametrize(
    ("query", "code", "position"),
    [
        ({"q": "service="}, "bad_query", 8),
        ({"q": 'a=1 name=~"("'}, "bad_query", 10),
        ({"rate": "0"}, "bad_parameter", None),
        ({"rate": "501"}, "bad_parameter", None),
        ({"failed": "yes"}, "bad_parameter", None),
        ({"from": "now-1h"}, "unknown_parameter", None),
    ],
)
def test_what_cannot_be_asked_is_refused_where_it_stands(
    server: Server, query: dict[str, str], code: str, position: int | None
) -> None:
    answer = server.get("/api/v1/tail", **query)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["position"]) == (400, code, position)


def test_a_page_of_another_site_cannot_listen(server: Server) -> None:
    assert server.get("/api/v1/tail", headers={"Host": "evil.example"}).status_code == 403
    assert server.get("/api/v1/tail", q="a=1", headers={"Accept-Encoding": "gzip;q=0"}, failed="x").status_code == 400


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) << 10


def test_a_reader_that_is_too_slow_is_told_what_it_missed_and_costs_the_server_no_memory(server: Server) -> None:
    service = wire.fresh_name("slow")
    # Each row of the list names all its services: tens of thousands of bytes, of which no kernel keeps many.
    names = [f"{service} {number} " + "\N{HIRAGANA LETTER A}" * 280 for number in range(40)]
    before_bytes, skipped_before = resident_bytes(server.pid), server.status()["tail_skipped_traces"]
    shown: set[str] = set()
    sent = skipped = 0
    with (
        Events(server, q=f'service="{names[0]}"', receive_bytes=128 << 10) as slow,
        Events(server, q=f'service="{names[0]}"') as other,
    ):
        while not skipped:
            assert sent < 2_000, "no kernel keeps so much"
            traces = [wire.new_trace_id() for _ in range(20)]
            server.export(
                b"".join(wire.request(name, [wire.span(one, failed=True) for one in traces]) for name in names)
            )
            sent += len(traces)
            # The one that reads has them all.
            waited_for = {one.hex() for one in traces}
            other.until(lambda name, data, wanted=waited_for: wanted.discard(data.get("trace_id")) or not wanted)  # type: ignore[misc]
            # The other one reads now and then: who reads nothing for long is left.
            shown |= {data["trace_id"] for name, data in slow.until(lambda name, _: name == "trace") if name == "trace"}
            skipped = server.status()["tail_skipped_traces"] - skipped_before
        assert resident_bytes(server.pid) - before_bytes < 300 << 20
        _, missed = slow.until(lambda name, data: noted(name, data, shown) and data["failed"] == sent)[-1]
        # What waits may come behind the counts.
        if len(shown) < sent - missed["skipped_failed"]:
            slow.until(lambda name, data: noted(name, data, shown) or len(shown) == sent - missed["skipped_failed"])
        assert len(shown) == sent - missed["skipped_failed"] < sent


def noted(name: str, data: dict[str, Any], shown: set[str]) -> bool:
    """Keeps the ids of traces; whether the event has counts."""
    if name == "trace":
        shown.add(data["trace_id"])
    return name == "counts"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    token = folder / "token"
    token.write_text("sesame\n")
    running = Server(folder / "data", token="sesame", options=["--token-file", str(token)]).start()
    yield running
    running.close()


def test_two_hundred_listeners_are_told_one_more_is_refused_and_all_end_with_the_server(guarded: Server) -> None:
    refused = httpx.get(f"{guarded.http}/api/v1/tail", headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert guarded.status()["tail_listeners"] == 0
    open_now = [Events(guarded, q="failed=true" if number % 2 else "") for number in range(200)]
    assert {events.head.status for events in open_now} == {200}
    assert guarded.status()["tail_listeners"] == 200
    answer = guarded.get("/api/v1/tail")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    failed = wire.span(failed=True)
    guarded.export(wire.request("many", [failed]))
    for events in open_now:
        events.until(is_trace(failed.trace_id))
    open_now.pop().close()
    until(lambda: guarded.status()["tail_listeners"] == 199)
    metrics = guarded.get("/metrics").text
    assert "clew_tail_listeners 199.0" in metrics
    assert guarded.stop() == 0
    for events in open_now:
        assert events.until(lambda name, _: name == "end")[-1] == ("end", {"reason": "the server stops"})
        assert events.next() is None
        events.close()


def test_events_are_one_line_of_json_whatever_is_in_them(server: Server) -> None:
    service = wire.fresh_name("lines")
    made = wire.span(name='a\n\nevent: end\ndata: {}\r\n\u2028"')
    with Events(server, q=f'service="{service}"') as events:
        server.export(wire.request(service, [made]))
        (_, trace) = events.until(is_trace(made.trace_id))[-1]
        assert json.loads(json.dumps(trace))["root_name"] == made.name


# The command


class Command:
    """`clew tail` as a process; what it printed is in files, so that nothing waits for a reader."""

    def __init__(self, folder: Path, server: Server, *words: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*clew_command(), "tail", *words, "--server", server.http],
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"},
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def end(self, sent: signal.Signals) -> int:
        self.process.send_signal(sent)
        return self.process.wait(100)


def test_the_command_prints_lines_says_when_the_server_is_gone_and_ends_well_with_ctrl_c(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    running = make_server(ports=(free_port(), 0, 0)).start()
    service, trace_id, root = wire.fresh_name("term"), wire.new_trace_id(), wire.new_span_id()
    command = Command(tmp_path, running, f"service={service}")
    try:
        until(lambda: running.status()["tail_listeners"] == 1)
        running.export(wire.request(service, [wire.span(trace_id, span_id=root, name="GET /a", duration_ns=2_000_000)]))
        until(lambda: command.out.count("\n") == 1)
        assert command.out.startswith(f"{trace_id.hex()}  ")
        assert [part in command.out for part in ("2 ms", "✓", "1 span ", f"{service} GET /a")] == [True] * 4
        # One that fails later is printed once more, and not for every span of it.
        running.export(wire.request(service, [wire.span(trace_id, parent_id=root, failed=True)]))
        until(lambda: command.out.count("\n") == 2)
        assert "✖ 1 failed" in command.out
        assert "\x1b" not in command.out
        assert running.stop() == 0
        until(lambda: "was lost" in command.err)
        running.start()
        until(lambda: running.status()["tail_listeners"] == 1)
        other = wire.span(failed=True)
        running.export(wire.request(service, [other]))
        until(lambda: command.out.count("\n") == 3)
        assert command.out.splitlines()[-1].startswith(other.trace_id.hex())
        assert "connected again" in command.err
        assert command.end(signal.SIGINT) == 0
    finally:
        command.process.kill()
    # One that is killed is no listener any more.
    command = Command(tmp_path, running, f"service={service}")
    until(lambda: running.status()["tail_listeners"] == 1)
    command.end(signal.SIGKILL)
    until(lambda: running.status()["tail_listeners"] == 0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["service="], 2, "value"),
        (["--rate", "0"], 2, "rate"),
        (["--server", "http://127.0.0.1:9"], 7, "no clew answers"),
    ],
)
def test_the_command_says_what_is_wrong_and_does_not_wait(
    server: Server, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    address = [] if "--server" in words else ["--server", server.http]
    done = subprocess.run([*clew_command(), "tail", *words, *address], capture_output=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()
