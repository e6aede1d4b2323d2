"""Files of OTLP in every form, read as a stream."""

from __future__ import annotations

import gzip
import importlib
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.otlp.encode import varint
from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.model.otlp_raw import count_spans
from clew_server.receivers.files import contract, read
from clew_server.receivers.files.contract import Notes
from clew_server.receivers.otlp_json import request_from_json


def request(first: int, spans: int = 3, services: int = 2) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    for service in range(services):
        resource = made.resource_spans.add(schema_url="https://schema/resource")
        resource.resource.attributes.add(key="service.name").value.string_value = f"sérvice {service}"
        scope = resource.scope_spans.add(schema_url="https://schema/scope")
        scope.scope.name = "lib"
        for number in range(first, first + spans):
            span = scope.spans.add(
                trace_id=(number + 1).to_bytes(16, "big"),
                span_id=(number * services + service + 1).to_bytes(8, "big"),
                name='op "\u2028"\n',
                start_time_unix_nano=10**18 + number,
            )
            span.attributes.add(key="number").value.int_value = number
            span.events.add(name="event", time_unix_nano=5)
    return made


REQUESTS = [request(0), request(10, spans=1), request(20, services=1)]


def as_json(message: ExportTraceServiceRequest) -> dict[str, Any]:
    def attributes(pairs: Any) -> list[dict[str, Any]]:
        return [
            {
                "key": pair.key,
                "value": {"stringValue": pair.value.string_value}
                if pair.value.HasField("string_value")
                else {"intValue": str(pair.value.int_value)},
            }
            for pair in pairs
        ]

    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(resource.resource.attributes)},
                "scopeSpans": [
                    {
                        "scope": {"name": scope.scope.name},
                        "spans": [
                            {
                                "traceId": span.trace_id.hex(),
                                "spanId": span.span_id.hex(),
                                "name": span.name,
                                "startTimeUnixNano": str(span.start_time_unix_nano),
                                "attributes": attributes(span.attributes),
                                "events": [{"name": one.name, "timeUnixNano": "5"} for one in span.events],
                            }
                            for span in scope.spans
                        ],
                        "schemaUrl": scope.schema_url,
                    }
                    for scope in resource.scope_spans
                ],
                "schemaUrl": resource.schema_url,
            }
            for resource in message.resource_spans
        ]
    }


JSON = [json.dumps(as_json(one), ensure_ascii=False) for one in REQUESTS]
PROTOBUF = [one.SerializeToString() for one in REQUESTS]
FORMS: dict[str, bytes] = {
    "JSON lines": "\n".join(JSON).encode(),
    "JSON lines with an end and empty lines": ("\ufeff" + "\r\n\r\n".join(JSON) + "\n").encode(),
    "one JSON text over many lines": json.dumps(
        {"resourceSpans": [resource for one in REQUESTS for resource in as_json(one)["resourceSpans"]]}, indent=2
    ).encode(),
    "JSON with what comes first at the end": json.dumps(
        {
            "resourceSpans": [
                {"scopeSpans": resource["scopeSpans"], "schemaUrl": resource["schemaUrl"], "resource": resource["resource"]}
                for one in REQUESTS
                for resource in as_json(one)["resourceSpans"]
            ],
            "unknown": {"resourceSpans": [1]},
        }
    ).encode(),
    "a list of requests": ("[" + ",".join(JSON) + "]").encode(),
    "one protobuf request": b"".join(PROTOBUF),
    "length-delimited": b"".join(varint(len(one)) + one for one in PROTOBUF),
    "lengths of four bytes, as the collector's file exporter": b"".join(
        len(one).to_bytes(4, "big") + one for one in PROTOBUF
    ),
}  # fmt: skip


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read_all(data: bytes, size: int = 1 << 20, notes: Notes | None = None) -> list[ExportTraceServiceRequest]:
    found = []
    for part in read.read(blocks(data, size), notes or Notes()):
        assert part.spans == count_spans(part.request)
        found.append(ExportTraceServiceRequest.FromString(part.request))
    return found


