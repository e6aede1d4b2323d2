"""Private names of OpenTelemetry's API stand in `clew/_otel.py` and nowhere else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clew

SOURCES = Path(clew.__file__).parent
# The API's packages; the SDK's and the shims' private names are looked up where they are needed, with a fallback.
API = (
    "context",
    "trace",
    "propagate",
    "baggage",
    "metrics",
    "propagators",
    "util",
    "attributes",
    "environment_variables",
)
IMPORT_IN_CYTHON = re.compile(r"^\s*(?:from|import)\s+opentelemetry\S*(?:\s+import)?[^\n]*\b_[A-Za-z]", re.MULTILINE)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(source: str) -> list[str]:
    """Private names of the API that this Python source imports, reads, sets or asks for by getattr()."""
    tree = ast.parse(source)
    found, modules = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "opentelemetry":
            if node.module != "opentelemetry" and str(node.module).split(".")[1] not in API:
                continue
            found += [
                name for name in [*str(node.module).split("."), *(a.name for a in node.names)] if _is_private(name)
            ]
            modules |= {alias.asname or alias.name for alias in node.names if alias.name.islower()}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "opentelemetry":
                    found += [name for name in alias.name.split(".") if _is_private(name)]
                    modules.add(alias.asname or "opentelemetry")
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found += [node.attr] if _is_private(node.attr) else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            of, name = node.args[:2]
            said = name.value if isinstance(name, ast.Constant) else constants.get(getattr(name, "id", ""))
            if isinstance(of, ast.Name) and of.id in modules and isinstance(said, str):
                found += [said] if _is_private(said) else []
    return found


def test_no_file_but_otel_names_what_is_private_in_opentelemetrys_api() -> None:
    wrong = {}
    for path in sorted(SOURCES.rglob("*.py")):
        if path.name != "_otel.py" and (names := private_names(path.read_text(encoding="utf-8"))):
            wrong[str(path.relative_to(SOURCES))] = names
    for path in sorted(SOURCES.rglob("*.pyx")):
        if names := IMPORT_IN_CYTHON.findall(path.read_text(encoding="utf-8")):
            wrong[str(path.relative_to(SOURCES))] = names
    assert wrong == {}


@pytest.mark.parametrize(
    "source",
    [
        "from opentelemetry.context import Context, _RUNTIME_CONTEXT",
        "from opentelemetry.util._importlib_metadata import entry_points",
        "from opentelemetry import trace\ntrace._TRACER_PROVIDER = None",
        "from opentelemetry import trace as api\ngetattr(api, '_TRACER_PROVIDER', None)",
        "from opentelemetry import trace\nNAME: str = '_TRACER_PROVIDER'\ngetattr(trace, NAME)",
        "import opentelemetry.context as context\ncontext._RUNTIME_CONTEXT",
    ],
)
def test_each_way_to_a_private_name_is_seen(source: str) -> None:
    assert private_names(source) != []


WITHOUT = """
import opentelemetry.context as context, opentelemetry.trace as trace, opentelemetry.trace.propagation as propagation
del context._SUPPRESS_INSTRUMENTATION_KEY, context._SUPPRESS_HTTP_INSTRUMENTATION_KEY
runtime = context._RUNTIME_CONTEXT
context.get_current, context.attach, context.detach = runtime.get_current, runtime.attach, runtime.detach
del context._RUNTIME_CONTEXT
from clew import _otel
span = trace.NonRecordingSpan(trace.SpanContext(1, 2, False))
token = _otel.RUNTIME_CONTEXT.attach(trace.set_span_in_context(span))
assert _otel.RUNTIME_CONTEXT.get_current()[_otel.SPAN_KEY] is span
_otel.RUNTIME_CONTEXT.detach(token)
assert _otel.SPAN_KEY not in _otel.RUNTIME_CONTEXT.get_current()
assert _otel.SUPPRESS_INSTRUMENTATION_KEY != _otel.SUPPRESS_HTTP_INSTRUMENTATION_KEY
del trace._TRACER_PROVIDER_SET_ONCE
assert not _otel.is_global_provider_set()
try:
    _otel.replace_global_provider(None, False)
except RuntimeError as error:
    assert "_TRACER_PROVIDER_SET_ONCE" in str(error)
else:
    raise AssertionError("no error")
"""


def test_an_api_without_these_names_is_used_by_its_public_functions_or_named_in_an_error() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=100)
