"""What is fuzzed: every decoder of the receivers' table, and the readers of files. Each says yes, or no in its own words.

A target is called with any bytes. It returns when the bytes were taken or refused as the contract says, and raises for anything else.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Final

from batches import check
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.receivers import table
from clew_server.receivers.contract import JSON, PROTOBUF, Decoder, Head, OtlpBatch
from clew_server.receivers.datadog.decoder import V04, V05
from clew_server.receivers.files.canonical import requests_of_file
from clew_server.receivers.jaeger.roots import roots
from clew_server.receivers.jaeger.sampling import Sampling
from clew_server.receivers.jaeger.strategies import strategies_from
from clew_server.receivers.otlp_receivers import PATHS
from clew_server.receivers.pinpoint.specs import EXCEPTIONS, SEND_SPAN, SEND_SPAN_BATCH
from clew_server.receivers.skywalking.specs import COLLECT, COLLECT_IN_SYNC
from clew_server.receivers.zipkin.decoder import V1_PATH, V2_PATH
from clew_server.testing import pinpoint

CORPUS: Final = Path(__file__).parent / "corpus"
"""A file for each target, one input a line in base64: what reaches every line that the fuzzer has reached."""
FOUND: Final = Path(__file__).parent / "found"
"""Likewise, inputs that once failed."""

Target = Callable[[bytes], None]

HEADS: Final[dict[str, dict[str, Head]]] = {
    **{
        name: {
            f"{path.rpartition('/')[2]}-{form}": Head(path=path, content_type=media)
            for path in PATHS
            for form, media in (("protobuf", PROTOBUF), ("json", JSON))
        }
        for name in ("otlp-http",)
    },
    "otlp-grpc": {},  # the same decoder, and the same messages
    "zipkin": {
        "v2-json": Head(path=V2_PATH, content_type=JSON),
        "v2-protobuf": Head(path=V2_PATH, content_type=PROTOBUF),
        "v1-json": Head(path=V1_PATH, content_type=JSON),
        "v1-thrift": Head(path=V1_PATH, content_type="application/x-thrift"),
    },
    "jaeger-http": {"": Head(content_type="application/x-thrift")},
    "jaeger-sampling": {},  # takes no spans
    "cat-router": {},  # likewise
    "skywalking-grpc": {"collect": Head(path=COLLECT), "collectInSync": Head(path=COLLECT_IN_SYNC)},
    "pinpoint": {
        path.rpartition("/")[2]: Head(path=path, content_type=PROTOBUF, headers=pinpoint.HEADERS)
        for path in (SEND_SPAN, SEND_SPAN_BATCH, EXCEPTIONS)
    },
    "sofatracer": {
        name: Head(path=f"{name}-digest.log" if name else "")
        for name in ("", "spring-mvc", "datasource-client", "mongodb", "rabbitmq-send", "biz")
    },
    "datadog": {
        "v04": Head(path=V04, content_type="application/msgpack"),
        "v05": Head(path=V05, content_type="application/msgpack"),
        "json": Head(path=V04, content_type=JSON),
    },
    "sentry": {
        "envelope": Head(path="/api/7/envelope/", parts={"project": "7"}),
        "store": Head(path="/api/7/store/", parts={"project": "7"}),
    },
}
"""Of receivers whose decoder looks at more than the method: target → head."""


def check_batch(batch: OtlpBatch) -> None:
    """Whether a batch is what the contract says: canonical, with ids and times that OTLP allows, counted."""
    check(batch)
    assert sum(1 for _ in roots(batch.request)) <= batch.spans


def _decoder(decode: Decoder, head: Head) -> Target:
    def target(body: bytes) -> None:
        try:
            batch = decode(body, head)
        except BadInput:
            return
        check_batch(batch)

    return target


def _file(body: bytes) -> None:
    try:
        requests, sentence = requests_of_file(body)
    except BadInput:
        return
    assert isinstance(sentence, str)
    for request in requests:
        assert ExportTraceServiceRequest.FromString(request).SerializeToString() == request


def _strategies(body: bytes) -> None:
    try:
        strategies = strategies_from(body.decode("utf-8", "replace"))
    except ValueError:
        return
    for service in ["", *strategies.services]:
        strategies.of(service).as_json()
        strategies.of(service).as_protobuf()


_SAMPLING: Final = Sampling()


def _question(body: bytes) -> None:
    try:
        _SAMPLING.get_strategy(body)
    except BadInput:
        return


def _targets() -> dict[str, Target]:
    made: dict[str, Target] = {
        "file": _file,
        "jaeger-strategies": _strategies,
        "jaeger-question": _question,
        "roots": lambda body: list(roots(body)).clear(),
    }
    for line in table.RECEIVERS:
        spec = line.load()
        media = PROTOBUF if line.transport == "grpc" else ""
        heads = HEADS.get(line.name)
        if heads is None:
            heads = {
                path.rpartition("/")[2] if len(spec.paths) > 1 else "": Head(path=path, content_type=media)
                for path in spec.paths or ("",)
            }
        for name, head in heads.items():
            made["-".join(filter(None, (line.name, name)))] = _decoder(spec.decode, head)
    return made


TARGETS: Final = _targets()


def inputs(folder: Path, target: str) -> list[bytes]:
    """What a file of inputs holds."""
    path = folder / f"{target}.txt"
    return [base64.b64decode(line) for line in path.read_text("ascii").split()] if path.exists() else []


def keep(folder: Path, target: str, found: list[bytes]) -> None:
    """Write them, short ones first, each once."""
    lines = [base64.b64encode(one).decode() for one in sorted(set(found), key=lambda one: (len(one), one))]
    folder.mkdir(exist_ok=True)
    (folder / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines), "ascii")
