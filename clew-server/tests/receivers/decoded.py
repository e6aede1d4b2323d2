"""What the tests of all decoders do with a batch: read it, and compare it with a golden file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.receivers.contract import OtlpBatch

Sent = TypeVar("Sent")


def request_of(found: OtlpBatch) -> ExportTraceServiceRequest:
    """The batch's request, which must be canonical."""
    assert found.request == ExportTraceServiceRequest.FromString(found.request).SerializeToString(), "not canonical"
    return ExportTraceServiceRequest.FromString(found.request)


def spans_of(found: OtlpBatch) -> list[Span]:
    """All its spans, in order."""
    return [s for r in request_of(found).resource_spans for c in r.scope_spans for s in c.spans]


def plain(value: Any) -> Any:
    """An attribute's value in Python's terms; None for an empty one."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def attributes_of(what: Any) -> dict[str, Any]:
    """The attributes of a span, an event, a link, a resource or a scope, no key twice."""
    found = {one.key: plain(one.value) for one in what.attributes}
    assert len(found) == len(what.attributes), "a key twice"
    return found


def check_golden(golden: Path, shown: Any) -> None:
    """What was decoded, as JSON, is what the file holds. `CLEW_GOLDEN=write` writes the file anew; it is reviewed by eye."""
    written = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("CLEW_GOLDEN") == "write":
        golden.write_text(written, encoding="utf-8")
    assert written == golden.read_text(encoding="utf-8")


def check_each_field_counts(
    whole: Sent, changed: Mapping[str, Sent], fields: Iterable[str], decode: Callable[[Sent], OtlpBatch]
) -> None:
    """What is stored is different for each change of a message that says all there is to say, and each of these fields is changed
    once: so none of them is read over."""
    assert set(changed) == set(fields)
    stored = decode(whole).request
    assert stored == decode(whole).request, "the same message is stored in the same way"
    read_over = [field for field, one in changed.items() if decode(one).request == stored]
    assert read_over == []
