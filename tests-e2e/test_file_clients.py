"""Files that the OpenTelemetry collector's file exporter writes, imported: `make clients` builds the collector."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from harness import backends
from harness.clients import only_in_make_clients
from harness.server import PROTOBUF, Server, clew_command
from harness.wire import attributes, fresh_name, new_trace_id, request, span, spans_of

FILES = {
    "lines.jsonl": "OTLP JSON",
    "proto.bin": "OTLP protobuf, requests with their length in four bytes",
    "zstd.bin": "OTLP protobuf, requests with their length in four bytes",
}


@only_in_make_clients
def test_every_form_of_the_collectors_file_exporter_is_imported_as_it_was_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    sent: dict[str, list[bytes]] = {}
    bodies = []
    for name in FILES:
        trace_id = new_trace_id()
        root = span(trace_id, name="GET /\u00fc", values={"n": 7, "f": 1.5, "b": True, "raw": b"\x00\xff"}, failed=True)
        root.trace_state = "a=b"
        root.events.add(name="e", time_unix_nano=5, attributes=attributes({"k": "v"}))
        child = span(trace_id, parent_id=root.span_id, kind=3)
        child.links.add(trace_id=new_trace_id(), span_id=root.span_id)
        child.status.SetInParent()  # the collector writes an empty one where there is none
        sent[name] = [one.SerializeToString(deterministic=True) for one in (root, child)]
        bodies.append(request(fresh_name("collected"), [root, child]))
    ids = {name: spans[0][2:18].hex() for name, spans in sent.items()}
    try:
        with backends.otel_collector(tmp_path) as collector:
            for body in bodies:
                answer = httpx.post(
                    f"http://127.0.0.1:{collector.port}/v1/traces", content=body, headers={"Content-Type": PROTOBUF}
                )
                assert answer.status_code == 200
            _until_still([tmp_path / name for name in FILES])
    except backends.Absent as reason:
        pytest.skip(str(reason))
    for name, form in FILES.items():
        command = [*clew_command(), "import", str(tmp_path / name), "--json", "--server", server.http]
        done = subprocess.run(command, capture_output=True, timeout=100, check=False)
        if name == "zstd.bin" and b"backports.zstd" in done.stderr:
            continue  # this Python cannot read zstd, and that is said
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert (summary["format"], summary["spans"] + summary["already_there"]) == (form, 6)
        for file, trace_id in ids.items():
            found = server.get(f"/api/v1/traces/{trace_id}", headers={"Accept": PROTOBUF}).content
            assert sorted({one.SerializeToString(deterministic=True) for one in spans_of(found)}) == sorted(sent[file])


def _until_still(files: list[Path], timeout_s: float = 100) -> None:
    """Wait until each file has something, and the same for a second."""
    deadline = time.monotonic() + timeout_s
    before: list[int] = []
    while True:
        sizes = [file.stat().st_size if file.exists() else 0 for file in files]
        if all(sizes) and sizes == before:
            return
        assert time.monotonic() < deadline, f"the collector wrote {sizes} bytes"
        before = sizes
        time.sleep(1)
