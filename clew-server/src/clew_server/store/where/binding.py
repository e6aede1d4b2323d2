"""Values of a query as parameters of a statement, and small pieces of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_INT128: Final = (1 << 127) - 1
_UINT64: Final = (1 << 64) - 1
OPERATIONS: Final = (
    "(SELECT unhex(x.1),unhex(x.2) FROM (SELECT arrayJoin({operations:Array(Tuple(String,String))}) AS x))"
)
"""SQL of the operations that are bound as `operations`: their services and names."""


def hexed(text: str) -> str:
    """What `unhex` makes the text of."""
    return text.encode("utf-8", "surrogatepass").hex()


def operations_bound(in_hex: Iterable[tuple[str, str]]) -> str:
    """The parameter `operations` of `OPERATIONS`: services and names in hex."""
    return "[" + ",".join(f"('{service}','{name}')" for service, name in in_hex) + "]"


class Bound:
    """The parameters of a statement. Texts are bound in hex: no escaping to get wrong."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def text(self, text: str) -> str:
        """SQL of a String."""
        name = f"text{len(self.values)}"
        self.values[name] = hexed(text)
        return f"unhex({{{name}:String}})"

    def integer(self, number: int) -> str:
        """SQL of an Int128."""
        name = f"integer{len(self.values)}"
        self.values[name] = str(max(-_INT128, min(number, _INT128)))
        return f"toInt128({{{name}:String}})"

    def unsigned(self, number: int) -> str:
        """SQL of a UInt64, the nearest that there is."""
        name = f"number{len(self.values)}"
        self.values[name] = str(max(0, min(number, _UINT64)))
        return f"{{{name}:UInt64}}"

    def double(self, number: float) -> str:
        """SQL of a Float64."""
        name = f"double{len(self.values)}"
        self.values[name] = repr(number)
        return f"toFloat64({{{name}:String}})"


def joined(word: str, parts: Sequence[str]) -> str:
    """Conditions joined by AND or OR, in parentheses where there are several."""
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"


def like(pieces: Sequence[str]) -> str:
    """The pattern of LIKE for texts with anything between them."""
    return "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in pieces)
