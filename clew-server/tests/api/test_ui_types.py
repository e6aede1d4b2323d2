"""The UI's types of the API are those the server describes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from clew_server.api.openapi import DOCUMENT
from clew_server.model.columns import FLAGS

SCRIPT = Path(__file__).parents[3] / "web" / "scripts" / "api_types.py"


@pytest.mark.parametrize("name", ["types.ts", "flags.ts"])
def test_what_the_ui_knows_of_the_api_is_made_from_the_current_document(name: str) -> None:
    ((target, text_of),) = [item for item in runpy.run_path(str(SCRIPT))["FILES"].items() if item[0].name == name]
    assert target.read_text(encoding="utf-8") == text_of(DOCUMENT), (
        "The API has changed: run python web/scripts/api_types.py and look at what the UI makes of it."
    )


def test_every_bit_of_the_flags_is_a_bit_of_its_own_and_is_in_the_document() -> None:
    assert sum(flag.bit for flag in FLAGS) == 2 ** len(FLAGS) - 1
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)
    described = DOCUMENT["components"]["schemas"]["Skeleton"]["properties"]["flags"]
    assert described["x-bits"] == {flag.name: flag.bit for flag in FLAGS}
    assert all(f"{flag.bit} {flag.meaning}" in described["description"] for flag in FLAGS)


def test_every_kind_of_schema_the_document_uses_has_a_type() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "16 hex digits"},
            "parent": {"type": ["string", "null"]},
            "state": {"enum": ["open", "off"]},
            "long": {"enum": [f"a state of some length {number}" for number in range(5)]},
            "side": {"enum": ["it's", None, 1, True]},
            "sides": {"enum": [*(f"a side of some length {number}" for number in range(5)), None]},
            "states": {"type": "array", "items": {"enum": ["a", "b"]}},
            "pairs": {"type": "array", "items": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "cause": {"anyOf": [{"$ref": "#/components/schemas/Cause"}, {"type": "null"}]},
            "inner": {"type": "object", "properties": {"error": {"$ref": "#/components/schemas/Error"}}},
        },
        "required": ["id", "parent", "state", "long", "states", "pairs", "counts", "cause"],
    }  # fmt: skip
    text = runpy.run_path(str(SCRIPT))["render"]({"components": {"schemas": {"Span": schema}}})
    assert text.partition("\n\n")[2] == (
        "export interface Span {\n"
        "  /** 16 hex digits */\n"
        "  id: string\n"
        "  parent: string | null\n"
        "  state: 'open' | 'off'\n"
        "  long:\n"
        "    | 'a state of some length 0'\n"
        "    | 'a state of some length 1'\n"
        "    | 'a state of some length 2'\n"
        "    | 'a state of some length 3'\n"
        "    | 'a state of some length 4'\n"
        "  side?: 'it\\'s' | null | 1 | true\n"
        "  sides?:\n"
        "    | 'a side of some length 0'\n"
        "    | 'a side of some length 1'\n"
        "    | 'a side of some length 2'\n"
        "    | 'a side of some length 3'\n"
        "    | 'a side of some length 4'\n"
        "    | null\n"
        "  states: ('a' | 'b')[]\n"
        "  pairs: [number, string][]\n"
        "  counts: Record<string, number>\n"
        "  cause: Cause | null\n"
        "  inner?: {\n"
        "    error?: ErrorAnswer\n"
        "  }\n"
        "}\n"
    )