def flat(requests: Iterable[ExportTraceServiceRequest]) -> list[tuple[bytes, str, bytes, str, bytes]]:
    """Every span with all that is around it, in a form that does not depend on how requests are cut."""
    return [
        (
            resource.resource.SerializeToString(),
            resource.schema_url,
            scope.scope.SerializeToString(),
            scope.schema_url,
            span.SerializeToString(),
        )
        for one in requests
        for resource in one.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_spans_however_the_bytes_come(form: str, size: int) -> None:
    assert flat(read_all(FORMS[form], size)) == flat(REQUESTS)


@pytest.mark.parametrize("form", ["JSON lines", "length-delimited"])
def test_gzip_is_taken_off_also_of_several_members_and_padding(form: str) -> None:
    half = len(FORMS[form]) // 2
    packed = gzip.compress(FORMS[form][:half]) + gzip.compress(FORMS[form][half:]) + b"\0" * 10
    for size in (1, 1 << 20):
        assert flat(read_all(packed, size)) == flat(REQUESTS)


def zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def test_zstd_is_taken_off_around_a_file_and_around_each_request_as_the_collector_packs_them() -> None:
    module = zstd()
    if module is None:
        with pytest.raises(Unsupported, match=r"pip install backports\.zstd"):
            read_all(b"\x28\xb5\x2f\xfd rest")
        return
    for size in (1, 1 << 20):
        packed = module.compress(FORMS["JSON lines"][:100]) + module.compress(FORMS["JSON lines"][100:])
        assert flat(read_all(packed, size)) == flat(REQUESTS)
        for texts in (PROTOBUF, [text.encode() for text in JSON]):
            each = [module.compress(one) for one in texts]
            framed = b"".join(len(one).to_bytes(4, "big") + one for one in each)
            assert flat(read_all(framed, size)) == flat(REQUESTS)
    with pytest.raises(BadInput, match="end too early"):
        read_all(module.compress(FORMS["JSON lines"])[:-5])


def test_a_large_request_is_cut_and_never_whole_in_memory() -> None:
    one = request(0, spans=2_000, services=1).SerializeToString()
    copies = 60

    def file() -> Iterator[bytes]:
        for _ in range(copies):
            yield from blocks(one, 1 << 16)

    tracemalloc.start()
    spans = largest = 0
    for part in read.read(file(), Notes()):
        spans += part.spans
        largest = max(largest, len(part.request))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spans == copies * 2_000
    assert largest <= contract.PART_BYTES + 100
    assert peak < 8 << 20 < copies * len(one)


def test_json_lines_are_never_whole_in_memory() -> None:
    message = request(0, spans=20, services=1)
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.name = "x" * 30_000
    line = (json.dumps(as_json(message)) + "\n").encode()
    copies = 40

    tracemalloc.start()
    spans = sum(part.spans for part in read.read((line for _ in range(copies)), Notes()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spans == copies * 20
    assert peak < copies * len(line) / 3


def test_a_line_that_was_torn_costs_itself_only() -> None:
    notes = Notes()
    data = f"{JSON[0]}\n{JSON[1][: len(JSON[1]) // 2]}\n{JSON[2]}\n{JSON[1][:20]}"
    assert flat(read_all(data.encode(), notes=notes)) == flat([REQUESTS[0], REQUESTS[2]])
    assert notes.problems == 2
    assert notes.first_problem.startswith("line 2: ")


def test_spans_with_wrong_values_are_counted_and_the_others_come() -> None:
    broken = as_json(REQUESTS[2])
    spans = broken["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0]["startTimeUnixNano"] = "soon"
    spans.insert(1, 7)
    notes = Notes()
    assert flat(read_all(json.dumps(broken).encode(), notes=notes)) == flat([REQUESTS[2]])[1:]
    assert notes.left_out == {"malformed": 2}
    notes = Notes()
    broken["resourceSpans"][0]["resource"] = [1]
    assert read_all(json.dumps(broken).encode(), notes=notes) == []
    assert notes.left_out == {"malformed": 4}


def test_what_the_servers_decoder_makes_of_json_is_what_a_file_gives() -> None:
    from collections import Counter

    for text in JSON:
        decoded = ExportTraceServiceRequest.FromString(request_from_json(text.encode(), Counter()))
        assert flat(read_all(text.encode())) == flat([decoded])


def test_other_signals_in_a_collectors_file_are_passed_over_and_counted() -> None:
    notes = Notes()
    data = '{"resourceMetrics":[{"a":[1,{}]}]}\n' + JSON[0] + '\n{"resourceLogs":[]}\n'
    assert flat(read_all(data.encode(), notes=notes)) == flat([REQUESTS[0]])
    assert notes.other_signals == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   \n",
        b"hello",
        b"\n\nhello",
        b"{}",
        b"[1, 2]",
        b'{"a": 1}',
        b'"text"',
        b"<xml/>",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        bytes(range(256)),
        b"[[[[]]]]",
    ],
)
def test_anything_else_is_refused_with_the_names_of_what_is_understood(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"OTLP.*Jaeger.*Zipkin") as caught:
        read_all(data)
    assert caught.value.code == "not_understood"


@pytest.mark.parametrize("form", [name for name in FORMS if "JSON" not in name and "list" not in name])
def test_a_binary_file_that_ends_early_gives_what_was_whole_and_says_so(form: str) -> None:
    data = FORMS[form][:-5]
    got: list[ExportTraceServiceRequest] = []
    with pytest.raises(BadInput, match="ends in the middle"):
        got.extend(ExportTraceServiceRequest.FromString(part.request) for part in read.read(blocks(data, 50), Notes()))
    assert flat(got) == flat(REQUESTS)[: len(flat(got))] != []


def test_damaged_gzip_and_json_are_bad_input_and_nothing_else() -> None:
    packed = gzip.compress(FORMS["JSON lines"])
    for data in (packed[:-9], packed[:30] + b"xx" + packed[32:]):
        with pytest.raises(BadInput):
            read_all(data)
    for data in (
        b'{"resourceSpans":' + b"[" * 100_000,
        b'{"resourceSpans": [{"scopeSpans": 5}]}',
        b'{"resourceSpans": {}}',
    ):
        with pytest.raises(BadInput):
            read_all(data)


def test_cut_and_changed_bytes_are_bad_input_or_spans() -> None:
    for form in FORMS.values():
        for at in range(0, len(form), max(1, len(form) // 60)):
            for data in (form[:at], form[:at] + bytes([form[at] ^ 0x5A]) + form[at + 1 :]):
                try:
                    parts = list(read.read([data], Notes()))
                except BadInput:
                    continue
                # What is broken inside a span is the server's to leave out: the requests can be taken apart.
                assert all(count_spans(part.request) == part.spans for part in parts)


def test_what_must_be_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew_server.receivers.files.held.MAX_HELD_BYTES", 100)
    with pytest.raises(TooLarge):
        read_all(FORMS["JSON lines"])
    monkeypatch.setattr("clew_server.receivers.files.json_stream.MAX_VALUE_CHARACTERS", 100)
    with pytest.raises(TooLarge):
        read_all(b'{"resourceSpans": [], "unknown": "' + b"x" * (1 << 20) + b'"}')


def test_numbers_at_the_edge_of_a_block_are_whole() -> None:
    whole = b'{"resourceSpans": [], "x": 123456, "y": 1.5e3, "z": true}'
    for size in range(1, len(whole)):
        assert read_all(whole, size) == []
