"""Coverage-guided fuzzing of one decoder or of all: `run.py [TARGET…] [--seconds N]`, `--list`. Needs atheris.

Begins with the kept corpus and the captured requests of real clients, and at the end keeps what reaches every branch that was reached,
shortest inputs first. An input that fails is kept in `found/`, where `make test` tries it again; exit code 1.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

sys.path.insert(0, str(Path(__file__).parent))

ROOMS = ["clew.otlp", "clew_server.receivers", "clew_server.model"]
GOLDEN = Path(__file__).parents[1] / "golden"
MOST_INPUT_BYTES = 3000
MOST_KEPT_BYTES = 4000
"""Of all inputs of one target: the corpora together stay below 200 kB."""
WORDS = """
traceId id parentId name kind timestamp duration localEndpoint remoteEndpoint annotations binaryAnnotations tags debug shared serviceName
ipv4 ipv6 port key value endpoint error cs cr sr ss ms mr sa ca lc CLIENT SERVER PRODUCER CONSUMER 127.0.0.1 ::1 true false null
resourceSpans scopeSpans spans resource scope attributes spanId parentSpanId startTimeUnixNano endTimeUnixNano events links status code
message stringValue intValue doubleValue boolValue arrayValue kvlistValue bytesValue values resourceLogs scopeLogs logRecords eventName
traceID spanID operationName references refType CHILD_OF FOLLOWS_FROM startTime processID processes data logs fields type int64 float64
binary warnings service_strategies default_strategy operation_strategies service operation probabilistic ratelimiting param emitBatch
otel.status_code http.status_code otlp.link.0 w3c.tracestate span.kind exception.type service.name 463ac35c9f6413ad48485a3953bb6124
a2fb4a1d1a96d312 1e999 -1 18446744073709551615 9223372036854775808
"""


LOGS = """{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeLogs":
[{"scope": {"name": "s"}, "logRecords": [{"timeUnixNano": "5", "severityNumber": 9, "body": {"stringValue": "text"}, "eventName": "e",
"traceId": "463ac35c9f6413ad48485a3953bb6124", "spanId": "a2fb4a1d1a96d312", "attributes": [{"key": "exception.type", "value":
{"arrayValue": {"values": [{"intValue": "7"}, {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}]}}}]}]}]}]}"""
JAEGER = """{"data": [{"traceID": "3bd5e1f0a1b2c3d4", "spans": [{"traceID": "3bd5e1f0a1b2c3d4", "spanID": "a1", "operationName": "op",
"references": [{"refType": "CHILD_OF", "traceID": "3bd5e1f0a1b2c3d4", "spanID": "b2"}], "startTime": 5, "duration": 7, "flags": 1, "tags":
[{"key": "error", "type": "bool", "value": true}], "logs": [{"timestamp": 6, "fields": [{"key": "event", "type": "string", "value": "e"}]}],
"processID": "p1", "warnings": null}], "processes": {"p1": {"serviceName": "shop", "tags": []}}}]}"""
STRATEGIES = """{"service_strategies": [{"service": "shop", "type": "ratelimiting", "param": 5, "operation_strategies": [{"operation": "op",
"type": "probabilistic", "param": 0.5}]}], "default_strategy": {"type": "probabilistic", "param": 0.1}}"""


def seeds(target: str) -> list[bytes]:
    """Captured requests that fit a target, and the kept corpus."""
    from targets import CORPUS, FOUND, inputs

    found = [*inputs(CORPUS, target), *inputs(FOUND, target)]
    endings = {
        "zipkin-v2-json": "zipkin/*.v2.json.hex",
        "zipkin-v2-protobuf": "zipkin/*.v2.pb.hex",
        "zipkin-v1-json": "zipkin/*.v1.json.hex",
        "zipkin-v1-thrift": "zipkin/*.v1.thrift.hex",
        "jaeger-compact": "jaeger/compact-*.hex",
        "jaeger-binary": "jaeger/binary-*.hex",
        "jaeger-http": "jaeger/http-*.hex",
        "jaeger-grpc": "jaeger/grpc-*.hex",
        "skywalking-grpc-collect": "skywalking/segment-*.hex",
        "skywalking-http-segment": "skywalking/json-*.hex",
        "file": "zipkin/*.v2.json.hex",
    }
    if target in endings:
        found += [bytes.fromhex(path.read_text("ascii")) for path in GOLDEN.glob(endings[target])]
    if target == "cat":  # frames, one a line
        lines = [line for path in GOLDEN.glob("cat/*.hex") for line in path.read_text("ascii").split()]
        found += [bytes.fromhex(line)[4:] for line in lines]
    if target.startswith("sofatracer") or target == "file":
        found += [path.read_bytes()[:MOST_INPUT_BYTES] for path in GOLDEN.glob("sofatracer/*/*-digest.log")]
    if target == "sentry-envelope":
        found += [path.read_bytes() for path in GOLDEN.glob("sentry/*.envelope")]
    if target in ("otlp-http-traces-json", "file"):
        found += [path.read_bytes() for path in GOLDEN.glob("*/*.otlp.json")]
    if target in ("otlp-http-traces-protobuf", "roots", "file"):
        found += [_protobuf_of(path) for path in GOLDEN.glob("*/*.otlp.json")]
    logs = json_format.Parse(LOGS.encode(), ExportLogsServiceRequest()).SerializeToString()
    found += {
        "otlp-http-logs-json": [LOGS.encode()],
        "otlp-http-logs-protobuf": [logs],
        "file": [JAEGER.encode(), gzip.compress(JAEGER.encode(), mtime=0), LOGS.encode()],
        "jaeger-strategies": [STRATEGIES.encode()],
        "jaeger-question": [b"\x0a\x04shop"],
    }.get(target, [])
    return [one for one in found if len(one) <= MOST_INPUT_BYTES]


def _protobuf_of(path: Path) -> bytes:
    from clew_server.receivers.contract import JSON
    from clew_server.receivers.otlp import decode_otlp

    return decode_otlp(path.read_bytes(), JSON).request


def fuzz(target: str, arguments: list[str]) -> None:
    """Call libFuzzer with the command that starts it, its options and folders. Never returns: it ends the process."""
    import atheris

    with atheris.instrument_imports(include=ROOMS):
        from targets import TARGETS
    atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


def run(target: str, seconds: int) -> bool:
    """Fuzz a target in processes of its own; whether nothing was found."""
    from targets import CORPUS, FOUND, inputs, keep

    with tempfile.TemporaryDirectory(prefix="clew-fuzz-") as name:
        folder = Path(name)
        for part in ("corpus", "failed", "kept"):
            (folder / part).mkdir()
        for number, one in enumerate(seeds(target)):
            (folder / "corpus" / f"seed-{number}").write_bytes(one)
        (folder / "words").write_text("".join(f'"{word}"\n' for word in WORDS.split()))
        # libFuzzer starts itself again to merge.
        itself = folder / "fuzz"
        itself.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} --child {target} "$0" "$@"\n')
        itself.chmod(0o700)
        limits = [f"-max_len={MOST_INPUT_BYTES}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
        here = [f"-dict={folder / 'words'}", f"-artifact_prefix={folder / 'failed'}/", f"-max_total_time={seconds}"]
        done = _child(itself, *limits, *here, str(folder / "corpus"))
        failed = [path.read_bytes() for path in (folder / "failed").iterdir()]
        if failed or done.returncode:
            keep(FOUND, target, [*inputs(FOUND, target), *failed])
            print(done.stderr[-3000:])
        _child(itself, "-merge=1", *limits, str(folder / "kept"), str(folder / "corpus"))
        kept, size = [], 0
        for one in sorted((path.read_bytes() for path in (folder / "kept").iterdir()), key=len):
            size += len(one)
            if size > MOST_KEPT_BYTES:
                break
            kept.append(one)
        if kept:
            keep(CORPUS, target, kept)
        runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        said = "nothing found" if not failed and not done.returncode else f"{len(failed)} inputs failed"
        print(f"{target}: {''.join(runs) or '?'} runs in {seconds} s, {len(kept)} inputs kept, {said}", flush=True)
        return not failed and not done.returncode


def _child(itself: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(itself), *arguments], capture_output=True, text=True, errors="replace", check=False)


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--child"]:
        fuzz(arguments[1], arguments[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*")
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("--list", action="store_true", help="print the targets")
    chosen = parser.parse_args(arguments)
    from targets import TARGETS

    if chosen.list:
        print("\n".join(sorted(TARGETS)))
        return 0
    if unknown := [name for name in chosen.target if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}; --list shows them")
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("coverage-guided fuzzing needs atheris, which has wheels for Linux: pip install atheris", file=sys.stderr)
        return 2
    clean = [run(name, chosen.seconds) for name in chosen.target or sorted(TARGETS)]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
