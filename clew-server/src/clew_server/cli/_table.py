"""A table in a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence

from clew.terminal import columns
from clew_server.cli._text import fitted, width_of


def print_table(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> None:
    """Print the rows, columns as wide as they need, those in `right` to the right; lines are cut at the terminal's edge."""
    widths = [max(width_of(row[at]) for row in rows) for at in range(len(rows[0]))]
    limit = columns()
    for row in rows:
        cells = [
            " " * (width - width_of(cell)) + cell if at in right else fitted(cell, width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        print(line if limit is None or width_of(line) <= limit else fitted(line, limit).rstrip())
