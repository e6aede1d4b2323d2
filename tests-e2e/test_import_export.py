"""`clew import` and `clew export` as people start them, against real servers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest

from clew.otlp.encode import varint
from harness.server import Server, clew_command, free_port
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span, spans_of


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of imports is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def start(
    *words: str | Path, stdin: int | None = subprocess.DEVNULL, program: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    return subprocess.Popen(
        [*(program or clew_command()), *map(str, words)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


def run(*words: str | Path, stdin: bytes | None = None) -> tuple[int, bytes, str]:
    process = start(*words, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
    out, errors = process.communicate(stdin, timeout=120)
    assert b"Traceback" not in errors, errors.decode(errors="replace")
    return process.returncode, out, errors.decode(errors="replace")


def until(holds: Callable[[], bool], timeout_s: float = 100) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)


def shop(service: str, traces: int = 3) -> tuple[list[str], list[bytes]]:
    """Traces of two services with an error, an event and a link; each of the requests holds one of them."""
    ids, requests = [], []
    for _ in range(traces):
        trace_id = new_trace_id()
        root = span(trace_id, name="GET /süd", values={"n": 1, "f": 1.5, "b": True, "raw": b"\x00\xff", "t": "ä\n"})
        root.trace_state = "a=b"
        child = span(trace_id, parent_id=root.span_id, name="INSERT", kind=3, failed=True)
        child.events.add(name="exception", time_unix_nano=child.start_time_unix_nano + 5)
        child.links.add(trace_id=new_trace_id(), span_id=new_span_id())
        ids.append(trace_id.hex())
        requests.append(request(service, [root]) + request(f"{service}-db", [child]))
    return ids, requests


def stored_spans(server: Server) -> int:
    server.flush()
    return int(server.get("/api/v1/status").json()["stored_spans"])


def trace_of(server: Server, trace_id: str) -> set[bytes]:
    answer = server.get(f"/api/v1/traces/{trace_id}", headers={"Accept": "application/x-protobuf"})
    assert answer.status_code == 200, answer.text
    return {one.SerializeToString(deterministic=True) for one in spans_of(answer.content)}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Server:  # type: ignore[misc]
    """Another server, in which nothing is but what the stories of this file import."""
    running = Server(tmp_path_factory.mktemp("empty") / "data").start()
    yield running  # type: ignore[misc]
    running.close()


@pytest.mark.parametrize("form", ["otlp-json", "otlp-protobuf"])
def test_what_is_exported_and_imported_into_an_empty_server_is_the_same(
    server: Server, empty: Server, tmp_path: Path, form: str
) -> None:
    service = fresh_name("moved")
    ids, requests = shop(service)
    for one in requests:
        server.export(one)
    server.flush()
    file = tmp_path / "traces"
    code, out, said = run("export", f"service={service}", "--format", form, "-o", file, "--server", server.http)
    assert (code, out) == (0, b"")
    assert said.startswith("3 traces, ")
    assert [path.name for path in tmp_path.iterdir()] == ["traces"]
    code, out, said = run("import", file, "--server", empty.http)
    assert (code, said) == (0, "")
    assert "6 spans imported" in out.decode()
    for trace_id in ids:
        assert trace_of(empty, trace_id) == trace_of(server, trace_id)


def test_an_export_for_jaeger_holds_the_traces_and_comes_back(server: Server, empty: Server, tmp_path: Path) -> None:
    service = fresh_name("for-jaeger")
    ids, requests = shop(service)
    for one in requests:
        server.export(one)
    server.flush()
    file = tmp_path / "jaeger.json"
    code, _, said = run("export", *ids, "--format", "jaeger", "-o", file, "--server", server.http)
    assert code == 0, said
    traces = json.loads(file.read_bytes())["data"]
    assert [trace["traceID"] for trace in traces] == ids
    assert traces == [server.get(f"/api/traces/{trace_id}").json()["data"][0] for trace_id in ids]
    code, out, said = run("import", file, "--json", "--server", empty.http)
    assert (code, said) == (0, "")
    summary = json.loads(out)
    assert (summary["format"], summary["spans"], summary["left_out"]) == ("Jaeger JSON", 6, 0)
    for trace_id in ids:
        expected = server.get(f"/api/v1/traces/{trace_id}/explain").json()
        found = empty.get(f"/api/v1/traces/{trace_id}/explain").json()
        assert found["origin"] == expected["origin"]
        assert found["root"]["service"] == service


def test_traces_by_their_ids_go_to_stdout_and_from_stdin(server: Server, empty: Server) -> None:
    ids, requests = shop(fresh_name("piped"), traces=2)
    for one in requests:
        server.export(one)
    server.flush()
    unknown = new_trace_id().hex()
    code, lines, said = run("export", ids[0], unknown, ids[1], "--server", server.http)
    assert code == 1
    assert unknown in said
    assert [len(json.loads(line)["resourceSpans"]) for line in lines.splitlines()] == [2, 2]
    code, out, said = run("import", "-", "--json", "--server", empty.http, stdin=lines)
    assert (code, said) == (0, "")
    summary = json.loads(out)
    assert (summary["file"], summary["spans"], summary["left_out"]) == ("stdin", 4, 0)
    for trace_id in ids:
        assert trace_of(empty, trace_id) == trace_of(server, trace_id)


def many(service: str, requests: int, spans: int = 100) -> list[bytes]:
    """Requests that are half as long as those that an import sends."""
    return [request(service, [span(values={"filling": "x" * 2_500}) for _ in range(spans)]) for _ in range(requests)]


def delimited(requests: list[bytes]) -> bytes:
    return b"".join(varint(len(one)) + one for one in requests)


def write_on(pipe: IO[bytes], rest: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:  # until the reader has gone
        pipe.write(rest)


def test_an_import_is_stopped_while_its_server_hangs_and_goes_on_when_it_answers(empty: Server, tmp_path: Path) -> None:
    others, file = stored_spans(empty), tmp_path / "spans.bin"
    file.write_bytes(delimited(many("hanging", 8)))
    # A request is given up after 600 s: what ends before was stopped.
    patient = "import sys; from clew import cli; from clew_server.cli import _sending; _sending._TIMEOUT_S = 600; sys.exit(cli.main())"
    process = start(
        "import", "-", "--server", empty.http, stdin=subprocess.PIPE, program=[sys.executable, "-c", patient]
    )
    whole = file.read_bytes()
    pipe, process.stdin = process.stdin, None
    assert pipe is not None
    pipe.write(whole[: len(whole) // 2])
    pipe.flush()
    until(lambda: stored_spans(empty) > others)
    os.kill(empty.pid, signal.SIGSTOP)
    try:
        rest = threading.Thread(target=write_on, args=(pipe, whole[len(whole) // 2 :]))
        rest.start()
        time.sleep(0.5)  # it waits for answers now, most likely; a stop before that is as good
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    finally:
        os.kill(empty.pid, signal.SIGCONT)
        process.kill()
        rest.join()
    assert (process.returncode, b"goes on where it stopped" in errors) == (130, True), errors
    code, _, said = run("import", file, "--json", "--server", empty.http)
    assert (code, said) == (0, "")
    assert stored_spans(empty) == others + 800


def test_an_import_that_was_stopped_goes_on_without_doubling_or_losing(empty: Server, tmp_path: Path) -> None:
    target, others = empty, stored_spans(empty)
    requests = many("stopped", 20)
    whole = delimited(requests)
    file = tmp_path / "spans.bin"
    # The file comes through a pipe that stands still in the middle, so that the stop is in the middle too.
    process = start("import", "-", "--server", target.http, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(whole[: len(whole) // 2])
    process.stdin.flush()
    until(lambda: stored_spans(target) >= others + 400)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert b"goes on where it stopped" in errors
    assert b"Traceback" not in errors
    before = stored_spans(target) - others
    assert 400 <= before < 2_000
    file.write_bytes(whole)
    code, out, said = run("import", file, "--json", "--server", target.http)
    assert (code, said) == (0, "")
    summary = json.loads(out)
    assert summary["already_there"] == before
    assert summary["spans"] == 2_000 - before
    assert stored_spans(target) == others + 2_000
    code, out, _ = run("import", file, "--json", "--server", target.http)
    assert (code, json.loads(out)["already_there"]) == (0, 2_000)
    assert stored_spans(target) == others + 2_000


def test_an_import_outlives_a_crash_of_the_server_and_one_that_was_emptied_gets_all_again(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    ports = (free_port(), free_port(), free_port())
    target = make_server(ports=ports).start()
    process = start("import", "-", "--json", "--server", target.http, stdin=subprocess.PIPE)
    assert process.stdin is not None
    requests = many("outlived", 20)
    process.stdin.write(delimited(requests[:10]))
    process.stdin.flush()
    until(lambda: int(target.get("/api/v1/status").json()["accepted_spans"]) > 0)
    target.kill()
    target.launch()
    out, errors = process.communicate(delimited(requests[10:]), timeout=120)
    assert (process.returncode, errors) == (0, b"")
    target.wait_ready()
    assert json.loads(out)["spans"] == 2_000
    assert stored_spans(target) == 2_000
    target.kill()
    file = tmp_path / "spans.bin"
    file.write_bytes(delimited(requests))
    other = make_server("other", ports=ports).start()
    code, out, said = run("import", file, "--json", "--server", other.http)
    assert (code, said) == (0, "")
    assert (json.loads(out)["spans"], json.loads(out)["already_there"]) == (2_000, 0)
    assert stored_spans(other) == 2_000


def test_what_cannot_be_imported_is_said_with_its_exit_code(empty: Server, tmp_path: Path) -> None:
    good, foreign, torn = tmp_path / "good.pb", tmp_path / "picture.png", tmp_path / "torn.jsonl"
    good.write_bytes(request("good", [span()]))
    foreign.write_bytes(b"\x89PNG\r\n\x1a\n")
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "1" * 32, "spanId": "2" * 16}]}]}]})
    torn.write_text(f"{line}\n{line[:30]}\n{line}\n")
    code, out, said = run("import", foreign, good, "--server", empty.http)
    assert code == 2
    assert "Jaeger" in said
    assert "1 span imported" in out.decode()
    code, out, said = run("import", torn, "--server", empty.http)
    assert code == 1
    assert "line 2" in said
    assert run("import", tmp_path / "absent", "--server", empty.http)[0] == 2
    assert run("import", tmp_path, "--server", empty.http)[0] == 2
    assert run("import", good, "--server", f"http://127.0.0.1:{free_port()}")[0] == 7
    no_ids = tmp_path / "ids.pb"
    no_ids.write_bytes(request("good", [span(span_id=b"\0" * 8), span()]))
    code, out, said = run("import", no_ids, "--server", empty.http)
    assert (code, "1 span left out" in said) == (1, True)


def test_what_cannot_be_exported_is_said_with_its_exit_code(server: Server, tmp_path: Path) -> None:
    assert run("export", "--server", server.http)[0] == 2
    assert run("export", "service=x", "ab" * 16, "--server", server.http)[0] == 2
    assert run("export", f"service={fresh_name('nobody')}", "--server", server.http)[0] == 1
    assert run("export", new_trace_id().hex(), "-o", tmp_path / "absent" / "x", "--server", server.http)[0] == 2
    assert run("export", "--all", "--server", f"http://127.0.0.1:{free_port()}")[0] == 7
    assert list(tmp_path.iterdir()) == []
