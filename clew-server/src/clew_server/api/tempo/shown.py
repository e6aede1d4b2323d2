"""What is shown of the spans that a search found: values of the attributes that it named. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from clew_server.api.tempo.attributes import Attribute
from clew_server.model.attributes import find
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.model.trace import Trace


class Shown:
    """Values of the spans of one trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._resources: dict[bytes, Resource] = {}

    def value(self, row: int, attribute: Attribute) -> AnyValue | None:
        """The value of an attribute or an intrinsic of a row; None where it has none."""
        trace, key = self._trace, attribute.key
        if attribute.place == "intrinsic":
            span = trace.span(row)
            known = {
                "name": trace.name_of(row),
                "status": _word(STATUS_WORDS, span.status.code),
                "kind": _word(KIND_WORDS, trace.kind[row]),
                "statusMessage": span.status.message,
            }
            return AnyValue(string_value=known[key]) if key in known else None
        of_span = find(trace.span(row).attributes, key) if attribute.place in ("span", "any") else None
        if of_span is None and attribute.place in ("resource", "any"):
            return find(self._resource(row).attributes, key)
        return of_span

    def _resource(self, row: int) -> Resource:
        stored = self._trace.stored
        raw = stored.origins[stored.origin[row]].resource
        found = self._resources.get(raw)
        if found is None:
            found = self._resources[raw] = Resource.FromString(raw)
        return found


def _word(words: Sequence[str], number: Any) -> str:
    return words[number] if 0 <= number < len(words) else words[0]
