"""Writes `src/api/types.ts` and `src/api/flags.ts` from the server's OpenAPI document: `python web/scripts/api_types.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clew_server.api.openapi import DOCUMENT

_API = Path(__file__).parents[1] / "src" / "api"
_GENERATED = "Generated from its OpenAPI document by scripts/api_types.py; do not edit."
HEAD = f"/** Shapes of the query API. {_GENERATED} */\n"
FLAGS_HEAD = f"/** Bits of `Skeleton.flags` of the query API. {_GENERATED} */\n"
_PRINT_WIDTH = 110
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
# TypeScript has a global of this name.
_RENAMED = {"Error": "ErrorAnswer"}


def render(document: dict[str, Any]) -> str:
    """The text of the file: one interface a schema, formatted as prettier would."""
    schemas = document["components"]["schemas"]
    return HEAD + "".join(
        f"\nexport interface {_name(name)} {_object(schema, depth=0)}\n" for name, schema in schemas.items()
    )


def render_flags(document: dict[str, Any]) -> str:
    """The text of the file with the bits of a span's flags."""
    bits = document["components"]["schemas"]["Skeleton"]["properties"]["flags"]["x-bits"]
    lines = "".join(f"  {name}: {bit},\n" for name, bit in bits.items())
    return f"{FLAGS_HEAD}export const FLAG = {{\n{lines}}} as const\n"


FILES = {_API / "types.ts": render, _API / "flags.ts": render_flags}
"""What is written where."""


def _name(schema: str) -> str:
    return _RENAMED.get(schema, schema)


def _object(schema: dict[str, Any], *, depth: int) -> str:
    indent = "  " * (depth + 1)
    lines = []
    for name, value in schema["properties"].items():
        if "description" in value:
            lines.append(f"{indent}/** {value['description']} */")
        optional = "" if name in schema.get("required", ()) else "?"
        line = f"{indent}{name}{optional}: {_type(value, depth=depth + 1)}"
        if len(line) > _PRINT_WIDTH and "enum" in value:
            line = "\n".join([f"{indent}{name}{optional}:", *(f"{indent}  | {_literal(one)}" for one in value["enum"])])
        lines.append(line)
    return "\n".join(["{", *lines, "  " * depth + "}"])


def _type(schema: dict[str, Any], *, depth: int) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(_type(one, depth=depth) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(_literal, schema["enum"]))
    kind = schema["type"]
    if isinstance(kind, list):
        return " | ".join(_PLAIN[one] for one in kind)
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(_type(item, depth=depth) for item in schema["prefixItems"]) + "]"
        item = _type(schema["items"], depth=depth)
        return f"({item})[]" if "|" in item else f"{item}[]"
    if kind == "object":
        if "properties" in schema:
            return _object(schema, depth=depth)
        return f"Record<string, {_type(schema['additionalProperties'], depth=depth)}>"
    return _PLAIN[kind]


def _literal(value: str | float | None) -> str:
    """The type of one value: texts in single quotes, everything else as JSON has it."""
    if isinstance(value, str):
        return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return json.dumps(value)


if __name__ == "__main__":
    for target, text_of in FILES.items():
        target.write_text(text_of(DOCUMENT), encoding="utf-8")
