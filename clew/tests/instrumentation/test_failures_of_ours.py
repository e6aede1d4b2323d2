"""What an instrumentation does after a failure of its own: the application's exceptions do not get it as their context."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import clew

ROOT = Path(clew.__file__).parent
# What runs within calls of the application.
MODULES = [
    *(path for room in ("instrumentation", "tracing", "bridges") for path in sorted((ROOT / room).glob("**/*.py"))),
    *(ROOT / name for name in ("carriers.py", "decorate.py", "doubled.py", "guard.py", "logs.py")),
]
# They call nothing of the application.
HARMLESS = frozenset(
    (
        "Place",
        "_attributes",
        "_name_of",
        "attributes.setdefault",
        "guard.swallow",
        "guard.warn",
        "names.add",
        "own.done",
        "re.compile",
        "span.add_event",
        "swallow",
        "tracer.end",
        "type_name",
    )
)


def called_in(handler: ast.ExceptHandler) -> list[str]:
    """Calls, and where a generator gives way to the application's code, in a handler that does not raise on."""
    if isinstance(handler.body[-1], ast.Raise):
        return []
    found = [node for statement in handler.body for node in ast.walk(statement)]
    calls = [ast.unparse(node.func) for node in found if isinstance(node, ast.Call)]
    waits = [type(node).__name__ for node in found if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom))]
    return [name for name in calls + waits if name not in HARMLESS]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_called_while_a_failure_of_ours_is_handled(path: Path) -> None:
    handlers = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)]
    found = {handler.lineno: names for handler in handlers if (names := called_in(handler))}
    assert found == {}, "what runs there and raises has our failure as its __context__: use `guard.attempt`"
