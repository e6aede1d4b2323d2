"""A table in a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from clew.terminal import columns
from clew_server.cli._text import fitted, width_of

_NARROWEST: Final = 8
_WIDEST: Final = 80
"""Without a terminal texts are written whole, and those that are longer shift their own line only."""


def print_table(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> None:
    """Print the rows, columns as wide as they need, those in `right` to the right.

    What does not fit into the terminal is taken from the widest of the other columns first: figures are cut last.
    """
    limit = columns()
    widths = _widths(rows, right, limit)
    for row in rows:
        cells = []
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            room = max(width, width_of(cell)) if limit is None else width
            cells.append(" " * (room - width_of(cell)) + cell if at in right else fitted(cell, room))
        line = "  ".join(cells).rstrip()
        print(line if limit is None or width_of(line) <= limit else fitted(line, limit).rstrip())


def _widths(rows: Sequence[Sequence[str]], right: Container[int], limit: int | None) -> list[int]:
    widths = [max(width_of(row[at]) for row in rows) for at in range(len(rows[0]))]
    texts = [at for at in range(len(widths)) if at not in right]
    if limit is None:
        return [min(width, _WIDEST) if at in texts else width for at, width in enumerate(widths)]
    excess = sum(widths) + 2 * (len(widths) - 1) - limit
    while excess > 0 and texts and widths[widest := max(texts, key=lambda at: widths[at])] > _NARROWEST:
        widths[widest] -= 1
        excess -= 1
    return widths
