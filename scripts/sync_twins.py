"""Writes the sync twin of an async function or class: `python scripts/sync_twins.py [--check]`.

Where both must exist the async one is written by hand, and the other stands below the comment

    # The sync twin of `NAME`, written by scripts/sync_twins.py.

in the same module, class or function. `async` and `await` are left out, and names are replaced: those of the table
below, and those of the twins themselves. The twin keeps its own name and the docstring it has. With --check nothing is
written, and the exit code is 1 if a file is not as this script would write it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import itertools
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "clew" / "src" / "clew"
MARKER = re.compile(r"^\s*# The sync twin of `(\w+)`, written by scripts/sync_twins\.py\.$")
NAMES = {
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "anext": "next",
    "asynccontextmanager": "contextmanager",
    "handle_async_request": "handle_request",
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class TwinError(Exception):
    """A comment that does not stand above a definition, or names none beside it."""


def pairs_of(text: str, where: str) -> list[tuple[Definition, Definition]]:
    """The async definitions of a file and their twins. Raises TwinError for a comment that fits none."""
    wanted = {number: found[1] for number, line in enumerate(text.splitlines(), 1) if (found := MARKER.match(line))}
    if not wanted:
        return []
    pairs = []
    for body, twin in _definitions(ast.parse(text)):
        name = wanted.pop(_first_line(twin) - 1, None)
        if name is not None:
            source = next((one for one in body if isinstance(one, Definition) and one.name == name), None)
            if source is None:
                raise TwinError(f"{where}:{_first_line(twin) - 1}: there is no `{name}` beside it")
            pairs.append((source, twin))
    for number in wanted:
        raise TwinError(f"{where}:{number}: no definition stands below this comment")
    return pairs


def _definitions(tree: ast.Module) -> Iterator[tuple[list[ast.stmt], Definition]]:
    """Every definition, with the statements beside it."""
    for node in ast.walk(tree):
        for body in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            if isinstance(body, list):
                yield from ((body, one) for one in body if isinstance(one, Definition))


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _docstring(text: str, node: Definition) -> tuple[int, str] | None:
    """The line on which a definition's docstring begins, and the docstring as it is written."""
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.lineno, ast.get_source_segment(text, first) or ""
    return None


def sync(text: str, source: Definition, twin: Definition, names: dict[str, str]) -> str:
    """The code of `source` for sync callers; its layout is left to the formatter."""
    lines = text.splitlines(keepends=True)
    begins = _first_line(source)
    code = "".join(lines[begins - 1 : source.end_lineno])
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset(place: tuple[int, int]) -> int:
        return starts[place[0] - 1] + place[1]

    # A nested definition is tokenized within a block, so that its indentation is valid.
    shift = 1 if code[:1] == " " else 0
    tokens = list(tokenize.generate_tokens(io.StringIO("if 1:\n" * shift + code).readline))
    tokens = [
        one._replace(start=(one.start[0] - shift, one.start[1]), end=(one.end[0] - shift, one.end[1]))
        for one in tokens
        if one.start[0] > shift and one.type != tokenize.DEDENT
    ]
    ours, theirs = _docstring(text, twin), _docstring(text, source)
    edits: list[tuple[int, int, str]] = []
    depth = 0
    # Depths of brackets at which the bracket of an `Awaitable[…]` closes.
    closing: list[int] = []
    for token, following in itertools.pairwise(tokens):
        begin, end = offset(token.start), offset(token.end)
        if token.type == tokenize.OP and token.string in "([{":
            depth += 1
        elif token.type == tokenize.OP and token.string in ")]}":
            depth -= 1
            if closing and closing[-1] == depth:
                closing.pop()
                edits.append((begin, end, ""))
        elif token.type == tokenize.STRING:
            if ours and theirs and token.start[0] + begins - 1 == theirs[0]:
                edits.append((begin, end, ours[1]))
            elif token.string[1:-1] in names:
                edits.append((begin + 1, end - 1, names[token.string[1:-1]]))
        elif token.string in ("async", "await"):
            edits.append((begin, offset(following.start), ""))
        elif token.string == "Awaitable" and following.string == "[":
            closing.append(depth)
            edits.append((begin, offset(following.end), ""))
        elif token.type == tokenize.NAME and token.string in names:
            edits.append((begin, end, names[token.string]))
    for begin, end, replacement in reversed(edits):
        code = code[:begin] + replacement + code[end:]
    return code


def written(text: str, where: str, shared: dict[str, str]) -> str:
    """A file's text with every twin in it made anew; `shared` are the names of twins that other files import."""
    pairs = pairs_of(text, where)
    if not pairs:
        return text
    names = NAMES | shared | {source.name: twin.name for source, twin in pairs}
    lines = text.splitlines(keepends=True)
    # From the end, so that the lines of those before stay where they are.
    for source, twin in sorted(pairs, key=lambda pair: -pair[1].lineno):
        lines[_first_line(twin) - 1 : twin.end_lineno] = [sync(text, source, twin, names)]
    return _formatted("".join(lines), where)


def _formatted(text: str, where: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", where, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def main(arguments: list[str] | None = None) -> int:
    """Write the twins, or compare them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file is not as it would be written")
    options = parser.parse_args(arguments)
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.py"))}
    try:
        shared = {
            source.name: twin.name
            for path, text in texts.items()
            for source, twin in pairs_of(text, str(path))
            if not source.col_offset
        }
        status = 0
        for path, text in texts.items():
            made = written(text, str(path.relative_to(ROOT)), shared)
            if made == text:
                continue
            if options.check:
                name = str(path.relative_to(ROOT))
                sys.stdout.writelines(
                    difflib.unified_diff(text.splitlines(True), made.splitlines(True), name, f"{name}, as it would be")
                )
                status = 1
            else:
                path.write_text(made, encoding="utf-8")
    except TwinError as error:
        print(error, file=sys.stderr)
        return 1
    if status:
        print("sync twins differ from their async ones: python scripts/sync_twins.py writes them", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
